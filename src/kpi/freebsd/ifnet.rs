//! Interfaces (ifnet(9)).
//!
//! A lagg and its ports may be in different vnets. So calls of the stack that do more than access a field
//! or pass a packet are made in the interface's vnet, whose lists, statistics and listeners the stack then
//! uses. The caller's vnet may be ending, and have none of these any more.

use core::cell::UnsafeCell;
use core::ptr;
use core::sync::atomic::{AtomicU8, Ordering};

use super::bindings as c;
use super::hooks;
use super::ways::SoftcSlot;
use crate::kpi::{
    Counter, Driver, Errno, IfType, Ioctl, LinkState, Module, Name, Ref, Result, iff, packet,
};

type Softc = <Module as Driver>::Softc;

/// An interface.
///
/// # Invariants
/// It is the kernel's own `struct ifnet`, and is not freed for as long as the borrow lasts: the
/// borrower is in the network epoch, has a counted reference, or was called by the kernel with one.
#[repr(transparent)]
pub struct Ifnet(UnsafeCell<c::ifnet>);

// SAFETY: what is written here of it is written atomically, or by the kernel's own functions, which any
// thread may call. It is no allocation of Rust's: what is read by one volatile load is as the kernel's own
// code reads it, which the compiler may make part of a comparison.
unsafe impl Sync for Ifnet {}

/// A pointer to a field of an [`Ifnet`], which is there by the type's invariant. No reference is made
/// to what the kernel shares.
macro_rules! field {
    ($ifp:expr, $field:ident) => {
        &raw mut (*$ifp.as_ptr()).$field
    };
}
pub(super) use field;

/// Calls an accessor of ifnet(9): one that reads a number of an [`Ifnet`], or stores one. What takes or
/// returns anything else is called by name, with a proof of its own.
macro_rules! scalar {
    ($accessor:ident, $ifp:expr $(, $argument:expr)?) => {{
        let ifp: *mut c::ifnet = $ifp.as_ptr();
        // SAFETY: by the type's invariant the ifnet is not freed during the call. Such an accessor touches that one
        // field, in any context, and keeps nothing; `number` admits no pointer either way.
        $crate::kpi::freebsd::ifnet::number(unsafe {
            c::$accessor(ifp $(, $crate::kpi::freebsd::ifnet::number($argument))?)
        })
    }};
}
pub(super) use scalar;

/// What [`scalar`] takes and returns.
#[inline(always)]
pub(super) fn number<T: Into<i128>>(number: T) -> T {
    number
}

mod packets;
mod reference;

pub use reference::{IfnetRef, Outlet};

impl Ifnet {
    /// # Safety
    /// For `'a` the type's invariant holds for `ifp`.
    #[inline(always)]
    pub(super) unsafe fn from_ptr<'a>(ifp: *mut c::ifnet) -> &'a Self {
        // INVARIANT: the caller promises it for `'a`.
        // SAFETY: `Ifnet` and `UnsafeCell` are transparent, and the caller promises that the ifnet is not freed
        // in `'a`.
        unsafe { &*ifp.cast() }
    }

    /// The kernel's pointer.
    #[inline(always)]
    pub(super) fn as_ptr(&self) -> *mut c::ifnet {
        self.0.get()
    }

    /// Whether `other` is the same interface.
    pub fn same(&self, other: &Ifnet) -> bool {
        ptr::eq(self, other)
    }

    /// Its name.
    pub fn name(&self) -> Name {
        // SAFETY: the field is 16 bytes of an ifnet that is there. A rename may come between them; what is read
        // is then a mixture of two names, as it is for the kernel's own readers.
        unsafe { (field!(self, if_xname)).cast::<Name>().read_volatile() }
    }

    /// Its index, which is unique among interfaces.
    pub fn index(&self) -> u32 {
        scalar!(if_getindex, self) as u32
    }

    /// Its type.
    pub fn if_type(&self) -> IfType {
        IfType::from_number(self.type_byte().load(Ordering::Acquire))
    }

    pub(super) fn type_byte(&self) -> &AtomicU8 {
        // SAFETY: a byte of an ifnet that is there for as long as `self`. The kernel has given it its value
        // before others find the interface, and leaves changing it to lagg.
        unsafe { AtomicU8::from_ptr(field!(self, if_type)) }
    }

    /// Its flags (IFF_*).
    #[inline(always)]
    pub fn flags(&self) -> u32 {
        // SAFETY: an aligned word of an ifnet that is there for as long as `self`; any bits are flags.
        unsafe { (field!(self, if_flags)).read_volatile() as u32 }
    }

