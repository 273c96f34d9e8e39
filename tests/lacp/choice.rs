//! The choice of the aggregator in service, and what partners on the others are told (F-53, F-54, F-57).

use lagg_rs::lacp::{Link, choice, gathering, mux};
use lagg_rs::wire::lacpdu::{Info, Lacpdu, StateBits};

use crate::lab::{DEFAULTS, Lab, mac, nth};
use crate::negotiation::{all_carry, carries, plug};
use crate::solo::{IN_SERVICE, NEW, Solo};
use crate::wirings::sends;

const G: u64 = 1_000_000_000;

/// Two systems with these addresses, and a cable for each pair of speeds. The second one has its ports in
/// other slots.
fn pair(addresses: [u8; 2], speeds: &[[u64; 2]]) -> Lab {
    let mut lab = Lab::new();
    for n in addresses {
        lab.system(mac(n), 10 + u32::from(n), DEFAULTS);
    }
    for n in 0..speeds.len() {
        let other = (n + 1) % speeds.len();
        let cable = lab.wire([(0, n as u8), (1, other as u8)]);
        lab.join(cable, 0);
        lab.join(cable, 1);
    }
    for (cable, speeds) in speeds.iter().enumerate() {
        for end in [0, 1] {
            lab.link(cable, end, Link::Up(speeds[end] * G));
        }
    }
    lab
}

fn both_ways<const N: usize>(cables: [usize; N]) -> [Vec<(usize, bool)>; 2] {
    let taken: Vec<_> = cables.into_iter().map(|cable| (cable, true)).collect();
    [taken.clone(), taken]
}

fn send(lab: &Lab) -> [Vec<(usize, bool)>; 2] {
    [sends(lab, 0), sends(lab, 1)]
}

#[test]
fn f53_two_by_5g_and_one_by_10g_joined_in_another_order() {
    for addresses in [[1, 2], [2, 1]] {
        let mut lab = pair(addresses, &[[5; 2], [5; 2], [10; 2]]);
        assert!(lab.until(3_000, |lab| carries(lab, 0) || carries(lab, 2)) <= 2_010);
        lab.advance(600_000);
        // The first port of the lower system is on a cable with 5G: slot 0 of the first system, 1 of the
        // second. Slot 0 of the second system is on the cable with 10G.
        let best = if addresses == [1, 2] { both_ways([0, 1]) } else { both_ways([2]) };
        assert_eq!(send(&lab), best);
        assert_eq!((lab[0].flapping(), lab[1].flapping()), (0, 0));
    }
}

/// One end does not know the speed of a link, or has a wrong one. It must not happen that each end sends on
/// the link that the other does not use.
#[test]
fn f53_ends_that_see_different_speeds_use_the_same_links() {
    let speeds: [&[[u64; 2]]; 4] = [
        &[[0, 1], [1, 1]],
        &[[10, 1], [1, 10]],
        &[[10, 1], [1, 10], [1, 10]],
        &[[0, 1], [1, 0], [40, 10], [10, 40]],
    ];
    for speeds in speeds {
        for addresses in [[1, 2], [2, 1]] {
            let mut lab = pair(addresses, speeds);
            lab.until(2_020, |lab| (0..speeds.len()).any(|cable| carries(lab, cable)));
            lab.advance(60_000);
            let [there, back] = send(&lab);
            assert!(!there.is_empty() && there.iter().all(|(_, taken)| *taken), "{speeds:?}");
            assert_eq!(there, back);
            assert_eq!((lab[0].flapping(), lab[1].flapping()), (0, 0));
        }
    }
}

/// A faster link is added, and goes again. Both ends change to it, and back, within the delay of the
/// frames.
#[test]
fn f54_a_change_over_takes_two_lacpdus_each_way_and_no_timer() {
    for addresses in [[1, 2], [2, 1]] {
        let mut lab = pair(addresses, &[[1; 2], [1; 2], [10; 2]]);
        lab.until(2_010, |lab| carries(lab, 2));
        // After a quarter of a minute, and after less time than a new port would wait.
        for ms in [15_000, 1_200] {
            lab.advance(ms);
            let said = |lab: &Lab, end| lab.port(0, end).statistics().pdus_out;
            let before = [0, 1].map(|end| said(&lab, end));
            lab.unplug(2);
            assert_eq!(send(&lab), [vec![], vec![]]);
            assert_eq!(lab.until(5, |lab| carries(lab, 0) && carries(lab, 1)), 2);
            // The first two report in sync and collecting. The third reports distributing.
            for end in [0, 1] {
                assert!(said(&lab, end) - before[end] <= 3);
            }
            lab.advance(1_200);
            lab.link(2, 0, Link::Up(10 * G));
            lab.link(2, 1, Link::Up(10 * G));
            // The port first sends a LACPDU for itself. If the limit would hold up the change, the change
            // waits.
            lab.until(1_200, |lab| !carries(lab, 0));
            assert!(lab.until(10, |lab| carries(lab, 2)) <= 3);
            assert_eq!(send(&lab), both_ways([2]));
        }
        // Ports without a link had not distributed. Those that stand by again have stopped twice.
        assert_eq!((lab[0].flapping(), lab[1].flapping()), (6, 6));
    }
}

