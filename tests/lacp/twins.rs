//! Another system has our identifier, or it seems so (F-66).

use lagg_rs::lacp::receive::LONG_TIMEOUT;
use lagg_rs::lacp::{Options, System};
use lagg_rs::wire::MacAddr;
use lagg_rs::wire::lacpdu::{Info, Lacpdu};

use crate::lab::{DEFAULTS, GIGABIT, mac, nth, set};
use crate::solo::{IN_SERVICE, NEW, Solo};

fn own(solo: &Solo) -> MacAddr {
    solo.port(0).actor().system
}

/// Receives a LACPDU with our identifier on port 0, of a port with the same number as ours.
fn receive_twin(solo: &mut Solo, source: MacAddr) {
    let actor = Info { system: own(solo), port: 1, ..Solo::partner(0, NEW) };
    let partner = *solo.port(0).actor();
    solo.receive_from(0, source, &Lacpdu { actor, partner });
}

/// The identifier is no port's address: another system that has it is listened to, and ours becomes the
/// first port's address.
#[test]
fn f66_another_system_may_have_our_identifier() {
    let mut solo = Solo::new(2, DEFAULTS);
    receive_twin(&mut solo, mac(9));
    assert_eq!((own(&solo), solo.port(0).statistics().looped), (mac(1), 1));
    solo.pass(1_000);
    // Of another port of it, which does not hide the first.
    receive_twin(&mut solo, mac(8));
    assert_eq!((own(&solo), solo.port(0).statistics().looped), (mac(1), 2));
    receive_twin(&mut solo, mac(9));
    assert_eq!((own(&solo), solo.port(0).statistics().looped), ([2, 0, 0, 0, 1, 0], 2));
    assert_eq!(solo.port(1).actor().system, own(&solo));
    for state in [NEW, IN_SERVICE] {
        let actor = Info { system: mac(1), ..Solo::partner(0, state) };
        let partner = *solo.port(0).actor();
        solo.receive(0, &Lacpdu { actor, partner });
        solo.pass(2_000);
    }
    assert_eq!(solo.lacp.distributing(), set(1));
    // Now it is a port's address, and kept.
    for _ in 0..3 {
        receive_twin(&mut solo, mac(9));
        solo.pass(1_000);
    }
    assert_eq!(own(&solo), [2, 0, 0, 0, 1, 0]);
}

#[test]
fn f66_another_priority_is_another_identifier() {
    let mut solo = Solo::new(1, DEFAULTS);
    solo.lacp.set_system(System { priority: 1, address: mac(1) });
    for _ in 0..3 {
        receive_twin(&mut solo, mac(9));
        solo.pass(1_000);
    }
    assert_eq!((own(&solo), solo.port(0).statistics().looped), (mac(1), 0));
}

/// Links that are looped, at a cable or by a hub: what is received is ours, and what is received after its
/// port has left was sent before.
#[test]
fn f66_what_a_port_sent_before_it_left_is_no_other_system() {
    let mut solo = Solo::new(3, DEFAULTS);
    for round in 0..10 {
        let source = [2, 0, 0, 0, 1, 1];
        let last = Lacpdu { actor: *solo.port(1).actor(), ..Lacpdu::default() };
        solo.receive_from(0, source, &last);
        solo.pass(1_000);
        solo.lacp.remove(nth(1));
        // A LACPDU that was under way, and the farewell, on both other ports.
        for slot in [0, 2, 0, 2] {
            solo.receive_from(slot, source, &last);
            solo.pass(10);
        }
        assert_eq!(own(&solo), mac(1), "round {round}");
        solo.pass(1_000);
        solo.lacp.add(nth(1), 2, source);
        solo.lacp.set_link(nth(1), GIGABIT, solo.now());
    }
    // For good this time: a farewell long ago says nothing.
    solo.lacp.remove(nth(1));
    for _ in 0..3 {
        solo.receive_from(
            0,
            [2, 0, 0, 0, 1, 1],
            &Lacpdu { actor: *solo.port(0).actor(), ..Lacpdu::default() },
        );
        solo.pass(LONG_TIMEOUT.into());
    }
    assert_eq!(own(&solo), mac(1));
}

/// Nor does a LACPDU count that is not looked at.
#[test]
fn f66_a_lacpdu_that_is_dropped_changes_nothing() {
    let mut solo = Solo::new(1, DEFAULTS);
    solo.lacp.set_options(Options { rxtest: true, ..DEFAULTS });
    for _ in 0..3 {
        receive_twin(&mut solo, mac(9));
        solo.pass(1_000);
    }
    assert_eq!(own(&solo), mac(1));
}
