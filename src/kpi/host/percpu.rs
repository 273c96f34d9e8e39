//! Numbers that each processor has for itself.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::super::{Array, Result};

/// How many numbers there are; threads share them as they come.
const PLACES: usize = 16;

/// One of them, on a cache line of its own.
#[repr(align(64))]
#[derive(Default)]
struct Place<T>(T);

thread_local! {
    static PLACE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % PLACES
    };
}

/// A sequence of numbers for each processor; here, for each thread.
pub struct PerCpu(Array<Place<AtomicU32>>);

impl PerCpu {
    /// Sequences that begin at 0. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        Array::try_new(PLACES, |_| Place::default()).map(PerCpu)
    }

    /// The next number of this processor's.
    #[inline]
    pub fn next(&self) -> u32 {
        self.0[PLACE.with(|place| *place)].0.fetch_add(1, Ordering::Relaxed)
    }
}

/// A counter (counter(9)): processors that add to it do not write the same cache line.
pub struct CounterU64(Array<Place<AtomicU64>>);

impl CounterU64 {
    /// A counter at 0. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        Array::try_new(PLACES, |_| Place::default()).map(CounterU64)
    }

    /// Adds 1.
    pub fn increment(&self) {
        self.0[PLACE.with(|place| *place)].0.fetch_add(1, Ordering::Relaxed);
    }

    /// What all processors have added; what is added meanwhile may be in it or not.
    pub fn fetch(&self) -> u64 {
        self.0.iter().map(|place| place.0.load(Ordering::Relaxed)).sum()
    }
}
