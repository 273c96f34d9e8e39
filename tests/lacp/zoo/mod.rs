//! A lagg with partners that are not like it: whatever is wired to what, at whatever speeds and after
//! whatever history, once things rest what one end of a cable sends the other takes in.
//!
//! Bonding with `ad_select=bandwidth` or `count` is not among them: it stops taking in what it goes on
//! saying that it takes in (lagg_rs(4)).

mod cases;
mod foreign;
mod frames;
mod world;

use proptest::collection::vec;
use proptest::prelude::*;

use lagg_rs::lacp::Settings;

use crate::mixtures::settings;
use foreign::Kind;
use frames::Version;
use world::World;

/// After so many milliseconds all is at rest: what is heard lasts 90 s, and a partner that chooses by
/// itself may be tried after others.
const REST: u64 = 200_000;

/// Gigabits a second.
const SPEEDS: [u64; 3] = [1, 2, 10];

/// A cable from our port of its number to the partner's, or one of its two halves'.
#[derive(Clone, Debug)]
struct Cable {
    half: usize,
    speeds: [usize; 2],
    delay: u64,
    /// A hub on the way gives each end back what it sends, too.
    echoes: bool,
}

#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Plug(usize),
    Unplug(usize),
    /// Only one end notices.
    Half(usize, usize),
    /// Nobody notices, in one direction.
    Mute(usize, usize),
    Heal(usize),
    /// The partner, or a half of it, forgets all and has other keys.
    Restart(usize),
    /// The next frame from an end is lost.
    Lose(usize, usize),
    /// Our port gets another priority.
    Priority(usize, u16),
    /// Flows move from what is in service.
    Markers,
}

impl Event {
    /// An end may have found the other not to answer, which it remembers.
    fn is_silent(&self) -> bool {
        matches!(self, Event::Half(..) | Event::Mute(..))
    }
}

#[derive(Clone, Debug)]
struct Script {
    kind: Kind,
    /// Two halves that say to be one system.
    halves: usize,
    ours_is_lower: bool,
    fast: [bool; 2],
    passive: bool,
    version: Version,
    answers_markers: bool,
    /// Ours.
    settings: Settings,
    /// Of our ports.
    priorities: Vec<u16>,
    cables: Vec<Cable>,
    events: Vec<Event>,
}

fn script() -> impl Strategy<Value = Script> {
    let kind = prop_oneof![
        Just(Kind::Switch),
        prop_oneof![3 => 1..=3_usize, 1 => Just(8)].prop_map(Kind::HotStandby),
        Just(Kind::Stubborn),
        Just(Kind::Bonding),
        Just(Kind::Lagg),
        Just(Kind::OpenVswitch),
    ];
    // Halves agree with each other on whom to use: those of switches have nothing to agree on.
    let system = kind.prop_flat_map(|kind| (Just(kind), 1..=1 + usize::from(kind == Kind::Switch)));
    // Cisco's switches take 16 links, of which 8 are in service.
    let cables = prop_oneof![7 => 1..=5_usize, 1 => 6..=16_usize];
    (system, cables).prop_flat_map(|((kind, halves), cables)| {
        let speed = 0..SPEEDS.len();
        let speeds = prop_oneof![
            2 => speed.clone().prop_map(|speed| [speed; 2]),
            1 => [speed.clone(), speed],
        ];
        let cable = (0..halves, speeds, 1..=4_u64, prop::bool::weighted(0.1))
            .prop_map(|(half, speeds, delay, echoes)| Cable { half, speeds, delay, echoes });
        let event = prop_oneof![
            2 => (0..50_u64).prop_map(Event::Pass),
            4 => (0..5_000_u64).prop_map(Event::Pass),
            1 => (0..100_000_u64).prop_map(Event::Pass),
            2 => (0..cables).prop_map(Event::Plug),
            2 => (0..cables).prop_map(Event::Unplug),
            1 => (0..cables, 0..2_usize).prop_map(|(cable, end)| Event::Half(cable, end)),
            1 => (0..cables, 0..2_usize).prop_map(|(cable, from)| Event::Mute(cable, from)),
            1 => (0..cables).prop_map(Event::Heal),
            1 => (0..halves).prop_map(Event::Restart),
            1 => (0..cables, 0..2_usize).prop_map(|(cable, from)| Event::Lose(cable, from)),
            1 => (0..cables, 0..3_u16).prop_map(|(cable, to)| Event::Priority(cable, to)),
            1 => Just(Event::Markers),
        ];
        let version = prop_oneof![Just(Version::One), Just(Version::Two), Just(Version::Long)];
        let flags = (any::<bool>(), any::<[bool; 2]>(), any::<bool>(), version, any::<bool>());
        let ours = (settings(), vec(prop_oneof![Just(0x8000), 0..3_u16], cables));
        let world = (flags, ours, vec(cable, cables), vec(event, 0..20));
        world.prop_map(move |(flags, (settings, priorities), cables, events)| {
            let (ours_is_lower, fast, passive, version, answers_markers) = flags;
            Script {
                // Two that are passive never meet.
                settings: Settings { active: settings.active || passive, ..settings },
                priorities,
                kind,
                halves,
                ours_is_lower,
                fast,
                passive,
                version,
                answers_markers,
                cables,
                events,
            }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128, failure_persistence: None, ..ProptestConfig::default()
    })]

    /// And the best aggregator is in service that the partner lets be, unless an end may have found the other not to
    /// answer.
    #[test]
    fn what_is_sent_is_taken_in_whoever_made_the_partner(script in script()) {
        let mut world = World::new(&script);
        for event in &script.events {
            world.apply(event);
        }
        world.rest();
        world.all_is_taken_in();
        if !script.events.iter().any(Event::is_silent) {
            world.the_best_is_in_service();
        }
        let before = world.ours.flapping();
        world.advance(REST);
        world.all_is_taken_in();
        prop_assert_eq!(world.ours.flapping(), before, "{}", world.describe());
    }
}
