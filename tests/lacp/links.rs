//! How LACP treats links of every kind: fast, slow, unfit, looped, moved, none.

use lagg_rs::lacp::{Link, Options, System, Time, mux};
use lagg_rs::slots::SlotSet;
use lagg_rs::wire::lacpdu::{Lacpdu, StateBits};
use lagg_rs::wire::slow::Malformed;

use crate::lab::{DEFAULTS, GIGABIT, Lab, lacp, mac, nth};
use crate::negotiation::{agreed, all_carry, carries, plug};
use crate::solo::Solo;

/// Links of different speeds are two aggregators; the faster one is active.
#[test]
fn different_speeds_are_different_aggregators() {
    let mut lab = Lab::new();
    let (a, b) = (lab.system(mac(1), 11, DEFAULTS), lab.system(mac(2), 22, DEFAULTS));
    for _ in 0..4 {
        lab.cable(a, b);
    }
    for cable in 0..3 {
        lab.plug(cable);
    }
    lab.link(3, 0, Link::Up(10_000_000_000));
    lab.link(3, 1, Link::Up(10_000_000_000));
    lab.advance(3_000);
    assert_eq!((lab[a].distributing().bits(), lab[b].distributing().bits()), (0b1000, 0b1000));
    assert_eq!((lab[a].is_active(nth(3)), lab[a].is_active(nth(0))), (true, false));
    for end in [0, 1] {
        assert_eq!(lab.port(0, end).mux(), mux::MuxState::Waiting);
    }
    lab.unplug(3);
    // In sync, and the reply; collecting, and the reply.
    assert_eq!(lab.until(2, |lab| (0..3).all(|cable| carries(lab, cable))), 2);
    assert_eq!((lab[a].distributing().bits(), lab[a].bandwidth()), (0b0111, 3_000_000_000));
}

/// Megabits a second of each class of speeds; 0: unknown.
const SPEEDS: [u64; 19] = [
    0, 10, 100, 1_000, 2_500, 5_000, 10_000, 14_000, 20_000, 25_000, 28_000, 40_000, 50_000,
    56_000, 100_000, 200_000, 400_000, 800_000, 1_600_000,
];

/// Two links are one aggregation only if they have the same speed. Otherwise the faster one is in service.
/// An unfit link never is.
#[test]
fn every_kind_of_link_beside_every_other() {
    let speeds = SPEEDS.into_iter().map(|megabits| Link::Up(megabits * 1_000_000));
    let kinds: Vec<_> = speeds.chain([Link::Unfit]).collect();
    for one in &kinds {
        for other in &kinds {
            let mut lab = Lab::new();
            let (a, b) = (lab.system(mac(1), 11, DEFAULTS), lab.system(mac(2), 22, DEFAULTS));
            for link in [one, other] {
                let cable = lab.cable(a, b);
                lab.link(cable, 0, *link);
                lab.link(cable, 1, *link);
            }
            lab.advance(5_000);
            let wanted = match (one, other) {
                (Link::Up(one), Link::Up(other)) if one == other => 0b11,
                (Link::Up(one), Link::Up(other)) => {
                    if one > other {
                        0b01
                    } else {
                        0b10
                    }
                }
                (Link::Up(_), _) => 0b01,
                (_, Link::Up(_)) => 0b10,
                _ => 0,
            };
            let sets = [lab[a].distributing().bits(), lab[b].distributing().bits()];
            assert_eq!(sets, [wanted; 2], "{one:?} beside {other:?}");
        }
    }
}

/// A link whose speed changes leaves its aggregator, takes another, and stands by there.
#[test]
fn a_link_that_changes_its_speed_changes_its_aggregator() {
    let mut lab = agreed(2);
    lab.link(1, 0, Link::Up(100_000_000));
    lab.link(1, 1, Link::Up(100_000_000));
    assert_eq!((lab[0].distributing().bits(), lab[1].distributing().bits()), (0b01, 0b01));
    lab.advance(5_000);
    assert_eq!((lab[0].distributing().bits(), lab[1].distributing().bits()), (0b01, 0b01));
    assert_eq!(lab.port(1, 0).mux(), mux::MuxState::Waiting);
    lab.plug(1);
    lab.advance(5_000);
    assert!(all_carry(&lab));
}

/// Half duplex, or not Ethernet: LACP does nothing there.
#[test]
fn an_unfit_link_is_never_in_service_and_nothing_is_sent_on_it() {
    let mut lab = agreed(2);
    let out = lab.port(1, 0).statistics().pdus_out;
    lab.link(1, 0, Link::Unfit);
    assert_eq!(lab[0].distributing().bits(), 0b01);
    lab.advance(200_000);
    assert_eq!(lab.port(1, 0).mux(), mux::MuxState::Detached);
    assert!(!lab.port(1, 0).actor().state.contains(StateBits::AGGREGATION));
    assert_eq!(lab.port(1, 0).statistics().pdus_out, out);
    assert_eq!(lab[1].distributing().bits(), 0b01);
    lab.link(1, 0, GIGABIT);
    lab.until(2_100, all_carry);
}

