//! IP addresses of interfaces, and what hosts and switches are told of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock};

use super::driver::Kind;
use super::event::{self, Event};
use super::tasks::{SWI, Work};
use super::vnet::Vnet;
use super::witness::{self, lock};
use crate::kpi::{Epoch, Ifnet, IfnetRef, LinkAddr, Mbuf, epoch, iff};

/// What an address may be used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IpState {
    /// For all.
    Ready,
    /// For nothing yet: it may be a duplicate (IN6_IFF_TENTATIVE).
    Tentative,
    /// For nothing: another host has it (IN6_IFF_DUPLICATED).
    Duplicated,
    /// Its prefix is not in use on the link (IN6_IFF_DETACHED).
    Detached,
    /// Other hosts have it too (IN6_IFF_ANYCAST).
    Anycast,
    /// It is carp(4)'s, of this vhid; whether this is the master.
    Carp(u8, bool),
}

/// An address of an interface.
pub(super) struct Address {
    ip: IpAddr,
    state: IpState,
    /// When it was made, in seconds of uptime.
    made: u64,
}

/// Gives an interface an IP address, or changes the state of one.
pub fn set_ip(ifp: &Ifnet, ip: IpAddr, state: IpState) {
    let mut addresses = lock(&ifp.addresses);
    match addresses.iter_mut().find(|address| address.ip == ip) {
        Some(address) => address.state = state,
        None => {
            let made = ifp.vnet().uptime_ms() / 1000;
            addresses.push(Address { ip, state, made });
        }
    }
}

/// The state of an IP address of an interface.
pub fn ip_state(ifp: &Ifnet, ip: IpAddr) -> Option<IpState> {
    lock(&ifp.addresses).iter().find(|address| address.ip == ip).map(|address| address.state)
}

/// Takes all IP addresses from an interface.
pub(super) fn purge(ifp: &Ifnet) {
    lock(&ifp.addresses).clear();
}

/// The addresses of `ifp` in this state.
fn addresses(ifp: &Ifnet, state: impl Fn(IpState) -> bool) -> Vec<(IpAddr, IpState)> {
    let addresses = lock(&ifp.addresses);
    let states = addresses.iter().map(|address| (address.ip, address.state));
    states.filter(|(_, there)| state(*there)).collect()
}

/// Whether it is in the list of the current vnet, which does not end (`is_attached` of kmod/peers.c).
fn is_attached(ifp: &Ifnet) -> bool {
    let vnet = Vnet::current();
    !vnet.is_shutting_down() && vnet.interfaces().iter().any(|other| other.same(ifp))
}

impl Ifnet {
    /// Tells its neighbours where it is: a gratuitous ARP for each IPv4 address, an unsolicited neighbour
    /// advertisement with the override flag for each IPv6 address that is in use. Has its groups reported
    /// again (IGMP, MLD), which takes some tenths of a second. Does nothing if it is down. Returns whether
    /// carp(4) has addresses on it, which [`announce_carp`] announces. The caller holds no mutex.
    pub fn announce(&self, epoch: &Epoch) -> bool {
        witness::without_mutex("a packet is sent");
        self.in_vnet(|| {
            if self.flags() & iff::UP == 0 || !is_attached(self) {
                return false;
            }
            assert!(Vnet::current().has_protocols(), "{self:?} announces itself by what is freed");
            event::tell(self, &Event::Announced);
            let LinkAddr::Ethernet(own) = self.lladdr() else { return false };
            for (ip, _) in addresses(self, |state| state == IpState::Ready) {
                let frame = match ip {
                    IpAddr::V4(ip) => gratuitous_arp(&own, ip),
                    IpAddr::V6(ip) => advertisement(&own, ip),
                };
                let _ = self.transmit(Mbuf::from_bytes(&frame), epoch);
            }
            event::tell(self, &Event::GroupsReported);
            !addresses(self, |state| matches!(state, IpState::Carp(..))).is_empty()
        })
    }

    /// Detects again whether its IPv6 addresses that were made `since` then, in seconds of uptime, are
    /// duplicates, and until then does not use them. May sleep. The thread is in a vnet, that of the lagg, which
    /// stays; the interface may be in another.
    pub fn detect_duplicates(&self, since: u64) {
        witness::may_sleep("nd6_dad_stop");
        let _ = Vnet::current();
        if !self.in_vnet(|| is_attached(self)) {
            return;
        }
        assert!(self.vnet().has_protocols(), "{self:?} is asked about by what is freed");
        let asks = |address: &&mut Address| {
            let may_be_used = matches!(address.state, IpState::Ready | IpState::Tentative);
            address.ip.is_ipv6() && address.made >= since && may_be_used
        };
        let mut asked = Vec::new();
        for address in lock(&self.addresses).iter_mut().filter(asks) {
            address.state = IpState::Tentative;
            asked.push(address.ip);
        }
        asked.into_iter().for_each(|ip| event::tell(self, &Event::Detecting(ip)));
    }

    /// The bridge that it is a member of.
    pub fn bridge(&self, _: &Epoch) -> Option<IfnetRef> {
        let is_bridge = |other: &IfnetRef| match &other.kind {
            Kind::Bridge(members) => members.have(self),
            _ => false,
        };
        self.vnet().interfaces().into_iter().find(is_bridge)
    }
}

/// Has carp(4) announce its addresses wherever it is the master, from their own link-level addresses. It
/// does so later, on a thread of its own. The thread is in a vnet.
pub fn announce_carp() {
    static WORK: LazyLock<Arc<Work>> = LazyLock::new(Arc::default);
    let _ = Vnet::current();
    SWI.enqueue(&WORK, || {
        for ifp in Vnet::all().iter().flat_map(Vnet::interfaces) {
            for (_, state) in addresses(&ifp, |state| matches!(state, IpState::Carp(_, true))) {
                let IpState::Carp(vhid, _) = state else { continue };
                let to = [0x01, 0, 0x5e, 0, 0, 0x12];
                let frame = frame(to, &[0, 0, 0x5e, 0, 1, vhid], 0x0800, &[]);
                ifp.in_vnet(|| {
                    let _ = epoch::section(|epoch| ifp.transmit(Mbuf::from_bytes(&frame), epoch));
                });
            }
        }
    });
}

fn frame(to: [u8; 6], from: &[u8; 6], ether_type: u16, packet: &[u8]) -> Vec<u8> {
    let mut frame = [&to[..], from, &ether_type.to_be_bytes(), packet].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

/// Asks for the own address.
fn gratuitous_arp(own: &[u8; 6], ip: Ipv4Addr) -> Vec<u8> {
    let ip = ip.octets();
    let arp = [&[0, 1, 8, 0, 6, 4, 0, 1], &own[..], &ip, &[0; 6], &ip].concat();
    frame([0xff; 6], own, 0x0806, &arp)
}

/// A neighbour advertisement with the override flag to all nodes, from the address itself. Without a
/// checksum.
fn advertisement(own: &[u8; 6], ip: Ipv6Addr) -> Vec<u8> {
    let (ip, all_nodes) = (ip.octets(), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).octets());
    let header = [0x60, 0, 0, 0, 0, 32, 58, 255];
    let packet =
        [&header, &ip[..], &all_nodes, &[136, 0, 0, 0, 0x20, 0, 0, 0], &ip, &[2, 1], own].concat();
    frame([0x33, 0x33, 0, 0, 0, 1], own, 0x86dd, &packet)
}
