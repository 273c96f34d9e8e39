//! The protocols: which port a packet is sent on, and from which ports frames are accepted.
//!
//! Each protocol is one file, which [`Protocol`] calls: a new one is a file, a variant and its arms.
//! Nothing here depends on the driver or the kernel. Protocols see the slots of ports and whether they are
//! active ([`Ports`]), and the bytes of packets ([`Packet`]). They return one of the ports. The caller
//! provides the memory that they need.

pub mod broadcast;
pub mod buckets;
pub mod failover;
pub mod flows;
pub mod hash;
pub mod lacp;
pub mod loadbalance;
pub mod none;
pub mod roundrobin;
mod view;

#[cfg(test)]
mod tests;

use core::ffi::CStr;
use core::ops::Deref;

use crate::slots::SlotSet;
pub use flows::{Flows, Measures};
use lacp::Exceptions;
pub use lacp::Lacp;
pub use roundrobin::{RoundRobin, Rounds};
pub use view::{Packet, Port, Ports};

/// What describes a protocol, independent of any lagg.
#[derive(Debug)]
pub struct About {
    /// Its number in the ABI (`LAGG_PROTO_*`).
    pub number: u32,
    /// Its name in ifconfig(8).
    pub name: &'static str,
}

/// Why a lagg sends a packet on no port, or broadcast on one port less.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsent {
    /// It has no ports.
    NoPorts,
    /// None of its ports is active.
    NoActivePort,
    /// broadcast: there was no memory for a port's copy.
    NoCopy,
    /// none: nothing is sent.
    Disabled,
    /// lacp: the packet's flow waits for the packets in flight on its old port.
    Paused,
}

impl Unsent {
    /// The last part of the name of its counter, `dropped.…`.
    pub const fn c_name(self) -> &'static CStr {
        match self {
            Unsent::NoPorts => c"no_ports",
            Unsent::NoActivePort => c"no_active_port",
            Unsent::NoCopy => c"no_copy",
            Unsent::Disabled => c"disabled",
            Unsent::Paused => c"paused",
        }
    }
}

/// Which ports' speeds add up to the lagg's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speed {
    /// These ports.
    Of(SlotSet),
    /// The ports of the aggregator in service, which LACP's machines know.
    Aggregator,
}

/// What a port is to its lagg.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Role {
    /// It is failover's primary port.
    pub master: bool,
    /// Packets are sent on it.
    pub active: bool,
}

/// A protocol, with the data that roundrobin, loadbalance and lacp need. A plan has other data than the
/// control side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
// A tag of its own: otherwise rustc hides it in a field of the flows, and packets need more instructions to
// read it.
#[repr(u8)]
pub enum Protocol<R, F, L> {
    // The first two choose by flow, which is one comparison.
    /// Sends each flow on a port of its own.
    LoadBalance(F),
    /// Sends each flow on one of the ports that LACP lets distribute.
    Lacp(L),
    /// Sends nothing and accepts nothing.
    None,
    /// Sends on one port, the primary if that can be used (lagg(4)).
    Failover,
    /// Sends on each port in turn.
    RoundRobin(R),
    /// Sends on all ports.
    Broadcast,
}

/// A protocol without data.
pub type Kind = Protocol<(), (), ()>;

impl Kind {
    /// All protocols.
    pub const ALL: [Kind; 6] = [
        Kind::Failover,
        Kind::RoundRobin(()),
        Kind::LoadBalance(()),
        Kind::Lacp(()),
        Kind::Broadcast,
        Kind::None,
    ];

    /// The protocol of a number in the ABI (`LAGG_PROTO_*`).
    pub fn numbered(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.about().number == number)
    }

    /// The protocol with its data, made by these functions.
    ///
    /// # Errors
    /// That of the function that is called.
    pub fn try_with<R, F, L, X>(
        self,
        turns: impl FnOnce() -> Result<R, X>,
        flows: impl FnOnce() -> Result<F, X>,
        lacp: impl FnOnce() -> Result<L, X>,
    ) -> Result<Protocol<R, F, L>, X> {
        Ok(match self {
            Protocol::None => Protocol::None,
            Protocol::Failover => Protocol::Failover,
            Protocol::RoundRobin(()) => Protocol::RoundRobin(turns()?),
            Protocol::LoadBalance(()) => Protocol::LoadBalance(flows()?),
            Protocol::Lacp(()) => Protocol::Lacp(lacp()?),
            Protocol::Broadcast => Protocol::Broadcast,
        })
    }
}

