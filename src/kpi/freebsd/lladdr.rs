//! Link-level addresses of interfaces.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

use super::bindings as c;
use super::epoch::epoch_wait;
use super::ifnet::{Ifnet, call, field};
use super::memory::Pinned;
use crate::kpi::{Epoch, Errno, IfType, InfinibandAddr, LinkAddr, MacAddr, Result, epoch, iff};

/// The broadcast address of an InfiniBand lagg that is gone.
static NOWHERE: InfinibandAddr = [0; 20];

impl Ifnet {
    /// Length of its link-level address.
    pub fn addr_len(&self) -> usize {
        call!(if_getaddrlen, self).into()
    }

    /// Its link-level address, InfiniBand or else Ethernet; zeros before it is attached. The interface is not
    /// detached, nor will be before the caller is through: the kernel leaves a pointer to what it freed then.
    pub fn lladdr(&self) -> LinkAddr {
        epoch::section(|_| {
            let place = call!(lagg_rs_lladdr, self);
            // SAFETY: a `sockaddr_dl` has room for 20 bytes behind the name, whatever the length, and is
            // freed a grace period after the interface was detached.
            unsafe { self.address_at(place) }
        })
    }

    /// Stores a link-level address, and does nothing else: for a lagg's own interface.
    pub fn store_lladdr(&self, address: &LinkAddr) {
        let bytes = address.as_bytes();
        epoch::section(|_| {
            if let Some(place) = NonNull::new(call!(lagg_rs_lladdr, self)) {
                // SAFETY: room for 20 bytes, as above, which the kernel keeps for the driver to write.
                unsafe { place.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
            }
        });
    }

    /// Its broadcast address; zeros if it has none, or not any more.
    pub fn broadcast_lladdr(&self) -> LinkAddr {
        // SAFETY: as long as the interface's addresses.
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
                // SAFETY: what `attach_infiniband` has put there.
                unsafe { place.cast::<InfinibandAddr>().write(*address) };
            }
        });
    }

    /// Where its broadcast address is, for the rest of the section; NULL before it has one and when it
    /// is detached. Who has put it there may free it then: the kernel marks the interface first, and
    /// waits for the section.
    fn broadcast(&self, _: &Epoch) -> *mut u8 {
        if self.flags() & iff::DYING != 0 {
            return ptr::null_mut();
        }
        // SAFETY: an aligned pointer, there for as long as `self`.
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
            // SAFETY: by contract.
            LinkAddr::Infiniband(unsafe { read(place) })
        } else {
            // SAFETY: by contract.
            LinkAddr::Ethernet(unsafe { read::<{ size_of::<MacAddr>() }>(place) })
        }
    }

    /// Gives it a link-level address: its driver is called and those who want to know are told. May
    /// sleep.
    ///
    /// # Errors
    /// EINVAL if it has no such address; ENODEV if its type has another kind, or one that nobody sets.
    pub fn set_lladdr(&self, address: &LinkAddr) -> Result {
        let bytes = address.as_bytes();
        let len = bytes.len() as i32;
        Errno::check(self.in_vnet(|| call!(if_setlladdr, self, bytes.as_ptr(), len)))
    }

    /// Has its neighbours hear its link-level address: a gratuitous ARP for each IPv4 address (arp(4)).
    pub fn announce(&self, _: &Epoch) {
        self.in_vnet(|| call!(lagg_rs_announce, self));
    }

    /// Announces that its address has changed (`iflladdr_event`). May sleep.
    pub fn lladdr_event(&self) {
        self.in_vnet(|| call!(lagg_rs_iflladdr_event, self));
    }

    /// Attaches a lagg's interface that is made and named, without an address.
    pub(super) fn attach_ethernet(&self) {
        call!(ether_ifattach, self, [0; 6].as_ptr());
    }

    /// The same of InfiniBand; `broadcast` is the place of its broadcast address, until
    /// [`Ifnet::detach_lagg`].
    pub(super) fn attach_infiniband(&self, broadcast: Pinned<InfinibandAddr>) {
        call!(infiniband_ifattach, self, ptr::null(), broadcast.into_raw().cast());
    }

    /// Detaches a lagg's interface. Sleeps.
    pub(super) fn detach_lagg(&self) {
        if self.if_type() != IfType::Infiniband {
            call!(ether_ifdetach, self);
            return;
        }
        call!(infiniband_ifdetach, self);
        let broadcast = call!(if_getbroadcastaddr, self).cast_mut();
        call!(if_setbroadcastaddr, self, NOWHERE.as_ptr());
        // Packets under way may be addressed by it.
        epoch_wait();
        // SAFETY: from `attach_infiniband`, and nobody's any more.
        drop(unsafe { Pinned::<InfinibandAddr>::from_raw(broadcast.cast()) });
    }
}

/// The bytes at `place`; zeros for NULL.
///
/// # Safety
/// If it is not NULL, they are there.
unsafe fn read<const N: usize>(place: *const u8) -> [u8; N] {
    // SAFETY: by contract. A driver may be writing them; what is read is then a mixture of two
    // addresses, as it is for the kernel's own readers.
    if place.is_null() { [0; N] } else { unsafe { place.cast::<[u8; N]>().read() } }
}
