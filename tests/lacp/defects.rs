//! Defects of C lagg's LACP that the machines must not have, by number (docs/compared.md).

use lagg_rs::lacp::{Link, Options, mux};
use lagg_rs::wire::lacpdu::StateBits;

use crate::lab::{DEFAULTS, GIGABIT, Lab, PRIORITY, mac, nth, set};
use crate::negotiation::{agreed, all_carry, carries, plug};
use crate::solo::{IN_SERVICE, NEW, Solo};

const FAST: Options = Options { fast_timeout: true, ..DEFAULTS };

/// One system with a port to each of two independent systems, which have these priorities.
fn two_partners(priorities: [u16; 2]) -> Lab {
    let mut lab = Lab::new();
    let a = lab.system(mac(1), 11, DEFAULTS);
    for (n, priority) in [2, 3].into_iter().zip(priorities) {
        let other = lab.system(mac(n), 20 + u32::from(n), DEFAULTS);
        lab.set_priority(other, priority);
        lab.cable(a, other);
    }
    lab
}

/// A port that leaves, or whose link goes down, does not keep the ports waiting that wait with it.
#[test]
fn f15_a_port_that_leaves_while_it_waits_keeps_no_other_waiting() {
    for unplugged in [false, true] {
        let mut lab = Lab::new();
        let (a, b) = (lab.system(mac(1), 11, DEFAULTS), lab.system(mac(2), 22, DEFAULTS));
        let cables = [0; 3].map(|_| lab.cable(a, b));
        plug(&mut lab, cables);
        lab.advance(1_000);
        assert_eq!(lab.port(1, 0).mux(), mux::MuxState::Waiting);
        if unplugged {
            lab.unplug(1)
        } else {
            lab.leave(1, 0)
        }
        lab.until(1_003, |lab| carries(lab, 0) && carries(lab, 2));
    }
}

#[test]
fn f16_losing_the_standby_of_two_switches_touches_nothing() {
    let mut lab = two_partners([PRIORITY; 2]);
    plug(&mut lab, [0, 1]);
    lab.advance(5_000);
    assert_eq!(lab[0].distributing().bits(), 0b01);
    assert_eq!(lab.port(1, 0).mux(), mux::MuxState::Waiting);
    lab.unplug(1);
    assert_eq!((lab[0].distributing().bits(), lab[0].bandwidth()), (0b01, 1_000_000_000));
    lab.plug(1);
    lab.advance(5_000);
    assert_eq!((lab[0].distributing().bits(), lab[0].bandwidth()), (0b01, 1_000_000_000));
}

#[test]
fn f16_losing_the_active_one_of_two_switches_hands_over_at_once() {
    let mut lab = two_partners([PRIORITY; 2]);
    plug(&mut lab, [0, 1]);
    lab.advance(5_000);
    lab.unplug(0);
    // The other one has been in sync all the time, so one LACPDU each way is enough.
    assert_eq!(lab.until(2, |lab| carries(lab, 1)), 2);
    assert_eq!((lab[0].distributing().bits(), lab[0].bandwidth()), (0b10, 1_000_000_000));
    assert_eq!(lab[0].active_aggregator().unwrap().1.system, mac(3));
    // The first one comes back: there is no reason to change again.
    lab.plug(0);
    lab.advance(5_000);
    assert_eq!(lab[0].distributing().bits(), 0b10);
    assert_eq!(lab.port(0, 0).mux(), mux::MuxState::Waiting);
}

#[test]
fn f17_no_pause_stays_when_all_links_go_down() {
    let mut lab = agreed(2);
    lab.systems[1].answers_markers = false;
    assert_eq!(lab.at(0, |lacp, now| lacp.ask_markers(set(0b11), now)), set(0b11));
    assert_eq!(lab[0].waiting().bits(), 0b11);
    lab.unplug(0);
    assert_eq!(lab[0].waiting().bits(), 0b10);
    lab.unplug(1);
    assert_eq!(lab[0].waiting().bits(), 0);
    plug(&mut lab, [0, 1]);
    lab.until(1_000, all_carry);
    assert_eq!(lab[0].waiting().bits(), 0);
}

