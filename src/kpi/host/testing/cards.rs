//! Models of real cards and their drivers, after FreeBSD 15's source and QEMU's cards.

use std::sync::Arc;

use super::{SET_LLADDR, TestNic};
use crate::kpi::host::attach::{Attached, attach};
use crate::kpi::host::driver::MOST_MTU;
use crate::kpi::host::media::IFM_FDX;
use crate::kpi::host::offloads::{Couplings, couple};
use crate::kpi::ioctl::SIOCGIFXMEDIA;
use crate::kpi::requests::{IFM_ETHER, IFM_HDX};
use crate::kpi::{Errno, IfType, MacAddr, Offloads, iff};

const RXCSUM: u64 = 1;
const TXCSUM: u64 = 1 << 1;
const VLAN_MTU: u64 = 1 << 3;
const VLAN_HWTAGGING: u64 = 1 << 4;
const JUMBO_MTU: u64 = 1 << 5;
const VLAN_HWCSUM: u64 = 1 << 7;
const TSO4: u64 = 1 << 8;
const TSO6: u64 = 1 << 9;
const LRO: u64 = 1 << 10;
const VLAN_HWFILTER: u64 = 1 << 16;
const VLAN_HWTSO: u64 = 1 << 18;
const LINKSTATE: u64 = 1 << 19;
const RXCSUM_IPV6: u64 = 1 << 21;
const TXCSUM_IPV6: u64 = 1 << 22;
const HWSTATS: u64 = 1 << 23;

const TSO: u64 = TSO4 | TSO6;
const RECEIVE: u64 = RXCSUM | RXCSUM_IPV6;
const VLANS: u64 = VLAN_MTU | VLAN_HWTAGGING | VLAN_HWCSUM;

/// Capabilities of em(4) for cards before PCI Express.
const LEM: u64 =
    RECEIVE | TXCSUM | TXCSUM_IPV6 | VLANS | VLAN_HWFILTER | TSO4 | LRO | VLAN_HWTSO | JUMBO_MTU;
const VTNET: u64 = RECEIVE
    | TXCSUM
    | TXCSUM_IPV6
    | VLANS
    | TSO
    | LRO
    | VLAN_HWTSO
    | JUMBO_MTU
    | LINKSTATE
    | HWSTATS;
/// vtnet(4): there is no segmentation without checksums, and no LRO.
const VTNET_NEEDS: &[(u64, u64)] = &[(TSO4, TXCSUM), (TSO6, TXCSUM_IPV6), (LRO, RECEIVE)];

/// A card and its driver.
#[derive(Debug)]
pub struct Model {
    /// The driver's name, and which card.
    pub name: &'static str,
    /// What it can do.
    pub capabilities: u64,
    /// Those that are disabled at first.
    pub disabled: u64,
    /// The media that its driver reports (`ifm_active`).
    pub media: u32,
    /// Whether its driver knows SIOCGIFXMEDIA.
    pub knows_extended_media: bool,
    /// Whether it accepts another address.
    pub takes_lladdr: bool,
    /// Whether its requests take long, so that other threads run meanwhile.
    pub is_slow: bool,
    /// What its driver does by itself.
    pub couplings: Couplings,
}

/// An iflib driver, which switches both receive checksums or neither.
const IFLIB: Couplings = Couplings { together: RECEIVE, ..NOTHING };

const NOTHING: Couplings = Couplings {
    together: 0,
    needs: &[],
    max_mtu: None,
    above_mtu: None,
    at_link_up: 0,
    is_late: false,
    keeps_link: false,
    at_vlans: false,
    own_flags: 0,
    groups: None,
};

/// A card of 1 Gb/s, full duplex, without capabilities. It accepts everything without restarting.
const PLAIN: Model = Model {
    name: "plain",
    capabilities: 0,
    disabled: 0,
    media: IFM_ETHER | IFM_FDX | 16,
    knows_extended_media: true,
    takes_lladdr: true,
    is_slow: false,
    couplings: Couplings { keeps_link: true, ..NOTHING },
};

