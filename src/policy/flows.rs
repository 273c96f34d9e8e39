//! Flows: how the protocols that keep a flow on its port find the two (spec B.12).

use super::buckets::Table;
use super::hash::Key;
use crate::driver::{Plan, Port};
use crate::kpi::ioctl::hash;
use crate::kpi::{Boxed, Mbuf, Ref};
use crate::wire::flow::{Bytes, Flow};

/// How a packet's flow is found, and where it goes.
#[derive(Clone)]
pub struct Flows {
    /// Keeps others from choosing a port by their choice of addresses.
    pub key: Key,
    /// The port of each bucket of flows.
    pub table: Ref<Boxed<Table>>,
    /// The layers that count (`lagghash`).
    pub layers: u8,
    /// By how much the NIC's flow id is shifted, if it is used at all (`use_flowid`).
    pub flowid_shift: Option<u8>,
}

impl Flows {
    /// The hash of a packet's flow.
    pub fn hash(&self, m: &Mbuf) -> u32 {
        match self.flow_id(m) {
            Some(flow) => flow,
            None => self.key.hash(&Flow::of(m, m.vlan_tag(), self.layers.into())),
        }
    }

    /// The same of packets that have this flow id; none if it does not count.
    #[inline(always)]
    pub fn hash_of_id(&self, id: u32) -> Option<u32> {
        self.flowid_shift.map(|by| id.wrapping_shr(by.into()))
    }

    #[inline(always)]
    fn flow_id(&self, m: &Mbuf) -> Option<u32> {
        // Most often it is not used, and not looked for.
        self.flowid_shift?;
        self.hash_of_id(m.flow()?)
    }

    /// The slot for most packets, where neither the whole of [`Flows::hash`] is needed nor a second
    /// choice; any, if there are no ports.
    #[inline(always)]
    pub fn slot(&self, m: &Mbuf) -> Option<u8> {
        let hash = match self.flow_id(m) {
            Some(flow) => flow,
            None if self.layers == hash::MASK as u8 => {
                self.key.hash(&Flow::usual(m.first(), m.vlan_tag())?)
            }
            None => return None,
        };
        Some(self.table.slot(hash))
    }

    /// The port for a hash: its bucket's, or its bucket's second choice if that is not usable, or any
    /// that is. None: no port is usable.
    pub fn port<'p>(
        &self,
        plan: &'p Plan,
        hash: u32,
        usable: impl Fn(&Port) -> bool,
    ) -> Option<&'p Port> {
        let choices = [self.table.first(hash), self.table.second(hash)];
        let mut chosen = choices.into_iter().flatten().filter_map(|slot| plan.in_slot(slot));
        let any = || plan.ports().map(|port| &**port).find(|port| usable(port));
        chosen.find(|port| usable(port)).or_else(any)
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
