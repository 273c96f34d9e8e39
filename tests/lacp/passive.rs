//! Systems that become passive, or active, while they have a partner.

use lagg_rs::lacp::Options;

use crate::lab::{DEFAULTS, Lab, STRAIGHT, Way, mac};
use crate::negotiation::all_carry;
use crate::wirings::sends;

/// Two systems in service, with these timeouts.
fn in_service(fast: [bool; 2]) -> Lab {
    let mut lab = Lab::pair(2);
    for (system, fast_timeout) in fast.into_iter().enumerate() {
        lab.options(system, Options { fast_timeout, ..DEFAULTS });
    }
    lab.until(3_000, all_carry);
    lab.advance(10_000);
    lab
}

fn nothing_is_sent(lab: &Lab) -> bool {
    [0, 1].into_iter().all(|system| sends(lab, system).is_empty())
}

/// So that what one sends the other takes in. Two LACPDUs, whatever the timeouts are.
#[test]
fn f76_two_that_become_passive_leave_service_together() {
    for fast in [[false, false], [false, true], [true, false], [true, true]] {
        for first in [0, 1] {
            for gap in [0, 1, 2, 3, 10, 500, 999, 1_000, 1_001, 2_000, 5_000] {
                let mut lab = in_service(fast);
                lab.set(first, |its| its.active = false);
                lab.advance(gap);
                assert!(all_carry(&lab));
                lab.set(1 - first, |its| its.active = false);
                let took = lab.until(1_000, nothing_is_sent);
                assert!(took <= 2, "{took} ms after {gap} ms: {}", lab.describe());
                // Neither speaks any more.
                lab.advance(100);
                let said = |lab: &Lab| [0, 1].map(|end| lab.port(0, end).statistics().pdus_out);
                let before = said(&lab);
                lab.advance(200_000);
                assert!(nothing_is_sent(&lab));
                assert_eq!(said(&lab), before);
                // One that becomes active brings all back.
                lab.set(first, |its| its.active = true);
                lab.until(4_000, all_carry);
            }
        }
    }
}

/// The last words are said again where the partner still waits for more.
#[test]
fn f76_last_words_that_are_lost_are_repeated() {
    for fast in [false, true] {
        for cut in [[true, false], [false, true], [true, true]] {
            let mut lab = in_service([fast; 2]);
            lab.set(0, |its| its.active = false);
            lab.advance(1_500);
            for cable in [0, 1] {
                for from in [0, 1] {
                    lab.way(cable, from, Way { cut: cut[from], ..STRAIGHT });
                }
            }
            lab.set(1, |its| its.active = false);
            lab.advance(50);
            (0..2).for_each(|cable| lab.heal(cable));
            lab.until(if fast { 1_010 } else { 30_010 }, nothing_is_sent);
            lab.advance(200_000);
            assert!(nothing_is_sent(&lab));
        }
    }
}

/// Each would choose another port. One that has found nobody speaks, and so they meet; also if the other one waits
/// for longer, or for ever.
#[test]
fn f81_two_passive_systems_that_fall_back_meet() {
    for delays in [[20, 20], [20, 300], [300, 20], [20, 0], [0, 20]] {
        let mut lab = Lab::new();
        for (system, delay) in delays.into_iter().enumerate() {
            lab.system(mac(1 + system as u8), 11, DEFAULTS);
            lab.set(system, |its| {
                (its.active, its.fallback, its.fallback_delay) = (false, delay != 0, delay);
            });
        }
        for n in 0..2 {
            let cable = lab.wire([(0, n), (1, 1 - n)]);
            lab.join(cable, 0);
            lab.join(cable, 1);
        }
        (0..2).for_each(|cable| lab.plug(cable));
        lab.advance(19_000);
        assert!([0, 1].iter().all(|system| lab[*system].distributing().is_empty()));
        assert!(lab.until(5_000, all_carry) <= 3_010, "{delays:?}");
        // It stays so, whatever else is set.
        lab.advance(400_000);
        lab.set(0, |its| its.marker_timeout = 7);
        lab.advance(400_000);
        assert!(all_carry(&lab));
        (0..2).for_each(|cable| lab.unplug(cable));
        (0..2).for_each(|cable| lab.plug(cable));
        lab.until(5_000, all_carry);
        // Unless it is not to fall back.
        [0, 1].iter().for_each(|system| lab.set(*system, |its| its.fallback = false));
        lab.advance(1_100);
        assert!([0, 1].iter().all(|system| lab[*system].distributing().is_empty()));
    }
}
