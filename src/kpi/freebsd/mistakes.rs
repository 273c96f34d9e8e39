//! Mistakes on purpose, which a kernel with KASAN or KCSAN must report (`kmod/mistakes.c` says more).

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::hint::black_box;

use super::memory::{allocate, release};

/// So often that two processors meet, busy as their host may be.
const MANY: u32 = 1 << 20;

struct Word(UnsafeCell<u32>);

// SAFETY: does not hold: this is what makes the race possible.
unsafe impl Sync for Word {}

static WORD: Word = Word(UnsafeCell::new(0));

static BYTES: [u8; 40] = [1; 40];

/// Reads memory that it has freed.
#[unsafe(no_mangle)]
extern "C" fn lagg_rs_mistake_freed() {
    let Some(memory) = allocate(Layout::new::<[u32; 16]>()) else { return };
    // SAFETY: does not hold for the read: this is the mistake. The memory stays mapped.
    unsafe {
        release(memory, Layout::new::<[u32; 16]>());
        memory.cast::<u32>().read_volatile();
    }
}

/// Reads the byte after an array on the stack.
#[unsafe(no_mangle)]
extern "C" fn lagg_rs_mistake_stack() {
    let bytes = black_box([1_u8; 40]);
    // SAFETY: does not hold: this is the mistake. The stack goes on there.
    unsafe { bytes.as_ptr().add(black_box(bytes.len())).read_volatile() };
}

/// Reads the byte after a static.
#[unsafe(no_mangle)]
extern "C" fn lagg_rs_mistake_global() {
    // SAFETY: does not hold: this is the mistake. The module's data goes on there.
    unsafe { BYTES.as_ptr().add(black_box(BYTES.len())).read_volatile() };
}

/// Changes a word, whatever other threads do.
#[unsafe(no_mangle)]
extern "C" fn lagg_rs_mistake_race() {
    for _ in 0..MANY {
        let word = black_box(WORD.0.get());
        // SAFETY: does not hold where two threads are here: this is the mistake. The word is a static.
        unsafe { *word = (*word).wrapping_add(1) };
    }
}
