//! How two systems agree, lose their agreement, and find it again.

use lagg_rs::lacp::{Link, Options, mux};
use lagg_rs::wire::lacpdu::{Info, Lacpdu, StateBits};

use crate::lab::{DEFAULTS, GIGABIT, Lab, STRAIGHT, Way, mac, nth};
use crate::solo::{IN_SERVICE, NEW, Solo};

/// Whether both ends of a cable distribute.
pub fn carries(lab: &Lab, cable: usize) -> bool {
    lab.cables[cable]
        .ends
        .iter()
        .all(|end| lab[end.system].distributing().bits() & 1 << end.slot != 0)
}

pub fn all_carry(lab: &Lab) -> bool {
    (0..lab.cables.len()).all(|cable| carries(lab, cable))
}

pub fn plug<const N: usize>(lab: &mut Lab, cables: [usize; N]) {
    cables.into_iter().for_each(|cable| lab.plug(cable));
}

/// A pair whose cables have been in service for a while.
pub fn agreed(cables: usize) -> Lab {
    let mut lab = Lab::pair(cables);
    lab.until(3_000, all_carry);
    lab.advance(100_000);
    assert!(all_carry(&lab));
    lab
}

#[test]
fn a_cold_start_takes_the_wait_for_others_and_four_frames() {
    let mut lab = Lab::new();
    let (a, b) = (lab.system(mac(1), 11, DEFAULTS), lab.system(mac(2), 22, DEFAULTS));
    let cable = lab.cable(a, b);
    lab.advance(500);
    lab.plug(cable);
    // A LACPDU from each end at once; 2 s of waiting for other ports; a LACPDU with SYNC, and one with
    // COLLECTING.
    assert_eq!(lab.until(3_000, all_carry), 1 + 2_000 + 1 + 1);
    assert_eq!((lab[a].bandwidth(), lab[b].bandwidth()), (1_000_000_000, 1_000_000_000));
    let [(actor, partner), (other, us)] = [a, b].map(|it| lab[it].active_aggregator().unwrap());
    assert_eq!((actor.system, actor.key, us.system, us.key), (mac(1), 0x0164, mac(1), 0x0164));
    assert_eq!((other.system, other.key), (partner.system, partner.key));
}

#[test]
fn each_side_has_recorded_what_the_other_is() {
    let lab = agreed(2);
    for cable in [0, 1] {
        assert_eq!(lab.port(cable, 0).partner(), lab.port(cable, 1).actor());
        assert_eq!(lab.port(cable, 1).partner(), lab.port(cable, 0).actor());
    }
}

/// 32 at once, and one 1.5 s before the others: it waits for them.
#[test]
fn thirty_two_ports_come_into_service_together() {
    let mut lab = Lab::new();
    let (a, b) = (lab.system(mac(1), 11, DEFAULTS), lab.system(mac(2), 22, DEFAULTS));
    let first = lab.cable(a, b);
    for _ in 1..32 {
        lab.cable(a, b);
    }
    lab.plug(first);
    lab.advance(1_500);
    for cable in 1..32 {
        lab.plug(cable);
    }
    assert_eq!(lab.until(3_000, |lab| carries(lab, first)), 2_003);
    assert!(all_carry(&lab));
    assert_eq!((lab[a].distributing().bits(), lab[b].collecting().bits()), (u32::MAX, u32::MAX));
    assert_eq!(lab[a].bandwidth(), 32_000_000_000);
}

#[test]
fn a_port_that_joins_later_disturbs_no_other() {
    let mut lab = agreed(1);
    let flapping = lab[0].flapping();
    let late = lab.cable(0, 1);
    lab.plug(late);
    assert_eq!(lab.until(3_000, all_carry), 2_003);
    assert_eq!((flapping, lab[0].flapping()), (0, 0));
}

