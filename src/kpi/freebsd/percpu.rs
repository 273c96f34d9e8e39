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

/// A counter (counter(9)): processors that add to it do not write the same cache line.
///
/// # Invariants
/// From `counter_u64_alloc`, ours alone.
pub struct CounterU64(NonNull<u64>);

// SAFETY: each processor adds to its own number, in a way that it may be interrupted in.
unsafe impl Send for CounterU64 {}
// SAFETY: as above.
unsafe impl Sync for CounterU64 {}

impl CounterU64 {
    /// A counter at 0. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        // SAFETY: any sleeping context.
        let counter = unsafe { c::counter_u64_alloc(c::M_WAITOK as i32) };
        // INVARIANT: just allocated.
        NonNull::new(counter).map(CounterU64).ok_or(Errno::ENOMEM)
    }

    /// Adds 1.
    pub fn increment(&self) {
        // SAFETY: by the invariant.
        unsafe { c::lagg_rs_counter_increment(self.0.as_ptr()) };
    }

    /// What all processors have added; what is added meanwhile may be in it or not.
    pub fn fetch(&self) -> u64 {
        // SAFETY: by the invariant.
        unsafe { c::counter_u64_fetch(self.0.as_ptr()) }
    }
}

impl Drop for CounterU64 {
    fn drop(&mut self) {
        // SAFETY: by the invariant, and not used again. Does not sleep.
        unsafe { c::counter_u64_free(self.0.as_ptr()) };
    }
}
