//! References to interfaces (if_ref, if_rele).

use core::cell::UnsafeCell;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;

use super::{Ifnet, c};
use crate::kpi::Name;

impl Ifnet {
    /// A counted reference to it.
    pub fn to_ref(&self) -> IfnetRef {
        // SAFETY: the ifnet is there with a count that is not 0, as the caller has a reference, or was called by
        // the kernel with one: what was only found in the epoch goes by `IfnetRef::found`. This one goes back
        // with the `IfnetRef`.
        unsafe { c::if_ref(self.as_ptr()) };
        // INVARIANT: if_ref has counted it just now.
        IfnetRef(NonNull::from(self))
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

    /// Gives the reference away as a pointer.
    fn into_raw(self) -> NonNull<Ifnet> {
        ManuallyDrop::new(self).0
    }

    /// A reference to an interface that was found; none for NULL, and for one whose last reference has gone.
    ///
    /// # Safety
    /// The caller is in the section of the epoch in which `ifp` was found.
    pub(in crate::kpi::freebsd) unsafe fn found(ifp: *mut c::ifnet) -> Option<Self> {
        let ifp = NonNull::new(ifp)?;
        // SAFETY: the caller is in the section in which it was found, so it is not freed yet, whatever its
        // count.
        if !unsafe { c::if_try_ref(ifp.as_ptr()) } {
            return None;
        }
        // INVARIANT: if_try_ref has counted it just now.
        Some(IfnetRef(ifp.cast()))
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

/// Where packets go: an interface, with a counted reference to it, or nowhere.
///
/// # Invariants
/// The pointer is to [`NOWHERE`], or to an interface in which the kernel has counted this (if_ref).
pub struct Outlet(NonNull<Ifnet>);

// SAFETY: an `Ifnet` is for any thread, and the count that goes with the reference is atomic.
unsafe impl Send for Outlet {}
// SAFETY: a shared one gives `&Ifnet`, which is `Sync`, and no more.
unsafe impl Sync for Outlet {}

/// An interface that is never active, so that packets need not ask whether there is one. It has no vnet, no
/// counters and no methods, and is shown to nobody.
// SAFETY: an ifnet has numbers and pointers alone, for which zeros are values.
static NOWHERE: Ifnet = Ifnet(UnsafeCell::new(unsafe { core::mem::zeroed() }));

impl Outlet {
    /// Nowhere.
    // INVARIANT: to `NOWHERE`.
    pub const NOWHERE: Outlet = Outlet(NonNull::from_ref(&NOWHERE));

    /// To this interface.
    pub fn to(ifp: &Ifnet) -> Self {
        // INVARIANT: `into_raw` gives away a counted reference.
        Outlet(ifp.to_ref().into_raw())
    }

    /// The interface, if packets can be sent on it now.
    #[inline(always)]
    pub fn active(&self) -> Option<&Ifnet> {
        // SAFETY: by the invariant the ifnet is not freed while this lives.
        let ifp = unsafe { self.0.as_ref() };
        ifp.is_active().then_some(ifp)
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        if self.0 != NonNull::from_ref(&NOWHERE) {
            // INVARIANT: by the invariant one count is ours, and goes with the reference made here.
            drop(IfnetRef(self.0));
        }
    }
}
