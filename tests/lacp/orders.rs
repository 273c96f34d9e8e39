//! Markers and farewells have orders, and come out with the plan for which they were ordered.

use lagg_rs::lacp::System;
use lagg_rs::lacp::order::Order;
use lagg_rs::wire::lacpdu::{Info, Lacpdu};

use crate::lab::{DEFAULTS, mac, nth, set};
use crate::solo::{IN_SERVICE, NEW, Solo};

/// The slots with a marker that was ordered by `last`; it counts as sent.
fn markers(solo: &mut Solo, last: Order) -> Vec<u8> {
    let next = || Some(solo.lacp.poll_marker(last)?.0.number());
    std::iter::from_fn(next).collect()
}

fn farewells(solo: &mut Solo, last: Order) -> Vec<u8> {
    let next = || Some(solo.lacp.poll_farewell(last)?.0.number());
    std::iter::from_fn(next).collect()
}

#[test]
fn f67_a_marker_is_not_sent_with_those_before_it() {
    let mut solo = Solo::new(3, DEFAULTS);
    solo.agree();
    solo.lacp.ask_markers(set(0b011), solo.now());
    let first = solo.lacp.last_order();
    solo.lacp.ask_markers(set(0b110), solo.now());
    let second = solo.lacp.last_order();
    assert!(solo.lacp.has_marker(first));
    assert_eq!(markers(&mut solo, first), [0]);
    assert!(!solo.lacp.has_marker(first) && solo.lacp.has_marker(second));
    assert_eq!(markers(&mut solo, second), [1, 2]);
    assert!(!solo.lacp.has_marker(second));
}

#[test]
fn f67_a_marker_that_fails_takes_none_with_it_that_was_ordered_since() {
    let mut solo = Solo::new(1, DEFAULTS);
    solo.agree();
    for is_ordered in [false, true] {
        solo.lacp.ask_markers(set(1), solo.now());
        let last = solo.lacp.last_order();
        assert_eq!(markers(&mut solo, last), [0]);
        if is_ordered {
            solo.lacp.ask_markers(set(1), solo.now());
        }
        solo.lacp.marker_failed(nth(0));
        assert_eq!(solo.lacp.waiting(), set(is_ordered.into()));
        assert_eq!(solo.lacp.has_marker(solo.lacp.last_order()), is_ordered);
    }
}

#[test]
fn f67_a_farewell_is_not_sent_with_those_before_it() {
    let mut solo = Solo::new(2, DEFAULTS);
    solo.agree();
    solo.lacp.take_down(nth(1), solo.now());
    let first = solo.lacp.last_order();
    solo.lacp.take_down(nth(0), solo.now());
    let second = solo.lacp.last_order();
    // Taking it down once more is not a new order.
    solo.lacp.take_down(nth(1), solo.now());
    assert_eq!(solo.lacp.last_order(), second);
    assert!(solo.lacp.has_farewell(first));
    assert_eq!(farewells(&mut solo, first), [1]);
    assert!(!solo.lacp.has_farewell(first));
    assert_eq!(farewells(&mut solo, second), [0]);
}

/// The machines' identifier is no port's address. If another system has it too, ours is the first port's
/// address from then on. That one is kept, even if another system has it.
#[test]
fn f66_another_system_may_have_our_identifier() {
    let mut solo = Solo::new(2, DEFAULTS);
    let own = |solo: &Solo| solo.port(0).actor().system;
    let same = |solo: &Solo| Info { system: own(solo), ..Solo::partner(0, NEW) };
    // Our own LACPDU comes back, on a looped link or on another port.
    let echo = Lacpdu { actor: *solo.port(1).actor(), ..Lacpdu::default() };
    solo.receive(0, &echo);
    assert_eq!((own(&solo), solo.port(0).statistics().looped), (mac(1), 1));
    let partner = *solo.port(0).actor();
    let actor = same(&solo);
    solo.receive(0, &Lacpdu { actor, partner });
    assert_eq!(own(&solo), [2, 0, 0, 0, 1, 0]);
    assert_eq!(solo.port(1).actor().system, own(&solo));
    assert_eq!((solo.port(0).partner().system, solo.port(0).statistics().looped), (mac(1), 1));
    // Now it agrees with that system.
    for state in [NEW, IN_SERVICE] {
        let actor = Info { system: mac(1), ..Solo::partner(0, state) };
        let partner = *solo.port(0).actor();
        solo.receive(0, &Lacpdu { actor, partner });
        solo.pass(2_000);
    }
    assert_eq!(solo.lacp.distributing(), set(1));
    let actor = same(&solo);
    solo.receive(1, &Lacpdu { actor, ..Lacpdu::default() });
    assert_eq!((own(&solo), solo.port(1).statistics().looped), ([2, 0, 0, 0, 1, 0], 1));
    // The same address with another priority is a different identifier.
    solo.lacp.set_system(System { priority: 1, address: mac(7) });
    let actor = Info { system: mac(7), ..Solo::partner(1, NEW) };
    solo.receive(1, &Lacpdu { actor, ..Lacpdu::default() });
    assert_eq!(own(&solo), mac(7));
}
