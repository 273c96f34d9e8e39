//! Loading and unloading, and the gate that keeps the module while somebody is inside.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::super::{Errno, Result, epoch, mem};
use super::witness;

/// Loaded at the start, as by loader(8).
static LOADED: AtomicBool = AtomicBool::new(true);
static CLOSING: AtomicBool = AtomicBool::new(false);
/// Threads inside one of the driver's entry points that sleep.
static INSIDE: AtomicUsize = AtomicUsize::new(0);
static LAGGS: AtomicUsize = AtomicUsize::new(0);

/// A thread inside the driver.
pub(super) struct Inside(());

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) fn enter() -> Inside {
    INSIDE.fetch_add(1, Ordering::SeqCst);
    Inside(())
}

/// One lagg more; ENXIO once the module is closing.
pub(super) fn lagg_made() -> Result {
    LAGGS.fetch_add(1, Ordering::SeqCst);
    if CLOSING.load(Ordering::SeqCst) {
        LAGGS.fetch_sub(1, Ordering::SeqCst);
        return Err(Errno::ENXIO);
    }
    Ok(())
}

/// One lagg less.
pub(super) fn lagg_unmade() {
    LAGGS.fetch_sub(1, Ordering::SeqCst);
}

/// Whether the module is there; without it there is no cloner and there are no hooks.
pub fn is_loaded() -> bool {
    LOADED.load(Ordering::SeqCst)
}

/// Loads the module, as it is at the start. Nothing if it is loaded.
pub fn kldload() {
    CLOSING.store(false, Ordering::SeqCst);
    LOADED.store(true, Ordering::SeqCst);
}

/// Unloads the module: of the whole process, so the only test in it that does. Sleeps.
///
/// # Errors
/// EBUSY while there is a lagg or a thread inside the driver.
pub fn kldunload() -> Result {
    witness::may_sleep("kldunload");
    CLOSING.store(true, Ordering::SeqCst);
    if LAGGS.load(Ordering::SeqCst) != 0 || INSIDE.load(Ordering::SeqCst) != 0 {
        CLOSING.store(false, Ordering::SeqCst);
        return Err(Errno::EBUSY);
    }
    LOADED.store(false, Ordering::SeqCst);
    super::settle();
    epoch::drain();
    assert!(mem::live() == 0, "{} objects are left of the unloaded module", mem::live());
    Ok(())
}
