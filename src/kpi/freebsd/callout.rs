//! Functions at a later time (taskqueue(9)'s `timeout_task`).
//!
//! callout(9) has a thread for each processor, which does not run while network interrupts take all of that. So
//! the clock's interrupt queues a task.

use core::ffi::{c_int, c_void};
use core::ptr;

use super::bindings as c;
use super::memory::Pinned;
use super::misc::uptime_ms;
use crate::kpi::{EpochOption, Queue, Ref, Result};

/// A function that is called for its owner at a later time, on a thread that may not sleep.
///
/// # Invariants
/// From the first time that is set until it is drained, `owner` holds a reference. The owner holds this.
pub struct Callout<T: Send + Sync + 'static>(Pinned<Inner<T>>);

struct Inner<T: Send + Sync + 'static> {
    task: c::timeout_task,
    run: fn(&Ref<T>),
    owner: EpochOption<T>,
}

// SAFETY: the kernel's part is used by its own functions alone, the function is plain, and the reference is
// `Send` and `Sync` as `T` is.
unsafe impl<T: Send + Sync> Send for Callout<T> {}
// SAFETY: the kernel locks its part, and the reference is swapped atomically and is `Sync` as `T` is.
unsafe impl<T: Send + Sync> Sync for Callout<T> {}

impl<T: Send + Sync> Callout<T> {
    /// One that calls `run`. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new(run: fn(&Ref<T>)) -> Result<Self> {
        // SAFETY: all fields are made in their final place, which is what the function is called with. The
        // queue is there while the module is loaded.
        let inner = unsafe {
            Pinned::try_new(|place: *mut Inner<T>| {
                (&raw mut (*place).run).write(run);
                (&raw mut (*place).owner).write(EpochOption::new());
                let task = &raw mut (*place).task;
                let (queue, context) = (Queue::Timer.get(), place.cast());
                c::lagg_rs_timeout_task_init(queue, task, Some(fire::<T>), context);
            })?
        };
        // INVARIANT: no time is set.
        Ok(Callout(inner))
    }

    /// Calls it for `owner`, which holds this, when [`uptime_ms`] is `at`, instead of at the time that was
    /// set before. Never sleeps.
    pub fn reset(&self, owner: &Ref<T>, at: u64) {
        let place = self.0.get();
        let ms = u32::try_from(at.saturating_sub(uptime_ms())).unwrap_or(u32::MAX);
        // SAFETY: `try_new` has initialised the task. The place stays: the owner holds this, and the reference
        // that is in it keeps the owner. The queue is there for as long as the owner.
        // INVARIANT: the reference is there before the time is set.
        unsafe {
            (*place).owner.put(owner);
            c::lagg_rs_timeout_task_reset(Queue::Timer.get(), &raw mut (*place).task, ms);
        }
    }

    /// Cancels the call, and waits until it is not running. Sleeps; no other thread sets a time any more.
    pub fn drain(&self) {
        let place = self.0.get();
        // SAFETY: `try_new` has initialised the task, and the queue is there for as long as the owner. The
        // caller may sleep, and holds nothing that the function wants.
        unsafe {
            // Otherwise the time counts as set for ever, and the queue could not be freed.
            c::taskqueue_cancel_timeout(
                Queue::Timer.get(),
                &raw mut (*place).task,
                ptr::null_mut(),
            );
            c::taskqueue_drain_timeout(Queue::Timer.get(), &raw mut (*place).task);
        }
        // SAFETY: the place is there for as long as the callout, which `self` borrows.
        drop(unsafe { (*place).owner.clear() });
    }
}

/// # Safety
/// The kernel calls it with the `Inner<T>` of a callout whose time has come.
unsafe extern "C" fn fire<T: Send + Sync + 'static>(inner: *mut c_void, _: c_int) {
    let inner: *mut Inner<T> = inner.cast();
    // SAFETY: by the invariant the owner keeps the callout until it is drained, for which the kernel waits until
    // this has returned. The function does not change.
    let (run, owner) = unsafe { ((*inner).run, (*inner).owner.get()) };
    if let Some(owner) = owner {
        run(&owner);
    }
}
