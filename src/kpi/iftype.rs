//! Types of interfaces.

/// An interface's type (IFT_*), as far as lagg distinguishes them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IfType {
    /// IFT_ETHER.
    Ethernet,
    /// IFT_L2VLAN.
    Vlan,
    /// IFT_INFINIBAND.
    Infiniband,
    /// IFT_BRIDGE.
    Bridge,
    /// IFT_IEEE8023ADLAG: a port of an Ethernet lagg.
    LaggPort,
    /// IFT_INFINIBANDLAG: a port of an InfiniBand lagg.
    InfinibandLaggPort,
    /// Any other.
    Other(u8),
}

/// Their numbers (`net/if_types.h`).
pub(super) mod ift {
    pub const ETHER: u8 = 0x06;
    pub const L2VLAN: u8 = 0x87;
    pub const IEEE8023ADLAG: u8 = 0xa1;
    pub const INFINIBAND: u8 = 0xc7;
    pub const INFINIBANDLAG: u8 = 0xc8;
    pub const BRIDGE: u8 = 0xd1;
}

impl IfType {
    /// The type of a number.
    pub(super) fn from_number(number: u8) -> Self {
        match number {
            ift::ETHER => IfType::Ethernet,
            ift::L2VLAN => IfType::Vlan,
            ift::INFINIBAND => IfType::Infiniband,
            ift::BRIDGE => IfType::Bridge,
            ift::IEEE8023ADLAG => IfType::LaggPort,
            ift::INFINIBANDLAG => IfType::InfinibandLaggPort,
            other => IfType::Other(other),
        }
    }

    /// Its number.
    pub(super) fn number(self) -> u8 {
        match self {
            IfType::Ethernet => ift::ETHER,
            IfType::Vlan => ift::L2VLAN,
            IfType::Infiniband => ift::INFINIBAND,
            IfType::Bridge => ift::BRIDGE,
            IfType::LaggPort => ift::IEEE8023ADLAG,
            IfType::InfinibandLaggPort => ift::INFINIBANDLAG,
            IfType::Other(number) => number,
        }
    }

    /// The type that an interface of this type has while it is a port.
    pub(super) fn as_port(self) -> Self {
        match self {
            IfType::Infiniband => IfType::InfinibandLaggPort,
            _ => IfType::LaggPort,
        }
    }
}
