//! The network epoch: sections, and the one pointer that a packet reads.

use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr::NonNull;

use super::atomic::{AtomicPtr, Ordering};
use super::backend;
use super::mem::{Counted, Ref};

/// Proof that the caller is in a section of the network epoch. What is read under `&'e Epoch` may
/// be used for `'e` and no longer.
pub struct Epoch(PhantomData<*mut ()>);

impl Epoch {
    /// # Safety
    /// The thread is in a section of the network epoch for as long as the value lives.
    pub(super) const unsafe fn assume() -> Self {
        Epoch(PhantomData)
    }
}

/// What may run in a section of the epoch: something that has no [`MaySleep`] with it.
#[diagnostic::on_unimplemented(
    message = "this may sleep, and nothing sleeps in a section of the network epoch",
    label = "this has a `MaySleep` with it, or something else that is not `Send`",
    note = "take the lock before the section, and keep it through it if need be"
)]
pub trait CannotSleep {}

#[diagnostic::do_not_recommend]
impl<F: Send> CannotSleep for F {}

/// Proof that the caller may sleep, shown to take a sleepable lock. Not `Sync`: by that a section knows it,
/// and does not let it in.
pub struct MaySleep(Cell<()>);

impl MaySleep {
    /// For a request: the kernel makes none where nothing may sleep.
    pub(super) const fn request() -> Self {
        MaySleep(Cell::new(()))
    }
}

/// Runs `f` in a section of the network epoch (epoch(9), NET_EPOCH_ENTER). `f` must not sleep.
/// Sections nest.
pub fn section<R>(f: impl for<'e> FnOnce(&'e Epoch) -> R + CannotSleep) -> R {
    enter(f)
}

/// As [`section`], for what in kpi has pointers with it.
pub(super) fn enter<R>(f: impl for<'e> FnOnce(&'e Epoch) -> R) -> R {
    backend::section(|| {
        // SAFETY: the backend calls this in a section, and the value ends before it.
        let epoch = unsafe { Epoch::assume() };
        f(&epoch)
    })
}

/// Waits until every section that is open now has ended (NET_EPOCH_WAIT). Sleeps.
pub fn wait() {
    backend::epoch_wait();
}

/// Waits until every object whose grace period has begun is freed (NET_EPOCH_DRAIN_CALLBACKS).
/// Sleeps.
pub fn drain() {
    backend::epoch_drain();
}

/// A pointer to an immutable value that is read in the epoch and replaced as a whole.
///
/// # Invariants
/// The pointer came from `Ref::into_raw`.
pub struct EpochCell<T: Send + Sync + 'static>(AtomicPtr<Counted<T>>);

impl<T: Send + Sync> EpochCell<T> {
    /// A cell that holds `value`.
    pub fn new(value: Ref<T>) -> Self {
        // INVARIANT: from `into_raw`.
        EpochCell(AtomicPtr::new(value.into_raw()))
    }

    /// The value, for the rest of the section: one load, with acquire.
    pub fn load<'e>(&self, epoch: &'e Epoch) -> &'e T {
        // SAFETY: by the invariant it is not null; the cell's reference is dropped only after
        // the pointer is replaced.
        unsafe { Ref::shared(NonNull::new_unchecked(self.0.load(Ordering::Acquire)), epoch) }
    }

    /// A reference to the value as it is now. Takes a section of its own.
    pub fn get(&self) -> Ref<T> {
        loop {
            // SAFETY: by the invariant it is not null; the cell's reference is dropped only after the pointer
            // is replaced. It was read in this section.
            let found = section(|epoch| unsafe {
                Ref::upgrade(NonNull::new_unchecked(self.0.load(Ordering::Acquire)), epoch)
            });
            // None: replaced, and its last reference gone, since the load. There is a newer one.
            if let Some(value) = found {
                return value;
            }
        }
    }

    /// Publishes `value`: one store, with release. The reference to the one that it replaces is
    /// dropped, so that one is freed when its readers have gone.
    pub fn replace(&self, value: Ref<T>) {
        // INVARIANT: from `into_raw`.
        let old = self.0.swap(value.into_raw(), Ordering::AcqRel);
        // SAFETY: `old` was the cell's own reference, and the swap has taken it out once.
        drop(unsafe { Ref::from_raw(NonNull::new_unchecked(old)) });
    }
}

impl<T: Send + Sync> Drop for EpochCell<T> {
    fn drop(&mut self) {
        let last = self.0.load(Ordering::Acquire);
        // SAFETY: by the invariant the pointer is a reference of ours, and this is its last use.
        drop(unsafe { Ref::from_raw(NonNull::new_unchecked(last)) });
    }
}
