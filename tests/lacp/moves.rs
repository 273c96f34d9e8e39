//! A partner that becomes another system, or moves to another aggregator, on all ports or on some.

use lagg_rs::lacp::Link;
use lagg_rs::lacp::mux::MuxState;
use lagg_rs::wire::lacpdu::{Info, Lacpdu};

use crate::lab::{DEFAULTS, mac, nth, set};
use crate::negotiation::{agreed, all_carry, carries};
use crate::solo::{IN_SERVICE, Solo};

/// A port hears this partner with another identifier or key, which has recorded us as we are.
fn hear_another(solo: &mut Solo, slot: u8, change: fn(&mut Info)) {
    let mut partner = Solo::partner(slot, IN_SERVICE);
    change(&mut partner);
    let actor = *solo.port(slot).actor();
    solo.receive(slot, &Lacpdu { actor: partner, partner: actor });
}

/// Nothing is out of service for longer than it takes to tell all ports.
#[test]
fn f87_a_partner_with_another_identifier_is_agreed_with_at_once() {
    for ports in [1, 2, 8] {
        for address in [mac(0), mac(7)] {
            let mut lab = agreed(ports);
            lab.advance(10_000);
            lab.set_address(1, address);
            assert!(lab.until(100, all_carry) <= 3, "{ports}");
            let mut out = 0;
            for _ in 0..10_000 {
                lab.advance(1);
                out += u32::from(!all_carry(&lab));
            }
            assert_eq!(out, 0);
        }
    }
}

#[test]
fn f87_the_last_of_the_ports_in_service_is_waited_for() {
    let changes: [fn(&mut Info); 3] =
        [|its| its.system = mac(7), |its| its.system_priority -= 1, |its| its.key += 1];
    for change in changes {
        let mut solo = Solo::new(3, DEFAULTS);
        solo.agree();
        assert_eq!(solo.lacp.distributing(), set(0b111));
        hear_another(&mut solo, 0, change);
        solo.pass(500);
        hear_another(&mut solo, 2, change);
        solo.pass(500);
        assert_eq!(solo.lacp.distributing(), set(0b010));
        hear_another(&mut solo, 1, change);
        assert_eq!(solo.lacp.distributing(), set(0b111));
    }
}

/// One that keeps its partner may have another soon, unless its link goes.
#[test]
fn f87_a_port_that_stays_is_waited_for_while_it_has_its_link() {
    let mut solo = Solo::new(2, DEFAULTS);
    solo.agree();
    hear_another(&mut solo, 0, |its| its.system = mac(0));
    solo.pass(1_000);
    assert_eq!((solo.port(0).mux(), solo.lacp.distributing()), (MuxState::Waiting, set(0b10)));
    // It has gone.
    solo.lacp.set_link(nth(1), Link::Down, solo.now());
    solo.pass(1);
    assert_eq!(solo.lacp.distributing(), set(0b01));
}

/// What was in service is not what a link is that was down.
#[test]
fn a_port_that_comes_back_to_another_partner_waits_for_others() {
    let mut lab = agreed(2);
    for cable in [0, 1] {
        lab.unplug(cable);
    }
    lab.restart(1, mac(7), 22, DEFAULTS);
    lab.plug(0);
    lab.advance(1_000);
    assert!(!carries(&lab, 0));
    lab.plug(1);
    lab.until(4_000, all_carry);
}