#[test]
fn f18_a_port_that_joins_later_has_the_short_timeout_too() {
    let mut lab = agreed(1);
    lab.options(0, FAST);
    let late = lab.cable(0, 1);
    lab.plug(late);
    assert!(lab.port(late, 0).actor().state.contains(StateBits::TIMEOUT));
    lab.until(3_000, all_carry);
    assert!(lab.port(late, 1).partner().state.contains(StateBits::TIMEOUT));
    lab.cut(late);
    lab.until(3_000, |lab| lab[0].distributing().bits() == 0b01);
    // A port that joins when the option is off again has the long timeout.
    lab.options(0, DEFAULTS);
    let later = lab.cable(0, 1);
    assert!(!lab.port(later, 0).actor().state.contains(StateBits::TIMEOUT));
}

/// Compared in host order, before the bandwidth, whichever came first.
#[test]
fn f19_the_partner_with_the_better_priority_is_the_active_one() {
    for (good, bad) in [(1, 0x8000), (0x0081, 0x8100), (0x00ff, 0x0100), (0, u16::MAX)] {
        for swapped in [false, true] {
            let (priorities, best) = if swapped { ([bad, good], 1) } else { ([good, bad], 0) };
            for first in [0, 1] {
                let mut lab = two_partners(priorities);
                lab.plug(first);
                lab.advance(5_000);
                assert_eq!(lab[0].distributing().bits(), 1 << first);
                for end in [0, 1] {
                    lab.link(1 - first, end, Link::Up(10_000_000_000));
                }
                lab.advance(5_000);
                assert_eq!(
                    lab[0].distributing().bits(),
                    1 << best,
                    "{priorities:x?}, {first} first"
                );
            }
        }
    }
}

/// Of the pairs that had the same key: 10M and 20G, 100M and 5G, 50G and 200G.
#[test]
fn f20_links_of_different_speeds_are_never_aggregated() {
    for lagg in [1, 64, 128, 192, 1023] {
        for (one, other) in [(10, 20_000), (100, 5_000), (50_000, 200_000)] {
            let mut lab = Lab::new();
            let (a, b) = (lab.system(mac(1), lagg, DEFAULTS), lab.system(mac(2), lagg, DEFAULTS));
            for megabits in [one, other] {
                let cable = lab.cable(a, b);
                lab.link(cable, 0, Link::Up(megabits * 1_000_000));
                lab.link(cable, 1, Link::Up(megabits * 1_000_000));
            }
            lab.advance(5_000);
            assert_ne!(lab.port(0, 0).actor().key, lab.port(1, 0).actor().key);
            assert_eq!((lab[a].distributing().bits(), lab[b].distributing().bits()), (0b10, 0b10));
        }
    }
}

#[test]
fn f21_ports_of_unknown_speed_are_in_service_if_there_are_no_others() {
    let mut lab = Lab::new();
    let (a, b) = (lab.system(mac(1), 11, DEFAULTS), lab.system(mac(2), 22, DEFAULTS));
    for _ in 0..3 {
        lab.cable(a, b);
    }
    for (cable, end) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        lab.link(cable, end, Link::Up(0));
    }
    lab.advance(5_000);
    assert_eq!((lab[a].distributing().bits(), lab[b].collecting().bits()), (0b011, 0b011));
    assert_eq!(lab[a].bandwidth(), 0);
    lab.plug(2);
    // The aggregator in service is left when the partner has had time to be ready as well.
    lab.advance(5_000);
    assert_eq!(lab[a].distributing().bits(), 0b011);
    lab.advance(5_000);
    assert_eq!(lab[a].distributing().bits(), 0b100);
}

/// A partner that has timed out gets a LACPDU at once and then every second, until it is given up.
#[test]
fn f22_a_partner_that_has_timed_out_is_asked_every_second() {
    let mut solo = Solo::new(1, FAST);
    solo.agree();
    solo.hear(0, IN_SERVICE);
    let said = solo.pass(6_000);
    let expired = said.iter().filter(|(_, pdu)| pdu.actor.state.contains(StateBits::EXPIRED));
    let at: Vec<_> = expired.map(|(at, _)| *at).collect();
    assert_eq!(at, [3_000, 4_000, 5_000]);
    let last = said.last().unwrap();
    assert_eq!(
        (last.0, last.1.actor.state),
        (6_000, NEW | StateBits::TIMEOUT | StateBits::DEFAULTED)
    );
}

