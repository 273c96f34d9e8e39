//! Flows: how the protocols that keep a flow on its port find the two (spec B.12).

use super::buckets::Table;
use super::hash::Key;
use crate::driver::{Plan, Port};
use crate::kpi::{Boxed, Mbuf, Ref};
use crate::wire::flow::{Bytes, Flow};

/// How a packet's flow is found, and where it goes.
#[derive(Clone)]
pub struct Flows {
    /// Keeps others from choosing a port by their choice of addresses.
    pub key: Key,
    /// The layers that count (`lagghash`).
    pub layers: u32,
    /// By how much the NIC's flow id is shifted, if it is used at all (`use_flowid`).
    pub flowid_shift: Option<u32>,
    /// The port of each bucket of flows.
    pub table: Ref<Boxed<Table>>,
}

impl Flows {
    /// The hash of a packet's flow.
    #[inline]
    pub fn hash(&self, m: &Mbuf) -> u32 {
        match self.flowid_shift.and_then(|by| Some(m.flow()?.wrapping_shr(by))) {
            Some(flow) => flow,
            None => self.key.hash(&Flow::of(m, m.vlan_tag(), self.layers)),
        }
    }

    /// The same of packets that have this flow id; none if it does not count.
    pub fn hash_of_id(&self, id: u32) -> Option<u32> {
        self.flowid_shift.map(|by| id.wrapping_shr(by))
    }

    /// The port for a hash: its bucket's, or its bucket's second choice if that is not usable, or any
    /// that is. None: no port is usable.
    #[inline]
    pub fn port<'p>(
        &self,
        plan: &'p Plan,
        hash: u32,
        usable: impl Fn(&Port) -> bool,
    ) -> Option<&'p Port> {
        let port = plan.in_slot(self.table.first(hash)?)?;
        if usable(port) { Some(port) } else { self.fallback(plan, hash, usable) }
    }

    #[cold]
    fn fallback<'p>(
        &self,
        plan: &'p Plan,
        hash: u32,
        usable: impl Fn(&Port) -> bool,
    ) -> Option<&'p Port> {
        let second = self.table.second(hash).and_then(|slot| plan.in_slot(slot));
        let any = || plan.ports().iter().map(|port| &**port).find(|port| usable(port));
        second.filter(|port| usable(port)).or_else(any)
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
