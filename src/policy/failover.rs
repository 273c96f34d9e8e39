//! failover: one port carries everything, and the others stand by.

use core::ptr;

use super::{About, Look, Port, Ports, Role};

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
#[inline(always)]
pub fn accepts<P: Ports>(ports: &P, port: &P::Port, look: Look) -> bool {
    let may_stand_in = || match look {
        Look::Usual => false,
        Look::Closer { rx_all } => {
            let is_primary = ports.primary().is_some_and(|primary| ptr::eq(primary, port));
            (is_primary && !port.is_active())
                || rx_all()
                || select(ports).is_none_or(|active| ptr::eq(active, port))
        }
    };
    // D-6: the plan says which port sends, if any
    ports.sender().is_some_and(|sender| ptr::eq(sender, port)) || may_stand_in()
}

/// What a port is to the lagg.
pub fn role<P: Ports>(ports: &P, port: &P::Port) -> Role {
    let is = |other: Option<&P::Port>| other.is_some_and(|other| ptr::eq(other, port));
    Role { master: is(ports.primary()), active: is(select(ports)) }
}
