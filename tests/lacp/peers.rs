//! The cases of LACP that the tests of Open vSwitch (`lacp.at`) and of Linux's bonding driver have.

use lagg_rs::lacp::{Link, Options, mux};
use lagg_rs::wire::lacpdu::StateBits;

use crate::lab::{DEFAULTS, GIGABIT, Lab, mac, nth};
use crate::negotiation::{agreed, all_carry, carries, plug};
use crate::solo::{IN_SERVICE, NEW, Solo};

const FAST: Options = Options { fast_timeout: true, ..DEFAULTS };

/// A bond of two links in service, both sides with the short timeout.
fn fast_pair() -> Lab {
    let mut lab = Lab::pair(2);
    lab.options(0, FAST);
    lab.options(1, FAST);
    lab.until(3_000, all_carry);
    lab.advance(10_000);
    lab
}

fn has(lab: &Lab, cable: usize, end: usize, bits: StateBits) -> bool {
    lab.port(cable, end).actor().state.contains(bits)
}

/// One of two links is cut: expired after 3 s, defaulted 3 s later, and agreed again when it is
/// healed; the other carries all the time.
#[test]
fn ovs_a_cut_link_is_expired_after_3_s_and_defaulted_3_s_later() {
    let mut lab = fast_pair();
    for end in [0, 1] {
        assert!(has(&lab, 0, end, IN_SERVICE | StateBits::TIMEOUT));
        assert!(!has(&lab, 0, end, StateBits::DEFAULTED) && !has(&lab, 0, end, StateBits::EXPIRED));
    }
    lab.cut(1);
    let expired = lab.until(3_001, |lab| has(lab, 1, 0, StateBits::EXPIRED));
    assert!(expired > 2_000 && !has(&lab, 1, 0, StateBits::DEFAULTED));
    assert_eq!(lab[0].distributing().bits(), 0b01);
    assert_eq!(lab.until(3_001, |lab| has(lab, 1, 0, StateBits::DEFAULTED)), 3_000);
    assert!(!has(&lab, 1, 0, StateBits::EXPIRED));
    assert_eq!(lab.port(1, 0).partner().system, [0; 6]);
    lab.advance(10_000);
    lab.heal(1);
    lab.until(32_100, all_carry);
    assert_eq!((lab[0].flapping(), lab[1].flapping()), (1, 1));
    assert_eq!(lab.port(0, 0).mux(), mux::MuxState::Distributing);
}

/// A link that is healed before its partner is given up is in service at once.
#[test]
fn ovs_a_link_that_is_healed_while_it_is_expired_needs_no_new_agreement() {
    let mut lab = fast_pair();
    lab.cut(0);
    lab.until(3_001, |lab| {
        has(lab, 0, 0, StateBits::EXPIRED) && has(lab, 0, 1, StateBits::EXPIRED)
    });
    lab.advance(1_500);
    lab.heal(0);
    assert!(lab.until(2_000, all_carry) <= 1_003);
}

/// All links are cut, and nothing is in service; all heal.
#[test]
fn ovs_all_links_are_cut_and_healed() {
    let mut lab = fast_pair();
    lab.cut(0);
    lab.cut(1);
    lab.advance(7_000);
    for system in [0, 1] {
        assert_eq!((lab[system].distributing().bits(), lab[system].collecting().bits()), (0, 0));
        assert_eq!(lab[system].active_aggregator(), None);
    }
    lab.heal(0);
    lab.heal(1);
    lab.until(32_100, all_carry);
}

/// One side restarts its LACP while the links are up.
#[test]
fn ovs_a_side_that_forgets_all_is_agreed_with_again() {
    let mut lab = fast_pair();
    lab.restart(1, mac(2), 22, FAST);
    lab.until(4_000, all_carry);
    assert_eq!(lab[0].flapping(), 2);
}

/// A passive partner gets LACPDUs, and so sends its own.
#[test]
fn ovs_a_passive_partner_is_agreed_with() {
    let passive = IN_SERVICE - StateBits::ACTIVITY;
    let mut solo = Solo::new(1, FAST);
    for state in [NEW - StateBits::ACTIVITY, passive] {
        solo.hear(0, state);
        assert!(!solo.pass(2_000).is_empty());
    }
    assert_eq!(solo.lacp.distributing().bits(), 1);
    solo.hear(0, passive | StateBits::TIMEOUT);
    assert_eq!(solo.pass(2_000).len(), 3);
}

/// Without a partner there is no service, strict or not; with one there is, strict or not.
#[test]
fn bonding_strict_or_not_there_is_no_service_without_a_partner() {
    for strict in [true, false] {
        let options = Options { strict, ..FAST };
        let mut solo = Solo::new(2, options);
        solo.pass(100_000);
        assert_eq!((solo.lacp.collecting().bits(), solo.lacp.distributing().bits()), (0, 0));
        assert_eq!(solo.port(0).mux(), mux::MuxState::Detached);
        // A partner on one of the two ports.
        for state in [NEW, IN_SERVICE, IN_SERVICE] {
            solo.hear(0, state);
            solo.pass(2_000);
        }
        assert_eq!((solo.lacp.collecting().bits(), solo.lacp.distributing().bits()), (0b01, 0b01));
        // The partner goes.
        solo.pass(6_000);
        assert_eq!((solo.lacp.collecting().bits(), solo.lacp.distributing().bits()), (0, 0));
    }
}

