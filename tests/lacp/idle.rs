//! Partners that agree and do not collect, and partners that do not receive our LACPDUs.

use lagg_rs::lacp::{Link, Options, choice, receive};
use lagg_rs::wire::lacpdu::{Info, Lacpdu, StateBits};

use crate::lab::{DEFAULTS, Lab, STRAIGHT, Way, mac, nth};
use crate::negotiation::carries;
use crate::solo::{IN_SERVICE, NEW, Solo};

const G: u64 = 1_000_000_000;
const FOLLOW: u64 = choice::FOLLOW as u64;

/// Two links, of which the first is faster, to partners that are always in sync.
struct Partners {
    solo: Solo,
    systems: [u8; 2],
    collects: [bool; 2],
}

impl Partners {
    fn new(systems: [u8; 2], collects: [bool; 2]) -> Self {
        let mut solo = Solo::new(2, DEFAULTS);
        let now = solo.now();
        (0..2).for_each(|slot| {
            solo.lacp.set_link(nth(slot), Link::Up([10, 1][usize::from(slot)] * G), now)
        });
        Partners { solo, systems, collects }
    }

    fn say(&mut self, slot: u8) {
        let ours = *self.solo.port(slot).actor();
        let collects = self.collects[usize::from(slot)] && ours.state.contains(StateBits::SYNC);
        let state = if collects { IN_SERVICE } else { NEW | StateBits::SYNC };
        let system = mac(self.systems[usize::from(slot)]);
        let actor = Info { system, key: 9 + u16::from(slot), ..Solo::partner(slot, state) };
        self.solo.receive(slot, &Lacpdu { actor, partner: ours });
    }

    /// Both partners send LACPDUs every 50 ms. Returns after how many milliseconds a frame is first sent.
    fn until_sent(&mut self, ms: u64) -> Option<u64> {
        (0..ms / 100).map(|n| n * 100).find(|_| {
            (0..4).for_each(|n| self.say(n % 2));
            self.solo.pass(100);
            self.solo.lacp.distributing().bits() != 0
        })
    }
}

#[test]
fn f53_a_partner_that_is_in_sync_and_does_not_collect_is_given_up_for_one_that_does() {
    for systems in [[5, 6], [6, 5], [0, 9], [9, 0], [0, 0], [9, 9]] {
        let mut it = Partners::new(systems, [false, true]);
        let waited = it.until_sent(60_000).expect("nothing is sent");
        assert!((FOLLOW..FOLLOW + 3_000).contains(&waited), "{systems:?} {waited}");
        for _ in 0..600 {
            (0..2).for_each(|slot| it.say(slot));
            it.solo.pass(1_000);
            assert_eq!(it.solo.lacp.distributing().bits(), 0b10, "{systems:?}");
        }
        assert_eq!(it.solo.lacp.flapping(), 0);
        // It is better than no partner, and counts as a good one again when it collects.
        let now = it.solo.now();
        it.collects = [true, true];
        it.solo.lacp.set_link(nth(1), Link::Down, now);
        assert!(it.until_sent(60_000).is_some_and(|waited| waited <= 1_000), "{systems:?}");
        assert_eq!(it.solo.lacp.distributing().bits(), 0b01);
    }
}

/// A single partner is waited for. Otherwise both are tried in turn, less and less often.
#[test]
fn f53_partners_of_which_none_collects_are_tried_in_turn() {
    for systems in [[5, 6], [9, 0], [0, 0], [9, 9]] {
        for collects in [[false, true], [true, false]] {
            let mut it = Partners::new(systems, [false, false]);
            let mut tried = Vec::new();
            for _ in 0..300 {
                (0..2).for_each(|slot| it.say(slot));
                it.solo.pass(1_000);
                assert_eq!(it.solo.lacp.distributing().bits(), 0);
                let chosen =
                    [0, 1].map(|slot| it.solo.port(slot).actor().state.contains(StateBits::SYNC));
                if tried.last() != Some(&chosen) {
                    tried.push(chosen);
                }
            }
            assert!((5..=8).contains(&tried.len()), "{systems:?} {tried:?}");
            // For as long again as it has lasted.
            it.collects = collects;
            assert!(it.until_sent(700_000).is_some(), "{systems:?}");
            let flapping = it.solo.lacp.flapping();
            for _ in 0..600 {
                (0..2).for_each(|slot| it.say(slot));
                it.solo.pass(1_000);
                assert_eq!(
                    it.solo.lacp.distributing().bits(),
                    if collects[0] { 0b01 } else { 0b10 }
                );
            }
            assert_eq!(it.solo.lacp.flapping(), flapping);
        }
    }
}

/// The only partner, which collects late.
#[test]
fn f53_a_partner_that_is_alone_is_waited_for() {
    let mut solo = Solo::new(1, DEFAULTS);
    for n in 0..60 {
        solo.hear(0, NEW | StateBits::SYNC);
        solo.pass(1_000);
        let collecting = u32::from(n > 0);
        assert_eq!(
            (solo.lacp.collecting().bits(), solo.lacp.distributing().bits()),
            (collecting, 0)
        );
    }
    solo.hear(0, IN_SERVICE);
    assert_eq!(solo.lacp.distributing().bits(), 1);
}

/// One direction is dead. The end that receives nothing reports that, and both leave the link at once.
#[test]
fn f53_a_link_on_which_the_partner_does_not_hear_us_is_left_at_once() {
    for addresses in [[1, 2], [2, 1]] {
        for deaf in [0, 1] {
            let mut lab = Lab::new();
            for n in addresses {
                let options = Options { fast_timeout: true, ..DEFAULTS };
                lab.system(mac(n), 10 + u32::from(n), options);
            }
            for (slot, speed) in [(0, 10), (1, 1)] {
                let cable = lab.wire([(0, slot), (1, slot)]);
                for end in [0, 1] {
                    lab.join(cable, end);
                    lab.link(cable, end, Link::Up(speed * G));
                }
            }
            lab.advance(20_000);
            assert!(carries(&lab, 0));
            lab.way(0, 1 - deaf, Way { cut: true, ..STRAIGHT });
            let missed = |lab: &Lab| lab.port(0, deaf).actor().state.contains(StateBits::EXPIRED);
            lab.until(u64::from(receive::SHORT_TIMEOUT) + 1_000, missed);
            let took = lab.until(10_000, |lab| carries(lab, 1));
            assert!(took <= 10, "{addresses:?} {deaf}: {took} ms");
            lab.heal(0);
            lab.until(10_000, |lab| carries(lab, 0));
        }
    }
}
