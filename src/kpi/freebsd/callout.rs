//! Functions at a later time (callout(9)).

use core::ffi::c_void;

use super::bindings as c;
use super::memory::Pinned;
use super::misc::uptime_ms;
use crate::kpi::{EpochOption, Ref, Result};

/// A function that is called for its owner at a later time, on a thread that may not sleep.
///
/// # Invariants
/// `owner` holds a reference exactly while the kernel is to call the function; both change under `lock`.
/// The owner holds this callout.
pub struct Callout<T: Send + Sync + 'static>(Pinned<Inner<T>>);

struct Inner<T: Send + Sync + 'static> {
    lock: c::mtx,
    callout: c::callout,
    run: fn(&Ref<T>),
    owner: EpochOption<T>,
}

// SAFETY: what changes is under the lock, the function is plain, and the reference is `Send` and
// `Sync` as `T` is.
unsafe impl<T: Send + Sync> Send for Callout<T> {}
// SAFETY: all that a shared one does to the callout is under its lock, and the reference in it is `Sync` as
// `T` is.
unsafe impl<T: Send + Sync> Sync for Callout<T> {}

impl<T: Send + Sync> Callout<T> {
    /// One that calls `run`. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new(run: fn(&Ref<T>)) -> Result<Self> {
        // SAFETY: all fields are made in their final place.
        let inner = unsafe {
            Pinned::try_new(|place: *mut Inner<T>| {
                (&raw mut (*place).run).write(run);
                (&raw mut (*place).owner).write(EpochOption::new());
                let lock = &raw mut (*place).lock;
                c::lagg_rs_mtx_init(lock, c"laggcallout".as_ptr());
                c::lagg_rs_callout_init(&raw mut (*place).callout, lock);
            })?
        };
        // INVARIANT: the kernel is not to call it.
        Ok(Callout(inner))
    }

    /// Calls it for `owner`, which holds this, when [`uptime_ms`] is `at`, instead of at the time that was
    /// set before. Never sleeps.
    pub fn reset(&self, owner: &Ref<T>, at: u64) {
        let place = self.0.get();
        let owner = owner.clone();
        // SAFETY: `try_new` has initialised the callout; it and the owner change under the lock, which is
        // held. The place stays: the owner holds this, and the reference that is put in keeps the owner.
        // INVARIANT: the reference is there before the kernel is to call.
        let before = self.locked(|| unsafe {
            let before = (*place).owner.replace(owner);
            let ms = u32::try_from(at.saturating_sub(uptime_ms())).unwrap_or(u32::MAX);
            c::lagg_rs_callout_reset(&raw mut (*place).callout, ms, Some(fire::<T>), place.cast());
            before
        });
        drop(before);
    }

    /// Cancels the call, and waits until it is not running. Sleeps.
    pub fn drain(&self) {
        let place = self.0.get();
        // SAFETY: `try_new` has initialised the callout, and it is stopped under its lock: a call that has
        // not begun does not begin any more, so no other thread takes the owner out.
        let before = self.locked(|| unsafe {
            c::lagg_rs_callout_stop(&raw mut (*place).callout);
            (*place).owner.clear()
        });
        // SAFETY: `try_new` has initialised the callout. Its lock is not held here, which a call that is
        // waited for may want.
        unsafe { c::lagg_rs_callout_drain(&raw mut (*place).callout) };
        drop(before);
    }

    fn locked<R>(&self, f: impl FnOnce() -> R) -> R {
        let place = self.0.get();
        // SAFETY: `try_new` has initialised the lock. This thread takes it, does not have it already, as `f`
        // is never called from within `f`, and gives it back.
        unsafe {
            c::lagg_rs_mtx_lock(&raw mut (*place).lock);
            let result = f();
            c::lagg_rs_mtx_unlock(&raw mut (*place).lock);
            result
        }
    }
}

impl<T: Send + Sync> Drop for Callout<T> {
    fn drop(&mut self) {
        // SAFETY: with a reference at `owner` the owner would not go, so the kernel is not to call. A
        // call that was made gave the lock back before it gave up its reference, a grace period ago.
        unsafe { c::lagg_rs_mtx_destroy(&raw mut (*self.0.get()).lock) };
    }
}

/// # Safety
/// The kernel calls it with the `Inner<T>` of a callout that was reset, and its lock held.
unsafe extern "C" fn fire<T: Send + Sync + 'static>(inner: *mut c_void) {
    let inner: *mut Inner<T> = inner.cast();
    // SAFETY: the reference to the owner keeps the callout; it becomes this function's, and the lock is
    // given back as promised when the callout was initialised.
    let (run, owner) = unsafe {
        let taken = ((*inner).run, (*inner).owner.clear());
        c::lagg_rs_mtx_unlock(&raw mut (*inner).lock);
        taken
    };
    if let Some(owner) = owner {
        run(&owner);
        // With the owner the callout may go: it is not touched again.
    }
}