/// The option changes in service, and nothing else does.
#[test]
fn bonding_strict_changes_in_service_and_nothing_flaps() {
    let mut lab = agreed(2);
    for strict in [false, true, false] {
        lab.options(0, Options { strict, ..DEFAULTS });
        lab.advance(100_000);
        assert!(all_carry(&lab));
    }
    assert_eq!((lab[0].flapping(), lab[1].flapping()), (0, 0));
}

/// Of two partners, the one with the better system priority is chosen. When it goes, the other is; when it
/// is back, it is chosen again.
#[test]
fn bonding_the_aggregator_with_the_best_priority_is_chosen_and_chosen_again() {
    let mut lab = Lab::new();
    let a = lab.system(mac(1), 11, DEFAULTS);
    for (n, priority) in [(2, 200), (3, 100)] {
        let other = lab.system(mac(n), 22, DEFAULTS);
        lab.set_priority(other, priority);
        lab.cable(a, other);
        lab.cable(a, other);
    }
    plug(&mut lab, [0, 1, 2]);
    lab.advance(3_000);
    assert_eq!(lab[a].distributing().bits(), 0b0100);
    lab.plug(3);
    lab.advance(3_000);
    assert_eq!(lab[a].distributing().bits(), 0b1100);
    lab.unplug(2);
    assert_eq!(lab[a].distributing().bits(), 0b1000);
    lab.unplug(3);
    assert_eq!(lab.until(2, |lab| carries(lab, 0) && carries(lab, 1)), 2);
    assert_eq!(lab[a].distributing().bits(), 0b0011);
    lab.plug(3);
    lab.until(2_000, |lab| lab[a].distributing().bits() == 0b1000);
    assert!(!carries(&lab, 0));
}

/// After a change of the address, LACPDUs are sent as often as before, with the new one.
#[test]
fn bonding_lacpdus_are_still_sent_after_the_address_changes() {
    let mut lab = fast_pair();
    lab.set_address(0, mac(88));
    lab.until(2_500, all_carry);
    lab.advance(5_000);
    let before = lab.port(0, 0).statistics().pdus_out;
    lab.advance(10_000);
    assert_eq!(lab.port(0, 0).statistics().pdus_out, before + 10);
    let said = lab.systems[0].records[0].said.unwrap();
    assert_eq!(said.pdu.actor.system, mac(88));
    assert!(lab.now - said.at <= 1_000);
    assert!(all_carry(&lab));
}

/// A link that flaps faster than LACPDUs are sent ends in its last state.
#[test]
fn bonding_a_flapping_link_ends_where_it_stands() {
    for up in [true, false] {
        let mut lab = fast_pair();
        for _ in 0..50 {
            lab.unplug(1);
            lab.advance(7);
            lab.plug(1);
            lab.advance(13);
        }
        if !up {
            lab.link(1, 0, Link::Down);
            lab.link(1, 1, Link::Down);
        }
        lab.advance(5_000);
        assert_eq!(carries(&lab, 1), up);
        assert!(carries(&lab, 0));
        assert_eq!(lab[0].link(nth(1)), Some(if up { GIGABIT } else { Link::Down }));
    }
}

/// A side that is not in sync for a minute is counted once, on both sides of the link.
#[test]
fn bonding_churn_is_counted_after_a_minute() {
    // The partner does not take the link into service, and we do.
    let mut solo = Solo::new(1, DEFAULTS);
    for _ in 0..20 {
        solo.hear(0, NEW);
        solo.pass(10_000);
    }
    assert_eq!(solo.port(0).churns(), (0, 1));
    solo.hear(0, IN_SERVICE);
    solo.pass(50_000);
    assert_eq!(solo.port(0).churns(), (0, 1));
    // Without a partner neither side is in sync; another minute.
    let mut solo = Solo::new(1, DEFAULTS);
    solo.pass(59_999);
    assert_eq!(solo.port(0).churns(), (0, 0));
    solo.pass(1);
    assert_eq!(solo.port(0).churns(), (1, 1));
    solo.pass(500_000);
    assert_eq!(solo.port(0).churns(), (1, 1));
    // A link that is down does not count.
    solo.lacp.set_link(nth(0), Link::Down, solo.now());
    solo.pass(500_000);
    assert_eq!(solo.port(0).churns(), (1, 1));
    solo.lacp.set_link(nth(0), GIGABIT, solo.now());
    solo.pass(60_000);
    assert_eq!(solo.port(0).churns(), (2, 2));
}

/// The minute ends when nothing else happens, so the deadline must include it.
#[test]
fn churn_is_counted_when_the_minute_is_over() {
    let mut solo = Solo::new(1, DEFAULTS);
    // From here on it sends every 30 seconds.
    solo.pass(500);
    solo.hear(0, NEW);
    solo.pass(59_000);
    assert_eq!(solo.port(0).churns(), (0, 0));
    let next = solo.lacp.deadline(solo.now()).unwrap();
    assert_eq!(next.since(solo.now()), 500);
}
