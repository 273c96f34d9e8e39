//! A partner that restarts, or becomes another one.

use lagg_rs::lacp::{Options, mux};
use lagg_rs::wire::lacpdu::{Info, Lacpdu, StateBits};

use crate::lab::{DEFAULTS, Lab, mac};
use crate::negotiation::{agreed, all_carry, carries, plug};
use crate::solo::{IN_SERVICE, Solo};

/// The partner becomes another lagg of the same system. The old agreement ends at once, and the new one
/// takes as long as a cold start.
#[test]
fn a_partner_that_restarts_with_another_key_is_agreed_with_again() {
    let mut lab = agreed(2);
    lab.restart(1, mac(2), 33, DEFAULTS);
    lab.advance(1);
    assert_eq!(lab[0].distributing().bits(), 0);
    assert_eq!(lab.until(3_000, all_carry), 2_003);
    assert_eq!(lab.port(0, 0).partner().key, 33 << 5 | 4);
}

#[test]
fn a_partner_that_restarts_as_it_was_is_agreed_with_again() {
    let mut lab = agreed(2);
    lab.restart(1, mac(2), 22, DEFAULTS);
    lab.advance(1);
    assert_eq!(lab[0].distributing().bits(), 0);
    lab.until(4_000, all_carry);
}

/// The priority of the partner's system decides which of two aggregators is active, also when it changes.
#[test]
fn a_partner_with_another_priority_is_another_partner() {
    let mut lab = Lab::new();
    let a = lab.system(mac(1), 11, DEFAULTS);
    let (b, c) = (lab.system(mac(2), 22, DEFAULTS), lab.system(mac(3), 33, DEFAULTS));
    let cables = [lab.cable(a, b), lab.cable(a, c)];
    plug(&mut lab, cables);
    lab.until(3_000, |lab| carries(lab, cables[0]));
    lab.set_priority(c, 100);
    lab.advance(35_000);
    assert!(carries(&lab, cables[1]), "{}", lab.describe());
    assert_eq!(lab[a].distributing().bits(), 0b10);
    assert_eq!(lab[a].active_aggregator().unwrap().1.system_priority, 100);
    lab.set_priority(b, 99);
    lab.advance(35_000);
    assert_eq!(lab[a].distributing().bits(), 0b01);
}

/// Another port of the same partner has not agreed to anything yet (update_Selected). The same port with
/// another priority has (F-77).
#[test]
fn another_port_of_the_same_partner_is_agreed_with_again() {
    let partner = Solo::partner(0, IN_SERVICE);
    let priority = partner.port_priority - 1;
    for (other, state) in [
        (Info { port: partner.port + 1, ..partner }, mux::MuxState::Waiting),
        (Info { port_priority: priority, ..partner }, mux::MuxState::Distributing),
    ] {
        let mut solo = Solo::new(1, DEFAULTS);
        solo.agree();
        assert_eq!(solo.port(0).mux(), mux::MuxState::Distributing);
        solo.receive(0, &Lacpdu { actor: other, partner: *solo.port(0).actor() });
        assert_eq!((solo.port(0).mux(), *solo.port(0).partner()), (state, other));
        solo.pass(2_000);
        assert_eq!(solo.port(0).mux(), mux::MuxState::Distributing);
    }
}

/// The partner that is assumed while there is none has the lowest priority. It agrees to nothing or, if not
/// strict, to everything.
#[test]
fn no_partner_is_a_partner_of_the_lowest_priority() {
    for strict in [true, false] {
        let solo = Solo::new(1, Options { strict, ..DEFAULTS });
        let agrees = (IN_SERVICE - StateBits::ACTIVITY - StateBits::SYNC) | StateBits::TIMEOUT;
        let state = if strict { StateBits::TIMEOUT } else { agrees };
        let expected =
            Info { system_priority: 0xffff, port_priority: 0xffff, state, ..Info::default() };
        assert_eq!(*solo.port(0).partner(), expected);
    }
}
