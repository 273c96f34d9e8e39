//! Counted objects whose memory outlives every reader in the network epoch.

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use zerocopy::FromZeros;

use super::atomic::{AtomicUsize, Ordering, Watched};
use super::epoch::Epoch;
use super::{CACHE_LINE, Errno, Result, backend};

/// What a [`Ref`] points at. The value comes first, so a pointer to this is a pointer to the value. The
/// kernel's LRO code reads the first words of a softc and of a port.
#[repr(C)]
pub(super) struct Counted<T> {
    value: T,
    count: AtomicUsize,
    watched: Watched,
    /// The kernel's while the object waits for its grace period, and unused before.
    context: UnsafeCell<backend::EpochContext>,
}

impl<T> Counted<T> {
    /// Its memory. An object larger than a cache line begins at one, so that a value can have in one line
    /// what packets read together.
    const LAYOUT: Layout = {
        let layout = Layout::new::<Self>();
        match layout.align_to(if layout.size() > CACHE_LINE { CACHE_LINE } else { 1 }) {
            Ok(layout) => layout,
            Err(_) => layout,
        }
    };
}

/// Objects allocated and not yet freed. Not loom's atomic, because it orders nothing.
#[cfg(not(loom))]
static LIVE: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(0);

#[cfg(loom)]
loom::lazy_static! {
    static ref LIVE: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(0);
}

/// The number of counted objects, including those that wait for their grace period. The module may be
/// unloaded only at 0.
pub fn live() -> usize {
    LIVE.load(core::sync::atomic::Ordering::Acquire)
}

/// A counted reference.
///
/// When the last one goes, the value is dropped and freed a grace period later, on the kernel's epoch
/// thread, where nothing may sleep. So a reader that finds the object through a pointer, which is cleared
/// before its reference is dropped, may read it for the rest of its epoch section.
///
/// # Invariants
/// The pointer is to a `Counted<T>` in which this reference is counted.
pub struct Ref<T: Send + Sync + 'static>(NonNull<Counted<T>>);

// SAFETY: a reference gives shared access alone, and its last owner drops the value on any thread:
// `T: Send + Sync` allows both.
unsafe impl<T: Send + Sync> Send for Ref<T> {}
// SAFETY: a shared reference can be cloned, and then sent: `T: Send + Sync` allows that too.
unsafe impl<T: Send + Sync> Sync for Ref<T> {}

