//! The functions for a plan's packets, to which the kernel's hooks jump.

use core::ffi::c_int;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

use super::bindings as c;
use super::ifnet::Ifnet;
use super::mbuf::Mbuf;
use crate::kpi::driver::{Driver, Module, Receiving, Sending};
use crate::kpi::errno::to_c;
use crate::kpi::mem::{Counted, Ref};
use crate::kpi::{Epoch, EpochCell, Errno, epoch};

type Softc = <Module as Driver>::Softc;
type Port = <Module as Driver>::Port;
type Plan = <Module as Driver>::Plan;

/// An argument that is not given. It leaves free the register in which amd64 multiplies.
type Spare = MaybeUninit<usize>;

type Send = unsafe fn(*mut c::ifnet, *mut c::mbuf, Spare, *const Plan, *const Softc) -> c_int;
type Receive =
    unsafe fn(*mut c::ifnet, *mut c::mbuf, *const Port, *const Plan, *const Softc) -> *mut c::mbuf;

/// What a lagg does with the packets of a plan.
///
/// # Invariants
/// The functions are those of [`Ways::new`], or [`unsent`].
#[repr(C)]
pub struct Ways {
    send: Send,
    receive: Receive,
}

impl Ways {
    /// These ways.
    pub const fn new<S: Sending, R: Receiving>() -> Self {
        // INVARIANT: they are.
        Ways { send: send::<S>, receive: receive::<R> }
    }
}

/// # Safety
/// In the epoch, with a lagg's interface, a packet that is given away, the lagg's plan and the lagg.
unsafe fn send<S: Sending>(
    ifp: *mut c::ifnet,
    m: *mut c::mbuf,
    _: Spare,
    plan: *const Plan,
    softc: *const Softc,
) -> c_int {
    // SAFETY: the caller promises the interface of a lagg, a packet, plan and lagg, and the epoch, in which all
    // of them stay.
    let (ifp, softc, plan, m, epoch) =
        unsafe { (Ifnet::from_ptr(ifp), &*softc, &*plan, Mbuf::from_ptr(m), Epoch::assume()) };
    to_c(S::send(ifp, softc, m, plan, &epoch))
}

/// # Safety
/// In the epoch, with a port's interface, a packet that is given away, the port, its lagg's plan and its lagg.
unsafe fn receive<R: Receiving>(
    ifp: *mut c::ifnet,
    m: *mut c::mbuf,
    port: *const Port,
    plan: *const Plan,
    softc: *const Softc,
) -> *mut c::mbuf {
    // SAFETY: the caller promises the interface of a port and the packet.
    let (ifp, m) = unsafe { (Ifnet::from_ptr(ifp), Mbuf::from_ptr(m)) };
    // SAFETY: the caller promises the port, its lagg and that one's plan, and the epoch, in which all of them stay.
    let (port, softc, plan, epoch) = unsafe { (&*port, &*softc, &*plan, Epoch::assume()) };
    match R::receive(ifp, port, softc, m, plan, &epoch) {
        Some(m) => m.into_ptr(),
        None => ptr::null_mut(),
    }
}

/// Sends a packet of a lagg. Three instructions, then its plan's way.
///
/// # Safety
/// With the interface of a lagg or of one that was destroyed, and a packet that is given away.
#[inline(always)]
pub(super) unsafe fn transmit(ifp: *mut c::ifnet, m: *mut c::mbuf, _: &Epoch) -> c_int {
    // D-1: loaded once, so that what a packet finds belongs together
    // SAFETY: the caller promises the interface of what is or was a lagg. From before the kernel can send on
    // that, there is one in the place, or `GONE`. Either has a place for a plan there, with a plan in it, and
    // each plan begins with its ways. The lagg and its plan are freed after the section.
    unsafe {
        let softc = Ifnet::from_ptr(ifp).softc_slot().0.load(Ordering::Acquire);
        let place = softc.byte_add(Module::PLAN).cast::<AtomicPtr<Ways>>();
        let plan = (*place).load(Ordering::Acquire);
        ((*plan).send)(ifp, m, Spare::uninit(), plan.cast(), softc.cast())
    }
}

/// Receives a frame from a port.
///
/// # Safety
/// With an interface and a packet that is given away.
#[inline(always)]
pub(super) unsafe fn input(ifp: *mut c::ifnet, m: *mut c::mbuf, epoch: &Epoch) -> *mut c::mbuf {
    // SAFETY: the caller promises the interface, in the epoch as the argument proves.
    let interface = unsafe { Ifnet::from_ptr(ifp) };
    let Some(port) = interface.shared_port(epoch) else {
        // SAFETY: the caller gives the packet away.
        drop(unsafe { Mbuf::from_ptr(m) });
        return ptr::null_mut();
    };
    let softc = Module::lagg(port);
    let plan = Module::plan(softc, epoch);
    // SAFETY: in the epoch, with the interface of a port and the packet, as the caller promises; that port, its
    // lagg and that one's plan.
    unsafe { (Module::ways(plan).receive)(ifp, m, port, plan, softc) }
}

