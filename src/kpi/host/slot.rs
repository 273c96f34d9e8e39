//! Where an interface keeps the object that it is a lagg or a port by: `if_softc`, `if_lagg`.

use std::ptr::{NonNull, null_mut};

use super::super::atomic::{AtomicPtr, Ordering};
use super::super::mem::Counted;
use super::super::{Epoch, Ref, epoch};

/// A place for one counted reference, read in the epoch.
///
/// # Invariants
/// The pointer is null or from `Ref::into_raw`; who takes it out of here drops it after that.
pub struct Slot<T: Send + Sync + 'static>(AtomicPtr<Counted<T>>);

impl<T: Send + Sync> Slot<T> {
    /// A place with nothing in it.
    pub fn empty() -> Self {
        // INVARIANT: null.
        Slot(AtomicPtr::new(null_mut()))
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }

    /// What is in it, for the rest of the section.
    #[inline]
    pub fn load<'e>(&self, epoch: &'e Epoch) -> Option<&'e T> {
        let object = NonNull::new(self.0.load(Ordering::Acquire))?;
        // SAFETY: by the invariant, read in the section of `'e`.
        Some(unsafe { Ref::shared(object, epoch) })
    }

    /// A reference to what is in it.
    pub fn get(&self) -> Option<Ref<T>> {
        epoch::section(|epoch| {
            let object = NonNull::new(self.0.load(Ordering::Acquire))?;
            // SAFETY: by the invariant, read in this section.
            unsafe { Ref::upgrade(object, epoch) }
        })
    }

    /// Puts a reference in if nothing is there; false: something is.
    pub fn put(&self, value: &Ref<T>) -> bool {
        let new = value.clone().into_raw();
        // INVARIANT: from `into_raw`.
        let put = self.0.compare_exchange(null_mut(), new, Ordering::AcqRel, Ordering::Relaxed);
        if put.is_err() {
            // SAFETY: from `into_raw` above, and put nowhere.
            drop(unsafe { Ref::from_raw(NonNull::new_unchecked(new)) });
        }
        put.is_ok()
    }

    /// Takes `value` out and drops the reference; false: it is not there.
    pub fn take(&self, value: &T) -> bool {
        // The value comes first in what the slot points at.
        let old = std::ptr::from_ref(value).cast_mut().cast::<Counted<T>>();
        let seen = self.0.compare_exchange(old, null_mut(), Ordering::AcqRel, Ordering::Relaxed);
        let Ok(taken) = seen else { return false };
        // SAFETY: by the invariant, and out of the slot just now.
        drop(unsafe { Ref::from_raw(NonNull::new_unchecked(taken)) });
        true
    }

    /// Whether `value` is in it.
    pub fn holds(&self, value: &T) -> bool {
        std::ptr::eq(self.0.load(Ordering::Relaxed).cast::<T>(), value)
    }
}