impl<T: Send + Sync> Ref<T> {
    /// Allocates a counted `value`. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new(value: T) -> Result<Self> {
        let memory = backend::allocate(Counted::<T>::LAYOUT).ok_or(Errno::ENOMEM)?;
        let object: NonNull<Counted<T>> = memory.cast();
        let context = UnsafeCell::new(backend::EPOCH_CONTEXT);
        // SAFETY: `object` is memory of its layout that was allocated just now, and is not shared.
        unsafe {
            object.write(Counted {
                value,
                count: AtomicUsize::new(1),
                watched: Watched::new(),
                context,
            });
        }
        LIVE.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        // INVARIANT: the count of 1 is this reference.
        Ok(Ref(object))
    }

    /// Tells loom that the object is read.
    #[inline(always)]
    pub(super) fn read(&self) {
        // SAFETY: `self` is counted, so the object is there.
        unsafe { self.0.as_ref() }.watched.read();
    }

    /// Whether this is a reference to `other`.
    pub fn is(&self, other: &T) -> bool {
        core::ptr::eq::<T>(&**self, other)
    }

    /// Gives the reference away as a pointer, which also points at the value. [`Ref::from_raw`] takes it
    /// back.
    pub(super) fn into_raw(self) -> *mut Counted<T> {
        let object = self.0.as_ptr();
        core::mem::forget(self);
        object
    }

    /// The reference that [`Ref::into_raw`] gave away.
    ///
    /// # Safety
    /// `object` came from `into_raw`, and is taken back once.
    pub(super) unsafe fn from_raw(object: NonNull<Counted<T>>) -> Self {
        // INVARIANT: the caller promises a pointer of `into_raw`, so the count that went with it is ours again.
        Ref(object)
    }

    /// The value behind a pointer of [`Ref::into_raw`] that was found in a place.
    ///
    /// # Safety
    /// `object` was read in the section that the epoch stands for, from a place that holds a counted
    /// reference, which is dropped only after the place is cleared.
    pub(super) unsafe fn shared(object: NonNull<Counted<T>>, _: &Epoch) -> &T {
        // SAFETY: the reference was counted when the section had begun, so the object is freed
        // after the section.
        let object = unsafe { object.as_ref() };
        object.watched.read();
        &object.value
    }

    /// A new reference to an object found as in [`Ref::shared`]; none if its last reference has
    /// gone since.
    ///
    /// # Safety
    /// As for [`Ref::shared`].
    pub(super) unsafe fn upgrade(object: NonNull<Counted<T>>, _: &Epoch) -> Option<Self> {
        // SAFETY: the caller promises what `shared` asks for: the object is freed after the section, whatever
        // its count.
        let count = unsafe { &object.as_ref().count };
        let mut seen = count.load(Ordering::Relaxed);
        while seen != 0 {
            match count.compare_exchange_weak(seen, seen + 1, Ordering::Relaxed, Ordering::Relaxed)
            {
                // INVARIANT: the count that was not 0 is one more since just now.
                Ok(_) => return Some(Ref(object)),
                Err(now) => seen = now,
            }
        }
        None
    }

    /// Drops the value and frees the object.
    ///
    /// # Safety
    /// `context` is that of a `Counted<T>` whose last reference has gone a grace period ago.
    unsafe extern "C" fn reclaim(context: *mut backend::EpochContext) {
        // SAFETY: the caller promises the context of a `Counted<T>`, from which its address follows. No
        // reference is left and the grace period is over, so nothing uses value and memory any more.
        unsafe {
            let object = context.byte_sub(offset_of!(Counted<T>, context)).cast::<Counted<T>>();
            (*object).watched.write();
            object.drop_in_place();
            backend::release(NonNull::new_unchecked(object).cast(), Counted::<T>::LAYOUT);
        }
        LIVE.fetch_sub(1, core::sync::atomic::Ordering::Release);
    }
}

/// A counted object that no other thread has seen yet, and that can still be changed.
///
/// # Invariants
/// The reference is the only one.
pub struct Unique<T: Send + Sync + 'static>(Ref<T>);

impl<T: Send + Sync> Unique<T> {
    /// Allocates `value`. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new(value: T) -> Result<Self> {
        // INVARIANT: `try_new` has made the first reference, and no other thread has seen it.
        Ok(Unique(Ref::try_new(value)?))
    }

    /// Ends the changes: from here on the object can be shared.
    pub fn share(self) -> Ref<T> {
        self.0
    }
}

impl<T: Send + Sync> Deref for Unique<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Send + Sync> DerefMut for Unique<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: by the invariant this is the only reference, and it is borrowed uniquely.
        let object = unsafe { self.0.0.as_mut() };
        object.watched.write();
        &mut object.value
    }
}

impl<T: Send + Sync> Clone for Ref<T> {
    fn clone(&self) -> Self {
        // SAFETY: `self` is counted, so the object is there.
        unsafe { self.0.as_ref() }.count.fetch_add(1, Ordering::Relaxed);
        // INVARIANT: the count is one more since just now.
        Ref(self.0)
    }
}

impl<T: Send + Sync> Deref for Ref<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `self` is counted, so the object is there.
        let object = unsafe { self.0.as_ref() };
        object.watched.read();
        &object.value
    }
}

impl<T: Send + Sync> Drop for Ref<T> {
    fn drop(&mut self) {
        // loom has found a failure, and must not find more while unwinding.
        #[cfg(loom)]
        if std::thread::panicking() {
            return;
        }
        // What other owners did with the value happens before its drop.
        // SAFETY: `self` is counted until this subtraction, so the object is there for it.
        if unsafe { self.0.as_ref() }.count.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        // SAFETY: no reference is left and `upgrade` makes none from a count of 0, so the object
        // is the callback's alone once the readers in the epoch have gone; its context is in no
        // other use.
        unsafe { backend::epoch_call((&raw mut (*self.0.as_ptr()).context).cast(), Self::reclaim) };
    }
}

/// A value in memory of its own, without a count, because malloc(9) rounds sizes up to powers of two.
///
/// # Invariants
/// The pointer is to a `T` in memory of its layout, of ours alone. A `T` has a size.
pub struct Boxed<T>(NonNull<T>);

