//! What keeps the module from being unloaded: laggs, send tags, and threads that sleep inside its entry points.

use super::atomic::{AtomicUsize, Ordering};
use super::{Errno, Result};

/// Set while the module is not in use and creates no laggs.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// The initial state. The host's module is open from the start, as if loader(8) had loaded it.
const AT_START: usize = if cfg!(feature = "kernel") { CLOSED } else { 0 };

/// The number of laggs, send tags and threads inside, or [`CLOSED`].
#[cfg(not(loom))]
static STATE: AtomicUsize = AtomicUsize::new(AT_START);

#[cfg(loom)]
loom::lazy_static! {
    static ref STATE: AtomicUsize = AtomicUsize::new(AT_START);
}

/// Counts its owner for as long as it lives.
pub(super) struct Inside(());

impl Inside {
    /// Counts a thread, a lagg or a send tag.
    pub(super) fn enter() -> Self {
        // D-29: readers of counters are counted as well
        STATE.fetch_add(1, Ordering::Acquire);
        Inside(())
    }

    /// As [`Inside::enter`], unless the module is closing: ENXIO.
    pub(super) fn try_enter() -> Result<Self> {
        if STATE.fetch_add(1, Ordering::Acquire) & CLOSED != 0 {
            STATE.fetch_sub(1, Ordering::Release);
            return Err(Errno::ENXIO);
        }
        Ok(Inside(()))
    }

    /// Stays counted until [`leave`].
    pub(super) fn stay(self) {
        core::mem::forget(self);
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        leave();
    }
}

/// Ends what [`Inside::stay`] began.
pub(super) fn leave() {
    STATE.fetch_sub(1, Ordering::Release);
}

/// Allows laggs to be created.
pub(super) fn open() {
    STATE.fetch_and(!CLOSED, Ordering::Release);
}

/// Whether no thread is inside.
#[cfg(feature = "kernel")]
pub(super) fn is_empty() -> bool {
    STATE.load(Ordering::Acquire) & !CLOSED == 0
}

/// Closes the module if no thread is inside.
///
/// # Errors
/// EBUSY: a thread is inside, or a lagg or a send tag is left.
pub(super) fn close() -> Result {
    // D-19: not while a lagg, a tag or a thread is inside
    match STATE.compare_exchange(0, CLOSED, Ordering::Acquire, Ordering::Relaxed) {
        Err(state) if state & !CLOSED != 0 => Err(Errno::EBUSY),
        _ => Ok(()),
    }
}
