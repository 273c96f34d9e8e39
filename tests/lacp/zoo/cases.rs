//! Partners that have some of their links in service, that do not hear us, and that follow us.

use lagg_rs::lacp::Settings;
use lagg_rs::lacp::settings::Select;

use super::foreign::Kind;
use super::frames::Version;
use super::world::World;
use super::{Cable, Event, REST, Script};

/// A partner, and links of these speeds to it. None asks to be spoken to every second.
fn world(kind: Kind, speeds: &[usize], ours_is_lower: bool) -> World {
    let cable = |&speed| Cable { half: 0, speeds: [speed; 2], delay: 1, echoes: false };
    wired(kind, speeds.iter().map(cable).collect(), ours_is_lower, false)
}

fn wired(kind: Kind, cables: Vec<Cable>, ours_is_lower: bool, fast: bool) -> World {
    World::new(&Script {
        kind,
        halves: 1,
        ours_is_lower,
        fast: [fast; 2],
        passive: false,
        version: Version::One,
        answers_markers: true,
        settings: Settings::NEW,
        priorities: vec![0x8000; cables.len()],
        cables,
        events: Vec::new(),
    })
}

/// Cisco's switches take 16 links, and have 8 in service. Another takes over where one is cut.
#[test]
fn eight_of_sixteen_links_are_in_service() {
    for ours_is_lower in [true, false] {
        let mut world = world(Kind::HotStandby(8), &[0; 16], ours_is_lower);
        world.rest();
        world.all_is_taken_in();
        let before = world.ours.distributing();
        assert_eq!((before.len(), world.ours.collecting()), (8, before));
        let cut = before.iter().next().unwrap();
        world.apply(&Event::Unplug(usize::from(cut)));
        world.advance(5_000);
        world.all_is_taken_in();
        let after = world.ours.distributing();
        assert_eq!((after.len(), (after & before).len()), (8, 7));
        world.apply(&Event::Plug(usize::from(cut)));
        world.rest();
        assert_eq!(world.ours.distributing(), before);
    }
}

/// They do not count when it is chosen: of three links in service out of twelve, and a single one as fast as ten.
#[test]
fn f70_an_aggregator_is_as_fast_as_what_the_partner_has_in_service_of_it() {
    for ours_is_lower in [true, false] {
        // The partner takes the first ones, or the last ones.
        let fast = if ours_is_lower { 0 } else { 12 };
        let speeds: Vec<_> = (0..13).map(|cable| if cable == fast { 2 } else { 0 }).collect();
        let mut world = world(Kind::HotStandby(3), &speeds, ours_is_lower);
        world.rest();
        world.all_is_taken_in();
        assert_eq!(world.ours.bandwidth(), 10_000_000_000);
        // It is known for as long as they are not in service.
        let flapping = world.ours.flapping();
        for _ in 0..3 {
            world.apply(&Event::Unplug(5));
            world.apply(&Event::Plug(5));
            world.advance(REST);
        }
        assert_eq!(world.ours.flapping(), flapping);
        // They are all that there is.
        world.apply(&Event::Unplug(fast));
        world.advance(5_000);
        world.all_is_taken_in();
        assert_eq!(world.ours.bandwidth(), 3_000_000_000);
    }
}

/// A partner that wants one aggregator does not hear us there for a while. It was given up then, and is tried
/// again.
#[test]
fn f72_what_was_given_up_is_tried_again_where_the_partner_wants_nothing_else() {
    for ours_is_lower in [true, false] {
        let mut world = world(Kind::Stubborn, &[1, 0, 0, 0], ours_is_lower);
        world.apply(&Event::Mute(0, 0));
        world.advance(3_500);
        world.rest();
        world.all_is_taken_in();
    }
}

/// One end does not hear the other for a moment, in which that comes to be in sync, or to collect. Nothing is given
/// up for it.
#[test]
fn f71_a_lost_lacpdu_does_not_decide() {
    for begin in (1_960..2_200).step_by(20) {
        for from in [0, 1] {
            for ours_is_lower in [true, false] {
                let mut world = world(Kind::Switch, &[0, 2], ours_is_lower);
                world.advance(begin);
                world.apply(&Event::Mute(1, from));
                world.advance(60);
                world.apply(&Event::Heal(1));
                world.advance(60_000);
                world.all_is_taken_in();
                assert_eq!(world.ours.bandwidth(), 10_000_000_000, "{begin} {from}");
            }
        }
    }
}

