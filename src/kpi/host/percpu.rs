//! Numbers for each processor.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::kpi::{Array, Ref, Result};

/// The number of places, which threads share in the order in which they begin.
const PLACES: usize = 16;

/// How many processors there are, as far as [`processor`] says.
pub(in crate::kpi) fn processors() -> usize {
    PLACES
}

/// The calling thread's processor.
#[inline]
pub(in crate::kpi) fn processor() -> usize {
    PLACE.with(|place| *place)
}

/// A place, on a cache line of its own.
#[repr(align(64))]
#[derive(Default)]
struct Place<T>(T);

thread_local! {
    static PLACE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % PLACES
    };
}

/// A value for each thread.
#[derive(Default)]
pub(super) struct PerThread<T>([Place<T>; PLACES]);

impl<T> PerThread<T> {
    /// The calling thread's value.
    #[inline]
    pub fn own(&self) -> &T {
        &self.0[PLACE.with(|place| *place)].0
    }

    /// All values.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|place| &place.0)
    }
}

/// A position for each processor; here, for each thread. A clone of it is the same one.
#[derive(Clone)]
pub struct PerCpu(Ref<PerThread<AtomicU64>>);

impl PerCpu {
    /// Positions of 0. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        Ref::try_new(PerThread::default()).map(PerCpu)
    }

    /// Adds to this processor's position, modulo 2^64, and returns what it was.
    #[inline]
    pub fn advance(&self, step: u64) -> u64 {
        self.0.own().fetch_add(step, Ordering::Relaxed)
    }
}

/// Eight counters (counter(9)): processors that add to them do not write the same cache line.
pub struct Counters(Array<Place<[AtomicU64; Counters::COUNT]>>);

impl Counters {
    /// How many there are.
    pub const COUNT: usize = 8;

    /// Counters at 0. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        Array::try_new(PLACES, |_| Place::default()).map(Counters)
    }

    /// Adds 1 to one of them. Does nothing if there is no such counter.
    pub fn increment(&self, which: usize) {
        if let Some(counter) = self.0[PLACE.with(|place| *place)].0.get(which) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What all processors have added to one of them; what is added during the call may be included or not. 0 if
    /// there is no such counter.
    pub fn fetch(&self, which: usize) -> u64 {
        let counters = self.0.iter().filter_map(|place| place.0.get(which));
        counters.map(|counter| counter.load(Ordering::Relaxed)).sum()
    }
}
