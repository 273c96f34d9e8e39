//! With a limit, one port takes over from another: for how long nothing is in service meanwhile.

use lagg_rs::lacp::settings::Reselect;

use crate::lab::Lab;
use crate::negotiation::carries;
use crate::standby::limited;

/// Milliseconds, of so many that pass, in which no cable carries.
fn without_service(lab: &mut Lab, ms: u64) -> u64 {
    let (mut out, end) = (0, lab.now + ms);
    loop {
        let (is_out, before) = (!(0..lab.cables.len()).any(|cable| carries(lab, cable)), lab.now);
        let goes_on = lab.step(end);
        let now = if goes_on { lab.now } else { end };
        out += if is_out { now - before } else { 0 };
        if !goes_on {
            lab.advance(end - lab.now);
            return out;
        }
    }
}

fn is_used(lab: &Lab, cables: &[usize]) -> bool {
    (0..lab.cables.len()).filter(|&cable| carries(lab, cable)).eq(cables.iter().copied())
}

/// A standby gets the best priority, then its own again: two LACPDUs, whichever end says it.
#[test]
fn f77_a_port_whose_priority_changes_takes_over_with_two_lacpdus() {
    for addresses in [[1, 2], [2, 1]] {
        for most in [[1, 1], [1, 0], [0, 1]] {
            let mut lab = limited(addresses, most, Reselect::Always);
            lab.advance(60_000);
            let lower = usize::from(addresses != [1, 2]);
            let (first, last) = if lower == 0 { (0, 3) } else { (3, 0) };
            assert!(is_used(&lab, &[first]));
            for (priority, used) in [(1, last), (0x8000, first)] {
                for end in [1 - lower, lower] {
                    lab.set_port_priority(last, end, priority);
                    let out = without_service(&mut lab, 20_000);
                    assert!(out <= 3, "{addresses:?} {most:?} {priority} {end}: {out} ms");
                }
                assert!(is_used(&lab, &[used]), "{addresses:?} {most:?}: {}", lab.describe());
            }
        }
    }
}

/// So does one that comes back, or joins.
#[test]
fn f77_a_port_that_comes_back_takes_over_with_two_lacpdus() {
    for addresses in [[1, 2], [2, 1]] {
        for most in [[1, 1], [1, 0], [0, 1]] {
            let mut lab = limited(addresses, most, Reselect::Always);
            lab.advance(60_000);
            let first = if addresses == [1, 2] { 0 } else { 3 };
            for ms in [10, 20_000, 200_000] {
                lab.unplug(first);
                let out = without_service(&mut lab, ms);
                assert!(out <= 3, "{addresses:?} {most:?} {ms}: {out} ms");
                lab.plug(first);
                let out = without_service(&mut lab, 20_000);
                assert!(out <= 3, "{addresses:?} {most:?} {ms}: {out} ms");
                assert!(is_used(&lab, &[first]), "{addresses:?} {most:?}: {}", lab.describe());
            }
            for end in [0, 1] {
                lab.leave(first, end);
                assert!(without_service(&mut lab, 10_000) <= 3);
                lab.join(first, end);
                let out = without_service(&mut lab, 20_000);
                assert!(out <= 3, "{addresses:?} {most:?} {end}: {out} ms");
                assert!(is_used(&lab, &[first]), "{addresses:?} {most:?}: {}", lab.describe());
            }
        }
    }
}