    /// Whether packets can be sent on it: its link is up, and it is administratively up.
    #[inline(always)]
    pub fn is_active(&self) -> bool {
        // Bits of bytes, of the flags the lowest one: the compiler makes two tests in memory of them.
        const { assert!(LinkState::Up as u8 == 2 && LinkState::Down as u8 & 2 == 0 && iff::UP == 1) };
        let has = |byte: *mut u8, bit: u8| {
            // SAFETY: one of the two bytes below, of an ifnet that is there for as long as `self`; any value
            // will do.
            (unsafe { byte.read_volatile() }) & bit != 0
        };
        // SAFETY: fields of an ifnet that is there for as long as `self`.
        let (link, flags) = unsafe { (field!(self, if_link_state), field!(self, if_flags)) };
        has(link, LinkState::Up as u8) && has(flags.cast(), iff::UP as u8)
    }

    /// Whether it is running (IFF_DRV_RUNNING).
    pub fn is_running(&self) -> bool {
        scalar!(if_getdrvflags, self) as u32 & c::IFF_DRV_RUNNING != 0
    }

    /// Sets whether it is running. For a lagg's own interface, by one thread at a time.
    pub fn set_running(&self, running: bool) {
        let (set, clear) = if running { (c::IFF_DRV_RUNNING, 0) } else { (0, c::IFF_DRV_RUNNING) };
        // SAFETY: the ifnet is there. The function changes one word without a lock, which this driver alone
        // writes on its own interfaces, by one thread at a time.
        unsafe { c::if_setdrvflagbits(self.as_ptr(), set as i32, clear as i32) };
    }

    /// Its link state.
    pub fn link_state(&self) -> LinkState {
        match scalar!(if_getlinkstate, self) as u32 {
            c::LINK_STATE_UP => LinkState::Up,
            c::LINK_STATE_DOWN => LinkState::Down,
            _ => LinkState::Unknown,
        }
    }

    /// Announces a link state. Its handlers are called later, on `taskqueue_swi`.
    pub fn change_link_state(&self, state: LinkState) {
        // SAFETY: the ifnet is there, and it has been made with its task. The function stores the state and
        // enqueues that task, which detaching the interface waits for: this driver has ended its own tasks by
        // then.
        unsafe { c::if_link_state_change(self.as_ptr(), state as i32) };
    }

    /// Its MTU.
    pub fn mtu(&self) -> u32 {
        scalar!(if_getmtu, self) as u32
    }

    /// Stores an MTU, and does nothing else.
    pub fn store_mtu(&self, mtu: u32) {
        scalar!(if_setmtu, self, mtu as i32);
    }

    /// Reports a changed MTU to the protocols above. May sleep.
    pub fn notify_mtu(&self) {
        // SAFETY: in the interface's vnet, as the routing tables want it. The interface is attached, so IPv6's
        // state of it is there; what that and the tables need of locks they take.
        self.in_vnet(|| unsafe { c::if_notifymtu(self.as_ptr()) });
    }

    /// The NUMA domain that it is attached to, if it is to one.
    pub fn numa_domain(&self) -> Option<u8> {
        packet::numa_domain(u8::try_from(scalar!(if_getnumadomain, self)).ok()?)
    }

    /// Its speed in bits a second.
    pub fn baudrate(&self) -> u64 {
        scalar!(if_getbaudrate, self)
    }

    /// Sets its speed, and tells its VLANs if that has changed. May sleep.
    pub fn set_baudrate(&self, bits_per_second: u64) {
        if self.baudrate() != bits_per_second {
            scalar!(if_setbaudrate, self, bits_per_second);
            // SAFETY: the ifnet is there while its handlers run, which are called in its vnet and without a
            // lock of lagg's that they could want.
            self.in_vnet(|| unsafe { c::lagg_rs_baudrate_event(self.as_ptr()) });
        }
    }

    /// Brings it administratively up. May sleep.
    pub fn up(&self) {
        // SAFETY: the ifnet is there. In its vnet: routing sockets and handlers are told.
        self.in_vnet(|| unsafe { c::if_up(self.as_ptr()) });
    }

    /// Brings it administratively down. May sleep.
    pub fn down(&self) {
        // SAFETY: the ifnet is there, with the `if_qflush` that all attached ones have. In its vnet: routing
        // sockets and handlers are told.
        self.in_vnet(|| unsafe { c::if_down(self.as_ptr()) });
    }

