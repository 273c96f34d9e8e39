//! A race that ThreadSanitizer must find, which shows that it works.

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

struct Racy(UnsafeCell<u64>);

// SAFETY: none; this is the planted defect.
unsafe impl Sync for Racy {}

impl Racy {
    fn count(&self) {
        // SAFETY: none, as above.
        unsafe { *self.0.get() += 1 }
    }
}

#[test]
#[ignore = "it races"]
fn a_race() {
    let racy = Racy(UnsafeCell::new(0));
    let arrived = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                // Both run at the same time, and relaxed loads order nothing.
                arrived.fetch_add(1, Ordering::Relaxed);
                while arrived.load(Ordering::Relaxed) < 2 {
                    thread::yield_now();
                }
                // Often, because ThreadSanitizer may miss two accesses at the very same time.
                for _ in 0..1_000 {
                    black_box(&racy).count();
                }
            });
        }
    });
}