/// One that prefers what we offer, where we go to what it offers: each is where the other was, in the same
/// milliseconds, and the limit of LACPDUs holds up both for as long.
#[test]
fn f73_two_that_follow_each_other_meet() {
    let links = [(2, 3), (2, 2), (0, 3), (0, 4)];
    let cable = |(speed, delay)| Cable { half: 0, speeds: [speed; 2], delay, echoes: false };
    for ours_is_lower in [true, false] {
        let mut world = wired(Kind::OpenVswitch, links.map(cable).to_vec(), ours_is_lower, true);
        world.advance(20_000);
        world.all_is_taken_in();
    }
}

/// With a limit, a standby that gets the best priority. Others deselect it then, and wait for a while.
#[test]
fn f77_the_old_port_gives_way_when_the_new_one_is_in_sync() {
    for kind in [Kind::Switch, Kind::HotStandby(2), Kind::OpenVswitch] {
        for ours_is_lower in [true, false] {
            let mut world = world(kind, &[0; 3], ours_is_lower);
            world.set(|its| its.max_links = 1);
            world.rest();
            world.all_is_taken_in();
            let mut out = 0;
            for priority in [1, 0x8000, 1] {
                world.set_port_priority(1, priority);
                for _ in 0..20_000 {
                    world.advance(1);
                    out += u64::from(world.ours.distributing().is_empty());
                }
                world.all_is_taken_in();
            }
            assert!(out <= 3 * 3, "{kind:?} {ours_is_lower}: {out} ms");
        }
    }
}

/// Some act on what they are told once a second.
#[test]
fn f88_a_better_port_that_comes_back_takes_over_without_a_gap() {
    for kind in [Kind::Lagg, Kind::Bonding, Kind::Switch, Kind::OpenVswitch] {
        for ours_is_lower in [true, false] {
            for begin in (0..1_000).step_by(130) {
                let mut world = world(kind, &[0; 3], ours_is_lower);
                world.set(|its| its.max_links = 1);
                world.rest();
                let best = world.ours.distributing();
                let best = usize::from(best.iter().next().unwrap());
                world.apply(&Event::Unplug(best));
                world.advance(20_000 + begin);
                world.apply(&Event::Plug(best));
                let mut lost = 0;
                for _ in 0..20_000 {
                    world.advance(1);
                    assert!(world.ours.distributing().len() <= 1);
                    lost += u64::from(!world.loses_nothing());
                }
                assert!(world.ours.distributing().contains(super::world::slot(best)));
                assert_eq!(lost, 0, "{kind:?} {ours_is_lower} {begin}");
            }
        }
    }
}

/// It says that it is in sync, and does not collect: the old port goes on, and stays.
#[test]
fn f88_a_better_port_whose_partner_does_not_collect_is_left_alone() {
    let mut world = world(Kind::Lagg, &[0; 2], true);
    world.set(|its| its.max_links = 1);
    world.rest();
    let before = world.ours.distributing();
    let worse = 1 - usize::from(before.iter().next().unwrap());
    // From then on it does not hear us there.
    world.set_port_priority(worse, 1);
    world.advance(2);
    world.apply(&Event::Mute(worse, 0));
    for _ in 0..60_000 {
        world.advance(1);
        assert_eq!(world.ours.distributing(), before);
    }
}

/// A limit over all ports: what it leaves of one aggregator is not what it leaves of another.
#[test]
fn f84_a_limit_over_all_ports_leaves_the_best_in_service() {
    for speeds in [[0, 2, 0, 0, 2], [2, 0, 0, 0, 2], [0, 0, 0, 2, 2]] {
        for ours_is_lower in [true, false] {
            for select in [Select::Count, Select::Bandwidth, Select::Priority] {
                let mut world = world(Kind::HotStandby(3), &speeds, ours_is_lower);
                world.set(|its| its.select = select);
                for _ in 0..3 {
                    world.rest();
                    world.all_is_taken_in();
                    world.the_best_is_in_service();
                }
            }
        }
    }
}
