//! Requests to a port's own driver.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::backend::media_baudrate;
use super::ioctl::{
    InterfaceRequest, SIOCGIFMEDIA, SIOCGIFXMEDIA, SIOCSIFCAP, SIOCSIFCAPNV, SIOCSIFFLAGS,
    SIOCSIFMTU,
};
use super::{Ifnet, Ioctl, Name, PortMedia, PortMethods, Result};

/// The driver accepts SIOCSIFCAPNV (IFCAP_NV).
const IFCAP_NV: u64 = 1 << 17;

/// The media of Ethernet.
pub const IFM_ETHER: u32 = 0x20;
/// The bits of a medium that hold its type.
pub(super) const IFM_NMASK: u32 = 0xe0;
/// Half duplex.
pub const IFM_HDX: u32 = 0x20_0000;

/// `struct ifmediareq`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MediaRequest {
    /// The interface.
    pub name: Name,
    /// The media that is set.
    pub current: u32,
    /// Option bits to ignore.
    pub mask: u32,
    /// `IFM_AVALID`, `IFM_ACTIVE`.
    pub status: u32,
    /// The media in use.
    pub active: u32,
    /// Room for this many media at `list`; returned: how many there are.
    pub count: i32,
    /// Padding.
    pub pad: u32,
    /// Where in the caller's memory the list is.
    pub list: u64,
}

static_assertions::assert_eq_size!(MediaRequest, [u8; 48]);

/// `struct siocsifcapnv_driver_data`: what SIOCSIFCAPNV brings to a driver.
#[repr(C)]
pub(super) struct CapabilitiesRequest {
    pub(super) first: u32,
    pub(super) second: u32,
    /// An nvlist, or NULL.
    pub(super) list: usize,
}

impl PortMethods {
    /// Sets the MTU of `ifp`, whose methods these are. May sleep; may take locks of the stack.
    ///
    /// # Errors
    /// What its driver returned; EINVAL if it takes no ioctls.
    pub fn set_mtu(&self, ifp: &Ifnet, mtu: u32) -> Result {
        self.request(ifp, SIOCSIFMTU, InterfaceRequest::with_mtu(mtu).named(ifp.name()))
    }

    /// Lets the driver of `ifp`, whose methods these are, look at the flags. May sleep; may take
    /// locks of the stack.
    ///
    /// # Errors
    /// What its driver returned; EINVAL if it takes no ioctls.
    pub fn set_flags(&self, ifp: &Ifnet) -> Result {
        // F-5: zeroed, except for what is set here
        self.request(ifp, SIOCSIFFLAGS, InterfaceRequest::default())
    }

    /// Asks the driver of `ifp`, whose methods these are, to have these capabilities enabled, and no
    /// others. May sleep; may take locks of the stack.
    ///
    /// # Errors
    /// What its driver returned; EINVAL if it takes no ioctls.
    pub fn enable(&self, ifp: &Ifnet, enabled: u64) -> Result {
        let first = enabled as u32;
        if ifp.offloads().capabilities & IFCAP_NV == 0 {
            let argument = InterfaceRequest::with_capabilities(first).named(ifp.name());
            return self.request(ifp, SIOCSIFCAP, argument);
        }
        let mut argument = CapabilitiesRequest { first, second: (enabled >> 32) as u32, list: 0 };
        // SAFETY: a driver gets this structure with SIOCSIFCAPNV, and this one outlives the request.
        let mut request = unsafe { Ioctl::new(SIOCSIFCAPNV, (&raw mut argument).cast()) };
        self.forward(ifp, &mut request)
    }

    /// The media in use on `ifp`, whose methods these are; none if it does not say. May sleep; may take
    /// locks of the stack.
    pub fn media(&self, ifp: &Ifnet) -> Option<PortMedia> {
        let active = [SIOCGIFXMEDIA, SIOCGIFMEDIA].into_iter().find_map(|command| {
            // Without room for a list.
            let mut argument = MediaRequest::default();
            // SAFETY: a driver gets an ifmediareq with both commands, which this is, and it outlives the request.
            let mut request = unsafe { Ioctl::new(command, (&raw mut argument).cast()) };
            self.forward(ifp, &mut request).ok().map(|()| argument.active)
        })?;
        Some(PortMedia {
            ethernet: active & IFM_NMASK == IFM_ETHER,
            half_duplex: active & IFM_HDX != 0,
            baudrate: media_baudrate(active),
        })
    }

    fn request(&self, ifp: &Ifnet, command: usize, mut argument: InterfaceRequest) -> Result {
        // SAFETY: a driver gets an ifreq with each of these commands, which this is, and it outlives the request.
        let mut request = unsafe { Ioctl::new(command, (&raw mut argument).cast()) };
        self.forward(ifp, &mut request)
    }
}