    /// Adds to one of its counters.
    #[inline]
    pub fn count(&self, counter: Counter, n: u64) {
        // SAFETY: the ifnet is there with its counters, of which `Counter` names none that is not one. They are
        // counter(9)'s, for any thread.
        unsafe { c::if_inc_counter(self.as_ptr(), counter as c::ift_counter, n as i64) };
    }

    /// One of its counters.
    pub fn counter(&self, counter: Counter) -> u64 {
        // SAFETY: the ifnet is there, and its `if_get_counter` is its driver's or the default, never NULL once
        // it is made. `Counter` names none that is not one.
        unsafe { c::if_getcounter(self.as_ptr(), counter as c::ift_counter) }
    }

    /// The kernel's own counter, whatever the driver reports.
    pub fn own_counter(&self, counter: Counter) -> u64 {
        // SAFETY: the ifnet is there with its counters, of which `Counter` names none that is not one.
        unsafe { c::if_get_counter_default(self.as_ptr(), counter as c::ift_counter) }
    }

    /// What any Ethernet interface does with an ioctl. May sleep.
    ///
    /// # Errors
    /// EINVAL for what it does not know.
    pub fn ether_ioctl(&self, request: &mut Ioctl<'_>) -> Result {
        let (command, data) = (request.command() as u64, request.data().cast());
        // SAFETY: `Ioctl::new` was promised that the data are what the kernel hands to a driver with the
        // command, for as long as the request; this hands on both, unchanged.
        Errno::check(unsafe { c::ether_ioctl(self.as_ptr(), command, data) })
    }

    /// Whether `other` is in the same vnet.
    #[inline(always)]
    pub fn shares_vnet(&self, other: &Ifnet) -> bool {
        self.vnet() == other.vnet()
    }

    #[inline(always)]
    fn vnet(&self) -> *mut c::vnet {
        // SAFETY: an aligned pointer in an ifnet that is there for as long as `self`; only its value is used.
        unsafe { (field!(self, if_vnet)).read_volatile() }
    }

    /// Runs `f` in the interface's vnet.
    pub fn in_vnet<R>(&self, f: impl FnOnce() -> R) -> R {
        // SAFETY: the ifnet is there, and so is its vnet, which is not freed before its interfaces have left.
        // The thread gets its own vnet back below: a panic does not unwind past that.
        let before = unsafe { c::lagg_rs_vnet_enter(self.as_ptr()) };
        let result = f();
        // SAFETY: the vnet that this thread was in before, which the caller that entered it keeps.
        unsafe { c::lagg_rs_vnet_leave(before) };
        result
    }

    /// Whether it has a link-local (or interface-local) IPv6 address, and IPv6 is not disabled on it.
    pub fn has_ipv6_lladdr(&self) -> bool {
        // SAFETY: the interface is attached, and its departure, which waits until the caller gives the lagg's
        // token back, comes before IPv6's state of it is freed. The addresses are read in a section that the
        // function enters.
        unsafe { c::lagg_rs_has_ipv6_lladdr(self.as_ptr()) }
    }

    /// Detaches IPv6 from the interface. Sleeps for tasks that may call back into the driver.
    pub fn in6_detach(&self) {
        // SAFETY: the interface is attached, and its departure waits until the caller gives the lagg's token
        // back: so no other thread takes IPv6 off it. In its vnet, without lagg's mutex, for what the function
        // waits for may call the driver.
        self.in_vnet(|| unsafe { c::lagg_rs_in6_detach(self.as_ptr()) });
    }

    /// Whether this is one of our laggs. Its other methods may not be ours: netmap(4) takes
    /// `if_transmit` and `if_input`.
    pub(super) fn is_lagg(&self) -> bool {
        let method = self.ioctl_place().load(Ordering::Acquire);
        ptr::eq(method, hooks::lagg_ioctl as *const ())
    }

    /// The lagg that this interface is; none if it is no lagg of this driver.
    pub fn lagg_softc(&self) -> Option<Ref<Softc>> {
        if !self.is_lagg() {
            return None;
        }
        // SAFETY: an interface with our `if_ioctl` is one that our cloner has made: no other has that method.
        unsafe { self.softc_slot() }.get()
    }

    /// # Safety
    /// The interface is a lagg of this driver, or nearly one: its cloner made it.
    #[inline(always)]
    pub(super) unsafe fn softc_slot(&self) -> &SoftcSlot {
        // SAFETY: the caller promises an interface of our cloner's. Its `if_softc` is written through this slot
        // alone; the kernel passes it on and leaves it as it is.
        unsafe { SoftcSlot::from_ptr(field!(self, if_softc)) }
    }
}
