//! Interfaces (ifnet(9)).
//!
//! A lagg and its ports may be in different vnets, so what asks the stack for more than a field or a
//! packet does so in the interface's own, whose lists, statistics and listeners the stack then uses.
//! The caller's may be one that ends, with those already gone.

use core::cell::UnsafeCell;
use core::ops::Deref;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use super::bindings as c;
use super::hooks;
use super::mbuf::Mbuf;
use crate::kpi::{
    Counter, Driver, Epoch, EpochOption, Errno, IfType, Ioctl, LinkState, Module, Name, Ref,
    Result, epoch, iff, packet,
};

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
        // SAFETY: by the type's invariant the ifnet is not freed meanwhile. Such an accessor touches that one
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

    /// A counted reference to it.
    pub fn to_ref(&self) -> IfnetRef {
        // SAFETY: the ifnet is there with a count that is not 0, as the caller has a reference, or was called by
        // the kernel with one: what was only found in the epoch goes by `IfnetRef::found`. This one goes back
        // with the `IfnetRef`.
        unsafe { c::if_ref(self.as_ptr()) };
        // INVARIANT: if_ref has counted it just now.
        IfnetRef(NonNull::from(self))
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
        // SAFETY: a byte of an ifnet that is there for as long as `self`; any value will do.
        let link = unsafe { (field!(self, if_link_state)).read_volatile() };
        link == LinkState::Up as u8 && self.flags() & iff::UP != 0
    }

    /// Whether it is running (IFF_DRV_RUNNING).
    pub fn is_running(&self) -> bool {
        scalar!(if_getdrvflags, self) as u32 & c::IFF_DRV_RUNNING != 0
    }

    /// Says whether it is running. For a lagg's own interface, by one thread at a time.
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

    /// Announces a link state; those who want to know hear of it later, on `taskqueue_swi`.
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

    /// Tells the protocols above of a changed MTU. May sleep.
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

    /// Sets its speed, and tells its VLANs if it is another one. May sleep.
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

    /// What the kernel has counted for it itself, whatever its driver says.
    pub fn own_counter(&self, counter: Counter) -> u64 {
        // SAFETY: the ifnet is there with its counters, of which `Counter` names none that is not one.
        unsafe { c::if_get_counter_default(self.as_ptr(), counter as c::ift_counter) }
    }

    /// Hands a packet to its driver.
    ///
    /// # Errors
    /// What the driver returned; the packet is consumed.
    #[inline(always)]
    pub fn transmit(&self, m: Mbuf, _: &Epoch) -> Result {
        // SAFETY: an aligned pointer in an ifnet that is there for as long as `self`.
        let method = unsafe { (field!(self, if_transmit)).read_volatile() };
        // SAFETY: the kernel gives one to each interface that it attaches, and whoever takes over gives
        // another.
        let transmit = unsafe { method.unwrap_unchecked() };
        // SAFETY: the interface's own method, in a section of the epoch as the argument proves. It consumes the
        // packet, which `into_ptr` has given up, whatever it returns.
        Errno::check(unsafe { transmit(self.as_ptr(), m.into_ptr()) })
    }

    /// Takes a packet that was received on it, which says so (`if_input`), in its vnet.
    #[cold]
    pub fn input(&self, m: Mbuf, _: &Epoch) {
        // SAFETY: in a section of the epoch, as the argument proves, and in the interface's vnet. The packet
        // has a header that names the interface, and is the callee's now: `into_ptr` has given it up.
        self.in_vnet(|| unsafe { c::if_input(self.as_ptr(), m.into_ptr()) });
    }

    /// Whether somebody listens on the interface with bpf(4).
    #[inline(always)]
    pub fn has_listeners(&self) -> bool {
        // SAFETY: an aligned pointer in an ifnet that is there for as long as `self`. bpf(4) has one for every
        // attached interface, and frees it a grace period after the interface has another. The pointer in it is
        // aligned too.
        unsafe {
            let bpf = (field!(self, if_bpf)).read_volatile().cast::<c::bpf_if_ext>();
            !(&raw const (*bpf).bif_dlist.clh_first).read_volatile().is_null()
        }
    }

    /// Shows a packet to who listens on the interface with bpf(4).
    #[inline(always)]
    pub fn bpf_tap(&self, m: &Mbuf) {
        // SAFETY: packets come in the epoch, in which what bpf(4) has for the interface is not freed. The
        // packet is read and stays ours.
        unsafe { c::ether_bpf_mtap_if(self.as_ptr(), m.as_ptr()) };
    }

    /// The same on an InfiniBand interface.
    #[inline(always)]
    pub fn infiniband_bpf_tap(&self, m: &Mbuf) {
        // SAFETY: packets come in the epoch, in which what bpf(4) has for the interface is not freed. The
        // packet is trimmed and put right again on the way, which its owner alone may have done, as `m` is
        // for this one thread.
        unsafe { c::infiniband_bpf_mtap(self.as_ptr(), m.as_ptr()) };
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

    /// Takes IPv6 off the interface. Sleeps, on tasks that may call back into the driver.
    pub fn in6_detach(&self) {
        // SAFETY: the interface is attached, and its departure waits until the caller gives the lagg's token
        // back: so nobody else takes IPv6 off it. In its vnet, without lagg's mutex, for what the function
        // waits for may call the driver.
        self.in_vnet(|| unsafe { c::lagg_rs_in6_detach(self.as_ptr()) });
    }

    /// The interface that it is a VLAN of, and its id; none if it is no VLAN. The kernel knows a VLAN by its
    /// type, so one that is a lagg's port is none. It was found in this section of the epoch, or is not
    /// detached before the caller is through.
    pub fn vlan_of(&self, _: &Epoch) -> Option<(IfnetRef, u16)> {
        let mut id = 0;
        // SAFETY: in a section of the epoch, as the argument proves, in which vlan(4) does not free what it has
        // for the interface. The id is written before this returns, to a place of ours.
        let parent = unsafe { c::lagg_rs_vlan_of(self.as_ptr(), &raw mut id) };
        // SAFETY: found in the section that the caller is in still.
        Some((unsafe { IfnetRef::found(parent) }?, id))
    }

    /// Its VLAN of that id.
    pub fn vlan(&self, id: u16, _: &Epoch) -> Option<IfnetRef> {
        // SAFETY: in a section of the epoch, as the argument proves, in which vlan(4) does not free what it has
        // for the interface.
        let vlan = unsafe { c::lagg_rs_vlan(self.as_ptr(), id) };
        // SAFETY: found in the section that the caller is in still.
        unsafe { IfnetRef::found(vlan) }
    }

    /// Says whether packets that this lagg sends are looked at, lest they come back to it: its ports are VLANs,
    /// which others give other parents. If netmap(4) has the method, that does not recurse, and has kept
    /// the one from before.
    pub fn guard(&self, on: bool) {
        let usual = hooks::lagg_rs_transmit as *mut ();
        let guarded = hooks::lagg_rs_transmit_guarded as *mut ();
        let (from, to) = if on { (usual, guarded) } else { (guarded, usual) };
        // SAFETY: an aligned pointer in an ifnet that is there for as long as `self`. netmap(4), which writes
        // it too, writes it as a whole.
        let place = unsafe { AtomicPtr::from_ptr((field!(self, if_transmit)).cast::<*mut ()>()) };
        let _ = place.compare_exchange(from, to, Ordering::Release, Ordering::Relaxed);
    }

    /// Whether this is one of our laggs. Its other methods may be somebody else's: netmap(4) takes
    /// `if_transmit` and `if_input`.
    pub(super) fn is_lagg(&self) -> bool {
        let method = self.ioctl_place().load(Ordering::Acquire);
        ptr::eq(method, hooks::lagg_ioctl as *const ())
    }

    /// The lagg that this interface is; none if it is no lagg of this driver.
    pub fn lagg_softc(&self) -> Option<Ref<<Module as Driver>::Softc>> {
        if !self.is_lagg() {
            return None;
        }
        // SAFETY: an interface with our `if_ioctl` is one that our cloner has made: no other has that method.
        unsafe { self.softc_slot() }.get()
    }

    /// # Safety
    /// The interface is a lagg of this driver, or nearly one: its cloner made it.
    #[inline(always)]
    pub(super) unsafe fn softc_slot(&self) -> &EpochOption<<Module as Driver>::Softc> {
        // SAFETY: the caller promises an interface of our cloner's. Its `if_softc` is written through this slot
        // alone; the kernel passes it on and leaves it as it is.
        unsafe { EpochOption::from_ptr(field!(self, if_softc)) }
    }
}