/// Both ends notice at once. When the link is back, nothing has to be waited for.
#[test]
fn a_link_that_is_lost_and_comes_back_is_in_service_again_within_three_frames() {
    let mut lab = agreed(2);
    lab.unplug(1);
    for system in [0, 1] {
        assert_eq!(
            (lab[system].distributing().bits(), lab[system].bandwidth()),
            (0b01, 1_000_000_000)
        );
        assert_eq!(lab[system].flapping(), 1);
    }
    lab.advance(20_000);
    lab.plug(1);
    assert!(lab.until(1_000, all_carry) <= 5);
    assert_eq!(lab[0].distributing().bits(), 0b11);
}

/// Only one side has no carrier. The other is not told, but times out.
#[test]
fn a_link_that_only_one_side_has_lost_times_out_on_the_other() {
    for side in [0, 1] {
        let mut lab = Lab::pair(2);
        for system in [0, 1] {
            lab.options(system, Options { fast_timeout: true, ..DEFAULTS });
        }
        lab.until(5_000, all_carry);
        lab.advance(10_000);
        lab.link(1, side, Link::Down);
        assert_eq!(lab[side].distributing().bits(), 0b01);
        let other = 1 - side;
        let missed = lab.until(3_001, |lab| lab[other].distributing().bits() == 0b01);
        assert!(missed > 2_000, "{missed}");
        lab.advance(20_000);
        lab.link(1, side, GIGABIT);
        lab.until(2_100, all_carry);
    }
}

/// A system whose LACPDUs get lost is told so by the one that times out.
#[test]
fn one_way_loss_ends_service_in_both_directions() {
    let mut lab = Lab::pair(2);
    for system in [0, 1] {
        lab.options(system, Options { fast_timeout: true, ..DEFAULTS });
    }
    lab.until(5_000, all_carry);
    lab.advance(10_000);
    lab.way(1, 0, Way { cut: true, ..STRAIGHT });
    lab.until(3_001, |lab| lab[1].distributing().bits() == 0b01);
    lab.until(1, |lab| lab[0].distributing().bits() == 0b01);
    // That lasts. Then neither has a partner, and both send every 30 s.
    lab.advance(100_000);
    assert_eq!((lab[0].distributing().bits(), lab[1].distributing().bits()), (0b01, 0b01));
    lab.heal(1);
    lab.until(30_000 + 2_100, all_carry);
}

/// Half of the frames in both directions are lost at random.
#[test]
fn an_agreement_is_found_through_a_link_that_loses_half_of_all() {
    for seed in 0..20 {
        let mut lab = Lab::new();
        lab.seed(seed);
        let fast = Options { fast_timeout: true, ..DEFAULTS };
        let (a, b) = (lab.system(mac(1), 11, fast), lab.system(mac(2), 22, fast));
        let cable = lab.cable(a, b);
        for from in [0, 1] {
            lab.way(cable, from, Way { lost: 50, ..STRAIGHT });
        }
        lab.plug(cable);
        lab.until(120_000, all_carry);
    }
}

/// A third of the frames are doubled, and all arrive up to 2 s late, in any order.
#[test]
fn doubled_and_reordered_lacpdus_end_in_agreement_all_the_same() {
    for seed in 0..20 {
        let mut lab = Lab::new();
        lab.seed(seed);
        let (a, b) = (lab.system(mac(1), 11, DEFAULTS), lab.system(mac(2), 22, DEFAULTS));
        for _ in 0..2 {
            let cable = lab.cable(a, b);
            for from in [0, 1] {
                lab.way(cable, from, Way { jitter: 2_000, doubled: 33, ..STRAIGHT });
            }
            lab.plug(cable);
        }
        lab.advance(200_000);
        assert!(all_carry(&lab), "{}", lab.describe());
    }
}