/// A lagg's place for itself, `if_softc` of its interface.
///
/// # Invariants
/// The pointer is NULL, as long as the interface is not attached; from `Ref::into_raw`, with the reference that
/// it gave away, which is dropped only after the pointer has left the place; or to [`GONE`].
#[repr(transparent)]
pub(super) struct SoftcSlot(AtomicPtr<Counted<Softc>>);

impl SoftcSlot {
    /// # Safety
    /// For `'a`, `place` is `if_softc` of an interface that our cloner made, which this module alone writes.
    #[inline(always)]
    pub(super) unsafe fn from_ptr<'a>(place: *mut *mut core::ffi::c_void) -> &'a Self {
        // INVARIANT: NULL from if_alloc, then written by the methods below.
        // SAFETY: pointers are of one size, and the caller promises one that is touched only here, atomically;
        // the transparent wrapper changes nothing.
        unsafe { &*place.cast::<Self>() }
    }

    /// Puts the lagg into the place of an interface that is not attached yet.
    pub(super) fn put(&self, softc: &Ref<Softc>) {
        // INVARIANT: from `into_raw`.
        self.0.store(softc.clone().into_raw(), Ordering::Release);
    }

    /// Takes the lagg out. Packets that still come find that it has gone.
    pub(super) fn take(&self) {
        // INVARIANT: to `GONE`.
        let softc = self.0.swap((&raw const GONE).cast_mut().cast(), Ordering::AcqRel);
        if let Some(softc) = there(softc) {
            // SAFETY: by the invariant it came from `into_raw`, and the swap has taken it out once.
            drop(unsafe { Ref::from_raw(softc) });
        }
    }

    /// The lagg, for the rest of the section.
    pub(super) fn load<'e>(&self, epoch: &'e Epoch) -> Option<&'e Softc> {
        let softc = there(self.0.load(Ordering::Acquire))?;
        // SAFETY: by the invariant the place held a reference when it was read, in the section of `'e`, and
        // that is dropped only after it has left the place.
        Some(unsafe { Ref::shared(softc, epoch) })
    }

    /// A reference to the lagg; none if it goes at the same time. Enters a section of its own.
    pub(super) fn get(&self) -> Option<Ref<Softc>> {
        epoch::section(|epoch| {
            let softc = there(self.0.load(Ordering::Acquire))?;
            // SAFETY: by the invariant the place held a reference when it was read, in this section, and that
            // is dropped only after it has left the place.
            unsafe { Ref::upgrade(softc, epoch) }
        })
    }
}

/// The lagg that a pointer in its place is to.
pub(super) fn there(softc: *mut Counted<Softc>) -> Option<NonNull<Counted<Softc>>> {
    NonNull::new(softc).filter(|softc| !ptr::addr_eq(softc.as_ptr(), &raw const GONE))
}

/// What packets find in place of a lagg that was destroyed: they read of it no more than where its plan is, and
/// of that no more than its way to send.
#[repr(C)]
struct Gone {
    before: [usize; Module::PLAN / size_of::<usize>()],
    plan: &'static Ways,
}

static_assertions::const_assert_eq!(core::mem::offset_of!(Gone, plan), Module::PLAN);
static_assertions::assert_eq_size!(EpochCell<Plan>, &'static Ways);

static GONE: Gone = Gone {
    before: [0; _],
    // INVARIANT: `unsent`, and no frame is received from a port of no lagg.
    plan: &Ways { send: unsent, receive: unreceived },
};

/// # Safety
/// With a packet that is given away.
unsafe fn unsent(
    _: *mut c::ifnet,
    m: *mut c::mbuf,
    _: Spare,
    _: *const Plan,
    _: *const Softc,
) -> c_int {
    // SAFETY: the caller gives the packet away.
    drop(unsafe { Mbuf::from_ptr(m) });
    Errno::ENXIO.number()
}

/// # Safety
/// With a packet that is given away.
unsafe fn unreceived(
    _: *mut c::ifnet,
    m: *mut c::mbuf,
    _: *const Port,
    _: *const Plan,
    _: *const Softc,
) -> *mut c::mbuf {
    // SAFETY: the caller gives the packet away.
    drop(unsafe { Mbuf::from_ptr(m) });
    ptr::null_mut()
}