/// However long the link was down, and wherever the timers were.
#[test]
fn f23_the_first_lacpdu_after_a_link_comes_up_is_sent_at_once() {
    for down in [1, 500, 13_000, 29_999, 95_000] {
        let mut solo = Solo::new(1, DEFAULTS);
        solo.agree();
        solo.pass(17_000);
        solo.lacp.set_link(nth(0), Link::Down, solo.now());
        assert_eq!(solo.pass(down), []);
        solo.lacp.set_link(nth(0), GIGABIT, solo.now());
        assert_eq!(solo.said().len(), 1, "down for {down} ms");
        let at: Vec<_> = solo.pass(3_000).into_iter().map(|(at, _)| at).collect();
        assert_eq!(at[..2], [1_000, 2_000]);
    }
}

/// A partner that reports not to be in sync is not in sync, strict or not. Two that agree on that do not
/// send LACPDUs without end.
#[test]
fn f24_what_the_partner_does_not_report_is_never_added() {
    for strict in [true, false] {
        let mut solo = Solo::new(1, Options { strict, ..DEFAULTS });
        solo.hear(0, NEW);
        solo.pass(2_500);
        assert_eq!(solo.port(0).mux(), mux::MuxState::Attached);
        for _ in 0..10 {
            solo.hear(0, NEW);
            assert!(!solo.port(0).partner().state.contains(StateBits::SYNC));
            assert_eq!(solo.pass(1_000), []);
        }
        assert_eq!(solo.port(0).mux(), mux::MuxState::Attached);
    }
}

/// For all ports, not only those of unit 0.
#[test]
fn f25_txtest_and_rxtest_hold_for_every_port() {
    let mut lab = agreed(4);
    lab.options(0, Options { txtest: true, ..DEFAULTS });
    let before = lab[0].port(nth(0)).unwrap().statistics().pdus_out;
    lab.advance(60_000);
    for slot in 0..4 {
        assert_eq!(lab[0].port(nth(slot)).unwrap().statistics().pdus_out, before);
    }
    lab.advance(40_000);
    assert_eq!(lab[1].distributing().bits(), 0);
    lab.options(0, DEFAULTS);
    lab.until(33_000, all_carry);

    lab.options(0, Options { rxtest: true, ..DEFAULTS });
    lab.advance(94_000);
    assert_eq!(lab[0].distributing().bits(), 0);
    for slot in 0..4 {
        assert!(lab[0].port(nth(slot)).unwrap().actor().state.contains(StateBits::DEFAULTED));
    }
    lab.options(0, DEFAULTS);
    lab.until(33_000, all_carry);
}

/// Partners are told of another identifier at once, and agree with the new system.
#[test]
fn f26_another_identifier_is_sent_at_once() {
    let mut lab = agreed(2);
    lab.set_address(0, mac(77));
    lab.advance(1);
    for cable in [0, 1] {
        assert_eq!(lab.port(cable, 1).partner().system, mac(77));
    }
    lab.until(2_500, all_carry);
    assert_eq!(lab[1].active_aggregator().unwrap().1.system, mac(77));
    // Setting the same identifier again sends nothing.
    let out = lab.port(0, 0).statistics().pdus_out;
    lab.set_address(0, mac(77));
    assert_eq!(lab.port(0, 0).statistics().pdus_out, out);
}

/// The partner collects long after it was in sync. That we then distribute is sent at once.
#[test]
fn f27_the_partner_is_told_of_distributing() {
    let mut solo = Solo::new(1, DEFAULTS);
    solo.hear(0, NEW);
    solo.pass(2_500);
    solo.hear(0, NEW | StateBits::SYNC);
    assert_eq!(solo.port(0).mux(), mux::MuxState::Collecting);
    solo.pass(5_000);
    solo.hear(0, NEW | StateBits::SYNC | StateBits::COLLECTING);
    let said = solo.said();
    assert_eq!(said.len(), 1);
    assert!(said[0].1.actor.state.contains(StateBits::COLLECTING | StateBits::DISTRIBUTING));
    // And when it has to stop again.
    solo.pass(5_000);
    solo.hear(0, NEW | StateBits::SYNC);
    let said = solo.said();
    assert_eq!(said.len(), 1);
    assert!(!said[0].1.actor.state.contains(StateBits::DISTRIBUTING));
}
