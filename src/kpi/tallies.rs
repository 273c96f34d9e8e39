//! Numbers that processors add to, each without the others' cache lines.

use core::sync::atomic::{AtomicU64, Ordering};

use super::{Array, Result, backend};

/// A row of numbers for each processor. What is added while a thread moves to another processor may be lost,
/// so they are for measuring, and not for counting.
pub struct Tallies {
    /// A row after the other.
    numbers: Array<AtomicU64>,
    len: usize,
}

impl Tallies {
    /// Rows of `len` numbers, at 0. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new(len: usize) -> Result<Self> {
        let numbers = Array::try_new(backend::processors() * len, |_| AtomicU64::new(0))?;
        Ok(Tallies { numbers, len })
    }

    /// Adds to one of this processor's numbers, modulo 2^64. Does nothing if there is no such number.
    #[inline]
    pub fn add(&self, which: usize, by: u64) {
        let row = backend::processor() * self.len;
        if let Some(number) = self.numbers.get(row.wrapping_add(which)) {
            number.store(number.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
        }
    }

    /// The sum over all processors, modulo 2^64.
    pub fn sum(&self, which: usize) -> u64 {
        let row = self.numbers.chunks_exact(self.len.max(1));
        let numbers = row.filter_map(|row| row.get(which));
        numbers.fold(0, |sum, number| sum.wrapping_add(number.load(Ordering::Relaxed)))
    }
}
