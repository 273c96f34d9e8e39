//! The network epoch (epoch(9)).

use core::mem::MaybeUninit;
use core::ptr;

use super::bindings as c;

/// The kernel's record of an object that waits for its grace period.
pub(in crate::kpi) type EpochContext = c::epoch_context;

/// The record of an object that is not waiting.
pub(in crate::kpi) const EPOCH_CONTEXT: EpochContext =
    c::epoch_context { data: [ptr::null_mut(); 2] };

/// Runs `f` in a section of the network epoch.
pub(in crate::kpi) fn section<R>(f: impl FnOnce() -> R) -> R {
    let mut tracker = MaybeUninit::<c::epoch_tracker>::uninit();
    // SAFETY: the kernel initialises the tracker, and links to it until the section ends, which is
    // in this frame: a panic does not unwind.
    unsafe { c::lagg_rs_epoch_enter(tracker.as_mut_ptr()) };
    let result = f();
    // SAFETY: this thread has entered the section above, with this tracker, and leaves it once.
    unsafe { c::lagg_rs_epoch_exit(tracker.as_mut_ptr()) };
    result
}

/// Waits for the sections that are open now. Sleeps.
pub(in crate::kpi) fn epoch_wait() {
    // SAFETY: the epoch is there from boot on. The caller may sleep, and is in no section.
    unsafe { c::epoch_wait_preempt(c::net_epoch_preempt) };
}

/// Waits until no counted object waits for its grace period. Sleeps.
///
/// Freeing one object may begin the grace period of the next (plan, port, lagg), which the kernel's own
/// wait does not cover. Four rounds are one more than such a chain has links.
pub(in crate::kpi) fn epoch_drain() {
    for _ in 0..4 {
        // SAFETY: the epoch is there from boot on. The caller may sleep, and is in no section.
        unsafe { c::epoch_drain_callbacks(c::net_epoch_preempt) };
    }
}

/// Calls `f` with `context` a grace period from now.
///
/// # Safety
/// `context` is valid and in no other use until then, and `f` may be called with it then.
pub(in crate::kpi) unsafe fn epoch_call(
    context: *mut EpochContext,
    f: unsafe extern "C" fn(*mut EpochContext),
) {
    // SAFETY: the caller promises a context that is valid and unused until then, and a function that may be
    // called with it then.
    unsafe { c::epoch_call(c::net_epoch_preempt, Some(f), context) };
}
