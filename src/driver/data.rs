//! The data path: nothing here takes a lock, sleeps, allocates, or reaches a port but through the
//! plan.

use super::{Plan, Port, Softc, lacp};
use crate::kpi::{Counter, Epoch, Errno, Mbuf, Result, failover_rx_all, iff};
use crate::policy::{Protocol, broadcast, failover, loadbalance};

/// Sends a packet on the port that the plan's protocol chooses (spec B.12).
///
/// # Errors
/// ENXIO without ports; ENETDOWN without an active port, ENOENT for broadcast; ENOBUFS while lacp has
/// the packet's flow wait; else what the port's driver returns.
#[inline]
pub(super) fn transmit(softc: &Softc, m: Mbuf, epoch: &Epoch) -> Result {
    let plan = softc.plan(epoch);
    if plan.ports().is_empty() {
        return refuse(softc, Errno::ENXIO);
    }
    softc.ifp().bpf_tap(&m);
    let chosen = match plan.protocol() {
        Protocol::None => None,
        Protocol::Failover => failover::select(plan),
        Protocol::RoundRobin(turns) => turns.select(plan),
        Protocol::LoadBalance(flows) => loadbalance::select(flows, plan, &m),
        Protocol::Lacp(lacp) => match lacp.select(plan, &m) {
            Ok(port) => Some(port),
            Err(errno) => return refuse(softc, errno),
        },
        Protocol::Broadcast => return send_to_all(softc, plan, m, epoch),
    };
    match chosen {
        Some(port) => port.ifp().transmit(m, epoch),
        None => refuse(softc, Errno::ENETDOWN),
    }
}

#[cold]
fn refuse(softc: &Softc, errno: Errno) -> Result {
    softc.ifp().count(Counter::Oerrors, 1);
    Err(errno)
}

#[inline(never)]
fn send_to_all(softc: &Softc, plan: &Plan, m: Mbuf, epoch: &Epoch) -> Result {
    let failed = || softc.ifp().count(Counter::Oerrors, 1);
    broadcast::transmit(plan, m, epoch, failed).inspect_err(|errno| {
        if *errno == Errno::ENOENT {
            failed();
        }
    })
}

/// Takes a frame in from a port, as received by the lagg, if the plan's protocol accepts it
/// (spec B.11).
#[inline]
pub(super) fn input(port: &Port, mut m: Mbuf, epoch: &Epoch) -> Option<Mbuf> {
    let softc = port.softc();
    let plan = softc.plan(epoch);
    if !plan.is_running() || !plan.has(port) {
        return None;
    }
    let accepted = match plan.protocol() {
        Protocol::None => false,
        Protocol::Failover => failover::accepts(plan, port, failover_rx_all),
        Protocol::RoundRobin(_) | Protocol::LoadBalance(_) | Protocol::Broadcast => true,
        Protocol::Lacp(_) if lacp::is_pdu(&m) => {
            lacp::receive(port, m);
            return None;
        }
        Protocol::Lacp(lacp) => lacp.accepts(port),
    };
    if !accepted {
        return None;
    }
    let ifp = softc.ifp();
    m.set_receiver(ifp);
    ifp.bpf_tap(&m);
    (ifp.flags() & iff::MONITOR == 0).then_some(m)
}

/// Whether a packet of this address family may go out on a port itself: frames whose header the
/// sender wrote, as bpf(4) does, and no protocol's.
pub(super) fn port_output_allowed(family: u8) -> bool {
    const AF_UNSPEC: u8 = 0;
    const PSEUDO_AF_HDRCMPLT: u8 = 31;
    matches!(family, AF_UNSPEC | PSEUDO_AF_HDRCMPLT)
}
