//! The atomics of kpi: core's, or loom's when loom explores interleavings.

#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
// Only the host's interfaces use these.
#[cfg(not(any(loom, feature = "kernel")))]
pub use core::sync::atomic::AtomicU8;

#[cfg(loom)]
pub use explored::{AtomicPtr, publish_relaxed};
#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// The life of a counted object, for loom: threads access it after it is made and before it is freed. Empty
/// without loom.
#[cfg(not(loom))]
pub struct Watched(());

#[cfg(not(loom))]
impl Watched {
    pub const fn new() -> Self {
        Watched(())
    }

    #[inline(always)]
    pub fn read(&self) {}

    #[inline(always)]
    pub fn write(&self) {}
}

#[cfg(loom)]
pub use explored::Watched;

#[cfg(loom)]
mod explored {
    use std::cell::Cell;

    use super::Ordering;

    std::thread_local! {
        static RELAXED: Cell<bool> = const { Cell::new(false) };
    }

    /// From now on publishes every pointer of this test without release. loom must find that.
    pub fn publish_relaxed() {
        RELAXED.set(true);
    }

    fn weakened(order: Ordering) -> Ordering {
        if RELAXED.get() { Ordering::Relaxed } else { order }
    }

    #[derive(Debug)]
    pub struct AtomicPtr<T>(loom::sync::atomic::AtomicPtr<T>);

    impl<T> AtomicPtr<T> {
        #[track_caller]
        pub fn new(value: *mut T) -> Self {
            AtomicPtr(loom::sync::atomic::AtomicPtr::new(value))
        }

        #[track_caller]
        pub fn load(&self, order: Ordering) -> *mut T {
            self.0.load(order)
        }

        #[track_caller]
        pub fn swap(&self, new: *mut T, order: Ordering) -> *mut T {
            self.0.swap(new, weakened(order))
        }

        #[track_caller]
        pub fn compare_exchange(
            &self,
            current: *mut T,
            new: *mut T,
            success: Ordering,
            failure: Ordering,
        ) -> Result<*mut T, *mut T> {
            self.0.compare_exchange(current, new, weakened(success), failure)
        }
    }

    pub struct Watched(loom::cell::UnsafeCell<()>);

    // SAFETY: it has no data; loom itself checks which thread accesses it when.
    unsafe impl Sync for Watched {}

    impl Watched {
        pub fn new() -> Self {
            Watched(loom::cell::UnsafeCell::new(()))
        }

        #[track_caller]
        pub fn read(&self) {
            self.0.with(|_| ());
        }

        #[track_caller]
        pub fn write(&self) {
            self.0.with_mut(|_| ());
        }
    }
}
