//! Numbers that each processor has for itself (zpcpu, `sys/pcpu.h`).

use core::ptr::NonNull;

use super::bindings as c;
use crate::kpi::{Errno, Result};

/// A sequence of numbers for each processor.
///
/// # Invariants
/// The pointer is to memory of `pcpu_zone_4`, ours alone.
pub struct PerCpu(NonNull<u32>);

// SAFETY: the numbers are used atomically.
unsafe impl Send for PerCpu {}
// SAFETY: as above.
unsafe impl Sync for PerCpu {}

impl PerCpu {
    /// Sequences that begin at 0. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        // SAFETY: any sleeping context.
        NonNull::new(unsafe { c::lagg_rs_percpu_alloc() }).map(PerCpu).ok_or(Errno::ENOMEM)
    }

    /// The next number of this processor's.
    #[inline(always)]
    pub fn next(&self) -> u32 {
        // SAFETY: by the invariant.
        unsafe { c::lagg_rs_percpu_next(self.0.as_ptr()) }
    }
}

impl Drop for PerCpu {
    fn drop(&mut self) {
        // SAFETY: by the invariant, and not used again. Does not sleep.
        unsafe { c::lagg_rs_percpu_free(self.0.as_ptr()) };
    }
}