impl<R, F, L> Protocol<R, F, L> {
    /// The protocol's number and name.
    pub const fn about(&self) -> &'static About {
        match self {
            Protocol::None => &none::ABOUT,
            Protocol::Failover => &failover::ABOUT,
            Protocol::RoundRobin(_) => &roundrobin::ABOUT,
            Protocol::LoadBalance(_) => &loadbalance::ABOUT,
            Protocol::Lacp(_) => &lacp::ABOUT,
            Protocol::Broadcast => &broadcast::ABOUT,
        }
    }

    /// The protocol without data.
    pub const fn kind(&self) -> Kind {
        match self {
            Protocol::None => Kind::None,
            Protocol::Failover => Kind::Failover,
            Protocol::RoundRobin(_) => Kind::RoundRobin(()),
            Protocol::LoadBalance(_) => Kind::LoadBalance(()),
            Protocol::Lacp(_) => Kind::Lacp(()),
            Protocol::Broadcast => Kind::Broadcast,
        }
    }

    /// The same protocol, with data made from this one's and another's. None if the other is a different
    /// protocol.
    pub fn with<R1, F1, L1, R2, F2, L2>(
        &mut self,
        other: Protocol<R1, F1, L1>,
        turns: impl FnOnce(&mut R, R1) -> R2,
        flows: impl FnOnce(&mut F, F1) -> F2,
        lacp: impl FnOnce(&mut L, L1) -> L2,
    ) -> Option<Protocol<R2, F2, L2>> {
        Some(match (self, other) {
            (Protocol::None, Protocol::None) => Protocol::None,
            (Protocol::Failover, Protocol::Failover) => Protocol::Failover,
            (Protocol::RoundRobin(this), Protocol::RoundRobin(other)) => {
                Protocol::RoundRobin(turns(this, other))
            }
            (Protocol::LoadBalance(this), Protocol::LoadBalance(other)) => {
                Protocol::LoadBalance(flows(this, other))
            }
            (Protocol::Lacp(this), Protocol::Lacp(other)) => Protocol::Lacp(lacp(this, other)),
            (Protocol::Broadcast, Protocol::Broadcast) => Protocol::Broadcast,
            _ => return None,
        })
    }

    /// lacp's data, if this is lacp.
    pub fn lacp(&self) -> Option<&L> {
        if let Protocol::Lacp(lacp) = self { Some(lacp) } else { None }
    }

    /// The same, to be changed.
    pub fn lacp_mut(&mut self) -> Option<&mut L> {
        if let Protocol::Lacp(lacp) = self { Some(lacp) } else { None }
    }
}

