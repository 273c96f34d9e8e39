//! More than two systems: MLAG pairs, whose halves are one system to their partner, and switches
//! that are not.

use lagg_rs::lacp::mux;

use crate::lab::{DEFAULTS, Lab, mac, nth};
use crate::negotiation::{all_carry, carries, plug};

/// System 0 with two cables to each half, 1 and 2, of an MLAG pair.
fn mlag() -> Lab {
    let mut lab = Lab::new();
    let a = lab.system(mac(1), 11, DEFAULTS);
    let halves = [lab.system(mac(7), 22, DEFAULTS), lab.system(mac(7), 22, DEFAULTS)];
    let cables = [0, 0, 1, 1].map(|half| lab.cable(a, halves[half]));
    plug(&mut lab, cables);
    lab
}

#[test]
fn both_halves_of_an_mlag_pair_are_one_aggregator() {
    let mut lab = mlag();
    assert_eq!(lab.until(3_000, all_carry), 2_003);
    assert_eq!((lab[0].distributing().bits(), lab[0].bandwidth()), (0b1111, 4_000_000_000));
}

/// A half that has lost its pair uses its own identifier. Its ports leave the aggregator at once, and the
/// other half's stay in service. Then it belongs to the pair again.
#[test]
fn half_of_an_mlag_pair_that_restarts_under_its_own_name_takes_no_traffic_with_it() {
    let mut lab = mlag();
    lab.until(3_000, all_carry);
    lab.advance(50_000);
    lab.restart(2, mac(8), 22, DEFAULTS);
    lab.advance(1);
    assert_eq!(lab[0].distributing().bits(), 0b0011);
    lab.advance(60_000);
    assert_eq!((lab[0].distributing().bits(), lab[0].bandwidth()), (0b0011, 2_000_000_000));
    // They stand by in an aggregator of their own.
    assert_eq!(lab.port(2, 0).mux(), mux::MuxState::Waiting);
    assert!(!lab[0].is_active(nth(2)) && lab[0].is_active(nth(0)));
    assert_eq!(lab[0].active_aggregator().unwrap().1.system, mac(7));

    lab.set_address(2, mac(7));
    lab.until(2_500, all_carry);
    assert_eq!(lab[0].distributing().bits(), 0b1111);
    // The ports that stood by were not in service meanwhile.
    assert_eq!((lab.port(0, 0).statistics().pdus_out > 0, lab[0].flapping()), (true, 2));
}

/// The same without its own identifier: only the half that restarts is out of service.
#[test]
fn half_of_an_mlag_pair_restarts_and_the_other_carries_on() {
    let mut lab = mlag();
    lab.until(3_000, all_carry);
    lab.advance(50_000);
    lab.restart(1, mac(7), 22, DEFAULTS);
    lab.advance(1);
    assert_eq!(lab[0].distributing().bits(), 0b1100);
    lab.until(3_100, all_carry);
    assert!(carries(&lab, 0));
}

/// Both halves change their common identifier, one after the other.
#[test]
fn an_mlag_pair_changes_its_name() {
    let mut lab = mlag();
    lab.until(3_000, all_carry);
    lab.advance(50_000);
    lab.set_address(1, mac(9));
    lab.advance(1);
    assert_eq!(lab[0].distributing().bits(), 0b1100);
    lab.advance(1_000);
    lab.set_address(2, mac(9));
    lab.until(3_000, all_carry);
    assert_eq!(lab[0].active_aggregator().unwrap().1.system, mac(9));
    assert_eq!(lab[0].distributing().bits(), 0b1111);
}

/// Two switches with different identifiers. The one with more bandwidth is active, and the other's ports
/// stand by.
#[test]
fn of_two_switches_the_one_with_more_links_carries() {
    let mut lab = Lab::new();
    let a = lab.system(mac(1), 11, DEFAULTS);
    let (b, c) = (lab.system(mac(2), 22, DEFAULTS), lab.system(mac(3), 33, DEFAULTS));
    let cables = [b, c, c].map(|other| lab.cable(a, other));
    plug(&mut lab, cables);
    lab.advance(5_000);
    assert_eq!((lab[a].distributing().bits(), lab[a].collecting().bits()), (0b110, 0b110));
    lab.unplug(1);
    // Both are equal now, and nothing changes.
    lab.advance(5_000);
    assert_eq!(lab[a].distributing().bits(), 0b100);
    lab.unplug(2);
    assert_eq!(lab.until(2, |lab| carries(lab, 0)), 2);
    assert_eq!(lab[a].distributing().bits(), 0b001);
    plug(&mut lab, [1, 2]);
    lab.advance(5_000);
    assert_eq!(lab[a].distributing().bits(), 0b110);
}
