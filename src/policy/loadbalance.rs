//! loadbalance: a flow stays on its port, and the flows are spread over all (spec B.12).

use super::buckets::Table;
use super::hash::Key;
use crate::driver::{Plan, Port};
use crate::kpi::{Mbuf, Ref};
use crate::wire::flow::{Bytes, Flow};

/// How a packet's flow is found, and where it goes.
#[derive(Clone)]
pub struct LoadBalance {
    /// Keeps others from choosing a port by their choice of addresses.
    pub key: Key,
    /// The layers that count (`lagghash`).
    pub layers: u32,
    /// By how much the NIC's flow id is shifted, if it is used at all (`use_flowid`).
    pub flowid_shift: Option<u32>,
    /// The port of each bucket of flows.
    pub table: Ref<Table>,
}

impl LoadBalance {
    /// The port to send `m` on: its flow's, or its flow's second choice if that is not active, or any
    /// that is. None: no port is active. Out of line: the registers that it needs are no affair of
    /// the other protocols' packets.
    #[inline(never)]
    pub fn select<'p>(&self, plan: &'p Plan, m: &Mbuf) -> Option<&'p Port> {
        let hash = match self.flowid_shift.and_then(|by| Some(m.flow()?.wrapping_shr(by))) {
            Some(flow) => flow,
            None => self.key.hash(&Flow::of(m, m.vlan_tag(), self.layers)),
        };
        let port = plan.in_slot(self.table.first(hash)?)?;
        if port.is_active() { Some(port) } else { self.fallback(plan, hash) }
    }

    #[cold]
    fn fallback<'p>(&self, plan: &'p Plan, hash: u32) -> Option<&'p Port> {
        let second = self.table.second(hash).and_then(|slot| plan.in_slot(slot));
        second.filter(|port| port.is_active()).or_else(|| plan.first_active())
    }
}

impl Bytes for Mbuf {
    #[inline]
    fn head(&self) -> &[u8] {
        self.first()
    }

    fn copy(&self, offset: usize, to: &mut [u8]) -> bool {
        self.copy_to(offset, to)
    }
}