/// Two switches that are separate LACP systems. The one that is not used is told so, and does not use the
/// link either.
#[test]
fn f54_of_two_switches_without_mlag_the_other_is_told() {
    let mut lab = Lab::new();
    let a = lab.system(mac(5), 11, DEFAULTS);
    let (b, c) = (lab.system(mac(2), 22, DEFAULTS), lab.system(mac(9), 33, DEFAULTS));
    let cables = [b, c, c].map(|other| lab.cable(a, other));
    plug(&mut lab, [cables[0], cables[1]]);
    lab.advance(5_000);
    let (used, other) = if carries(&lab, 0) { (0, 1) } else { (1, 0) };
    assert_eq!(sends(&lab, a), [(used, true)]);
    assert_eq!(lab.port(other, 0).actor().state, NEW);
    assert_eq!(lab.port(other, 1).partner().state, NEW);
    assert_eq!(lab.port(other, 1).actor().state, NEW | StateBits::SYNC);
    for system in [b, c] {
        assert!(sends(&lab, system).iter().all(|(_, taken)| *taken));
    }
    // The one with more links is better, and the other is then told.
    plug(&mut lab, [cables[2]]);
    lab.advance(3_000);
    assert_eq!(sends(&lab, a), [(1, true), (2, true)]);
    assert_eq!((sends(&lab, b), sends(&lab, c)), (vec![], vec![(1, true), (2, true)]));
    assert_eq!(lab.port(0, 1).actor().state, NEW | StateBits::SYNC);
}

/// Links that the partner does not aggregate: each is an aggregator of its own, and one is used.
#[test]
fn f54_of_individual_links_one_is_used_and_told_so() {
    let mut solo = Solo::new(2, DEFAULTS);
    for state in [NEW, NEW | StateBits::SYNC, IN_SERVICE] {
        (0..2).for_each(|slot| solo.hear(slot, state - StateBits::AGGREGATION));
        solo.pass(2_000);
    }
    assert_eq!((solo.lacp.distributing().bits(), solo.lacp.collecting().bits()), (0b01, 0b01));
    assert_eq!(solo.port(0).actor().state, IN_SERVICE);
    assert_eq!(solo.port(1).actor().state, NEW);
}

/// It is out of sync on purpose, and its partner because it follows.
#[test]
fn f54_a_port_that_stands_by_is_not_churn() {
    let mut lab = pair([1, 2], &[[1; 2], [10; 2]]);
    lab.advance(200_000);
    for end in [0, 1] {
        assert_eq!(lab.port(0, end).mux(), mux::MuxState::Waiting);
        assert_eq!(lab.port(0, end).churns(), (0, 0));
    }
}

/// The best port has left on the partner's side.
#[test]
fn f54_no_port_waits_for_one_that_has_sent_a_farewell() {
    for end in [0, 1] {
        let mut lab = pair([1, 2], &[[1; 2], [10; 2]]);
        lab.until(2_010, |lab| carries(lab, 1));
        lab.leave(1, end);
        assert!(lab.until(10, |lab| carries(lab, 0)) <= 4);
        lab.advance(60_000);
        assert_eq!(send(&lab), both_ways([0]));
        assert_eq!(lab[1 - end].flapping(), 1);
    }
}

