//! The pointers that packets read. Each points at a counted object, and is replaced as a whole.

use core::ptr::{self, NonNull};

use super::atomic::{AtomicPtr, Ordering};
use super::epoch::{self, Epoch};
use super::mem::{Counted, Ref};

/// A place for one counted reference, read in the epoch: `if_softc` of a lagg, `if_lagg` of a port.
///
/// # Invariants
/// The pointer is NULL, or from `Ref::into_raw` with the reference that it gave away. That reference is
/// dropped only after the pointer has left the place.
#[repr(transparent)]
pub struct EpochOption<T: Send + Sync + 'static>(AtomicPtr<Counted<T>>);

impl<T: Send + Sync> EpochOption<T> {
    /// An empty place.
    #[expect(
        clippy::new_without_default,
        reason = "what is in an interface is not made by default"
    )]
    pub fn new() -> Self {
        // INVARIANT: NULL.
        EpochOption(AtomicPtr::new(ptr::null_mut()))
    }

    /// The same, for a static.
    #[cfg(feature = "kernel")]
    pub(super) const fn empty() -> Self {
        // INVARIANT: NULL.
        EpochOption(AtomicPtr::new(ptr::null_mut()))
    }

    /// # Safety
    /// For `'a`, `place` is a pointer that this module alone writes, through `EpochOption<T>`s.
    #[cfg(feature = "kernel")]
    #[inline(always)]
    pub(super) unsafe fn from_ptr<'a>(place: *mut *mut core::ffi::c_void) -> &'a Self {
        // INVARIANT: NULL, or written by a method of `EpochOption<T>`.
        // SAFETY: pointers are of one size, and the caller promises that this one is touched only through
        // this type, atomically; the transparent wrapper changes nothing.
        unsafe {
            let place = AtomicPtr::from_ptr(place.cast::<*mut Counted<T>>());
            &*ptr::from_ref(place).cast::<Self>()
        }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }

    /// The object in it, for the rest of the section: one load, with acquire.
    #[inline(always)]
    pub fn load<'e>(&self, epoch: &'e Epoch) -> Option<&'e T> {
        let object = NonNull::new(self.0.load(Ordering::Acquire))?;
        // SAFETY: by the invariant the place held a reference when it was read, in the section of `'e`, and
        // that is dropped only after the place is cleared.
        Some(unsafe { Ref::shared(object, epoch) })
    }

    /// A reference to the object in it; none if it is empty, or if the object's last reference goes at the
    /// same time. Enters a section of its own.
    pub fn get(&self) -> Option<Ref<T>> {
        epoch::section(|epoch| {
            let object = NonNull::new(self.0.load(Ordering::Acquire))?;
            // SAFETY: by the invariant the place held a reference when it was read, in this section, and that
            // is dropped only after the place is cleared.
            unsafe { Ref::upgrade(object, epoch) }
        })
    }

    /// Puts a reference in if the place is empty. Returns whether it was.
    pub fn put(&self, value: &Ref<T>) -> bool {
        let new = value.clone().into_raw();
        // INVARIANT: from `into_raw`. Release: a reader that finds the object finds it complete.
        let put =
            self.0.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Relaxed);
        if put.is_err() {
            // SAFETY: it is from `into_raw` above, and was put nowhere.
            drop(unsafe { Ref::from_raw(NonNull::new_unchecked(new)) });
        }
        put.is_ok()
    }

    /// Takes `value` out and drops the reference. Returns whether it was in.
    pub fn take(&self, value: &T) -> bool {
        // The value is the first field of what the place points at.
        let old = ptr::from_ref(value).cast_mut().cast::<Counted<T>>();
        let seen =
            self.0.compare_exchange(old, ptr::null_mut(), Ordering::AcqRel, Ordering::Relaxed);
        let Ok(taken) = seen else { return false };
        // SAFETY: by the invariant it came from `into_raw`, and the exchange has taken it out once.
        drop(unsafe { Ref::from_raw(NonNull::new_unchecked(taken)) });
        true
    }

    /// Whether `value` is in it.
    pub fn holds(&self, value: &T) -> bool {
        ptr::eq(self.0.load(Ordering::Relaxed).cast::<T>(), value)
    }

    /// Replaces the object in it, and returns the old one: one exchange, with release.
    pub(super) fn replace(&self, value: Ref<T>) -> Option<Ref<T>> {
        // INVARIANT: from `into_raw`.
        self.swap(value.into_raw())
    }

    /// Empties the place, and returns what was in it.
    #[cfg(feature = "kernel")]
    pub(super) fn clear(&self) -> Option<Ref<T>> {
        // INVARIANT: NULL.
        self.swap(ptr::null_mut())
    }

    fn swap(&self, new: *mut Counted<T>) -> Option<Ref<T>> {
        let old = NonNull::new(self.0.swap(new, Ordering::AcqRel))?;
        // SAFETY: by the invariant it came from `into_raw`, and the swap has taken it out once.
        Some(unsafe { Ref::from_raw(old) })
    }
}

impl<T: Send + Sync> Drop for EpochOption<T> {
    fn drop(&mut self) {
        let last = NonNull::new(self.0.load(Ordering::Acquire));
        // SAFETY: by the invariant it came from `into_raw`, and this is the place's last use.
        drop(last.map(|last| unsafe { Ref::from_raw(last) }));
    }
}

/// A pointer to an immutable value that is read in the epoch and replaced as a whole: a lagg's plan.
///
/// # Invariants
/// The place is never empty.
#[repr(transparent)]
pub struct EpochCell<T: Send + Sync + 'static>(EpochOption<T>);

impl<T: Send + Sync> EpochCell<T> {
    /// A cell that holds `value`.
    pub fn new(value: Ref<T>) -> Self {
        // INVARIANT: it has the value.
        EpochCell(EpochOption(AtomicPtr::new(value.into_raw())))
    }

    /// The value, for the rest of the section: one load, with acquire.
    #[inline(always)]
    pub fn load<'e>(&self, epoch: &'e Epoch) -> &'e T {
        // SAFETY: by the invariant the place is not empty.
        unsafe { self.0.load(epoch).unwrap_unchecked() }
    }

    /// A reference to the present value. Enters a section of its own.
    pub fn get(&self) -> Ref<T> {
        loop {
            // None if the value was replaced and its last reference went since it was read. There is a
            // newer one.
            if let Some(value) = self.0.get() {
                return value;
            }
        }
    }

    /// Publishes `value`, with release. Drops the reference to the old value, which is freed when its
    /// readers have gone.
    pub fn replace(&self, value: Ref<T>) {
        // INVARIANT: it has the new value.
        drop(self.0.replace(value));
    }
}
