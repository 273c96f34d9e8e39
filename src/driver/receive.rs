//! The ways to receive.

use super::drops::Refused;
use super::{Plan, Port, Softc, lacp_frames};
use crate::kpi::{Epoch, Ifnet, Mbuf, Receiving, failover_rx_all, iff, probe};

/// Receives most frames. If the plan's protocol accepts one, the lagg is its receiver from here on. `LACP`: a
/// multicast frame may be LACP's own.
pub(super) struct Usual<const LACP: bool>;

impl<const LACP: bool> Receiving for Usual<LACP> {
    #[inline(always)]
    fn receive(
        ifp: &Ifnet,
        port: &Port,
        softc: &Softc,
        m: Mbuf,
        plan: &Plan,
        epoch: &Epoch,
    ) -> Option<Mbuf> {
        if !plan.takes_from(port) {
            return consider(ifp, m, port, plan, softc, epoch);
        }
        if LACP && m.is_multicast() {
            return pass_on_multicast(ifp, m, port, plan, softc, epoch);
        }
        pass_on(ifp, port, softc, m, plan, epoch)
    }
}

#[inline(never)]
fn pass_on_multicast(
    ifp: &Ifnet,
    m: Mbuf,
    port: &Port,
    plan: &Plan,
    softc: &Softc,
    epoch: &Epoch,
) -> Option<Mbuf> {
    if lacp_frames::is_slow(&m) {
        return consider(ifp, m, port, plan, softc, epoch);
    }
    pass_on(ifp, port, softc, m, plan, epoch)
}

/// Passes on an accepted frame.
#[inline(always)]
fn pass_on(
    ifp: &Ifnet,
    port: &Port,
    softc: &Softc,
    mut m: Mbuf,
    plan: &Plan,
    epoch: &Epoch,
) -> Option<Mbuf> {
    let lagg = softc.ifp();
    if !lagg.shares_vnet(ifp) || lagg.has_netmap() || lagg.has_listeners() {
        return consider(ifp, m, port, plan, softc, epoch);
    }
    m.set_receiver(lagg);
    Some(m)
}

/// Receives a frame that needs a closer look than most.
#[cold]
#[inline(never)]
fn consider(
    ifp: &Ifnet,
    mut m: Mbuf,
    port: &Port,
    plan: &Plan,
    softc: &Softc,
    epoch: &Epoch,
) -> Option<Mbuf> {
    if !plan.is_running() {
        return refuse(port, m, Refused::NotRunning);
    }
    if !plan.has(port) {
        return refuse(port, m, Refused::NotMember);
    }
    if let Some(frames) = plan.frames().filter(|_| lacp_frames::is_slow(&m)) {
        m = lacp_frames::receive(port, m, frames)?;
    }
    if !plan.protocol().accepts(plan, port, failover_rx_all) {
        return refuse(port, m, Refused::NotAccepted);
    }
    let lagg = softc.ifp();
    m.set_receiver(lagg);
    if !lagg.shares_vnet(ifp) || lagg.has_netmap() {
        return hand_over(port, m, epoch);
    }
    softc.bpf_tap(&m);
    if lagg.flags() & iff::MONITOR != 0 {
        return refuse(port, m, Refused::Monitor);
    }
    Some(m)
}

/// Hands a frame to the lagg's own `if_input`. It is needed if the lagg is in another vnet than the port,
/// where the stack would continue in the port's (F-31), and if netmap(4) has the lagg. The stack's
/// `if_input` shows the frame to bpf(4), and drops it if the lagg is a monitor; netmap's does neither.
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
        probe::drop(ifp, Some(port.ifp()), Some(&m), Refused::Monitor.c_name());
        port.refused.count(Refused::Monitor);
    }
    ifp.input(m, epoch);
    None
}

/// Drops a frame that is not accepted.
#[cold]
#[inline(never)]
fn refuse(port: &Port, m: Mbuf, why: Refused) -> Option<Mbuf> {
    probe::drop(port.softc().ifp(), Some(port.ifp()), Some(&m), why.c_name());
    drop(m);
    port.refused.count(why);
    None
}
