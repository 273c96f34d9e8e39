//! Link-level addresses of interfaces.

use core::ptr::NonNull;

use super::bindings as c;
use super::ifnet::{Ifnet, call};
use crate::kpi::{Errno, InfinibandAddr, LinkAddr, MacAddr, Result, epoch};

impl Ifnet {
    /// Length of its link-level address.
    pub fn addr_len(&self) -> usize {
        call!(if_getaddrlen, self).into()
    }

    /// Its link-level address, InfiniBand or else Ethernet; zeros if it has none any more.
    pub fn lladdr(&self) -> LinkAddr {
        epoch::section(|_| {
            let place = call!(lagg_rs_lladdr, self);
            // SAFETY: a `sockaddr_dl` has room for 20 bytes behind the name, whatever the length, and is
            // freed a grace period after the interface has lost it.
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

    /// Announces that its address has changed (`iflladdr_event`). May sleep.
    pub fn lladdr_event(&self) {
        self.in_vnet(|| call!(lagg_rs_iflladdr_event, self));
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
