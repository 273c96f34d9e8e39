//! Link state and baud rate of the lagg: published by the protocol task, in the order in which they
//! came true (spec B.9).

use super::Softc;
use crate::kpi::{LinkState, Ref};
use crate::policy::Protocol;

/// Publishes what the ports' link states make of the lagg's. The protocol task's function.
pub(super) fn publish(softc: &Ref<Softc>) {
    if softc.state().destroying {
        return;
    }
    let plan = softc.plan_ref();
    let ifp = softc.ifp();
    let up = plan.ports().iter().any(|port| port.ifp().link_state() == LinkState::Up);
    let baudrate = match plan.protocol() {
        Protocol::None => None,
        Protocol::Failover => Some(plan.primary().map_or(0, |port| port.ifp().baudrate())),
    };
    ifp.in_vnet(|| {
        if let Some(baudrate) = baudrate {
            ifp.set_baudrate(baudrate);
        }
        ifp.change_link_state(if up { LinkState::Up } else { LinkState::Down });
    });
}