/// Three systems in a ring, of which each has a faster link to the next. Two come into service; all try a
/// better partner, less and less often.
#[test]
fn f53_three_systems_of_which_each_prefers_another_come_to_rest() {
    for addresses in [[1, 2, 3], [1, 3, 2]] {
        let mut lab = Lab::new();
        for n in addresses {
            lab.system(mac(n), 10 + u32::from(n), DEFAULTS);
        }
        for (a, b) in [(0, 1), (1, 2), (2, 0)] {
            let cable = lab.cable(a, b);
            lab.link(cable, 0, Link::Up(10 * G));
            lab.link(cable, 1, Link::Up(G));
        }
        let changes = |lab: &Lab| (0..3).map(|system| lab[system].flapping()).sum::<u32>();
        lab.until(10_000, |lab| (0..3).any(|cable| carries(lab, cable)));
        lab.advance(600_000);
        let before = changes(&lab);
        for _ in 0..24 {
            lab.advance(3_600_000);
            let served = (0..3).filter(|system| lab[*system].distributing().bits() != 0);
            assert_eq!(served.count(), 2);
        }
        assert!(changes(&lab) - before <= 60, "{before} and {}", changes(&lab));
    }
}

/// Two systems that prefer a third, which stays with a fourth, find each other.
#[test]
fn f53_two_that_a_third_has_no_room_for_find_each_other() {
    for addresses in [[1, 2, 3, 4], [4, 3, 2, 1], [2, 4, 1, 3]] {
        let mut lab = Lab::new();
        for n in addresses {
            lab.system(mac(n), 10 + u32::from(n), DEFAULTS);
        }
        let links = [(0, 1, 40), (0, 2, 10), (0, 3, 10), (2, 3, 1)];
        for (a, b, speed) in links {
            let cable = lab.cable(a, b);
            (0..2).for_each(|end| lab.link(cable, end, Link::Up(speed * G)));
        }
        lab.advance(60_000);
        assert!(carries(&lab, 0) && carries(&lab, 3));
    }
}

/// A partner with two aggregators that chooses by its own rules, as Linux, teamd and Open vSwitch do.
struct Stubborn {
    solo: Solo,
    system: u8,
    chosen: u8,
}

impl Stubborn {
    /// In sync on one of two links, each of which is an aggregator.
    fn new(system: u8, chosen: u8) -> Self {
        let mut it = Stubborn { solo: Solo::new(2, DEFAULTS), system, chosen };
        it.pass(2_000);
        it
    }

    /// It sends a LACPDU every second, and collects and distributes if we are in sync.
    fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 1_000 {
            for _ in 0..3 {
                (0..2).for_each(|slot| self.say(slot));
            }
            self.solo.pass(1_000);
        }
    }

    fn say(&mut self, slot: u8) {
        let ours = self.solo.port(slot).actor();
        let state = match (slot == self.chosen, ours.state.contains(StateBits::SYNC)) {
            (true, true) => IN_SERVICE,
            (true, false) => NEW | StateBits::SYNC,
            (false, _) => NEW,
        };
        let key = 9 + u16::from(slot);
        let actor = Info { system: mac(self.system), key, ..Solo::partner(slot, state) };
        let pdu = Lacpdu { actor, partner: *ours };
        self.solo.receive(slot, &pdu);
    }
}

/// A partner with a lower identifier is followed at once. One with a higher identifier is followed when it
/// has not followed for a while; after that it is known not to follow.
#[test]
fn f53_a_partner_that_chooses_by_itself_is_followed() {
    let wait = u64::from(choice::FOLLOW);
    for (system, waits) in [(0, 1_000), (9, wait + 4_000)] {
        for chosen in [0, 1] {
            let mut it = Stubborn::new(system, chosen);
            it.pass(waits);
            assert_eq!(it.solo.lacp.distributing().bits(), 1 << chosen, "{system} {chosen}");
            // By now it does not matter which one is better by our order.
            for slot in [0, 1] {
                let now = it.solo.now();
                it.solo.lacp.set_link(nth(1 - slot), Link::Down, now);
                it.solo.lacp.set_link(nth(1 - slot), Link::Up(G), now);
                it.pass(10_000 + waits);
                assert_eq!(it.solo.lacp.distributing().bits(), 1 << chosen, "{system} {chosen}");
            }
            let flapping = it.solo.lacp.flapping();
            it.pass(100_000);
            assert_eq!(it.solo.lacp.distributing().bits(), 1 << chosen);
            assert_eq!(it.solo.lacp.flapping(), flapping);
            // It chooses the other.
            it.chosen = 1 - chosen;
            it.pass(waits);
            assert_eq!(it.solo.lacp.distributing().bits(), 1 << it.chosen);
        }
    }
}

