//! No more than so many links in service, and what decides between aggregators.

use lagg_rs::lacp::settings::{Reselect, Select};
use lagg_rs::lacp::standby::REFUSED;
use lagg_rs::lacp::{Link, Settings, mux::MuxState};
use lagg_rs::wire::lacpdu::StateBits;

use crate::lab::{DEFAULTS, Lab, mac};
use crate::negotiation::carries;
use crate::solo::{IN_SERVICE, NEW, Solo};
use crate::wirings::sends;

/// Two systems with these addresses and four cables, of which these may be in service at each end.
pub fn limited(addresses: [u8; 2], most: [u8; 2], reselect: Reselect) -> Lab {
    let mut lab = Lab::new();
    for (n, most) in addresses.into_iter().zip(most) {
        let system = lab.system(mac(n), 10 + u32::from(n), DEFAULTS);
        lab.set(system, |its| (its.max_links, its.reselect) = (most, reselect));
    }
    for n in 0..4 {
        // The second system has its ports in the other order.
        let cable = lab.wire([(0, n), (1, 3 - n)]);
        lab.join(cable, 0);
        lab.join(cable, 1);
        lab.plug(cable);
    }
    lab
}

/// The cables in service, at both ends.
fn used(lab: &Lab) -> Vec<usize> {
    (0..lab.cables.len()).filter(|&cable| carries(lab, cable)).collect()
}

fn is_used(lab: &Lab, cables: &[usize]) -> bool {
    used(lab) == cables
}

/// The system with the lower identifier decides, whichever of them has a limit.
#[test]
fn the_best_ports_are_in_service_and_the_others_stand_by() {
    for addresses in [[1, 2], [2, 1]] {
        for most in [[2, 0], [0, 2], [2, 2], [2, 3], [3, 2]] {
            let mut lab = limited(addresses, most, Reselect::Always);
            lab.advance(10_000);
            let first = addresses == [1, 2];
            assert_eq!(used(&lab), if first { [0, 1] } else { [2, 3] }, "{most:?}");
            // The priority comes before the number.
            for end in [0, 1] {
                lab.set_port_priority(if first { 3 } else { 0 }, end, 5);
            }
            lab.advance(10_000);
            assert_eq!(used(&lab), [0, 3], "{most:?}");
            for cable in [1, 2] {
                for end in [0, 1] {
                    let port = lab.port(cable, end);
                    let limit = usize::from(most[end]);
                    let is_in = limit == 0 || limit == 3 && port.mux() != MuxState::Waiting;
                    assert_eq!(port.actor().state.contains(StateBits::SYNC), is_in);
                }
            }
            let before = [lab[0].flapping(), lab[1].flapping()];
            lab.advance(200_000);
            assert_eq!(before, [lab[0].flapping(), lab[1].flapping()]);
        }
    }
}

/// Two LACPDUs: one that says that the standby comes, and one that takes frames in.
#[test]
fn one_stands_in_as_soon_as_one_goes_and_gives_way_as_it_is_set() {
    for addresses in [[1, 2], [2, 1]] {
        for reselect in [Reselect::Always, Reselect::Better, Reselect::Failure] {
            let mut lab = limited(addresses, [1, 1], reselect);
            for end in [0, 1] {
                lab.set_port_priority(0, end, 1);
                lab.set_port_priority(1, end, 2);
                lab.set_port_priority(2, end, 2);
            }
            lab.until(20_000, |lab| is_used(lab, &[0]));
            lab.advance(200_000);
            // The lower system's number decides between the equal ones.
            let second = if addresses == [1, 2] { 1 } else { 2 };
            let sent = |lab: &Lab| lab.port(second, 0).statistics().pdus_out;
            let before = sent(&lab);
            lab.unplug(0);
            assert!(lab.until(10, |lab| is_used(lab, &[second])) <= 3);
            // The third says that it sends.
            assert!(sent(&lab) - before <= 3);
            lab.plug(0);
            lab.advance(10_000);
            let stays = reselect == Reselect::Failure;
            assert_eq!(used(&lab), [if stays { second } else { 0 }], "{reselect:?}");
            // Between equal ones only the order of numbers brings a port back.
            lab.unplug(0);
            lab.advance(10_000);
            lab.unplug(second);
            lab.advance(10_000);
            assert_eq!(used(&lab), [3 - second]);
            lab.plug(second);
            lab.advance(10_000);
            let back = reselect == Reselect::Always;
            assert_eq!(used(&lab), [if back { second } else { 3 - second }], "{reselect:?}");
        }
    }
}