// SAFETY: to send it is to send the value that it owns.
unsafe impl<T: Send> Send for Boxed<T> {}
// SAFETY: a shared one gives a shared value, and no more.
unsafe impl<T: Sync> Sync for Boxed<T> {}

impl<T> Boxed<T> {
    /// Allocates `value`. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new(value: T) -> Result<Self> {
        let place = Self::allocate()?;
        // SAFETY: memory of its layout that was allocated just now, and is not shared.
        unsafe { place.write(value) };
        // INVARIANT: a `T` is there, and the memory is ours.
        Ok(Boxed(place))
    }

    /// Memory for one, with nothing in it.
    fn allocate() -> Result<NonNull<T>> {
        const { assert!(size_of::<T>() != 0) };
        Ok(backend::allocate(Layout::new::<T>()).ok_or(Errno::ENOMEM)?.cast())
    }
}

impl<T: FromZeros> Boxed<T> {
    /// Allocates a zeroed value in place, so a large one needs no stack. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_zeroed() -> Result<Self> {
        let place = Self::allocate()?;
        // SAFETY: memory of its layout that was allocated just now, and is not shared.
        unsafe { place.write_bytes(0, 1) };
        // INVARIANT: zeros are a `T`, and the memory is ours.
        Ok(Boxed(place))
    }
}

impl<T> Deref for Boxed<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: by the invariant a `T` is there, which `self` owns and borrows out.
        unsafe { self.0.as_ref() }
    }
}

impl<T> DerefMut for Boxed<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: by the invariant a `T` is there, which `self` owns and borrows out uniquely.
        unsafe { self.0.as_mut() }
    }
}

impl<T> Drop for Boxed<T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant value and memory, of that layout, are ours. They are not used again.
        unsafe {
            self.0.drop_in_place();
            backend::release(self.0.cast(), Layout::new::<T>());
        }
    }
}

/// Values in memory of their own. Their number is fixed.
///
/// # Invariants
/// `items` points at `len` values in memory of their layout, of ours alone; if `len` is 0, or they
/// have no size, at no memory.
pub struct Array<T> {
    items: NonNull<T>,
    len: usize,
}

// SAFETY: to send it is to send the values that it owns.
unsafe impl<T: Send> Send for Array<T> {}
// SAFETY: a shared one gives shared values, and no more.
unsafe impl<T: Sync> Sync for Array<T> {}

impl<T> Array<T> {
    /// `len` values, made by `make` from their places. May sleep.
    ///
    /// # Errors
    /// ENOMEM; `make` is not called then.
    pub fn try_new(len: usize, mut make: impl FnMut(usize) -> T) -> Result<Self> {
        let layout = Layout::array::<T>(len).map_err(|_| Errno::ENOMEM)?;
        let items = match layout.size() {
            0 => NonNull::dangling(),
            _ => backend::allocate(layout).ok_or(Errno::ENOMEM)?.cast(),
        };
        // INVARIANT: `len` counts what has been written so far, so a panic of `make` drops no more.
        let mut array = Array { items, len: 0 };
        for place in 0..len {
            let item = make(place);
            // SAFETY: the memory has room for `len` values, and this is one of their places.
            unsafe { array.items.add(place).write(item) };
            array.len = place + 1;
        }
        Ok(array)
    }
}

impl<T> Default for Array<T> {
    fn default() -> Self {
        // INVARIANT: no values.
        Array { items: NonNull::dangling(), len: 0 }
    }
}

impl<T> Deref for Array<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: by the invariant `len` values are there, which `self` owns and borrows out.
        unsafe { core::slice::from_raw_parts(self.items.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Array<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: by the invariant `len` values are there, which `self` owns and borrows out uniquely.
        unsafe { core::slice::from_raw_parts_mut(self.items.as_ptr(), self.len) }
    }
}

impl<T> Drop for Array<T> {
    fn drop(&mut self) {
        let items: *mut [T] = &raw mut **self;
        // SAFETY: by the invariant the values are ours, and so is memory of their layout, if that has a size.
        // They are not used again.
        unsafe {
            let layout = Layout::for_value(&*items);
            items.drop_in_place();
            if layout.size() != 0 {
                backend::release(self.items.cast(), layout);
            }
        }
    }
}
