//! Loading and unloading.

use std::sync::atomic::{AtomicBool, Ordering};

use super::witness;
use crate::kpi::{Result, epoch, gate, mem};

/// Loaded at the start, as by loader(8).
static LOADED: AtomicBool = AtomicBool::new(true);

/// Whether the module is loaded. Without it there is no cloner, and there are no hooks.
pub fn is_loaded() -> bool {
    LOADED.load(Ordering::SeqCst)
}

/// Loads the module, which is loaded at the start. Does nothing if it is loaded.
pub fn kldload() {
    LOADED.store(true, Ordering::SeqCst);
    gate::open();
}

/// Unloads the module of the whole process, so only one test of a process may do that. Sleeps.
///
/// # Errors
/// EBUSY while there is a lagg or a thread inside the driver.
pub fn kldunload() -> Result {
    witness::may_sleep("kldunload");
    gate::close()?;
    LOADED.store(false, Ordering::SeqCst);
    super::settle();
    epoch::drain();
    assert!(mem::live() == 0, "{} objects are left of the unloaded module", mem::live());
    Ok(())
}
