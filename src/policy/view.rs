//! What protocols see: ports, and the packets that they carry.

use crate::slots::Slot;
use crate::wire::flow::Bytes;

/// A port, as protocols see it.
pub trait Port {
    /// Its slot.
    fn slot(&self) -> Slot;

    /// Whether packets can be sent on it now: it and its link are up.
    fn is_active(&self) -> bool;
}

/// The ports of a lagg.
pub trait Ports {
    /// One of them.
    type Port: Port;

    /// All of them. Those in service come first.
    fn iter(&self) -> impl Iterator<Item = &Self::Port> + Clone;

    /// How many of them are in service. The others wait, and are for when none of these is active.
    fn in_service(&self) -> usize;

    /// The port at a place in that order, from 0.
    fn at(&self, place: usize) -> Option<&Self::Port>;

    /// The port in a slot.
    fn in_slot(&self, slot: Slot) -> Option<&Self::Port>;

    /// The port that failover sends on.
    fn sender(&self) -> Option<&Self::Port>;

    /// failover's primary port.
    fn primary(&self) -> Option<&Self::Port>;
}

/// A packet, or a frame that came in.
pub trait Packet: Bytes {
    /// Its length, in bytes.
    fn length(&self) -> usize;

    /// The VLAN tag that it carries outside of its bytes.
    fn vlan_tag(&self) -> Option<u16>;

    /// The flow id that the network card or the socket has set.
    fn flow_id(&self) -> Option<u32>;

    /// The NUMA domain that the sender prefers.
    fn numa_domain(&self) -> Option<u8>;
}