/// Changed at run time, to fewer and to all.
#[test]
fn a_limit_takes_effect_at_once() {
    for addresses in [[1, 2], [2, 1]] {
        let mut lab = limited(addresses, [0, 0], Reselect::Always);
        lab.until(3_000, |lab| is_used(lab, &[0, 1, 2, 3]));
        let lower = usize::from(addresses != [1, 2]);
        for most in [1, 3, 0, 2, 32] {
            lab.advance(1_000);
            lab.set(lower, |its| its.max_links = most);
            let count = if most == 0 { 4 } else { usize::from(most).min(4) };
            assert!(lab.until(10, |lab| used(lab).len() == count) <= 3);
            assert_eq!(lab[lower].distributing().len() as usize, count);
        }
    }
}

/// A partner that takes others than we would, by rules of its own, gets them.
#[test]
fn a_port_that_the_partner_refuses_gives_way_to_a_standby() {
    let mut solo = Solo::new(2, DEFAULTS);
    solo.lacp.set_settings(Settings { max_links: 1, ..Settings::NEW });
    let ours_in_sync = |solo: &Solo, slot| solo.port(slot).actor().state.contains(StateBits::SYNC);
    solo.hear(0, NEW);
    solo.hear(1, NEW);
    solo.pass(3_000);
    assert!(ours_in_sync(&solo, 0) && !ours_in_sync(&solo, 1));
    solo.hear(0, NEW);
    solo.hear(1, IN_SERVICE);
    solo.pass(u64::from(REFUSED) - 1);
    assert_eq!(solo.lacp.distributing().bits(), 0);
    solo.pass(1);
    solo.hear(1, IN_SERVICE);
    assert_eq!(solo.lacp.distributing().bits(), 0b10);
    // It has changed its mind.
    solo.pass(1_000);
    solo.hear(0, IN_SERVICE);
    assert_eq!(solo.lacp.distributing().bits(), 0b01);
}

/// A lagg with one link to a switch of priority 100 at 10G, and four at 1G to another, which has the standard's.
fn two_switches(select: Select, up_delay: u32) -> Lab {
    let mut lab = Lab::new();
    let ours = lab.system(mac(5), 11, DEFAULTS);
    lab.set(ours, |its| (its.select, its.up_delay) = (select, up_delay));
    let (b, c) = (lab.system(mac(2), 22, DEFAULTS), lab.system(mac(9), 33, DEFAULTS));
    lab.set_priority(b, 100);
    for (other, speed) in [(b, 2), (c, 1), (c, 1), (c, 1)] {
        let cable = lab.cable(ours, other);
        for end in [0, 1] {
            lab.link(cable, end, Link::Up(speed * 1_000_000_000));
        }
    }
    lab
}

#[test]
fn an_aggregator_is_selected_by_what_is_set() {
    let table = [
        (Select::Priority, vec![0]),
        (Select::Bandwidth, vec![1, 2, 3]),
        (Select::Count, vec![1, 2, 3]),
    ];
    for (select, best) in &table {
        let mut lab = two_switches(*select, 0);
        lab.advance(60_000);
        assert_eq!(used(&lab), *best, "{select:?}");
        // Changed at run time.
        for (other, best) in &table {
            lab.set(0, |its| its.select = *other);
            lab.advance(10_000);
            assert_eq!(used(&lab), *best);
        }
    }
}

/// A count is of what would be in service.
#[test]
fn what_a_limit_leaves_out_does_not_count() {
    for select in [Select::Bandwidth, Select::Count] {
        let mut lab = two_switches(select, 0);
        lab.set(0, |its| its.max_links = 1);
        lab.advance(60_000);
        assert_eq!(used(&lab), [0], "{select:?}");
    }
}

