//! Numbers that each processor has for itself.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::super::{Array, Result};

/// How many numbers there are; threads share them as they come.
const PLACES: usize = 16;

/// One of them, on a cache line of its own.
#[repr(align(64))]
#[derive(Default)]
struct Place(AtomicU32);

/// A sequence of numbers for each processor; here, for each thread.
pub struct PerCpu(Array<Place>);

thread_local! {
    static PLACE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % PLACES
    };
}

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
