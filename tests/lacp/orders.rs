//! Markers and farewells have orders, and come out with the plan for which they were ordered.

use lagg_rs::lacp::order::Order;
use lagg_rs::slots::Slot;
use lagg_rs::wire::slow::FRAME;

use crate::lab::{DEFAULTS, Lacp, nth, set};
use crate::solo::Solo;

type Poll = fn(&mut Lacp, Order) -> Option<(Slot, [u8; FRAME])>;
const MARKERS: Poll = Lacp::poll_marker;
const FAREWELLS: Poll = Lacp::poll_farewell;

/// The slots on which something is due that was ordered by then.
fn due(solo: &mut Solo, poll: Poll, last: Order) -> Vec<u8> {
    std::iter::from_fn(|| Some(poll(&mut solo.lacp, last)?.0.number())).collect()
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
    assert_eq!(due(&mut solo, MARKERS, first), [0]);
    assert!(!solo.lacp.has_marker(first) && solo.lacp.has_marker(second));
    assert_eq!(due(&mut solo, MARKERS, second), [1, 2]);
    assert!(!solo.lacp.has_marker(second));
}

#[test]
fn f67_a_marker_that_fails_takes_none_with_it_that_was_ordered_since() {
    let mut solo = Solo::new(1, DEFAULTS);
    solo.agree();
    for is_ordered in [false, true] {
        solo.lacp.ask_markers(set(1), solo.now());
        let last = solo.lacp.last_order();
        assert_eq!(due(&mut solo, MARKERS, last), [0]);
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
    assert_eq!(due(&mut solo, FAREWELLS, first), [1]);
    assert!(!solo.lacp.has_farewell(first));
    assert_eq!(due(&mut solo, FAREWELLS, second), [0]);
}
