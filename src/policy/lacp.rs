//! lacp: as loadbalance, over the ports that 802.1AX lets distribute, and a flow that moves waits until
//! its old port's frames have arrived (spec B.11, C.12, C.13).

use zerocopy::FromZeros;

use super::Flows;
use super::buckets::{BUCKETS, Table};
use crate::driver::{Plan, Port};
use crate::kpi::{Errno, Mbuf, Ref, Result};

/// What LACP lets a packet do.
#[derive(Clone)]
pub struct Lacp {
    /// Flows and their ports.
    pub flows: Flows,
    /// The ports that frames are taken in from, by their slots, as a set of bits.
    pub collecting: u32,
    /// The ports that frames are sent on.
    pub distributing: u32,
    /// The buckets of flows that wait, if there are any.
    pub paused: Option<Ref<Paused>>,
}

impl Lacp {
    /// The port to send `m` on: its flow's. Out of line, as loadbalance's.
    ///
    /// # Errors
    /// ENOBUFS: the flow waits. ENETDOWN: no port distributes.
    #[inline(never)]
    pub fn select<'p>(&self, plan: &'p Plan, m: &Mbuf) -> Result<&'p Port> {
        let hash = self.flows.hash(m);
        if let Some(paused) = &self.paused
            && paused.has(hash)
        {
            return Err(Errno::ENOBUFS);
        }
        let distributes = |port: &Port| has(self.distributing, port.slot()) && port.is_active();
        self.flows.port(plan, hash, distributes).ok_or(Errno::ENETDOWN)
    }

    /// Whether frames are taken in from `port`.
    #[inline]
    pub fn accepts(&self, port: &Port) -> bool {
        has(self.collecting, port.slot())
    }
}

#[inline]
fn has(set: u32, slot: u8) -> bool {
    set & 1_u32.wrapping_shl(slot.into()) != 0
}

/// The buckets of flows that wait.
pub struct Paused([u64; BUCKETS / 64]);

impl Paused {
    /// None of them.
    pub const NONE: Paused = Paused([0; BUCKETS / 64]);

    fn has(&self, hash: u32) -> bool {
        let bucket = hash as usize % BUCKETS;
        self.0.get(bucket / 64).is_some_and(|word| word & 1_u64.wrapping_shl(hash % 64) != 0)
    }

    fn add(&mut self, bucket: usize) {
        if let Some(word) = self.0.get_mut(bucket / 64) {
            *word |= 1_u64.wrapping_shl((bucket % 64) as u32);
        }
    }
}

/// What the control side keeps of it: for which port's frames each bucket waits.
///
/// As zeros, none waits.
#[derive(FromZeros)]
#[repr(transparent)]
pub struct Waits([u8; BUCKETS]);

impl Waits {
    /// The table has changed, and these slots have distributed so far: the buckets that have left one
    /// of them wait for it. One that waits already has not sent since, and waits for no other.
    /// Returned: the slots that buckets have left.
    pub fn moved(&mut self, before: &Table, after: &Table, distributed: u32) -> u32 {
        let mut left = 0;
        for (bucket, wait) in (0_u32..).zip(&mut self.0) {
            let Some(from) = before.first(bucket) else { continue };
            if *wait == 0 && after.first(bucket) != Some(from) && has(distributed, from) {
                *wait = from.wrapping_add(1);
                left |= 1_u32.wrapping_shl(from.into());
            }
        }
        left
    }

    /// Those that wait for one of these slots go on waiting, the others do not. Returned: whether any
    /// does; `paused`, which is all zeros, has them then.
    pub fn settle(&mut self, waiting: u32, paused: &mut Paused) -> bool {
        let mut any = false;
        for (bucket, wait) in self.0.iter_mut().enumerate() {
            if let Some(slot) = wait.checked_sub(1)
                && has(waiting, slot)
            {
                paused.add(bucket);
                any = true;
            } else {
                *wait = 0;
            }
        }
        any
    }
}
