//! Locks: mutex(9), condvar(9), and the stack's `ifnet_detach_sxlock`.

use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use super::bindings as c;
use super::memory::Pinned;
use super::misc::uptime_ms;
use crate::kpi::{Errno, Result};

/// A mutex (MTX_DEF) over the value that it guards. Holders do not sleep.
///
/// # Invariants
/// The lock is initialised.
pub struct Mtx<T>(Pinned<Inner<T>>);

struct Inner<T> {
    lock: c::mtx,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through the lock alone, by one thread at a time.
unsafe impl<T: Send> Send for Mtx<T> {}
// SAFETY: a shared one gives the value to the thread that holds the lock, which amounts to sending it there.
unsafe impl<T: Send> Sync for Mtx<T> {}

impl<T: Send> Mtx<T> {
    /// A mutex over `value`. `name` is its class in witness(4). May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    #[inline(never)] // or a large value would be on the caller's stack twice
    pub fn try_new(name: &'static CStr, value: T) -> Result<Self> {
        // SAFETY: both fields are made in their final place, the lock of zeros as mtx_init wants it; the name
        // lives for ever.
        let inner = unsafe {
            Pinned::try_new(|place: *mut Inner<T>| {
                (&raw mut (*place).value).write(UnsafeCell::new(value));
                c::lagg_rs_mtx_init(&raw mut (*place).lock, name.as_ptr());
            })?
        };
        // INVARIANT: mtx_init has initialised the lock.
        Ok(Mtx(inner))
    }

    /// Takes the lock. The thread holds neither it nor another one with the same name.
    pub fn lock(&self) -> MtxGuard<'_, T> {
        // SAFETY: by the invariant the lock is initialised. It does not recurse: the caller does not hold it.
        unsafe { c::lagg_rs_mtx_lock(self.raw()) };
        // INVARIANT: this thread holds the lock from here on.
        MtxGuard { mtx: self, not_send: PhantomData }
    }
}

impl<T> Mtx<T> {
    fn raw(&self) -> *mut c::mtx {
        // SAFETY: the place is there; no reference is made to what the kernel shares.
        unsafe { &raw mut (*self.0.get()).lock }
    }

    fn value(&self) -> *mut T {
        // SAFETY: the place is there; no reference is made to the value.
        unsafe { UnsafeCell::raw_get(&raw const (*self.0.get()).value) }
    }
}

impl<T> Drop for Mtx<T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant the lock is initialised. A guard would borrow the mutex, so no thread holds
        // it, and it is not used again.
        unsafe { c::lagg_rs_mtx_destroy(self.raw()) };
    }
}

/// A [`Mtx`], held by this thread until dropped.
///
/// # Invariants
/// This thread holds the lock.
pub struct MtxGuard<'a, T> {
    mtx: &'a Mtx<T>,
    /// The thread that locked must unlock.
    not_send: PhantomData<*mut ()>,
}

// SAFETY: a shared guard gives a shared value and no more.
unsafe impl<T: Sync> Sync for MtxGuard<'_, T> {}

impl<T> Deref for MtxGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held, so no other thread changes the value.
        unsafe { &*self.mtx.value() }
    }
}

impl<T> DerefMut for MtxGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held and the guard borrowed uniquely, so the value is ours alone.
        unsafe { &mut *self.mtx.value() }
    }
}

impl<T> Drop for MtxGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant this thread holds the lock, and gives it back once.
        unsafe { c::lagg_rs_mtx_unlock(self.mtx.raw()) };
    }
}

/// When a wait must end, however often it is resumed.
pub struct Deadline(u64);

impl Deadline {
    /// `ms` milliseconds from now.
    pub fn after_ms(ms: u32) -> Self {
        Deadline(uptime_ms().saturating_add(ms.into()))
    }
}

/// A condition to wait for under a [`Mtx`].
///
/// # Invariants
/// The condition variable is initialised.
pub struct Cv(Pinned<c::cv>);

// SAFETY: a condition variable belongs to no thread.
unsafe impl Send for Cv {}
// SAFETY: any number of threads may wait for it and wake others, as condvar(9) says.
unsafe impl Sync for Cv {}

impl Cv {
    /// A condition; `name` is the wait channel that ps(1) shows. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new(name: &'static CStr) -> Result<Self> {
        // SAFETY: made in its final place; the name lives for ever.
        let cv = unsafe { Pinned::try_new(|place| c::cv_init(place, name.as_ptr()))? };
        // INVARIANT: cv_init has initialised it.
        Ok(Cv(cv))
    }

    /// Waits for a broadcast, and releases the lock while it waits. When it returns, the value may have
    /// changed again. Sleeps.
    pub fn wait<'a, T: Send>(&self, guard: MtxGuard<'a, T>) -> MtxGuard<'a, T> {
        // SAFETY: by the invariant it is initialised. The guard's lock is held, is released while it waits,
        // and is held again. The guard was moved here, so nothing borrows the value during the wait.
        unsafe { c::lagg_rs_cv_wait(self.0.get(), guard.mtx.raw()) };
        guard
    }

    /// As [`Cv::wait`], until `deadline` at the latest. Returns whether that has come.
    pub fn wait_until<'a, T: Send>(
        &self,
        guard: MtxGuard<'a, T>,
        deadline: &Deadline,
    ) -> (MtxGuard<'a, T>, bool) {
        let left = u32::try_from(deadline.0.saturating_sub(uptime_ms())).unwrap_or(u32::MAX);
        // SAFETY: by the invariant it is initialised. The guard's lock is held, and is held again when this
        // returns, timed out or not. The guard was moved here, so nothing borrows the value during the wait.
        let over =
            left == 0 || unsafe { c::lagg_rs_cv_wait_ms(self.0.get(), guard.mtx.raw(), left) };
        (guard, over)
    }

    /// Wakes all waiting threads. What they wait for was changed under the lock.
    pub fn broadcast(&self) {
        // SAFETY: by the invariant it is initialised. Waking does not sleep, and wants no lock.
        unsafe { c::lagg_rs_cv_broadcast(self.0.get()) };
    }
}

impl Drop for Cv {
    fn drop(&mut self) {
        // SAFETY: by the invariant it is initialised. A thread that waits borrows it, so none does.
        unsafe { c::cv_destroy(self.0.get()) };
    }
}

/// `ifnet_detach_sxlock`, held by this thread until dropped: no interface departs until then.
///
/// # Invariants
/// This thread holds the lock.
pub struct DetachGuard(PhantomData<*mut ()>);

/// Takes `ifnet_detach_sxlock`, which is recursive. Sleeps while other interfaces detach; the caller holds
/// no lock of a lagg.
///
/// # Errors
/// EINTR, or the code that restarts the system call: a signal came.
pub fn detach_lock() -> Result<DetachGuard> {
    // SAFETY: the lock is there from boot on and recurses. The caller may sleep.
    Errno::check(unsafe { c::lagg_rs_detach_lock() })?;
    // INVARIANT: this thread holds the lock from here on.
    Ok(DetachGuard(PhantomData))
}

impl Drop for DetachGuard {
    fn drop(&mut self) {
        // SAFETY: by the invariant this thread holds the lock, and gives it back once for each time that it
        // took it.
        unsafe { c::lagg_rs_detach_unlock() };
    }
}
