//! `struct ifreq`, whose command determines what its second half is.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{MacAddr, Name};

/// AF_LINK.
const AF_LINK: u8 = 18;

/// `struct ifreq`: an interface, and the value of a request (`ifr_ifru`).
///
/// The command determines the type of the value. Read as another type it is an arbitrary number, because
/// all bits are valid.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct InterfaceRequest {
    /// The interface.
    pub name: Name,
    ifru: [u32; 4],
}

static_assertions::assert_eq_size!(InterfaceRequest, [u8; 32]);

impl InterfaceRequest {
    fn new(first: u32, second: u32) -> Self {
        InterfaceRequest { name: Name::default(), ifru: [first, second, 0, 0] }
    }

    /// With this MTU (SIOCSIFMTU).
    pub fn with_mtu(mtu: u32) -> Self {
        Self::new(mtu, 0)
    }

    /// With these flags, IFF_* (SIOCSIFFLAGS).
    pub fn with_flags(flags: u32) -> Self {
        Self::new(flags, 0)
    }

    /// With these capabilities, IFCAP_* (SIOCSIFCAP).
    pub fn with_capabilities(capabilities: u32) -> Self {
        Self::new(capabilities, 0)
    }

    /// With these capabilities, first and second word (SIOCSIFCAPNV in the host's form).
    pub fn with_all_capabilities(capabilities: u64) -> Self {
        Self::new(capabilities as u32, (capabilities >> 32) as u32)
    }

    /// With these media, IFM_* (SIOCSIFMEDIA).
    pub fn with_media(media: u32) -> Self {
        Self::new(media, 0)
    }

    /// With this link-level address (SIOCSIFLLADDR).
    pub fn with_lladdr(lladdr: &MacAddr) -> Self {
        // A sockaddr: the length of the address, its family, the address.
        let [a, b, c, d, e, f] = *lladdr;
        let length = lladdr.len() as u8;
        let words = [[length, AF_LINK, a, b], [c, d, e, f]].map(u32::from_ne_bytes);
        Self::new(words[0], words[1])
    }

    /// With a VLAN's parent, by its index, 0 for none, and the VLAN's id (SIOCSETVLAN in the host's form).
    pub fn with_vlan(parent: u32, id: u16) -> Self {
        Self::new(parent, id.into())
    }

    /// The same for the interface of this name.
    pub fn named(self, name: Name) -> Self {
        InterfaceRequest { name, ..self }
    }

    /// The MTU.
    pub fn mtu(&self) -> u32 {
        self.ifru[0]
    }

    /// Sets the MTU.
    pub fn set_mtu(&mut self, mtu: u32) {
        self.ifru[0] = mtu;
    }

    /// The flags (`ifr_flags`, `ifr_flagshigh`).
    pub fn flags(&self) -> u32 {
        self.ifru[0]
    }

    /// Sets the flags.
    pub fn set_flags(&mut self, flags: u32) {
        self.ifru[0] = flags;
    }

    /// The capabilities of the first word (`ifr_reqcap`).
    pub fn capabilities(&self) -> u32 {
        self.ifru[0]
    }

    /// The capabilities, first and second word.
    pub fn all_capabilities(&self) -> u64 {
        u64::from(self.ifru[0]) | u64::from(self.ifru[1]) << 32
    }

    /// The media.
    pub fn media(&self) -> u32 {
        self.ifru[0]
    }

    /// The length of the link-level address, and its first six bytes.
    pub fn lladdr(&self) -> (u8, MacAddr) {
        let [[length, _, a, b], [c, d, e, f], ..] = self.ifru.map(u32::to_ne_bytes);
        (length, [a, b, c, d, e, f])
    }

    /// A VLAN's parent and id.
    pub fn vlan(&self) -> (u32, u16) {
        (self.ifru[0], self.ifru[1] as u16)
    }
}
