//! Why a port is not in service.

use super::state::State;
use super::{Plan, Port, Softc};
use crate::kpi::iff;
use crate::lacp::Reason;
use crate::policy::Protocol;

/// Why a port is not in service; none if it is, or is no port of the plan.
pub(super) fn of(softc: &Softc, port: &Port) -> Option<Reason> {
    let state = softc.state();
    // That of this state: it is published under the mutex.
    let plan = softc.plan_ref();
    of_port(&plan, &state, port)
}

/// The same in this plan, which is the present one.
pub(super) fn of_port(plan: &Plan, state: &State, port: &Port) -> Option<Reason> {
    if !plan.has(port) {
        return None;
    }
    if !plan.is_running() || port.ifp().flags() & iff::UP == 0 {
        return Some(Reason::Down);
    }
    if !port.is_active() {
        return Some(Reason::NoLink);
    }
    if state.counted().is_some_and(|counted| !counted.contains(port.slot())) {
        return Some(Reason::WaitsUpDelay);
    }
    match plan.protocol() {
        Protocol::Lacp(_) => state.mode.lacp()?.machines.reason(port.slot()),
        Protocol::Failover => {
            let role = plan.protocol().role(plan, port)?;
            (!role.active).then_some(Reason::Standby)
        }
        // It could be used, and is not.
        Protocol::None => Some(Reason::Standby),
        _ => None,
    }
}