/// Between two systems with the same setting both ends take the same.
#[test]
fn both_ends_select_the_same() {
    for addresses in [[1, 2], [2, 1]] {
        for (select, best) in [(Select::Bandwidth, vec![0]), (Select::Count, vec![1, 2, 3])] {
            let mut lab = Lab::new();
            for n in addresses {
                let system = lab.system(mac(n), 10 + u32::from(n), DEFAULTS);
                lab.set(system, |its| its.select = select);
            }
            for (n, speed) in [10, 1, 1, 1].into_iter().enumerate() {
                let cable = lab.wire([(0, n as u8), (1, 3 - n as u8)]);
                for end in [0, 1] {
                    lab.join(cable, end);
                    lab.link(cable, end, Link::Up(speed * 1_000_000_000));
                }
            }
            lab.advance(20_000);
            let both =
                [sends(&lab, 0), sends(&lab, 1)].map(|sends| sends.into_iter().map(|it| it.0));
            assert_eq!(both.map(Iterator::collect::<Vec<_>>), [best.clone(), best]);
        }
    }
}

/// Two links of the other switch come and go. Without a delay the switch in service changes each time.
#[test]
fn a_better_aggregator_must_be_better_for_a_while() {
    for (up_delay, changes) in [(0, 20), (10_000, 0)] {
        let mut lab = two_switches(Select::Bandwidth, up_delay);
        lab.unplug(2);
        lab.unplug(3);
        lab.advance(60_000);
        assert_eq!(used(&lab), [0]);
        let mut seen = 0;
        for _ in 0..10 {
            for plugged in [true, false] {
                let before = used(&lab);
                for cable in [2, 3] {
                    if plugged { lab.plug(cable) } else { lab.unplug(cable) }
                }
                lab.advance(5_000);
                seen += usize::from(used(&lab) != before);
            }
        }
        assert_eq!(seen, changes);
    }
    // One that stays takes over after that time.
    let mut lab = two_switches(Select::Bandwidth, 10_000);
    lab.until(20_000, |lab| is_used(lab, &[0]) || is_used(lab, &[1, 2, 3]));
    lab.advance(60_000);
    assert_eq!(used(&lab), [1, 2, 3]);
    lab.unplug(3);
    lab.unplug(2);
    let took = lab.until(20_000, |lab| is_used(lab, &[0]));
    assert!((10_000..10_010).contains(&took), "{took}");
    // But what has failed is left at once.
    lab.unplug(0);
    assert!(lab.until(10, |lab| is_used(lab, &[1])) <= 3);
}

#[test]
fn a_shorter_up_delay_does_not_wait_for_the_longer_one() {
    let mut lab = two_switches(Select::Bandwidth, 300_000);
    lab.unplug(2);
    lab.unplug(3);
    lab.advance(60_000);
    assert_eq!(used(&lab), [0]);
    lab.plug(2);
    lab.plug(3);
    lab.advance(20_000);
    assert_eq!(used(&lab), [0]);
    lab.set(0, |its| its.up_delay = 0);
    lab.advance(60_000);
    assert_eq!(used(&lab), [1, 2, 3]);
}

/// Of two aggregators, the partner has one link in service of each. What was seen of one holds for the other.
#[test]
fn f84_a_partner_with_a_limit_limits_all_aggregators() {
    let mut lab = Lab::new();
    let limited = Settings { max_links: 1, ..Settings::NEW };
    let counts = Settings { select: Select::Count, max_links: 2, ..Settings::NEW };
    for (system, settings) in [limited, counts].into_iter().enumerate() {
        lab.system(mac(1 + system as u8), 11, DEFAULTS);
        lab.set(system, |its| *its = settings);
    }
    // The one that counts decides.
    lab.set(0, |its| its.system_priority += 1);
    for cable in 0..5 {
        let gigabits = if cable < 3 { 1 } else { 10 };
        lab.wire([(0, cable as u8), (1, 4 - cable as u8)]);
        for end in [0, 1] {
            lab.join(cable, end);
            lab.link(cable, end, Link::Up(gigabits * 1_000_000_000));
        }
    }
    lab.advance(3_000);
    assert_eq!(lab[1].bandwidth(), 10_000_000_000);
    lab.advance(600_000);
    assert_eq!((lab[0].flapping(), lab[1].flapping()), (0, 0));
    // It has none any more.
    lab.set(0, |its| its.max_links = 0);
    lab.advance(60_000);
    assert_eq!(lab[1].bandwidth(), 20_000_000_000);
    lab.unplug(3);
    lab.advance(60_000);
    assert_eq!(lab[1].distributing().len(), 2, "of the three slow ones");
}
