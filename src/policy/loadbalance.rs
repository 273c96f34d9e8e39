//! loadbalance: a flow stays on its port, and the flows are spread over all (spec B.12).

use super::Flows;
use crate::driver::{Plan, Port};
use crate::kpi::Mbuf;

/// The port to send `m` on: its flow's. None: no port is active. Out of line: the registers that it
/// needs are no affair of the other protocols' packets.
#[inline(never)]
pub fn select<'p>(flows: &Flows, plan: &'p Plan, m: &Mbuf) -> Option<&'p Port> {
    flows.port(plan, flows.hash(m), Port::is_active)
}