/// The rules that packets use.
impl<R, T, E> Protocol<RoundRobin<R>, Flows<T>, Lacp<T, E>>
where
    R: Rounds,
    T: Measures,
    E: Deref<Target = Exceptions>,
{
    /// The port for a packet after a closer look. `turn` is the port whose turn it is with roundrobin.
    ///
    /// # Errors
    /// Why it is not sent.
    #[inline(always)]
    pub fn select<'p, P: Ports>(
        &self,
        turn: Option<&'p P::Port>,
        ports: &'p P,
        packet: &impl Packet,
    ) -> Result<&'p P::Port, Unsent> {
        match self {
            Protocol::None => return Err(Unsent::Disabled),
            Protocol::Failover => failover::select(ports),
            Protocol::RoundRobin(_) => roundrobin::select(ports, turn),
            Protocol::LoadBalance(flows) => flows.select(ports, flows.hash(packet)),
            Protocol::Lacp(lacp) => return lacp.select(ports, packet, lacp.flows.hash(packet)),
            Protocol::Broadcast => None,
        }
        .ok_or(Unsent::NoActivePort)
    }

    /// The same for a packet of a flow in this bucket.
    ///
    /// # Errors
    /// Why it is not sent.
    #[inline(always)]
    pub fn select_in_bucket<'p, P: Ports>(
        &self,
        ports: &'p P,
        packet: &impl Packet,
        bucket: u32,
    ) -> Result<&'p P::Port, Unsent> {
        match self {
            Protocol::LoadBalance(flows) => flows.select(ports, bucket).ok_or(Unsent::NoActivePort),
            Protocol::Lacp(lacp) => lacp.select(ports, packet, bucket),
            _ => Err(Unsent::Disabled),
        }
    }

    /// How flows are found, for protocols that choose by flow.
    #[inline(always)]
    pub fn flows(&self) -> Option<&Flows<T>> {
        match self {
            Protocol::LoadBalance(flows) => Some(flows),
            Protocol::Lacp(lacp) => Some(&lacp.flows),
            _ => None,
        }
    }

    /// What keeps packets from their flow's port, if anything does.
    #[inline(always)]
    pub fn exceptions(&self) -> Option<&Exceptions> {
        match self {
            Protocol::Lacp(lacp) => lacp.exceptions.as_deref(),
            _ => None,
        }
    }

    /// The slots of the ports on which the protocol sends what it has chosen them for, if they are active.
    pub fn sends_on(&self, ports: &impl Ports) -> SlotSet {
        match self {
            Protocol::None | Protocol::Broadcast => SlotSet::EMPTY,
            Protocol::Failover | Protocol::RoundRobin(_) | Protocol::LoadBalance(_) => {
                ports.iter().map(Port::slot).collect()
            }
            Protocol::Lacp(lacp) => lacp.distributing,
        }
    }

    /// The slots of the ports from which frames are accepted without a closer look. A frame from another port
    /// may be accepted after one.
    pub fn takes_from(&self, ports: &impl Ports) -> SlotSet {
        match self {
            Protocol::None => SlotSet::EMPTY,
            // D-6: the plan says which port sends, if any
            Protocol::Failover => ports.sender().into_iter().map(Port::slot).collect(),
            Protocol::RoundRobin(_) | Protocol::LoadBalance(_) | Protocol::Broadcast => {
                ports.iter().map(Port::slot).collect()
            }
            Protocol::Lacp(lacp) => lacp.collecting,
        }
    }

    /// Whether a frame received on this port is accepted after a closer look; `rx_all` reads
    /// `net.link.lagg.failover_rx_all`.
    #[inline(always)]
    pub fn accepts<P: Ports>(&self, ports: &P, port: &P::Port, rx_all: fn() -> bool) -> bool {
        match self {
            Protocol::None => false,
            Protocol::Failover => failover::accepts(ports, port, rx_all),
            Protocol::RoundRobin(_) | Protocol::LoadBalance(_) | Protocol::Broadcast => true,
            Protocol::Lacp(lacp) => lacp.collecting.contains(port.slot()),
        }
    }

    /// The port for packets with this flow id and NUMA domain, for protocols that choose by flow. A flow
    /// that waits with LACP gets the port on which it will continue.
    pub fn port_of_flow<'p, P: Ports>(
        &self,
        ports: &'p P,
        id: Option<u32>,
        domain: Option<u8>,
    ) -> Option<&'p P::Port> {
        match self {
            Protocol::Failover => failover::select(ports),
            Protocol::LoadBalance(flows) => flows.select(ports, flows.hash_of_id(id?)?),
            Protocol::Lacp(lacp) => lacp.port(ports, lacp.flows.hash_of_id(id?)?, domain),
            Protocol::None | Protocol::RoundRobin(_) | Protocol::Broadcast => None,
        }
    }
}

/// The rules for what is reported of the lagg and its ports.
impl<R, F, T, E> Protocol<R, F, Lacp<T, E>> {
    /// How many ports are in service by the protocol's own rule; none if the ports' links decide.
    pub fn in_service(&self) -> Option<usize> {
        match self {
            // F-16: ports that stand by do not count
            Protocol::Lacp(lacp) => Some(lacp.distributing.len() as usize),
            _ => None,
        }
    }

    /// Which ports' speeds add up to the lagg's.
    pub fn speed(&self, ports: &impl Ports) -> Speed {
        match self {
            Protocol::None => Speed::Of(SlotSet::EMPTY),
            // F-46: the port that sends
            Protocol::Failover => {
                Speed::Of(failover::select(ports).into_iter().map(Port::slot).collect())
            }
            Protocol::RoundRobin(_) | Protocol::LoadBalance(_) | Protocol::Broadcast => {
                let in_service = ports.iter().take(ports.in_service());
                Speed::Of(in_service.filter(|port| port.is_active()).map(Port::slot).collect())
            }
            Protocol::Lacp(_) => Speed::Aggregator,
        }
    }

    /// A port's role; none if LACP's machines decide.
    pub fn role<P: Ports>(&self, ports: &P, port: &P::Port) -> Option<Role> {
        Some(match self {
            Protocol::None => Role::default(),
            Protocol::Failover => failover::role(ports, port),
            Protocol::RoundRobin(_) | Protocol::LoadBalance(_) | Protocol::Broadcast => {
                let mut in_service = ports.iter().take(ports.in_service());
                let waits = !in_service.any(|there| core::ptr::eq(there, port));
                Role { master: false, active: port.is_active() && !waits }
            }
            Protocol::Lacp(_) => return None,
        })
    }
}
