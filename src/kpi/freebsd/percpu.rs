//! Numbers that each processor has for itself (zpcpu, `sys/pcpu.h`; counter(9)).

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

/// Eight counters (counter(9)): processors that add to them do not write the same cache line.
///
/// # Invariants
/// The pointer is to memory of `pcpu_zone_64`, ours alone: eight counters.
pub struct Counters(NonNull<u64>);

// SAFETY: each processor adds to its own numbers, in a way that it may be interrupted in.
unsafe impl Send for Counters {}
// SAFETY: as above.
unsafe impl Sync for Counters {}

impl Counters {
    /// How many there are.
    pub const COUNT: usize = 8;

    /// Counters at 0. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        // SAFETY: any sleeping context.
        let counters = unsafe { c::lagg_rs_counters_alloc() };
        // INVARIANT: just allocated.
        NonNull::new(counters).map(Counters).ok_or(Errno::ENOMEM)
    }

    /// Adds 1 to one of them; nothing if there is no such.
    pub fn increment(&self, which: usize) {
        if which < Self::COUNT {
            // SAFETY: by the invariant, and there is this one.
            unsafe { c::lagg_rs_counters_increment(self.0.as_ptr(), which) };
        }
    }

    /// What all processors have added to one of them; what is added meanwhile may be in it or not. 0 if
    /// there is no such.
    pub fn fetch(&self, which: usize) -> u64 {
        if which >= Self::COUNT {
            return 0;
        }
        // SAFETY: as above.
        unsafe { c::counter_u64_fetch(self.0.as_ptr().wrapping_add(which)) }
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        // SAFETY: by the invariant, and not used again. Does not sleep.
        unsafe { c::lagg_rs_counters_free(self.0.as_ptr()) };
    }
}
