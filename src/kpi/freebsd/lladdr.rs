//! Link-level addresses of interfaces.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

use super::bindings as c;
use super::epoch::epoch_wait;
use super::ifnet::{Ifnet, field, scalar};
use super::memory::Pinned;
use crate::kpi::{Epoch, Errno, IfType, InfinibandAddr, LinkAddr, MacAddr, Result, epoch, iff};

/// The broadcast address of an InfiniBand lagg that is gone.
static NOWHERE: InfinibandAddr = [0; 20];

impl Ifnet {
    /// Length of its link-level address.
    pub fn addr_len(&self) -> usize {
        scalar!(if_getaddrlen, self).into()
    }

    /// Its link-level address, of InfiniBand or else Ethernet; zeros before it is attached. The caller
    /// keeps the interface from being detached, which leaves a pointer to freed memory.
    pub fn lladdr(&self) -> LinkAddr {
        epoch::section(|epoch| {
            // SAFETY: a `sockaddr_dl` has room for 20 bytes behind the name, whatever the length, and is freed
            // a grace period after the interface was detached: not in this section.
            unsafe { self.address_at(self.lladdr_place(epoch)) }
        })
    }

    /// Stores a link-level address, and does nothing else: for a lagg's own interface.
    pub fn store_lladdr(&self, address: &LinkAddr) {
        let bytes = address.as_bytes();
        epoch::section(|epoch| {
            if let Some(place) = NonNull::new(self.lladdr_place(epoch)) {
                // SAFETY: a `sockaddr_dl` has room for 20 bytes behind the name, and a lagg's address is its
                // driver's to write. It is not freed in this section.
                unsafe { place.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
            }
        });
    }

    /// Where its link-level address is, for the rest of the section; NULL before it is attached.
    fn lladdr_place(&self, _: &Epoch) -> *mut u8 {
        // SAFETY: the ifnet is there. The caller of [`Ifnet::lladdr`] keeps it from being detached, so its
        // address is NULL or there, and in the section it is not freed.
        unsafe { c::lagg_rs_lladdr(self.as_ptr()) }
    }

    /// Its broadcast address; zeros if it has none, or not any more.
    pub fn broadcast_lladdr(&self) -> LinkAddr {
        // SAFETY: a broadcast address has the length of the interface's addresses, and is there for as long as
        // the section.
        epoch::section(|epoch| unsafe { self.address_at(self.broadcast(epoch)) })
    }

    /// Stores a broadcast address: for an InfiniBand lagg's own interface. Nothing for others, whose is
    /// not the driver's to change.
    pub fn store_broadcast_lladdr(&self, address: &LinkAddr) {
        let LinkAddr::Infiniband(address) = address else { return };
        if !self.is_lagg() || self.if_type() != IfType::Infiniband {
            return;
        }
        epoch::section(|epoch| {
            let place = self.broadcast(epoch);
            if !place.is_null() {
                // SAFETY: the place that `attach_infiniband` has given to a lagg of InfiniBand, as this one is;
                // `detach_lagg` frees it after this section.
                unsafe { place.cast::<InfinibandAddr>().write(*address) };
            }
        });
    }

    /// Where its broadcast address is, for the rest of the section; NULL before it has one and once it is
    /// being detached. Only then may the lagg free it: the kernel marks the interface first, and waits for
    /// the section.
    fn broadcast(&self, _: &Epoch) -> *mut u8 {
        if self.flags() & iff::DYING != 0 {
            return ptr::null_mut();
        }
        // SAFETY: an aligned pointer in an ifnet that is there for as long as `self`, written once before the
        // interface is found and once after it is marked as dying.
        let place =
            unsafe { AtomicPtr::from_ptr((field!(self, if_broadcastaddr)).cast::<*mut u8>()) };
        place.load(Ordering::Acquire)
    }

    /// The address of the interface that is at `place`; zeros for NULL.
    ///
    /// # Safety
    /// If it is not NULL, there are as many bytes as its length says, of 6 and 20.
    unsafe fn address_at(&self, place: *const u8) -> LinkAddr {
        if self.addr_len() == size_of::<InfinibandAddr>() {
            // SAFETY: NULL, or 20 bytes, as the caller promises for an interface of that length.
            LinkAddr::Infiniband(unsafe { read(place) })
        } else {
            // SAFETY: NULL, or at least 6 bytes, as the caller promises.
            LinkAddr::Ethernet(unsafe { read::<{ size_of::<MacAddr>() }>(place) })
        }
    }

    /// Gives it a link-level address. Its driver is called, and the handlers of `iflladdr_event`. May
    /// sleep.
    ///
    /// # Errors
    /// EINVAL if it has no such address; ENODEV if its type has another kind, or one that cannot be set.
    pub fn set_lladdr(&self, address: &LinkAddr) -> Result {
        let bytes = address.as_bytes();
        let len = bytes.len() as i32;
        // SAFETY: `len` bytes, which are copied. The kernel refuses a length that is not the interface's, calls
        // its driver with an ifreq of its own, and wants the interface's vnet for its handlers.
        let set = || unsafe { c::if_setlladdr(self.as_ptr(), bytes.as_ptr(), len) };
        Errno::check(self.in_vnet(set))
    }

    /// Announces that its address has changed (`iflladdr_event`). May sleep.
    pub fn lladdr_event(&self) {
        // SAFETY: the ifnet is there and attached while its handlers run, which are called in its vnet and
        // without a lock of lagg's that they could want.
        self.in_vnet(|| unsafe { c::lagg_rs_iflladdr_event(self.as_ptr()) });
    }

    /// Attaches a lagg's interface without an address. Sleeps.
    ///
    /// # Safety
    /// The interface is made and named, with its methods, and was not attached before. The thread is in its
    /// vnet.
    pub(super) unsafe fn attach_ethernet(&self) {
        // SAFETY: the caller promises an interface that is complete and attached this once. The six bytes of
        // the address are copied.
        unsafe { c::ether_ifattach(self.as_ptr(), [0; 6].as_ptr()) };
    }

    /// The same of InfiniBand; `broadcast` is the place of its broadcast address, until
    /// [`Ifnet::detach_lagg`].
    ///
    /// # Safety
    /// As for [`Ifnet::attach_ethernet`].
    pub(super) unsafe fn attach_infiniband(&self, broadcast: Pinned<InfinibandAddr>) {
        // SAFETY: the caller promises an interface that is complete and attached this once. It may come without
        // an address; the broadcast address is pointed at from now on, and given up until it is taken back.
        unsafe {
            c::infiniband_ifattach(self.as_ptr(), ptr::null(), broadcast.into_raw().cast());
        }
    }

    /// Detaches a lagg's interface. Sleeps.
    ///
    /// # Safety
    /// It was attached by one of the above, and is detached this once. The thread is in its vnet and holds
    /// `ifnet_detach_sxlock`.
    pub(super) unsafe fn detach_lagg(&self) {
        if self.if_type() != IfType::Infiniband {
            // SAFETY: the caller promises one that is attached, as Ethernet by its type, and the lock.
            unsafe { c::ether_ifdetach(self.as_ptr()) };
            return;
        }
        // SAFETY: the caller promises one that is attached, as InfiniBand by its type, and the lock. Its
        // broadcast address is replaced by one that is there for ever, when no more is found through it.
        let broadcast = unsafe {
            c::infiniband_ifdetach(self.as_ptr());
            let broadcast = c::if_getbroadcastaddr(self.as_ptr()).cast_mut();
            c::if_setbroadcastaddr(self.as_ptr(), NOWHERE.as_ptr());
            broadcast
        };
        // Packets in flight may still use it.
        epoch_wait();
        // SAFETY: `attach_infiniband` has given it up, once, and since the wait no section has it.
        drop(unsafe { Pinned::<InfinibandAddr>::from_raw(broadcast.cast()) });
    }
}

/// The bytes at `place`; zeros for NULL.
///
/// # Safety
/// If it is not NULL, they are there.
unsafe fn read<const N: usize>(place: *const u8) -> [u8; N] {
    // SAFETY: not NULL, so the caller promises N bytes; a byte needs no alignment. A driver may be writing
    // them: what is read is then a mixture of two addresses, as it is for the kernel's own readers.
    if place.is_null() { [0; N] } else { unsafe { place.cast::<[u8; N]>().read() } }
}