/// The same LACPDU twice changes nothing, and nothing is sent.
#[test]
fn a_doubled_lacpdu_changes_nothing() {
    let mut lab = agreed(1);
    let said = lab.systems[1].records[0].said.unwrap().pdu;
    let before = (*lab.port(0, 0).actor(), *lab.port(0, 0).partner());
    let out = lab.port(0, 0).statistics().pdus_out;
    lab.at(0, |lacp, now| lacp.receive(nth(0), mac(9), &said, now));
    lab.at(0, |lacp, now| lacp.receive(nth(0), mac(9), &said, now));
    assert_eq!(before, (*lab.port(0, 0).actor(), *lab.port(0, 0).partner()));
    assert_eq!(lab.port(0, 0).statistics().pdus_out, out);
}

/// A port that leaves sends a farewell. Its partner stops sending as soon as that arrives.
#[test]
fn a_farewell_ends_the_partners_service_at_once() {
    let mut lab = agreed(2);
    lab.leave(1, 0);
    lab.advance(1);
    assert_eq!((lab[0].distributing().bits(), lab[1].distributing().bits()), (0b01, 0b01));
    let said = lab.systems[1].records[1].heard.unwrap().pdu;
    assert_eq!(said.actor.state, StateBits::ACTIVITY);
    assert_eq!(said.partner.system, mac(2));
    // When it is back, it is in service as fast as a new port.
    lab.advance(60_000);
    lab.join(1, 0);
    lab.until(2_100, all_carry);
}

#[test]
fn a_port_that_leaves_sends_nothing_without_a_partner() {
    let mut lab = agreed(3);
    lab.link(0, 0, Link::Down);
    lab.options(0, Options { txtest: true, ..DEFAULTS });
    let mut lacp = |slot| lab.systems[0].lacp.remove(nth(slot));
    assert_eq!((lacp(0), lacp(1), lacp(7)), (None, None, None));
    let options = Options { txtest: false, ..DEFAULTS };
    lab.systems[0].lacp.set_options(options);
    assert!(lab.systems[0].lacp.remove(nth(2)).is_some());
}

/// Every pair of timeouts, reached from every other pair. The link stays in service all the time.
#[test]
fn timeouts_change_while_the_link_stays_in_service() {
    let pairs = [(false, false), (false, true), (true, false), (true, true)];
    for before in pairs {
        for after in pairs {
            let mut lab = Lab::pair(2);
            let set = |lab: &mut Lab, (a, b)| {
                lab.options(0, Options { fast_timeout: a, ..DEFAULTS });
                lab.options(1, Options { fast_timeout: b, ..DEFAULTS });
            };
            set(&mut lab, before);
            lab.until(4_000, all_carry);
            lab.advance(10_300);
            set(&mut lab, after);
            lab.advance(200_000);
            assert!(all_carry(&lab));
            let flapping = (lab[0].flapping(), lab[1].flapping());
            assert_eq!(flapping, (0, 0), "{before:?} to {after:?}");
            // Each side receives LACPDUs as often as it asks for.
            let heard = [0, 1].map(|side| lab.port(0, side).statistics().pdus_in);
            lab.advance(30_000);
            for (side, fast) in [(0, after.0), (1, after.1)] {
                let more = lab.port(0, side).statistics().pdus_in - heard[side];
                assert_eq!(more, if fast { 30 } else { 1 }, "{before:?} to {after:?}");
            }
        }
    }
}

/// However often the option changes, a partner that is gone times out after 90 s at the latest.
#[test]
fn a_change_of_the_timeout_does_not_put_off_the_end_of_a_partner() {
    let mut solo = Solo::new(1, DEFAULTS);
    solo.agree();
    solo.hear(0, IN_SERVICE);
    for ms in [0, 30_000, 0, 30_000, 0, 29_999] {
        let fast_timeout = !solo.lacp.options().fast_timeout;
        solo.lacp.set_options(Options { fast_timeout, ..DEFAULTS });
        solo.pass(ms);
        assert_eq!(solo.lacp.distributing().bits(), 1);
    }
    solo.pass(1);
    assert_eq!(solo.lacp.distributing().bits(), 0);
}