/// All models. The first is the plain one.
pub const MODELS: [Model; 13] = [
    PLAIN,
    // e1000: it resets for everything, and negotiates its link again.
    Model {
        name: "em 82540",
        capabilities: LEM,
        disabled: TSO4 | LRO,
        couplings: Couplings { max_mtu: Some(16_110), is_late: true, groups: Some(127), ..IFLIB },
        ..PLAIN
    },
    // e1000e, whose link is back before the driver looks.
    Model {
        name: "em 82574",
        capabilities: LEM | TSO6,
        disabled: LRO,
        couplings: Couplings { groups: Some(127), ..IFLIB },
        ..PLAIN
    },
    // On a link of 100 Mb/s it disables TSO.
    Model {
        name: "em 82574 at 100 Mb/s",
        capabilities: LEM | TSO6,
        disabled: LRO,
        media: IFM_ETHER | IFM_FDX | 6,
        couplings: Couplings { at_link_up: TSO, groups: Some(127), ..IFLIB },
        ..PLAIN
    },
    // vmxnet3: its media is IFM_AUTO, of any speed and duplex.
    Model {
        name: "vmx",
        capabilities: RECEIVE
            | TXCSUM
            | TXCSUM_IPV6
            | TSO
            | VLANS
            | VLAN_HWTSO
            | JUMBO_MTU
            | LRO
            | VLAN_HWFILTER,
        disabled: LRO | VLAN_HWFILTER,
        media: IFM_ETHER,
        couplings: Couplings {
            max_mtu: Some(9_000),
            keeps_link: true,
            at_vlans: true,
            groups: Some(31),
            ..IFLIB
        },
        ..PLAIN
    },
    // rtl8139 in its C+ mode: no jumbo frames.
    Model {
        name: "re 8139C+",
        capabilities: RXCSUM | TXCSUM | TSO4 | VLANS | VLAN_HWTSO,
        disabled: TSO4 | VLAN_HWTSO,
        media: IFM_ETHER | IFM_FDX | 6,
        knows_extended_media: false,
        couplings: Couplings {
            max_mtu: Some(1_500),
            needs: &[(VLAN_HWTSO, VLAN_HWTAGGING)],
            groups: Some(64),
            ..NOTHING
        },
        ..PLAIN
    },
    // It has no checksums for jumbo frames.
    Model {
        name: "re 8168",
        capabilities: RXCSUM | TXCSUM | TSO4 | VLANS | VLAN_HWTSO | JUMBO_MTU,
        disabled: TSO4 | VLAN_HWTSO,
        knows_extended_media: false,
        couplings: Couplings {
            max_mtu: Some(9_198),
            above_mtu: Some((1_500, RXCSUM | TXCSUM | TSO4)),
            needs: &[(VLAN_HWTSO, VLAN_HWTAGGING)],
            is_late: true,
            groups: Some(64),
            ..NOTHING
        },
        ..PLAIN
    },
    // QEMU's virtio-net
    Model {
        name: "vtnet",
        capabilities: VTNET | VLAN_HWFILTER,
        disabled: VLAN_HWFILTER,
        media: IFM_ETHER | IFM_FDX | 26,
        knows_extended_media: false,
        couplings: Couplings {
            together: RECEIVE,
            needs: VTNET_NEEDS,
            keeps_link: true,
            groups: Some(128),
            ..NOTHING
        },
        ..PLAIN
    },
    // bhyve's, which cannot filter
    Model {
        name: "vtnet without a control queue",
        capabilities: VTNET,
        media: IFM_ETHER | IFM_FDX | 26,
        knows_extended_media: false,
        couplings: Couplings {
            together: RECEIVE,
            needs: VTNET_NEEDS,
            keeps_link: true,
            own_flags: iff::PROMISC | iff::ALLMULTI,
            ..NOTHING
        },
        ..PLAIN
    },
    // It restarts for each VLAN, and loses its link.
    Model {
        name: "ice",
        capabilities: LEM | TSO6,
        disabled: LRO,
        media: IFM_ETHER | IFM_FDX | 26,
        couplings: Couplings { max_mtu: Some(9_706), is_late: true, at_vlans: true, ..IFLIB },
        ..PLAIN
    },
    Model {
        name: "rl on a hub",
        capabilities: VLAN_MTU,
        media: IFM_ETHER | IFM_HDX | 6,
        knows_extended_media: false,
        couplings: Couplings { max_mtu: Some(1_500), groups: Some(64), ..NOTHING },
        ..PLAIN
    },
    // The host gives it its address.
    Model {
        name: "a virtual function",
        capabilities: RECEIVE | TXCSUM | VLAN_MTU,
        takes_lladdr: false,
        couplings: Couplings { at_vlans: true, keeps_link: true, groups: Some(4), ..IFLIB },
        ..PLAIN
    },
    // USB: each request goes over the bus, and its medium may be unknown.
    Model {
        name: "axge",
        capabilities: RXCSUM | TXCSUM | VLAN_MTU,
        media: IFM_ETHER | 25,
        knows_extended_media: false,
        is_slow: true,
        couplings: Couplings { max_mtu: Some(1_500), groups: Some(64), ..NOTHING },
        ..PLAIN
    },
];

impl Model {
    /// The largest MTU that it accepts.
    pub fn max_mtu(&self) -> u32 {
        self.couplings.max_mtu.unwrap_or(MOST_MTU)
    }

    /// Attaches such a card, down, with an MTU of 1500.
    pub fn attach(&self, name: &str, mac: MacAddr) -> (Arc<TestNic>, Attached) {
        let nic = if self.is_slow { TestNic::slow() } else { TestNic::new() };
        let baudrate = match self.media & 0x1f {
            6 => 100_000_000,
            26 => 10_000_000_000,
            _ => 1_000_000_000,
        };
        let ifp = attach(name, IfType::Ethernet, mac, 1500, baudrate, nic.clone());
        let enabled = self.capabilities & !self.disabled;
        let hwassist = enabled & (TXCSUM | TXCSUM_IPV6 | TSO);
        let capabilities = self.capabilities;
        ifp.store_offloads(&Offloads { capabilities, enabled, hwassist, tso: [65535, 32, 4096] });
        couple(&ifp, self.couplings);
        nic.set_media(self.media);
        if !self.knows_extended_media {
            nic.refuse_all(SIOCGIFXMEDIA, Errno::EINVAL);
        }
        if !self.takes_lladdr {
            nic.refuse_all(SET_LLADDR, Errno::EPERM);
        }
        (nic, ifp)
    }
}
