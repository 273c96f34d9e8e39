//! Pointers in an ifnet to our objects: `if_softc` of a lagg, `if_lagg` of a port.

use core::ptr::{self, NonNull};

use crate::kpi::atomic::{AtomicPtr, Ordering};
use crate::kpi::epoch::{self, Epoch};
use crate::kpi::mem::{Counted, Ref};

/// A place that holds a counted reference, or NULL.
///
/// # Invariants
/// What is not NULL came from [`Ref::into_raw`], and its reference is dropped only after the place
/// no longer holds it.
#[repr(transparent)]
pub(super) struct Slot<T>(AtomicPtr<Counted<T>>);

impl<T: Send + Sync + 'static> Slot<T> {
    /// # Safety
    /// For `'a`, `place` is a pointer in an ifnet that the code of this module alone writes, through
    /// `Slot<T>`s.
    pub(super) unsafe fn from_ptr<'a>(place: *mut *mut core::ffi::c_void) -> &'a Self {
        // INVARIANT: NULL, or written by a method of `Slot<T>`.
        // SAFETY: pointers are of one size, and by contract all who touch this one do so atomically;
        // the transparent wrapper changes nothing.
        unsafe {
            &*ptr::from_ref(AtomicPtr::from_ptr(place.cast::<*mut Counted<T>>())).cast::<Self>()
        }
    }

    /// The object, for the rest of the section.
    #[inline(always)]
    pub(super) fn shared<'e>(&self, epoch: &'e Epoch) -> Option<&'e T> {
        let object = NonNull::new(self.0.load(Ordering::Acquire))?;
        // SAFETY: by the invariant the place holds a reference, which is dropped only after the place is
        // cleared. It was read in the section that the argument stands for.
        Some(unsafe { Ref::shared(object, epoch) })
    }

    /// A reference to the object, unless its last one has gone.
    pub(super) fn upgrade(&self) -> Option<Ref<T>> {
        epoch::section(|epoch| {
            let object = NonNull::new(self.0.load(Ordering::Acquire))?;
            // SAFETY: by the invariant the place holds a reference, which is dropped only after the place is
            // cleared. It was read in this section.
            unsafe { Ref::upgrade(object, epoch) }
        })
    }

    /// Puts a reference in, if there is none; else it is dropped, and the answer false.
    pub(super) fn fill(&self, value: Ref<T>) -> bool {
        let object = value.into_raw();
        // INVARIANT: from `into_raw`. Release: who finds the object finds it complete.
        match self.0.compare_exchange(ptr::null_mut(), object, Ordering::AcqRel, Ordering::Relaxed)
        {
            Ok(_) => true,
            Err(_) => {
                // SAFETY: ours again, as it did not get in.
                drop(unsafe { Ref::from_raw(NonNull::new_unchecked(object)) });
                false
            }
        }
    }

    /// Takes out the reference to `value` and drops it; nothing if another is there.
    pub(super) fn clear(&self, value: &T) {
        let object = ptr::from_ref(value).cast_mut().cast();
        if let Ok(object) =
            self.0.compare_exchange(object, ptr::null_mut(), Ordering::AcqRel, Ordering::Relaxed)
        {
            // SAFETY: by the invariant a reference was in the place, and it has been taken out once.
            drop(unsafe { Ref::from_raw(NonNull::new_unchecked(object)) });
        }
    }
}
