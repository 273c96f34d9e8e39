//! malloc(9), of the type `lagg` in vmstat(8).

use core::alloc::Layout;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use super::bindings as c;
use crate::kpi::{Errno, Result};

/// malloc(9) aligns every size to this, and sizes that are a power of two to themselves, up to a page.
const MALLOC_ALIGNMENT: usize = 16;

/// Memory of `layout`, with unknown content. Sleeps until there is some.
pub(in crate::kpi) fn allocate(layout: Layout) -> Option<NonNull<u8>> {
    allocate_with(layout, c::M_WAITOK as i32)
}

/// The same without sleeping; none if there is none now.
pub(super) fn allocate_at_once(layout: Layout) -> Option<NonNull<u8>> {
    allocate_with(layout, c::M_NOWAIT as i32)
}

fn allocate_with(layout: Layout, flags: i32) -> Option<NonNull<u8>> {
    // Not malloc_aligned(9), which takes memory from the NUMA domains in turn. malloc(9) takes it from the
    // caller's (D-33).
    let size = match layout.align() {
        0..=MALLOC_ALIGNMENT => layout.size(),
        align => layout.size().max(align).checked_next_power_of_two()?,
    };
    // SAFETY: the malloc type is defined in kmod/shim.c, and initialised before the module loads.
    let memory = unsafe { c::malloc(size, (&raw mut c::M_LAGG).cast(), flags) };
    NonNull::new(memory.cast())
}

/// Frees what [`allocate`] returned. Does not sleep.
///
/// # Safety
/// `memory` came from here, and this is its last use.
pub(in crate::kpi) unsafe fn release(memory: NonNull<u8>, _: Layout) {
    // SAFETY: the caller promises memory of this malloc type that is not used again; free(9) knows the size.
    unsafe { c::free(memory.as_ptr().cast(), (&raw mut c::M_LAGG).cast()) };
}

/// A value in memory of its own. It never moves, as the kernel's objects must not.
///
/// # Invariants
/// The pointer is to memory from [`allocate`], with a value in it.
pub(super) struct Pinned<T>(NonNull<T>);

impl<T> Pinned<T> {
    /// Lets `init` make a value in place, so a large one needs no stack. May sleep.
    ///
    /// # Safety
    /// `init` leaves a value where its argument points, which is at zeros.
    pub(super) unsafe fn try_new(init: impl FnOnce(*mut T)) -> Result<Self> {
        let init = |place: *mut T| {
            // SAFETY: memory of that layout was allocated just now, and is not shared.
            unsafe { place.write_bytes(0, 1) };
            init(place);
        };
        // SAFETY: the caller promises that its function leaves a value in memory that was filled with zeros.
        unsafe { Self::try_new_in(init) }
    }

    /// The same, but `init` finds memory with unknown content. May sleep.
    ///
    /// # Safety
    /// `init` leaves a value where its argument points.
    pub(super) unsafe fn try_new_in(init: impl FnOnce(*mut T)) -> Result<Self> {
        let place: NonNull<T> = allocate(Layout::new::<T>()).ok_or(Errno::ENOMEM)?.cast();
        init(place.as_ptr());
        // INVARIANT: the memory is from `allocate`, and the caller promises that `init` leaves a value in it.
        Ok(Pinned(place))
    }

    /// Gives the value away, as a pointer.
    pub(super) fn into_raw(self) -> *mut T {
        ManuallyDrop::new(self).get()
    }

    /// Takes it back.
    ///
    /// # Safety
    /// The pointer is from [`Pinned::into_raw`], and not used again.
    pub(super) unsafe fn from_raw(place: *mut T) -> Self {
        // INVARIANT: the caller promises a pointer of `into_raw`, which gave away what it held.
        // SAFETY: such a pointer is not NULL.
        Pinned(unsafe { NonNull::new_unchecked(place) })
    }

    /// Where the value is.
    pub(super) fn get(&self) -> *mut T {
        self.0.as_ptr()
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant a value is there, in memory from `allocate`. The owner goes, and nothing
        // else has the place.
        unsafe {
            self.0.drop_in_place();
            release(self.0.cast(), Layout::new::<T>());
        }
    }
}
