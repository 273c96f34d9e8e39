//! Link state and baud rate of the lagg: published by the protocol task, in the order in which they
//! came true (spec B.9).

use super::ioctl::text;
use super::{Softc, infiniband, lacp};
use crate::kpi::{LinkState, Ref};
use crate::policy::Protocol;
use crate::policy::buckets::BUCKETS;

/// Publishes what the ports' link states make of the lagg's. The protocol task's function.
pub(super) fn publish(softc: &Ref<Softc>) {
    if softc.state().destroying {
        return;
    }
    softc.ifp().in_vnet(|| {
        if !lacp::run(softc) {
            move_flows(softc);
        }
        infiniband::run(softc);
        log_flows(softc);
        publish_link(softc);
    });
}

fn publish_link(softc: &Softc) {
    let plan = softc.plan_ref();
    let ifp = softc.ifp();
    let ports = plan.ports().map(|port| port.ifp());
    let mut up = ports.clone().any(|port| port.link_state() == LinkState::Up);
    let baudrate = match plan.protocol() {
        Protocol::None => None,
        Protocol::Lacp(lacp) => {
            up = lacp.distributing != 0;
            lacp::bandwidth(softc)
        }
        Protocol::Failover => Some(plan.primary().map_or(0, |port| port.ifp().baudrate())),
        Protocol::RoundRobin(_) | Protocol::LoadBalance(_) | Protocol::Broadcast => {
            Some(ports.fold(0, |sum, port| port.baudrate().saturating_add(sum)))
        }
    };
    if let Some(baudrate) = baudrate {
        ifp.set_baudrate(baudrate);
    }
    ifp.change_link_state(if up { LinkState::Up } else { LinkState::Down });
}

/// With IFF_DEBUG: how many buckets each port has now, if that changed.
fn log_flows(softc: &Softc) {
    let changed = core::mem::take(&mut softc.state().spread_changed);
    if !changed || !softc.is_debugged() {
        return;
    }
    let plan = softc.plan_ref();
    let Protocol::LoadBalance(flows) = plan.protocol() else { return };
    for port in plan.ports() {
        let (name, count) = (port.ifp().name(), flows.table.count(port.slot()));
        softc.debug(format_args!("{count} of {BUCKETS} buckets of flows go to {}", text(&name)));
    }
}

/// Has flows go to other ports when theirs went down, and back when it came up. Until then packets
/// take their flow's second choice.
fn move_flows(softc: &Softc) {
    if !softc.state().has_stale_plan() {
        return;
    }
    // Without memory they do so until the next event.
    let Ok(memory) = softc.plan_memory() else { return };
    softc.publish(&mut softc.state(), memory);
}
