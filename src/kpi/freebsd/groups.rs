//! Multicast groups and promiscuous mode.

use core::ffi::{c_int, c_uint, c_void};
use core::mem::zeroed;
use core::ptr::{self, NonNull};

use super::bindings as c;
use super::ifnet::Ifnet;
use crate::kpi::{Array, Errno, MacAddr, Result};

/// A group that the driver has joined on a port, to be left again.
///
/// # Invariants
/// The membership is counted for this, unless the stack has purged the interface's groups.
pub struct Group {
    address: MacAddr,
    membership: NonNull<c::ifmultiaddr>,
}

// SAFETY: a token for `leave_group`, which any thread may call.
unsafe impl Send for Group {}
// SAFETY: as above; it lends nothing.
unsafe impl Sync for Group {}

impl Group {
    /// Its address.
    pub fn address(&self) -> MacAddr {
        self.address
    }
}

/// Where the addresses go that [`collect`] is called with.
struct Collected<'a> {
    to: &'a mut [MacAddr],
    count: usize,
}

/// # Safety
/// The kernel calls it in the epoch, with a [`Collected`] and a group of an Ethernet interface.
unsafe extern "C" fn collect(to: *mut c_void, group: *mut c::sockaddr_dl, _: c_uint) -> c_uint {
    // SAFETY: by contract.
    let (to, address) = unsafe { (&mut *to.cast::<Collected<'_>>(), lladdr(group)) };
    if let Some(place) = to.to.get_mut(to.count) {
        // SAFETY: an Ethernet address has six bytes.
        *place = unsafe { address.read() };
    }
    to.count += 1;
    1
}

/// # Safety
/// `address` points at a `sockaddr_dl`.
unsafe fn lladdr(address: *mut c::sockaddr_dl) -> *mut MacAddr {
    // SAFETY: by contract; the link-level address stands after the name.
    unsafe { (&raw mut (*address).sdl_data).byte_add((*address).sdl_nlen.into()).cast() }
}

impl Ifnet {
    /// The groups that others have joined on it. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn groups(&self) -> Result<Array<MacAddr>> {
        let mut room = 0;
        loop {
            let mut groups = Array::try_new(room, |_| MacAddr::default())?;
            let mut to = Collected { to: &mut groups, count: 0 };
            let place = (&raw mut to).cast();
            // SAFETY: the ifnet is there, and the function gets what it wants.
            unsafe { c::if_foreach_llmaddr(self.as_ptr(), Some(collect), place) };
            if to.count == room {
                return Ok(groups);
            }
            // There are more, or fewer, than there is room for.
            room = to.count;
        }
    }

    /// Joins a group. May sleep; takes the locks that its driver takes.
    ///
    /// # Errors
    /// What the driver returned.
    pub fn join_group(&self, group: &MacAddr) -> Result<Group> {
        let mut membership: *mut c::ifmultiaddr = ptr::null_mut();
        // SAFETY: plain data.
        let mut address: c::sockaddr_dl = unsafe { zeroed() };
        let place = &raw mut address;
        // SAFETY: the address is ours and has room for six bytes; it is written as the kernel reads
        // it, which copies what it keeps.
        Errno::check(unsafe {
            c::link_init_sdl(self.as_ptr(), place.cast(), c::IFT_ETHER as u8);
            (*place).sdl_alen = group.len() as u8;
            lladdr(place).write(*group);
            c::if_addmulti(self.as_ptr(), place.cast(), &mut membership)
        })?;
        // INVARIANT: counted by the kernel.
        NonNull::new(membership)
            .map(|membership| Group { address: *group, membership })
            .ok_or(Errno::ENOMEM)
    }

    /// Leaves a group; nothing if the stack has purged the interface's groups. May sleep.
    pub fn leave_group(&self, group: Group) {
        // SAFETY: the ifnet is there. With no group left on it the membership has been purged, and
        // may have been freed; else it is still counted for us.
        unsafe {
            if !c::if_maddr_empty(self.as_ptr()) {
                c::if_delmulti_ifma(group.membership.as_ptr());
            }
        }
    }

    /// Wants promiscuous mode, or no longer (ifpromisc). May sleep.
    ///
    /// # Errors
    /// What the driver returned.
    pub fn want_promisc(&self, on: bool) -> Result {
        // SAFETY: the ifnet is there.
        Errno::check(unsafe { c::ifpromisc(self.as_ptr(), c_int::from(on)) })
    }

    /// Wants all groups, or no longer (if_allmulti). May sleep.
    ///
    /// # Errors
    /// What the driver returned.
    pub fn want_allmulti(&self, on: bool) -> Result {
        // SAFETY: the ifnet is there.
        Errno::check(unsafe { c::if_allmulti(self.as_ptr(), c_int::from(on)) })
    }
}
