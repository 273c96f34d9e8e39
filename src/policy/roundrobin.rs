//! roundrobin: the ports take turns.

use core::num::NonZeroU32;
use core::ptr;

use super::{About, Port, Ports};

/// Number and name of the protocol.
pub const ABOUT: About = About { number: 1, name: "roundrobin" };

/// Each processor's position in the round, in parts of 2^64.
pub trait Rounds {
    /// Advances this processor's position by a step, and returns the old one.
    fn advance(&self, step: u64) -> u64;
}

/// Whose turn it is. Each processor has its own position, so two senders do not write the same cache line.
/// What one sender sends from one processor is spread exactly, all packets to within stride times
/// processors.
///
/// The position is not a count of packets, but a part of the round: the round ends where the word
/// overflows, so the turn is found without a division.
#[derive(Clone)]
pub struct RoundRobin<R> {
    rounds: R,
    /// A packet's part of the round, rounded up. So a round of n packets ends less than n parts early,
    /// which is one packet early after 2^64 / n^2 rounds.
    step: u64,
    /// The ports, each of which has one turn in a round.
    ports: u32,
}

impl<R: Rounds> RoundRobin<R> {
    /// Each of `ports` ports sends `stride` packets (`rr_limit`) before the next has its turn.
    pub fn new(rounds: R, stride: NonZeroU32, ports: u32) -> Self {
        let packets = u64::from(stride.get()) * u64::from(ports);
        // If one packet is a whole round, the step is 2^64, which is 0.
        let step = u64::MAX.checked_div(packets).map_or(0, |step| step.wrapping_add(1));
        RoundRobin { rounds, step, ports }
    }

    /// Whose turn it is, from 0; 0 without ports.
    #[inline(always)]
    pub fn next(&self) -> usize {
        let position = self.rounds.advance(self.step);
        let turn = (u128::from(position) * u128::from(self.ports)) >> 64;
        turn as usize
    }
}

/// The port whose turn it is if it is active, else the next in order if that is, else the first active one.
pub fn select<'p, P: Ports>(ports: &'p P, turn: Option<&'p P::Port>) -> Option<&'p P::Port> {
    let is_turn = |there: &&P::Port| turn.is_some_and(|port| ptr::eq(*there, port));
    let in_service = ports.iter().take(ports.in_service());
    let next = || in_service.skip_while(|there| !is_turn(there)).nth(1);
    let is_active = |port: &&P::Port| port.is_active();
    turn.filter(is_active)
        .or_else(|| next().filter(is_active))
        .or_else(|| ports.iter().find(is_active))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    impl Rounds for Cell<u64> {
        fn advance(&self, step: u64) -> u64 {
            self.replace(self.get().wrapping_add(step))
        }
    }

    fn turns(stride: u32, ports: u32) -> RoundRobin<Cell<u64>> {
        RoundRobin::new(Cell::new(0), NonZeroU32::new(stride).unwrap(), ports)
    }

    #[test]
    fn each_port_has_as_many_packets_as_the_others() {
        for ports in 0..=32 {
            for stride in [1, 2, 3, 7, 100, 641] {
                let turns = turns(stride, ports);
                for packet in 0..3 * ports * stride {
                    assert_eq!(turns.next() as u32, packet / stride % ports, "{stride}, {ports}");
                }
            }
        }
    }

    /// Turns are exact, unless they have more packets than are sent in a second: those end a little early.
    #[test]
    fn a_round_ends_with_its_last_packets() {
        for (stride, ports, early) in [(1, 3, 0), (7, 31, 0), (1 << 20, 3, 1), (u32::MAX, 32, 1024)]
        {
            let turns = turns(stride, ports);
            let round = u64::from(stride) * u64::from(ports);
            let last = turns.step.wrapping_mul(round - 1 - early);
            turns.rounds.advance(last);
            assert_eq!(turns.next() as u32, ports - 1, "{stride}, {ports}");
            turns.rounds.advance(turns.step.wrapping_mul(early));
            assert_eq!(turns.next(), 0, "{stride}, {ports}");
        }
    }
}
