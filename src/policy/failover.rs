//! failover: one port carries everything, and the others stand by.

use super::{About, Look, Ports, Role, Unsent, active_from};

/// Number, name and reasons of the protocol.
pub const ABOUT: About =
    About { number: 2, name: "failover", unsent: &[Unsent::NoPorts, Unsent::NoActivePort] };

/// The port to send on: the primary if it is active, else the next active one after it, else the
/// first active one. None: no port is active.
pub fn select<P: Ports>(ports: &P) -> Option<&P::Port> {
    active_from(ports, ports.primary())
}

/// Whether a frame is accepted from a port: always from the primary; from another if
/// net.link.lagg.failover_rx_all is set, or while it replaces the primary.
#[inline(always)]
pub fn accepts<P: Ports>(ports: &P, port: &P::Port, look: Look) -> bool {
    let may_stand_in = || match look {
        Look::Usual => false,
        Look::Closer { rx_all } => {
            rx_all() || select(ports).is_none_or(|active| core::ptr::eq(active, port))
        }
    };
    // D-6: the plan says which port is its primary, if any
    ports.is_primary(port) || may_stand_in()
}

/// What a port is to the lagg.
pub fn role<P: Ports>(ports: &P, port: &P::Port) -> Role {
    let sends = select(ports).is_some_and(|active| core::ptr::eq(active, port));
    Role { master: ports.is_primary(port), active: sends }
}