/// A partner that has recorded another system, or an earlier state of ours, is not in sync with us,
/// whatever it reports. Nor is one that no side keeps alive.
#[test]
fn a_partner_that_does_not_know_us_gets_no_frames() {
    let us = *Solo::new(1, DEFAULTS).port(0).actor();
    let strangers = [
        Info { system: mac(5), ..us },
        Info { system_priority: 1, ..us },
        Info { key: us.key + 1, ..us },
        Info { port: us.port + 1, ..us },
        Info { port_priority: 1, ..us },
        Info { state: us.state - StateBits::AGGREGATION, ..us },
        Info::default(),
    ];
    let in_service = strangers.map(|partner| (IN_SERVICE, partner));
    let passive = Info { state: us.state - StateBits::ACTIVITY, ..us };
    for (state, partner) in
        in_service.into_iter().chain([(IN_SERVICE - StateBits::ACTIVITY, passive)])
    {
        let mut solo = Solo::new(1, DEFAULTS);
        for _ in 0..5 {
            solo.receive(0, &Lacpdu { actor: Solo::partner(0, state), partner });
            // It gets our LACPDUs as often as the limit allows.
            assert!(!solo.pass(2_000).is_empty());
            assert_eq!(solo.lacp.collecting().bits(), 0);
        }
        assert_eq!(solo.port(0).mux(), mux::MuxState::Waiting);
        solo.hear(0, IN_SERVICE);
        assert_eq!(solo.port(0).mux(), mux::MuxState::Distributing);
    }
}

/// A partner that has timed out has 3 seconds to come back, whatever is sent to it meanwhile.
#[test]
fn a_partner_that_has_timed_out_is_not_waited_for_longer() {
    let mut solo = Solo::new(1, Options { fast_timeout: true, ..DEFAULTS });
    solo.hear(0, NEW);
    solo.pass(3_000);
    assert!(solo.port(0).actor().state.contains(StateBits::EXPIRED));
    solo.lacp.set_options(DEFAULTS);
    solo.pass(2_999);
    assert!(!solo.port(0).actor().state.contains(StateBits::DEFAULTED));
    solo.pass(1);
    assert!(solo.port(0).actor().state.contains(StateBits::DEFAULTED));
}

/// SIOCGLAGG returns of the active aggregator what its ports have in common.
#[test]
fn the_active_aggregator_is_reported_without_its_ports() {
    let mut solo = Solo::new(2, DEFAULTS);
    assert_eq!(solo.lacp.active_aggregator(), None);
    solo.agree();
    let Info { key, .. } = *solo.port(0).actor();
    let state = StateBits::AGGREGATION;
    let of = |system, key, state| Info {
        system_priority: 0x8000,
        system,
        key,
        state,
        ..Info::default()
    };
    let expected = (of(mac(1), key, state), of(mac(9), 9, StateBits::empty()));
    assert_eq!(solo.lacp.active_aggregator(), Some(expected));
    // A link that the partner does not aggregate.
    for state in [NEW, IN_SERVICE, IN_SERVICE] {
        (0..2).for_each(|slot| solo.hear(slot, state - StateBits::AGGREGATION));
        solo.pass(2_000);
    }
    let alone = (of(mac(1), key, StateBits::empty()), of(mac(9), 9, StateBits::empty()));
    assert_eq!(solo.lacp.active_aggregator(), Some(alone));
}

/// An aggregator that no port selects any more is free for others, so a partner may change as often as it
/// likes.
#[test]
fn aggregators_are_free_again() {
    let mut solo = Solo::new(1, DEFAULTS);
    for key in 1..=40 {
        for state in [NEW, IN_SERVICE, IN_SERVICE] {
            let actor = Info { key, ..Solo::partner(0, state) };
            solo.receive(0, &Lacpdu { actor, partner: *solo.port(0).actor() });
            solo.pass(2_000);
        }
        assert_eq!(solo.lacp.distributing().bits(), 1, "partner {key}");
    }
}
