//! failover: one port carries everything, the others wait.

use crate::driver::{Plan, Port};

/// The port to send on if it is active: the primary.
#[inline]
pub fn first(plan: &Plan) -> Option<&Port> {
    plan.primary()
}

/// The port to send on: the primary if it is active, else the next active one after it, else the
/// first active one. None: no port is active.
pub fn select(plan: &Plan) -> Option<&Port> {
    let primary = plan.primary();
    primary.filter(|port| port.is_active()).or_else(|| plan.active_after(primary))
}

/// Whether a frame that came in on `port` is accepted: from the primary always, from the others
/// if `rx_all` (net.link.lagg.failover_rx_all), or while they stand in for it.
#[inline]
pub fn accepts(plan: &Plan, port: &Port, rx_all: impl FnOnce() -> bool) -> bool {
    match plan.primary() {
        None => false,
        Some(primary) if core::ptr::eq(primary, port) => true,
        Some(_) if rx_all() => true,
        Some(_) => select(plan).is_none_or(|active| core::ptr::eq(active, port)),
    }
}