/// The aggregator that it offers is in service at once. A better one is tried once, for a second, and the
/// limit of LACPDUs may add half a second.
#[test]
fn f53_a_partner_that_stays_where_it_is_costs_a_second_and_once() {
    let out = |it: &mut Stubborn, ms: u64| {
        let without = (0..ms).filter(|ms| {
            if ms % 100 == 0 {
                (0..2).for_each(|slot| it.say(slot));
            }
            it.solo.pass(1);
            it.solo.lacp.distributing().bits() == 0
        });
        without.count()
    };
    let mut it = Stubborn::new(9, 1);
    out(&mut it, 1_000);
    assert_eq!(it.solo.lacp.distributing().bits(), 0b10);
    let tried = out(&mut it, 20_000);
    assert!((500..=2_000).contains(&tried), "{tried} ms");
    for _ in 0..3 {
        let now = it.solo.now();
        it.solo.lacp.set_link(nth(1), Link::Down, now);
        it.solo.lacp.set_link(nth(1), Link::Up(G), now);
        let blip = out(&mut it, 20_000);
        assert!(blip <= 1_500, "{blip} ms");
        assert_eq!(it.solo.lacp.distributing().bits(), 0b10);
    }
}

/// The partner is in sync and does not collect yet. Later some of its ports collect, and some stay out of
/// service.
#[test]
fn f57_collecting_is_announced_and_done_at_once() {
    let told = |solo: &Solo| {
        (0..4).fold(0, |set, slot| {
            let collecting = solo.port(slot).actor().state.contains(StateBits::COLLECTING);
            set | u32::from(collecting) << slot
        })
    };
    let mut solo = Solo::new(4, DEFAULTS);
    (0..4).for_each(|slot| solo.hear(slot, NEW));
    solo.pass(2_000);
    (0..3).for_each(|slot| solo.hear(slot, NEW | StateBits::SYNC));
    // For as long as that lasts.
    for _ in 0..3 {
        assert_eq!(
            (told(&solo), solo.lacp.collecting().bits(), solo.lacp.distributing().bits()),
            (7, 7, 0)
        );
        assert!(!solo.lacp.is_active(nth(0)) && solo.lacp.active_aggregator().is_none());
        solo.pass(50_000);
        (0..3).for_each(|slot| solo.hear(slot, NEW | StateBits::SYNC));
        solo.hear(3, NEW);
    }
    // The first one collects, and waits for the others, but not for the one out of sync.
    solo.hear(0, NEW | StateBits::SYNC | StateBits::COLLECTING);
    solo.hear(1, NEW | StateBits::SYNC | StateBits::COLLECTING);
    assert_eq!(
        (told(&solo), solo.lacp.collecting().bits(), solo.lacp.distributing().bits()),
        (7, 7, 0)
    );
    solo.pass(u64::from(gathering::GATHERING) - 1);
    assert_eq!(solo.lacp.distributing().bits(), 0);
    solo.hear(2, NEW | StateBits::SYNC | StateBits::COLLECTING);
    assert_eq!(
        (told(&solo), solo.lacp.collecting().bits(), solo.lacp.distributing().bits()),
        (7, 7, 7)
    );
    assert!(solo.lacp.is_active(nth(0)) && solo.lacp.is_active(nth(3)));
}

#[test]
fn f57_ports_that_do_not_come_to_collect_are_not_waited_for_longer() {
    let mut solo = Solo::new(2, DEFAULTS);
    (0..2).for_each(|slot| solo.hear(slot, NEW));
    solo.pass(2_000);
    solo.hear(0, NEW | StateBits::SYNC);
    solo.hear(1, NEW | StateBits::SYNC);
    solo.hear(0, NEW | StateBits::SYNC | StateBits::COLLECTING);
    solo.said();
    let deadline = solo.lacp.deadline(solo.now()).unwrap();
    assert_eq!(deadline.since(solo.now()), u64::from(gathering::GATHERING));
    solo.pass(u64::from(gathering::GATHERING));
    assert_eq!((solo.lacp.distributing().bits(), solo.lacp.collecting().bits()), (0b01, 0b11));
}

/// When a pair starts, every frame is accepted: neither end sends before the other collects.
#[test]
fn f57_nothing_is_sent_before_it_is_accepted() {
    let mut lab = pair([1, 2], &[[1; 2], [1; 2], [1; 2]]);
    for _ in 0..3_000 {
        lab.advance(1);
        for sends in send(&lab) {
            assert!(sends.iter().all(|(_, taken)| *taken), "{sends:?}");
        }
    }
    assert!(all_carry(&lab));
}
