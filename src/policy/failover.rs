//! failover: one port carries everything, and the others stand by.

use core::ptr;

use super::{About, Port, Ports, Role};

/// Number and name of the protocol.
pub const ABOUT: About = About { number: 2, name: "failover" };

/// The port to send on: the sender if it is active, else the first active one. None: no port is active.
pub fn select<P: Ports>(ports: &P) -> Option<&P::Port> {
    let is_active = |port: &&P::Port| port.is_active();
    ports.sender().filter(is_active).or_else(|| ports.iter().find(is_active))
}

/// Whether a frame is accepted from a port: always from the sender, and from a primary that cannot send;
/// from another if net.link.lagg.failover_rx_all is set, or while it replaces the sender. A primary that
/// could send and does not is a standby: it gets a copy of each broadcast, also of the lagg's own.
pub fn accepts<P: Ports>(ports: &P, port: &P::Port, rx_all: fn() -> bool) -> bool {
    let is = |other: Option<&P::Port>| other.is_some_and(|other| ptr::eq(other, port));
    // D-6: the plan says which port sends, if any
    is(ports.sender())
        || (is(ports.primary()) && !port.is_active())
        || rx_all()
        || select(ports).is_none_or(|active| ptr::eq(active, port))
}

/// What a port is to the lagg.
pub fn role<P: Ports>(ports: &P, port: &P::Port) -> Role {
    let is = |other: Option<&P::Port>| other.is_some_and(|other| ptr::eq(other, port));
    Role { master: is(ports.primary()), active: is(select(ports)) }
}
