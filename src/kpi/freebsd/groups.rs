//! Multicast groups and promiscuous mode.

use core::ffi::{c_int, c_uint, c_void};
use core::mem::zeroed;
use core::ptr;

use super::bindings as c;
use super::ifnet::Ifnet;
use crate::kpi::{Array, Errno, InfinibandAddr, LinkAddr, MacAddr, Result};

/// A group that the driver has joined on a port, and must leave again. `A` is its address, or converts to
/// it.
pub struct Group<A = LinkAddr>(A);

impl Group {
    /// Its address.
    pub fn address(&self) -> LinkAddr {
        self.0
    }
}

/// Where [`collect`] stores the addresses.
struct Collected<'a> {
    to: &'a mut [LinkAddr],
    count: usize,
}

/// # Safety
/// The kernel calls it in the epoch, with a [`Collected`] and a group of an interface.
unsafe extern "C" fn collect(to: *mut c_void, group: *mut c::sockaddr_dl, _: c_uint) -> c_uint {
    // SAFETY: the kernel passes the `Collected` that if_foreach_llmaddr was called with, which no other
    // thread uses meanwhile, and a sockaddr_dl that is there for as long as its section.
    let (to, address, length) = unsafe {
        (&mut *to.cast::<Collected<'_>>(), lladdr(group), usize::from((*group).sdl_alen))
    };
    if let Some(place) = to.to.get_mut(to.count) {
        *place = if length == size_of::<InfinibandAddr>() {
            // SAFETY: the sockaddr_dl says that its address has these 20 bytes.
            LinkAddr::Infiniband(unsafe { address.cast::<InfinibandAddr>().read() })
        } else {
            // SAFETY: a `sockaddr_dl` has room for six bytes, which all other groups have.
            LinkAddr::Ethernet(unsafe { address.cast::<MacAddr>().read() })
        };
    }
    to.count += 1;
    1
}

/// # Safety
/// `address` points at a `sockaddr_dl`.
unsafe fn lladdr(address: *mut c::sockaddr_dl) -> *mut u8 {
    // SAFETY: the caller promises a sockaddr_dl, in which the link-level address stands after the name.
    unsafe { (&raw mut (*address).sdl_data).byte_add((*address).sdl_nlen.into()).cast() }
}

impl Ifnet {
    /// The groups that others have joined on the interface. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn groups(&self) -> Result<Array<LinkAddr>> {
        let mut room = 0;
        loop {
            let mut groups = Array::try_new(room, |_| LinkAddr::Ethernet([0; 6]))?;
            let mut to = Collected { to: &mut groups, count: 0 };
            let place = (&raw mut to).cast();
            // SAFETY: the ifnet is there. `collect` is called before this returns, with `place`, which is to a
            // `Collected` that outlives the call.
            unsafe { c::if_foreach_llmaddr(self.as_ptr(), Some(collect), place) };
            if to.count == room {
                return Ok(groups);
            }
            // There are more, or fewer, groups than room.
            room = to.count;
        }
    }

    /// Joins a group. May sleep; takes the locks that its driver takes.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn join_group<A: Copy + Into<LinkAddr>>(&self, group: A) -> Result<Group<A>> {
        let mut address = self.group_address(&group.into());
        let mut membership: *mut c::ifmultiaddr = ptr::null_mut();
        // SAFETY: in the interface's vnet. The address is a sockaddr of ours, of which the kernel copies what
        // it keeps, and the membership is written before this returns. The caller holds no lock of the
        // stack's.
        Errno::check(self.in_vnet(|| unsafe {
            c::if_addmulti(self.as_ptr(), (&raw mut address).cast(), &mut membership)
        }))?;
        Ok(Group(group))
    }

    /// Leaves a group. Does nothing if the stack has purged the interface's groups. May sleep.
    ///
    /// By its address, which the kernel looks up under its lock, because a purge before the departure event
    /// frees a membership that only we had.
    pub fn leave_group<A: Into<LinkAddr>>(&self, group: Group<A>) {
        let mut address = self.group_address(&group.0.into());
        // SAFETY: in the interface's vnet. The address is a sockaddr of ours, which is only read. The caller
        // holds no lock of the stack's.
        self.in_vnet(|| unsafe { c::if_delmulti(self.as_ptr(), (&raw mut address).cast()) });
    }

    /// A group's address in the kernel's form.
    fn group_address(&self, group: &LinkAddr) -> c::sockaddr_dl {
        let (bytes, kind) = match group {
            LinkAddr::Ethernet(address) => (address.as_slice(), c::IFT_ETHER),
            LinkAddr::Infiniband(address) => (address.as_slice(), c::IFT_INFINIBAND),
        };
        // SAFETY: a sockaddr_dl has integers alone, for which zeros are values.
        let mut address: c::sockaddr_dl = unsafe { zeroed() };
        let place = &raw mut address;
        // SAFETY: the address is ours, of the size that the kernel initialises, and has room for 20 bytes
        // behind a name of no length.
        unsafe {
            c::link_init_sdl(self.as_ptr(), place.cast(), kind as u8);
            (*place).sdl_alen = bytes.len() as u8;
            lladdr(place).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        address
    }

    /// Requests promiscuous mode, or ends the request (ifpromisc). May sleep.
    ///
    /// # Errors
    /// What the driver returned.
    pub fn want_promisc(&self, on: bool) -> Result {
        // SAFETY: in the interface's vnet. The kernel counts the requests, and calls the driver without a lock.
        Errno::check(self.in_vnet(|| unsafe { c::ifpromisc(self.as_ptr(), c_int::from(on)) }))
    }

    /// Requests all groups, or ends the request (if_allmulti). May sleep.
    ///
    /// # Errors
    /// What the driver returned.
    pub fn want_allmulti(&self, on: bool) -> Result {
        // SAFETY: in the interface's vnet. The kernel counts the requests, and calls the driver without a lock.
        Errno::check(self.in_vnet(|| unsafe { c::if_allmulti(self.as_ptr(), c_int::from(on)) }))
    }
}
