//! Two laggs with random settings, which change: what one distributes the other collects, and it comes to rest.

use lagg_rs::lacp::settings::{Reselect, Select};
use lagg_rs::lacp::{Link, Settings, key};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::lab::{DEFAULTS, Lab, mac};
use crate::wirings::{all_is_taken_in, stays};

/// After this many milliseconds all is at rest.
const REST: u64 = 200_000;

pub fn settings() -> impl Strategy<Value = Settings> {
    let select = prop_oneof![2 => Just(Select::Priority), 1 => Just(Select::Bandwidth), 1 => Just(Select::Count)];
    let reselect =
        prop_oneof![Just(Reselect::Always), Just(Reselect::Better), Just(Reselect::Failure)];
    let most = prop_oneof![2 => Just(0), 3 => 1..=4_u8];
    let chooses = (select, most, reselect, prop_oneof![Just(0), Just(5_000)]);
    let fallback = (any::<bool>(), 1..=40_u16);
    (0..=key::LAST, any::<bool>(), chooses, fallback).prop_map(
        |(key, active, (select, max_links, reselect, up_delay), (fallback, delay))| Settings {
            key,
            active,
            select,
            max_links,
            reselect,
            up_delay,
            fallback,
            fallback_delay: delay,
            ..Settings::NEW
        },
    )
}

#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Unplug(usize),
    Plug(usize),
    Set(usize, Settings),
    SystemPriority(usize, u16),
    PortPriority(usize, usize, u16),
    Restart(usize),
}

/// Gigabits a second.
const SPEEDS: [u64; 2] = [1, 10];

fn event(cables: usize) -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0..50_u64).prop_map(Event::Pass),
        4 => (0..5_000_u64).prop_map(Event::Pass),
        1 => (0..100_000_u64).prop_map(Event::Pass),
        3 => (0..cables).prop_map(Event::Unplug),
        3 => (0..cables).prop_map(Event::Plug),
        3 => (0..2_usize, settings()).prop_map(|(system, settings)| Event::Set(system, settings)),
        1 => (0..2_usize, any::<u16>())
            .prop_map(|(system, priority)| Event::SystemPriority(system, priority)),
        2 => (0..cables, 0..2_usize, 0..3_u16)
            .prop_map(|(cable, end, priority)| Event::PortPriority(cable, end, priority)),
        1 => (0..2_usize).prop_map(Event::Restart),
    ]
}

fn plug(lab: &mut Lab, cable: usize, speed: usize) {
    for end in [0, 1] {
        lab.link(cable, end, Link::Up(SPEEDS[speed] * 1_000_000_000));
    }
}

/// Two that are passive never meet: the first one is active.
fn set(lab: &mut Lab, system: usize, settings: Settings) {
    let active = settings.active || system == 0;
    let system_priority = lab[system].settings().system_priority;
    lab.set(system, |its| *its = Settings { active, system_priority, ..settings });
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_sent_is_taken_in_whatever_is_set(
        (speeds, events) in (1..=6_usize).prop_flat_map(|cables| {
            (vec(0..SPEEDS.len(), cables), vec(event(cables), 0..25))
        }),
        first in [settings(), settings()],
    ) {
        let mut lab = Lab::new();
        for (system, settings) in first.into_iter().enumerate() {
            lab.system(mac(1 + system as u8), 11, DEFAULTS);
            set(&mut lab, system, settings);
        }
        for (cable, &speed) in speeds.iter().enumerate() {
            // The second system has its ports in the other order.
            lab.wire([(0, cable as u8), (1, (speeds.len() - 1 - cable) as u8)]);
            lab.join(cable, 0);
            lab.join(cable, 1);
            plug(&mut lab, cable, speed);
        }
        for event in events {
            match event {
                Event::Pass(ms) => lab.advance(ms),
                Event::Unplug(cable) => lab.unplug(cable),
                Event::Plug(cable) => plug(&mut lab, cable, speeds[cable]),
                Event::Set(system, settings) => set(&mut lab, system, settings),
                Event::SystemPriority(system, priority) => {
                    lab.set(system, |its| its.system_priority = priority);
                }
                Event::PortPriority(cable, end, priority) => {
                    lab.set_port_priority(cable, end, priority);
                }
                Event::Restart(system) => {
                    let settings = *lab[system].settings();
                    lab.restart(system, mac(1 + system as u8), 11, DEFAULTS);
                    lab.set(system, |its| *its = settings);
                }
            }
        }
        for (cable, &speed) in speeds.iter().enumerate() {
            plug(&mut lab, cable, speed);
        }
        lab.advance(REST);
        all_is_taken_in(&lab);
        stays(&mut lab);
        // As many are in service as the stricter end lets be, of one speed.
        let used = lab[0].distributing().len() as usize;
        let most = [0, 1].map(|system| match lab[system].settings().max_links {
            0 => usize::MAX,
            most => most.into(),
        });
        let least = speeds.iter().filter(|it| **it == 0).count();
        let count = |alike: usize| alike.min(most[0]).min(most[1]);
        let counts = [count(least), count(speeds.len() - least)];
        prop_assert!(counts.contains(&used), "{used} of {counts:?}: {}", lab.describe());
    }
}
