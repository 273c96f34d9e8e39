//! What is logged about faulty links.

use lagg_rs::lacp::{Link, Options, Report, churn, report};
use lagg_rs::wire::lacpdu::{Info, Lacpdu, StateBits};

use crate::lab::{DEFAULTS, GIGABIT, mac, nth};
use crate::solo::{IN_SERVICE, NEW, Solo};

const FAST: Options = Options { fast_timeout: true, ..DEFAULTS };
const DETECTION_TIME: u64 = churn::DETECTION_TIME as u64;
const PAUSE: u64 = report::PAUSE as u64;

fn said(solo: &mut Solo) -> Vec<(u8, Report)> {
    solo.lacp.run(solo.now());
    let mut next = || solo.lacp.poll_report();
    std::iter::from_fn(|| next().map(|(slot, report)| (slot.number(), report))).collect()
}

/// How often this report is made.
fn count(solo: &mut Solo, report: Report) -> usize {
    said(solo).iter().filter(|said| said.1 == report).count()
}

/// Receives a LACPDU of another system.
fn hear_other(solo: &mut Solo, system: u8) {
    let actor = Info { system: mac(system), ..Solo::partner(0, NEW) };
    let partner = *solo.port(0).actor();
    solo.receive(0, &Lacpdu { actor, partner });
}

#[test]
fn f63_a_looped_link_is_reported_once_a_minute() {
    let mut solo = Solo::new(2, DEFAULTS);
    solo.agree();
    assert_eq!(said(&mut solo), []);
    let echo = Lacpdu { actor: *solo.port(1).actor(), partner: Info::default() };
    for n in 0..180 {
        solo.receive(1, &echo);
        assert_eq!(count(&mut solo, Report::Looped), usize::from(n % 60 == 0), "{n}");
        solo.ms += PAUSE / 60;
    }
}

#[test]
fn f63_two_partners_on_a_link_are_reported() {
    // Partners that send as often, and as seldom, as they may.
    for period in [1_000, 15_000, 29_000] {
        let mut solo = Solo::new(1, DEFAULTS);
        hear_other(&mut solo, 8);
        solo.ms += period;
        hear_other(&mut solo, 9);
        assert_eq!(said(&mut solo), [], "one may have replaced the other");
        solo.ms += period;
        hear_other(&mut solo, 8);
        assert_eq!(count(&mut solo, Report::TwoPartners), 1, "{period}");
        solo.ms += period;
        hear_other(&mut solo, 9);
        assert_eq!(count(&mut solo, Report::TwoPartners), 0, "once a minute");
    }
    // A cable that is plugged in elsewhere and back is not reported, nor is a partner that restarts.
    let mut solo = Solo::new(1, DEFAULTS);
    for system in [8, 9, 8] {
        solo.lacp.set_link(nth(0), Link::Down, solo.now());
        solo.lacp.set_link(nth(0), GIGABIT, solo.now());
        hear_other(&mut solo, system);
        hear_other(&mut solo, system);
        assert_eq!(said(&mut solo), []);
    }
}

#[test]
fn f63_no_partner_and_one_out_of_sync_are_reported_after_a_minute() {
    let mut solo = Solo::new(1, DEFAULTS);
    solo.pass(DETECTION_TIME - 1);
    assert_eq!(said(&mut solo), []);
    solo.pass(1);
    assert_eq!(said(&mut solo), [(0, Report::NoPartner)]);
    solo.pass(10 * PAUSE);
    assert_eq!(said(&mut solo), [], "it has not changed since");

    let mut solo = Solo::new(1, DEFAULTS);
    for _ in 0..6 {
        solo.hear(0, NEW);
        assert_eq!(said(&mut solo), []);
        solo.pass(DETECTION_TIME / 6);
    }
    assert_eq!(said(&mut solo), [(0, Report::NotInSync)]);

    let mut solo = Solo::new(1, DEFAULTS);
    solo.agree();
    for _ in 0..60 {
        solo.hear(0, IN_SERVICE);
        solo.pass(DETECTION_TIME / 6);
    }
    assert_eq!(said(&mut solo), [], "all is well");
}

/// A partner that uses only some of the links at a time, such as one that can have eight in service.
#[test]
fn f63_a_link_that_the_partner_keeps_as_a_standby_is_reported_as_such() {
    let mut solo = Solo::new(3, DEFAULTS);
    solo.agree();
    let mut reports = Vec::new();
    for _ in 0..9 {
        for (slot, state) in [(0, IN_SERVICE), (1, IN_SERVICE), (2, NEW)] {
            solo.hear(slot, state);
        }
        solo.pass(10_000);
        reports.extend(said(&mut solo));
    }
    assert_eq!((reports, solo.lacp.distributing().bits()), (vec![(2, Report::Standby)], 0b011));
}

#[test]
fn f63_a_partner_that_ignores_the_short_timeout_is_reported() {
    // Its LACPDUs come every 30 seconds, though it acknowledges the short timeout.
    let slow = |options, knows| {
        let mut solo = Solo::new(1, options);
        solo.agree();
        let mut reports = Vec::new();
        for _ in 0..4 {
            let mut pdu = solo.pdu(0, IN_SERVICE);
            pdu.partner.state.set(StateBits::TIMEOUT, knows);
            solo.receive(0, &pdu);
            solo.pass(30_000);
            reports.extend(said(&mut solo));
        }
        reports
    };
    assert_eq!(slow(FAST, true), [(0, Report::Slow); 2]);
    assert_eq!(slow(FAST, false), [], "it does not know");
    assert_eq!(slow(DEFAULTS, false), [], "it was not asked to");
    // A dead partner times out once.
    let mut solo = Solo::new(1, FAST);
    solo.agree();
    solo.hear(0, IN_SERVICE);
    solo.pass(DETECTION_TIME - 1);
    assert_eq!(said(&mut solo), []);
}

/// Each kind and each port has its own minute.
#[test]
fn f63_one_kind_does_not_hide_another() {
    let mut solo = Solo::new(2, DEFAULTS);
    let echo = Lacpdu { actor: *solo.port(0).actor(), partner: Info::default() };
    solo.pass(DETECTION_TIME);
    solo.receive(0, &echo);
    solo.receive(1, &echo);
    let no_partner = Report::NoPartner;
    let expected = [(0, Report::Looped), (0, no_partner), (1, Report::Looped), (1, no_partner)];
    assert_eq!(said(&mut solo), expected);
    assert_eq!(Report::ALL.map(|report| report as usize), [0, 1, 2, 3, 4, 5]);
}
