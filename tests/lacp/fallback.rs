//! One port in service without a partner.

use lagg_rs::lacp::settings::Reselect;
use lagg_rs::lacp::{Link, Settings};
use lagg_rs::wire::lacpdu::StateBits;

use crate::lab::{DEFAULTS, GIGABIT, Lab, nth};
use crate::negotiation::all_carry;
use crate::solo::{IN_SERVICE, NEW, Solo};

const FALLBACK: Settings = Settings { fallback: true, fallback_delay: 20, ..Settings::NEW };

fn alone(ports: u8, settings: Settings) -> Solo {
    let mut solo = Solo::new(ports, DEFAULTS);
    solo.lacp.set_settings(settings);
    solo
}

/// The ports in service, which both send and take in.
fn used(solo: &Solo) -> u32 {
    assert_eq!(solo.lacp.distributing(), solo.lacp.collecting());
    solo.lacp.distributing().bits()
}

#[test]
fn the_best_port_is_in_service_from_the_delay_on() {
    let mut solo = alone(3, FALLBACK);
    solo.lacp.set_port_priority(nth(1), 7, solo.now());
    solo.pass(19_999);
    assert_eq!(used(&solo), 0);
    solo.pass(1);
    assert_eq!(used(&solo), 0b010);
    let its = solo.port(1).actor().state;
    let told = StateBits::SYNC | StateBits::COLLECTING | StateBits::DISTRIBUTING;
    assert!(its.contains(told | StateBits::DEFAULTED));
    assert_eq!(solo.lacp.bandwidth(), 1_000_000_000);
    // No marker is asked of nobody.
    assert!(solo.lacp.ask_markers(solo.lacp.distributing(), solo.now()).is_empty());
    solo.pass(600_000);
    assert_eq!((used(&solo), solo.lacp.flapping()), (0b010, 0));
    // Another takes over.
    solo.lacp.set_link(nth(1), Link::Down, solo.now());
    solo.pass(0);
    assert_eq!(used(&solo), 0b001);
    // Without any link the time begins anew.
    solo.lacp.set_link(nth(0), Link::Down, solo.now());
    solo.lacp.set_link(nth(2), Link::Down, solo.now());
    solo.pass(100_000);
    solo.lacp.set_link(nth(2), GIGABIT, solo.now());
    solo.pass(19_999);
    assert_eq!(used(&solo), 0);
    solo.pass(1);
    assert_eq!(used(&solo), 0b100);
}

#[test]
fn a_better_port_takes_over_as_it_is_set() {
    for reselect in [Reselect::Always, Reselect::Better, Reselect::Failure] {
        for priority in [0x8000, 1] {
            let mut solo = alone(2, Settings { reselect, ..FALLBACK });
            solo.lacp.set_port_priority(nth(0), priority, solo.now());
            solo.lacp.set_link(nth(0), Link::Down, solo.now());
            solo.pass(25_000);
            assert_eq!(used(&solo), 0b10);
            solo.lacp.set_link(nth(0), GIGABIT, solo.now());
            solo.pass(5_000);
            let returns = match reselect {
                Reselect::Always => true,
                Reselect::Better => priority == 1,
                Reselect::Failure => false,
            };
            assert_eq!(used(&solo), if returns { 0b01 } else { 0b10 }, "{reselect:?} {priority}");
        }
    }
}

/// The first LACPDU ends it, on whatever port it comes: at no time is there more than one port in service that
/// has not agreed.
#[test]
fn the_first_lacpdu_ends_it_and_the_bundle_takes_over() {
    for first in [0, 1] {
        let mut solo = alone(2, FALLBACK);
        solo.pass(30_000);
        assert_eq!(used(&solo), 0b01);
        solo.hear(first, NEW);
        assert_eq!(used(&solo), 0);
        solo.hear(1 - first, NEW);
        solo.pass(2_000);
        solo.hear(0, IN_SERVICE);
        assert_eq!(solo.lacp.collecting().bits(), 0b01);
        solo.hear(1, IN_SERVICE);
        assert_eq!(used(&solo), 0b11);
        assert!(!solo.port(0).actor().state.contains(StateBits::DEFAULTED));
        // The partner falls silent: it times out, after which one port remains.
        solo.pass(93_000);
        assert_eq!(used(&solo), 0b01);
    }
}

/// An echo of our own is no partner, and a partner that does not agree is one.
#[test]
fn only_a_partner_ends_it() {
    let mut solo = alone(1, FALLBACK);
    solo.pass(30_000);
    let own = lagg_rs::wire::lacpdu::Lacpdu { actor: *solo.port(0).actor(), ..solo.pdu(0, NEW) };
    solo.receive(0, &own);
    assert_eq!(used(&solo), 1);
    let mut pdu = solo.pdu(0, NEW);
    pdu.partner.system = [2, 0, 0, 0, 0, 99];
    solo.receive(0, &pdu);
    solo.pass(80_000);
    assert_eq!(used(&solo), 0);
}

/// At run time, and a shorter delay than between two LACPDUs takes nothing out of service.
#[test]
fn it_is_turned_on_and_off() {
    let mut solo = alone(1, Settings::NEW);
    solo.pass(60_000);
    assert_eq!(used(&solo), 0);
    for on in [true, false, true, false] {
        solo.lacp.set_settings(Settings { fallback: on, ..FALLBACK });
        solo.pass(0);
        assert_eq!(used(&solo), u32::from(on));
    }
    let mut lab = Lab::pair(2);
    lab.until(3_000, all_carry);
    lab.set(0, |its| (its.fallback, its.fallback_delay) = (true, 1));
    lab.advance(200_000);
    assert!(all_carry(&lab));
    assert_eq!(lab[0].flapping(), 0);
}

/// A partner is there from the beginning, and both ends have it set: it is never used.
#[test]
fn two_laggs_agree_as_ever() {
    let mut lab = Lab::pair(4);
    for system in [0, 1] {
        lab.set(system, |its| (its.fallback, its.fallback_delay) = (true, 1));
    }
    assert_eq!(lab.until(3_000, all_carry), 2_003);
}
