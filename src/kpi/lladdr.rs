//! Link-level addresses.

/// An Ethernet address.
pub type MacAddr = [u8; 6];

/// An InfiniBand address: flags and queue pair in 4 bytes, then the port's GID (RFC 4391, 9.1.1).
pub type InfinibandAddr = [u8; 20];

/// A link-level address of an interface or group, in the order in which it is sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "self-explanatory")]
pub enum LinkAddr {
    Ethernet(MacAddr),
    Infiniband(InfinibandAddr),
}

impl LinkAddr {
    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            LinkAddr::Ethernet(address) => address,
            LinkAddr::Infiniband(address) => address,
        }
    }

    /// The Ethernet address; zeros if it is not one.
    pub fn ethernet(&self) -> MacAddr {
        match self {
            LinkAddr::Ethernet(address) => *address,
            LinkAddr::Infiniband(_) => MacAddr::default(),
        }
    }
}

impl From<MacAddr> for LinkAddr {
    fn from(address: MacAddr) -> Self {
        LinkAddr::Ethernet(address)
    }
}

impl From<InfinibandAddr> for LinkAddr {
    fn from(address: InfinibandAddr) -> Self {
        LinkAddr::Infiniband(address)
    }
}

impl PartialEq<MacAddr> for LinkAddr {
    fn eq(&self, other: &MacAddr) -> bool {
        *self == LinkAddr::Ethernet(*other)
    }
}

impl PartialEq<InfinibandAddr> for LinkAddr {
    fn eq(&self, other: &InfinibandAddr) -> bool {
        *self == LinkAddr::Infiniband(*other)
    }
}
