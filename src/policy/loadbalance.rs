//! loadbalance: a flow stays on its port, and the flows are spread over all.

use super::Flows;
use crate::driver::{Plan, Port};
use crate::kpi::Mbuf;

/// The port to send `m` on if it is active: its flow's. None: a closer look is needed, or there is
/// none.
#[inline(always)]
pub fn first<'p>(flows: &Flows, plan: &'p Plan, m: &Mbuf) -> Option<&'p Port> {
    plan.in_slot(flows.slot(m)?)
}

/// The port to send `m` on: its flow's. None: no port is active.
pub fn select<'p>(flows: &Flows, plan: &'p Plan, m: &Mbuf) -> Option<&'p Port> {
    flows.port(plan, flows.hash(m), Port::is_active)
}
