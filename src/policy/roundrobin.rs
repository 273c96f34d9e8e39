//! roundrobin: the ports take turns (spec B.12).

use core::num::NonZeroU32;

use crate::driver::{Plan, Port};
use crate::kpi::{PerCpu, Ref, Result};

/// Whose turn it is. Each processor counts its own packets, so two senders do not write the same
/// cache line; what one sender sends from one processor is spread exactly, all together to within
/// stride times processors.
#[derive(Clone)]
pub struct RoundRobin {
    sequence: Ref<PerCpu>,
    /// Packets on a port before the next has its turn (`rr_limit`).
    pub stride: NonZeroU32,
}

impl RoundRobin {
    /// From the first port on. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new(stride: NonZeroU32) -> Result<Self> {
        Ok(RoundRobin { sequence: Ref::try_new(PerCpu::try_new()?)?, stride })
    }

    /// The port to send on: the one whose turn it is if it is active, else the next active one. None:
    /// no port is active.
    #[inline]
    pub fn select<'p>(&self, plan: &'p Plan) -> Option<&'p Port> {
        let turn = self.sequence.next() / self.stride;
        let place = turn % plan.count()?;
        plan.active_from(place as usize)
    }
}
