//! Parts of counted objects.

use core::ops::Deref;
use core::ptr::NonNull;

use super::mem::Ref;

/// A part of a counted object, with a reference to the whole. Packets find it by one load.
///
/// # Invariants
/// `part` is what a function returned for the whole, for as long as that is referred to.
pub struct Part<P: Sync + 'static, T: Send + Sync + 'static> {
    part: NonNull<P>,
    whole: Ref<T>,
}

// SAFETY: a part gives shared access to the part and to the whole, which any thread may have.
unsafe impl<P: Sync, T: Send + Sync> Send for Part<P, T> {}
// SAFETY: a shared one gives the same, and can be cloned, as a `Ref` can.
unsafe impl<P: Sync, T: Send + Sync> Sync for Part<P, T> {}

impl<P: Sync, T: Send + Sync> Part<P, T> {
    /// The part of `whole` that `part` returns.
    pub fn new(whole: Ref<T>, part: impl for<'a> FnOnce(&'a T) -> &'a P) -> Self {
        // INVARIANT: for any borrow of the object, which stays where it is as long as it is referred to.
        Part { part: NonNull::from(part(&whole)), whole }
    }

    /// The whole.
    #[inline]
    pub fn whole(&self) -> &T {
        &self.whole
    }
}

impl<P: Sync, T: Send + Sync> Clone for Part<P, T> {
    fn clone(&self) -> Self {
        // INVARIANT: the same part of the same object.
        Part { part: self.part, whole: self.whole.clone() }
    }
}

impl<P: Sync, T: Send + Sync> Deref for Part<P, T> {
    type Target = P;

    #[inline]
    fn deref(&self) -> &P {
        self.whole.read();
        // SAFETY: by the invariant it is lent for as long as the whole is referred to, which is at least as
        // long as `self`.
        unsafe { self.part.as_ref() }
    }
}
