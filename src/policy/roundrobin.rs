//! roundrobin: the ports take turns.

use core::num::NonZeroU32;

use crate::driver::{Plan, Port};
use crate::kpi::{PerCpu, Result};

/// Whose turn it is. Each processor counts its own packets, so two senders do not write the same
/// cache line; what one sender sends from one processor is spread exactly, all together to within
/// stride times processors.
///
/// A processor does not count packets but where in the round it is, in parts of 2^64: the round ends
/// where the word does, and the turn is found without a division.
#[derive(Clone)]
pub struct RoundRobin {
    rounds: PerCpu,
    /// A packet's part of the round, rounded up. So a round of n packets ends less than n parts too
    /// soon, and one packet too soon after 2^64 / n^2 rounds.
    step: u64,
    /// Turns of the round.
    ports: u32,
}

impl RoundRobin {
    /// From the first port on, without ports so far. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        Ok(RoundRobin { rounds: PerCpu::try_new()?, step: 0, ports: 0 })
    }

    /// From here on `stride` packets (`rr_limit`) go on each of so many ports before the next has its
    /// turn.
    pub fn set(&mut self, stride: NonZeroU32, ports: u32) {
        let packets = u64::from(stride.get()) * u64::from(ports);
        // One packet that is a whole round steps by 2^64, which is 0.
        self.step = u64::MAX.checked_div(packets).map_or(0, |step| step.wrapping_add(1));
        self.ports = ports;
    }

    /// The port to send on if it is active: the one whose turn it is.
    #[inline(always)]
    pub fn first<'p>(&self, plan: &'p Plan) -> Option<&'p Port> {
        plan.at(self.next())
    }

    /// Whose turn it is, from 0; 0 without ports.
    #[inline(always)]
    fn next(&self) -> usize {
        let position = self.rounds.advance(self.step);
        let turn = (u128::from(position) * u128::from(self.ports)) >> 64;
        turn as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_has_as_many_packets_as_the_others() {
        for ports in 0..=32 {
            for stride in [1, 2, 3, 7, 100, 641] {
                let mut turns = RoundRobin::try_new().unwrap();
                turns.set(NonZeroU32::new(stride).unwrap(), ports);
                for packet in 0..3 * ports * stride {
                    assert_eq!(turns.next() as u32, packet / stride % ports, "{stride}, {ports}");
                }
            }
        }
    }

    /// Exactly, but for turns of more packets than are sent in a second: those end early by so many.
    #[test]
    fn a_round_ends_with_its_last_packets() {
        for (stride, ports, early) in [(1, 3, 0), (7, 31, 0), (1 << 20, 3, 1), (u32::MAX, 32, 1024)]
        {
            let mut turns = RoundRobin::try_new().unwrap();
            turns.set(NonZeroU32::new(stride).unwrap(), ports);
            let round = u64::from(stride) * u64::from(ports);
            let last = turns.step.wrapping_mul(round - 1 - early);
            turns.rounds.advance(last);
            assert_eq!(turns.next() as u32, ports - 1, "{stride}, {ports}");
            turns.rounds.advance(turns.step.wrapping_mul(early));
            assert_eq!(turns.next(), 0, "{stride}, {ports}");
        }
    }
}
