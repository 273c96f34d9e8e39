//! The data path: nothing here takes a lock, sleeps, allocates, or reaches a port but through the
//! plan.

use super::stats::{Refused, Unsent};
use super::{Plan, Port, Softc, pdus, tags};
use crate::kpi::{Counter, Epoch, Errno, Mbuf, Result, failover_rx_all, iff};
use crate::policy::{Protocol, broadcast, failover, loadbalance};

/// Sends a packet on the port that the plan's protocol chooses.
///
/// What most packets need is here and in what is inlined; the rest is in functions that are called last,
/// so that nothing has to be kept over a call.
///
/// # Errors
/// ENXIO without ports; ENETDOWN without an active port, ENOENT for broadcast; ENOBUFS while lacp has
/// the packet's flow wait; EAGAIN for a send tag of another port; else what the port's driver returns.
#[inline]
pub(super) fn transmit(softc: &Softc, m: Mbuf, epoch: &Epoch) -> Result {
    let plan = softc.plan(epoch);
    let first = match plan.protocol() {
        Protocol::None => None,
        Protocol::Failover => failover::first(plan),
        Protocol::RoundRobin(turns) => turns.first(plan),
        Protocol::LoadBalance(flows) => loadbalance::first(flows, plan, &m),
        Protocol::Lacp(lacp) => lacp.first(plan, &m),
        Protocol::Broadcast => return send_to_all(softc, m, plan, epoch),
    };
    match first {
        Some(port) if port.is_active() && !softc.ifp().has_listeners() && !m.has_tag() => {
            port.ifp().transmit(m, epoch)
        }
        first => choose_and_send(softc, m, first, plan, epoch),
    }
}

/// Sends a packet whose first port is down, that somebody listens to, or that carries a send tag or needs
/// a closer look.
#[inline(never)]
fn choose_and_send(
    softc: &Softc,
    m: Mbuf,
    first: Option<&Port>,
    plan: &Plan,
    epoch: &Epoch,
) -> Result {
    if plan.count().is_none() {
        return unsent(softc, m, plan, Errno::ENXIO);
    }
    softc.bpf_tap(&m);
    let chosen = match plan.protocol() {
        Protocol::None | Protocol::Broadcast => Err(Errno::ENETDOWN),
        Protocol::Failover | Protocol::RoundRobin(_) => {
            let usable = first.filter(|port| port.is_active());
            usable.or_else(|| plan.active_after(first)).ok_or(Errno::ENETDOWN)
        }
        Protocol::LoadBalance(flows) => loadbalance::select(flows, plan, &m).ok_or(Errno::ENETDOWN),
        Protocol::Lacp(lacp) => lacp.select(plan, &m),
    };
    match chosen {
        Ok(port) if m.has_tag() => tags::transmit(port, m, epoch),
        Ok(port) => port.ifp().transmit(m, epoch),
        Err(errno) => unsent(softc, m, plan, errno),
    }
}

#[inline(never)]
fn send_to_all(softc: &Softc, m: Mbuf, plan: &Plan, epoch: &Epoch) -> Result {
    if m.has_tag() {
        // It is one port's, from before the protocol was broadcast. Its owner lets go of it now.
        return Err(Errno::EAGAIN);
    }
    if plan.count().is_none() {
        return unsent(softc, m, plan, Errno::ENXIO);
    }
    softc.bpf_tap(&m);
    broadcast::transmit(plan, m, epoch, |why| count_unsent(softc, plan, why))
}

/// Drops what no port is chosen for.
#[cold]
#[inline(never)]
fn unsent(softc: &Softc, m: Mbuf, plan: &Plan, errno: Errno) -> Result {
    drop(m);
    let why = match (errno, plan.protocol()) {
        (Errno::ENXIO, _) => Unsent::NoPorts,
        (Errno::ENOBUFS, _) => Unsent::Paused,
        (_, Protocol::None) => Unsent::Disabled,
        _ => Unsent::NoActivePort,
    };
    count_unsent(softc, plan, Some(why));
    Err(errno)
}

/// Counts an output error, and why if it is not a port's driver that refused.
#[cold]
#[inline(never)]
fn count_unsent(softc: &Softc, plan: &Plan, why: Option<Unsent>) {
    softc.ifp().count(Counter::Oerrors, 1);
    if let Some(why) = why {
        softc.unsent().count(plan.protocol().number(), why);
    }
}

