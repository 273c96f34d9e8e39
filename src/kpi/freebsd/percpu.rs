//! Numbers that each processor has for itself (zpcpu, `sys/pcpu.h`; counter(9)).

use core::ptr::NonNull;
#[cfg(target_arch = "aarch64")]
use core::sync::atomic::{AtomicU64, Ordering};

use super::bindings as c;
use crate::kpi::{Errno, Ref, Result};

/// A position for each processor. Clones share them.
///
/// # Invariants
/// `place` is the pointer of `memory`, kept here to save packets a load.
#[derive(Clone)]
pub struct PerCpu {
    place: NonNull<u64>,
    _memory: Ref<Memory>,
}

/// # Invariants
/// The pointer is to memory of `pcpu_zone_8`, ours alone.
struct Memory(NonNull<u64>);

// SAFETY: any thread may free what another has allocated.
unsafe impl Send for Memory {}
// SAFETY: it has no method that takes a shared one.
unsafe impl Sync for Memory {}

// SAFETY: the memory is kept by a counted reference, which is `Send`, and any thread adds to its processor's
// number.
unsafe impl Send for PerCpu {}
// SAFETY: `advance` is all that a shared one does, by one instruction that is atomic for the processor that
// it runs on.
unsafe impl Sync for PerCpu {}

impl PerCpu {
    /// Positions of 0. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        // SAFETY: the caller may sleep, and the zone is there from boot on.
        let place = NonNull::new(unsafe { c::lagg_rs_percpu_alloc() }).ok_or(Errno::ENOMEM)?;
        // INVARIANT: just allocated; of one place.
        Ok(PerCpu { place, _memory: Ref::try_new(Memory(place))? })
    }

    /// Adds to this processor's position, modulo 2^64, and returns what it was.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub fn advance(&self, step: u64) -> u64 {
        let mut position = step;
        // SAFETY: by the invariant the memory is there, a number for each processor. `gs` is where the
        // processor has its own numbers, from which the kernel reckons these pointers (amd64's zpcpu_add).
        // One instruction: the thread cannot move to another processor on the way, and no other writes there.
        unsafe {
            core::arch::asm!(
                "xadd qword ptr gs:[{place}], {position}",
                place = in(reg) self.place.as_ptr(),
                position = inout(reg) position,
                options(nostack),
            );
        }
        position
    }

    /// Adds to this processor's position, modulo 2^64, and returns what it was.
    #[cfg(target_arch = "aarch64")]
    #[inline(always)]
    pub fn advance(&self, step: u64) -> u64 {
        let offset: usize;
        // SAFETY: x18 points at the processor's own numbers, one of which is how far from the pointer its
        // part of such memory is (zpcpu_get).
        unsafe {
            core::arch::asm!(
                "ldr {offset}, [x18, {place}]",
                offset = lateout(reg) offset,
                place = const core::mem::offset_of!(c::pcpu, pc_zpcpu_offset),
                options(readonly, preserves_flags, nostack),
            );
        }
        // SAFETY: by the invariant the memory is there, and this is its number of a processor, aligned as all
        // of the zone are. The thread may have moved to another processor since: so atomically.
        let position = unsafe { AtomicU64::from_ptr(self.place.as_ptr().byte_add(offset)) };
        position.fetch_add(step, Ordering::Relaxed)
    }
}

/// How many numbers processors have: one more than the highest.
pub(in crate::kpi) fn processors() -> usize {
    // SAFETY: it reads a number that does not change once modules are loaded.
    unsafe { c::lagg_rs_processors() as usize }
}

/// The number of this processor. The thread may be on another one when this returns.
pub(in crate::kpi) fn processor() -> usize {
    // SAFETY: it reads the processor's own number, in any context.
    unsafe { c::lagg_rs_processor() as usize }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: by the invariant it is of that zone and ours alone, and it is not used again. Does not sleep.
        unsafe { c::lagg_rs_percpu_free(self.0.as_ptr()) };
    }
}

/// Eight counters (counter(9)): processors that add to them do not write the same cache line.
///
/// # Invariants
/// The pointer is to memory of `pcpu_zone_64`, ours alone: eight counters.
pub struct Counters(NonNull<u64>);

// SAFETY: any thread may free what another has allocated, and use it.
unsafe impl Send for Counters {}
// SAFETY: each processor adds to its own numbers, as counter(9) does: interrupted or not, no addition is lost.
unsafe impl Sync for Counters {}

impl Counters {
    /// How many there are.
    pub const COUNT: usize = 8;

    /// Counters at 0. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        // SAFETY: the caller may sleep, and the zone is there from boot on.
        let counters = unsafe { c::lagg_rs_counters_alloc() };
        // INVARIANT: just allocated.
        NonNull::new(counters).map(Counters).ok_or(Errno::ENOMEM)
    }

    /// Adds 1 to one of them. Does nothing if there is no such counter.
    pub fn increment(&self, which: usize) {
        if which < Self::COUNT {
            // SAFETY: by the invariant eight counters are there, and `which` is less than that.
            unsafe { c::lagg_rs_counters_increment(self.0.as_ptr(), which) };
        }
    }

    /// What all processors have added to one of them; what is added during the call may be included or not. 0 if
    /// there is no such counter.
    pub fn fetch(&self, which: usize) -> u64 {
        if which >= Self::COUNT {
            return 0;
        }
        // SAFETY: by the invariant eight counters are there side by side, and `which` is less than that.
        unsafe { c::counter_u64_fetch(self.0.as_ptr().wrapping_add(which)) }
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        // SAFETY: by the invariant they are of that zone and ours alone, and are not used again. Does not
        // sleep.
        unsafe { c::lagg_rs_counters_free(self.0.as_ptr()) };
    }
}
