//! malloc(9), with freed memory overwritten, and the memory of user programs.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ptr::NonNull;

use super::faults;
use super::sync::Mutex;
use super::witness::{self, lock};
use crate::kpi::{Errno, Result};

/// Called at each allocation that may sleep. Fails if a test says so.
pub(super) fn may_fail() -> Result {
    witness::may_sleep("malloc(M_WAITOK)");
    faults::sleep_for_memory();
    faults::allocation()
}

/// Memory of that layout; none if there is none. May sleep.
pub(in crate::kpi) fn allocate(layout: Layout) -> Option<NonNull<u8>> {
    may_fail().ok()?;
    assert!(layout.size() != 0);
    // SAFETY: the layout's size is not 0, as alloc wants it.
    NonNull::new(unsafe { std::alloc::alloc(layout) })
}

/// Frees memory, and overwrites it with 0xde, so that a later use is noticed.
///
/// # Safety
/// The memory is from [`allocate`] with this layout, and nothing uses it.
pub(in crate::kpi) unsafe fn release(memory: NonNull<u8>, layout: Layout) {
    // SAFETY: the caller promises memory of `allocate` with this layout, which is not used any more.
    unsafe {
        poison(memory, layout.size());
        std::alloc::dealloc(memory.as_ptr(), layout);
    }
}

/// # Safety
/// The memory is the caller's and that long.
pub(super) unsafe fn poison(memory: NonNull<u8>, len: usize) {
    // SAFETY: the caller promises that much memory, and that it is its own.
    unsafe { memory.write_bytes(0xde, len) };
    // The compiler would leave out stores that are never read.
    std::hint::black_box(memory);
}

/// The memory of user programs, by address.
static USER: Mutex<BTreeMap<u64, Vec<u8>>> = Mutex::new(BTreeMap::new());

/// Memory of a user program, to which `copyout` may write.
pub struct UserMemory(u64);

impl UserMemory {
    /// `len` bytes of zeros, at an address that means nothing in this process.
    pub fn new(len: usize) -> Self {
        let mut user = lock(&USER);
        let page = |address: u64| address.next_multiple_of(0x1000) + 0x1000;
        let address = user.last_key_value().map_or(0x1000, |(a, m)| page(a + m.len() as u64));
        user.insert(address, vec![0; len]);
        UserMemory(address)
    }

    /// Its address.
    pub fn address(&self) -> u64 {
        self.0
    }

    /// Its contents.
    pub fn read(&self) -> Vec<u8> {
        lock(&USER)[&self.0].clone()
    }
}

impl Drop for UserMemory {
    fn drop(&mut self) {
        lock(&USER).remove(&self.0);
    }
}

/// Copies `bytes` to the address `to` of the calling process. Sleeps.
///
/// # Errors
/// EFAULT.
pub fn copyout(bytes: &[u8], to: u64) -> Result {
    witness::may_sleep("copyout");
    let mut user = lock(&USER);
    let (start, memory) = user.range_mut(..=to).next_back().ok_or(Errno::EFAULT)?;
    let offset = usize::try_from(to - start).map_err(|_| Errno::EFAULT)?;
    let place = offset.checked_add(bytes.len()).and_then(|end| memory.get_mut(offset..end));
    place.ok_or(Errno::EFAULT)?.copy_from_slice(bytes);
    Ok(())
}