/// A cable with both ends in one system: it is looped, and there is no partner.
#[test]
fn a_looped_link_has_no_partner() {
    let mut lab = Lab::new();
    let a = lab.system(mac(1), 11, DEFAULTS);
    let cable = lab.cable(a, a);
    lab.plug(cable);
    lab.advance(100_000);
    assert_eq!(lab[a].collecting().bits(), 0);
    assert!(lab.port(cable, 0).actor().state.contains(StateBits::DEFAULTED));
    assert!(lab.port(cable, 0).statistics().looped > 0);
}

/// Cables pulled out and put into each other's sockets: the ports have moved (port_moved).
#[test]
fn partners_that_change_places_are_agreed_with_where_they_are() {
    let mut lab = Lab::new();
    let (a, b) = (lab.system(mac(1), 11, DEFAULTS), lab.system(mac(2), 22, DEFAULTS));
    let cables = [lab.cable(a, b), lab.cable(a, b)];
    plug(&mut lab, cables);
    lab.until(3_000, all_carry);
    lab.advance(60_000);
    cables.into_iter().for_each(|cable| lab.unplug(cable));
    let old = *lab.port(1, 0).partner();
    // One cable is plugged in elsewhere first: the port where it was forgets its partner.
    (lab.cables[0].ends[1].slot, lab.cables[1].ends[1].slot) = (1, 0);
    lab.plug(0);
    lab.advance(2);
    assert_eq!(lab.port(0, 0).partner().port, old.port);
    let down = lab.port(1, 0);
    assert!(down.actor().state.contains(StateBits::DEFAULTED) && down.partner().port == 0);
    lab.plug(1);
    lab.until(3_000, all_carry);
}

/// For a port that does not exist, nothing is returned.
#[test]
fn slots_without_a_port_are_ignored() {
    let now = Time::new(5);
    let mut lacp = lacp(System::new(mac(1)), 1, DEFAULTS);
    for slot in [0, 31].map(nth) {
        lacp.set_link(slot, GIGABIT, now);
        lacp.receive(slot, mac(9), &Lacpdu::default(), now);
        lacp.receive_malformed(slot, Malformed::Short);
        lacp.transmit_failed(slot, now);
        assert!(lacp.port(slot).is_none() && lacp.link(slot).is_none() && !lacp.is_active(slot));
    }
    lacp.run(now);
    assert_eq!(
        (lacp.poll_transmit(now), lacp.poll_marker(lacp.last_order()), lacp.deadline(now)),
        (None, None, None)
    );
    assert_eq!(
        (lacp.ask_markers(SlotSet::ALL, now), lacp.waiting(), lacp.bandwidth()),
        (SlotSet::EMPTY, SlotSet::EMPTY, 0)
    );
}

/// One farewell, and only to a partner that got LACPDUs before, and gets none again first.
#[test]
fn f60_a_partner_is_told_of_a_port_that_is_taken_down_or_unfit() {
    let farewell = |solo: &mut Solo| {
        let farewell = solo.lacp.poll_farewell(solo.lacp.last_order()).map(|(slot, frame)| {
            let Lacpdu { actor, partner } = Lacpdu::parse(&frame).unwrap();
            assert_eq!(slot, nth(0));
            assert_eq!(actor.state, StateBits::ACTIVITY);
            assert!(partner.is_same_port(&Solo::partner(0, StateBits::empty())));
        });
        assert_eq!(solo.lacp.poll_farewell(solo.lacp.last_order()), None);
        farewell.is_some()
    };
    type Down = fn(&mut Solo);
    let downs: [(Down, bool); 3] = [
        (|solo| solo.lacp.take_down(nth(0), solo.now()), true),
        (|solo| solo.lacp.set_link(nth(0), Link::Unfit, solo.now()), true),
        (|solo| solo.lacp.set_link(nth(0), Link::Down, solo.now()), false),
    ];
    for (down, says) in downs {
        let mut solo = Solo::new(1, DEFAULTS);
        solo.agree();
        down(&mut solo);
        assert_eq!(solo.lacp.has_farewell(solo.lacp.last_order()), says);
        solo.lacp.run(solo.now());
        assert_eq!(farewell(&mut solo), says);
        down(&mut solo);
        assert!(!farewell(&mut solo), "it is known");
        solo.lacp.set_link(nth(0), GIGABIT, solo.now());
        solo.agree();
        down(&mut solo);
        solo.lacp.set_link(nth(0), GIGABIT, solo.now());
        assert!(!farewell(&mut solo), "it is back");
        solo.lacp.set_options(Options { txtest: true, ..DEFAULTS });
        down(&mut solo);
        assert!(!farewell(&mut solo));
    }
}