/// Takes a frame in from a port, as received by the lagg, if the plan's protocol accepts it.
#[inline]
pub(super) fn input(port: &Port, mut m: Mbuf, epoch: &Epoch) -> Option<Mbuf> {
    let softc: &Softc = port.softc();
    let (plan, ifp) = (softc.plan(epoch), softc.ifp());
    let accepts = || match plan.protocol() {
        Protocol::None => false,
        Protocol::Failover => plan.primary().is_some_and(|primary| core::ptr::eq(primary, port)),
        Protocol::RoundRobin(_) | Protocol::LoadBalance(_) | Protocol::Broadcast => true,
        Protocol::Lacp(lacp) => lacp.accepts(port) && !m.is_multicast(),
    };
    let is_usual = plan.is_running()
        && plan.has(port)
        && accepts()
        && ifp.shares_vnet(port.ifp())
        && !ifp.has_netmap()
        && !ifp.has_listeners()
        && ifp.flags() & iff::MONITOR == 0;
    if !is_usual {
        return consider(port, m, plan, epoch);
    }
    m.set_receiver(ifp);
    Some(m)
}

/// Takes a frame in that needs a closer look than most.
#[cold]
#[inline(never)]
fn consider(port: &Port, mut m: Mbuf, plan: &Plan, epoch: &Epoch) -> Option<Mbuf> {
    if !plan.is_running() {
        return refuse(port, m, Refused::NotRunning);
    }
    if !plan.has(port) {
        return refuse(port, m, Refused::NotMember);
    }
    let accepted = match plan.protocol() {
        Protocol::None => false,
        Protocol::Failover => failover::accepts(plan, port, failover_rx_all),
        Protocol::RoundRobin(_) | Protocol::LoadBalance(_) | Protocol::Broadcast => true,
        Protocol::Lacp(lacp) => {
            if pdus::is_slow(&m) {
                m = pdus::receive(port, m, plan)?;
            }
            lacp.accepts(port)
        }
    };
    if !accepted {
        return refuse(port, m, Refused::NotAccepted);
    }
    let softc = port.softc();
    let ifp = softc.ifp();
    m.set_receiver(ifp);
    if !ifp.shares_vnet(port.ifp()) || ifp.has_netmap() {
        return hand_over(port, m, epoch);
    }
    softc.bpf_tap(&m);
    if ifp.flags() & iff::MONITOR != 0 {
        return refuse(port, m, Refused::Monitor);
    }
    Some(m)
}

/// Hands a frame to the lagg's own `if_input`: where the lagg is in another vnet than the port, for the
/// stack would go on with it in the port's (F-31), and where netmap(4) has the lagg.
/// The stack's `if_input` shows it to bpf(4), and drops it if that is all; netmap's does neither.
#[cold]
#[inline(never)]
fn hand_over(port: &Port, m: Mbuf, epoch: &Epoch) -> Option<Mbuf> {
    let ifp = port.softc().ifp();
    let monitors = ifp.flags() & iff::MONITOR != 0;
    if ifp.has_netmap() {
        port.softc().bpf_tap(&m);
        if monitors {
            return refuse(port, m, Refused::Monitor);
        }
    } else if monitors {
        port.refused().count(Refused::Monitor);
    }
    ifp.input(m, epoch);
    None
}

/// Drops what is not taken in.
#[cold]
#[inline(never)]
fn refuse(port: &Port, m: Mbuf, why: Refused) -> Option<Mbuf> {
    drop(m);
    port.refused().count(why);
    None
}

/// Asks whether a packet of this address family may go out on a port itself: frames whose header
/// the sender wrote, as bpf(4) does, and no protocol's.
///
/// # Errors
/// ENETDOWN: it may not.
pub(super) fn port_output(port: &Port, family: u8) -> Result {
    const AF_UNSPEC: u8 = 0;
    const PSEUDO_AF_HDRCMPLT: u8 = 31;
    if matches!(family, AF_UNSPEC | PSEUDO_AF_HDRCMPLT) {
        return Ok(());
    }
    port.refused().count(Refused::OwnOutput);
    Err(Errno::ENETDOWN)
}