/// A counted reference to an interface, and no more than its address.
///
/// # Invariants
/// The kernel has counted it (if_ref).
#[repr(transparent)]
pub struct IfnetRef(NonNull<Ifnet>);

// SAFETY: an `Ifnet` is for any thread, and the count that goes with the reference is atomic.
unsafe impl Send for IfnetRef {}
// SAFETY: a shared one gives `&Ifnet`, which is `Sync`, and no more.
unsafe impl Sync for IfnetRef {}

impl IfnetRef {
    /// The interface of that name in the current vnet.
    pub fn by_name(name: &Name) -> Option<IfnetRef> {
        if name.is_empty() {
            return None;
        }
        // SAFETY: the kernel compares 16 bytes at most (strncmp), which the name has. It looks through the
        // current vnet, in a section of its own.
        let ifp = unsafe { c::ifunit_ref(core::ptr::from_ref(name).cast()) };
        // INVARIANT: ifunit_ref has counted what it returns.
        NonNull::new(ifp).map(|ifp| IfnetRef(ifp.cast()))
    }

    /// A reference to an interface that was found; none for NULL, and for one whose last reference has gone.
    ///
    /// # Safety
    /// The caller is in the section of the epoch in which `ifp` was found.
    unsafe fn found(ifp: *mut c::ifnet) -> Option<Self> {
        let ifp = NonNull::new(ifp)?;
        // SAFETY: the caller is in the section in which it was found, so it is not freed yet, whatever its
        // count.
        if !unsafe { c::if_try_ref(ifp.as_ptr()) } {
            return None;
        }
        // INVARIANT: if_try_ref has counted it just now.
        Some(IfnetRef(ifp.cast()))
    }

    /// The interface of that index, if it is one of the current vnet and not dying.
    pub fn by_index(index: u32) -> Option<IfnetRef> {
        // SAFETY: in a section of the epoch, in which the table of indexes is read and what is in it is not
        // freed; any number may be asked for.
        let ifp = epoch::section(|_| unsafe { c::ifnet_byindex_ref(index) });
        // INVARIANT: ifnet_byindex_ref has counted what it returns.
        NonNull::new(ifp).map(|ifp| IfnetRef(ifp.cast()))
    }
}

impl Clone for IfnetRef {
    fn clone(&self) -> Self {
        self.to_ref()
    }
}

impl Deref for IfnetRef {
    type Target = Ifnet;

    #[inline(always)]
    fn deref(&self) -> &Ifnet {
        // SAFETY: by the invariant the kernel counts this reference, so the ifnet is not freed while it lives.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for IfnetRef {
    fn drop(&mut self) {
        // SAFETY: by the invariant one count is ours to give back, and it is not used after. The kernel frees
        // an ifnet a grace period after its last, so this does not sleep.
        unsafe { c::if_rele(self.0.as_ptr().cast()) };
    }
}
