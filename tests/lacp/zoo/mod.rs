//! A lagg with partners that are not like it: whatever is wired to what, at whatever speeds and after
//! whatever history, once things rest what one end of a cable sends the other takes in.
//!
//! None of them answers markers. Bonding with `ad_select=bandwidth` or `count` is not among them: it
//! stops taking in what it goes on saying that it takes in (lagg_rs(4)).

mod foreign;

use std::collections::BTreeMap;

use lagg_rs::lacp::{Link, Options, System as Id, Time};
use lagg_rs::slots::{Slot, SlotSet};
use lagg_rs::wire::lacpdu::Lacpdu;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::lab::{DEFAULTS, mac};
use crate::whole::{Lacp, lacp};
use foreign::{Foreign, Kind};

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
}

#[derive(Clone, Debug)]
struct Script {
    kind: Kind,
    /// Two halves that say to be one system.
    halves: usize,
    ours_is_lower: bool,
    fast: [bool; 2],
    passive: bool,
    cables: Vec<Cable>,
    events: Vec<Event>,
}

fn script() -> impl Strategy<Value = Script> {
    let kind = prop_oneof![
        Just(Kind::Switch),
        (1..=3_usize).prop_map(Kind::HotStandby),
        Just(Kind::Stubborn),
        Just(Kind::Bonding),
        Just(Kind::Lagg),
        Just(Kind::OpenVswitch),
    ];
    // Halves agree with each other on whom to use: those of switches have nothing to agree on.
    let system = kind.prop_flat_map(|kind| (Just(kind), 1..=1 + usize::from(kind == Kind::Switch)));
    (system, 1..=5_usize).prop_flat_map(|((kind, halves), cables)| {
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
        ];
        let flags = (any::<bool>(), any::<[bool; 2]>(), any::<bool>());
        (flags, vec(cable, cables), vec(event, 0..20)).prop_map(move |(flags, cables, events)| {
            let (ours_is_lower, fast, passive) = flags;
            Script { kind, halves, ours_is_lower, fast, passive, cables, events }
        })
    })
}

struct World {
    now: u64,
    ours: Lacp,
    touched: bool,
    halves: Vec<Foreign>,
    cables: Vec<Cable>,
    up: Vec<[bool; 2]>,
    muted: Vec<[bool; 2]>,
    /// By when they arrive and the order in which they were sent: the cable, and its end.
    flights: BTreeMap<(u64, u64), (usize, usize, Lacpdu)>,
    count: u64,
}

/// The slot of our port on a cable.
fn slot(cable: usize) -> Slot {
    Slot::new(cable).unwrap()
}

impl World {
    fn new(script: &Script) -> World {
        let [fast, its_fast] = script.fast;
        let options = Options { fast_timeout: fast, ..DEFAULTS };
        let [ours, its] = if script.ours_is_lower { [1, 2] } else { [2, 1] };
        let now = 10_000;
        let mut lacp = lacp(Id::new(mac(ours)), 11, options);
        for slot in Slot::all().take(script.cables.len()) {
            let number = slot.number();
            lacp.add(slot, 1 + u32::from(number), [2, 0, 0, 1, 0, number], Time::new(now));
        }
        let ports = script.cables.len();
        let half =
            |_| Foreign::new(script.kind, Id::new(mac(its)), its_fast, script.passive, ports);
        let mut world = World {
            now,
            ours: lacp,
            touched: true,
            halves: (0..script.halves).map(half).collect(),
            cables: script.cables.clone(),
            up: vec![[false; 2]; ports],
            muted: vec![[false; 2]; ports],
            flights: BTreeMap::new(),
            count: 0,
        };
        (0..ports).for_each(|cable| world.plug(cable));
        world
    }

    fn link(&mut self, cable: usize, end: usize, up: bool) {
        self.up[cable][end] = up;
        let it = &self.cables[cable];
        let speed = SPEEDS[it.speeds[end]] * 1_000_000_000;
        if end == 0 {
            let link = if up { Link::Up(speed) } else { Link::Down };
            self.ours.set_link(slot(cable), link, Time::new(self.now));
            self.touched = true;
        } else {
            self.halves[it.half].link(cable, up.then_some(speed), self.now);
        }
        self.settle();
    }

    fn plug(&mut self, cable: usize) {
        self.link(cable, 0, true);
        self.link(cable, 1, true);
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Pass(ms) => self.advance(ms),
            Event::Plug(cable) => self.plug(cable),
            Event::Unplug(cable) => {
                self.flights.retain(|_, flight| flight.0 != cable);
                self.link(cable, 0, false);
                self.link(cable, 1, false);
            }
            Event::Half(cable, end) => self.link(cable, end, false),
            Event::Mute(cable, from) => self.muted[cable][from] = true,
            Event::Heal(cable) => self.muted[cable] = [false; 2],
            Event::Restart(half) => self.halves[half].restart(self.now),
        }
    }

    fn send(&mut self, cable: usize, from: usize, pdu: Lacpdu) {
        if self.muted[cable][from] {
            return;
        }
        let Cable { delay, echoes, .. } = self.cables[cable];
        for to in [1 - from, from].into_iter().take(1 + usize::from(echoes)) {
            self.count += 1;
            self.flights.insert((self.now + delay, self.count), (cable, to, pdu));
        }
    }

    /// All that are due run and send.
    fn settle(&mut self) {
        let now = Time::new(self.now);
        let mut said = Vec::new();
        if self.touched || self.ours.deadline(now).is_some_and(|at| at <= now) {
            self.touched = false;
            self.ours.run(now);
            while let Some((slot, frame)) = self.ours.poll_farewell(self.ours.last_order()) {
                said.push((usize::from(slot), 0, Lacpdu::parse(&frame).unwrap()));
            }
            while let Some((slot, frame)) = self.ours.poll_transmit(now) {
                said.push((usize::from(slot), 0, Lacpdu::parse(&frame).unwrap()));
            }
            while self.ours.poll_marker(self.ours.last_order()).is_some() {}
            while self.ours.poll_report().is_some() {}
        }
        for half in &mut self.halves {
            let (tick, waits) = half.tick();
            if self.now >= half.ticks {
                half.ticks = self.now + tick;
            } else if waits {
                continue;
            }
            half.run(self.now);
            said.extend(half.says(self.now).into_iter().map(|(port, pdu)| (port, 1, pdu)));
        }
        for (cable, from, pdu) in said {
            self.send(cable, from, pdu);
        }
    }

    fn advance(&mut self, ms: u64) {
        let end = self.now + ms;
        loop {
            let now = Time::new(self.now);
            let ours = self.ours.deadline(now).map(|at| self.now + at.since(now));
            let its = self.halves.iter().map(|half| half.ticks);
            let arrives = self.flights.keys().next().map(|&(at, _)| at);
            let next = its.chain(ours).chain(arrives).min().unwrap().max(self.now + 1);
            if next > end {
                self.now = end;
                return;
            }
            self.now = next;
            while let Some(flight) = self.flights.first_entry().filter(|it| it.key().0 <= next) {
                let (cable, to, pdu) = flight.remove();
                if !self.up[cable][to] {
                } else if to == 0 {
                    self.ours.receive(slot(cable), &pdu, Time::new(next));
                    self.touched = true;
                } else {
                    self.halves[self.cables[cable].half].receive(cable, &pdu, next);
                }
            }
            self.settle();
        }
    }

    /// Everything is healed, and comes to rest.
    fn rest(&mut self) {
        for cable in 0..self.cables.len() {
            self.muted[cable] = [false; 2];
            self.plug(cable);
        }
        self.advance(REST);
    }

    /// What one end sends the other takes in, and there is something.
    fn all_is_taken_in(&self) {
        let mut carries = [false; 2];
        for (cable, it) in self.cables.iter().enumerate() {
            let half = &self.halves[it.half];
            let has = |ports: SlotSet| ports.contains(slot(cable));
            let ours = [has(self.ours.distributing()), has(self.ours.collecting())];
            let its = [half.distributes(cable), half.collects(cable)];
            assert!(!ours[0] || its[1], "{cable} takes nothing in: {}", self.describe());
            assert!(!its[0] || ours[1], "we do not take in {cable}: {}", self.describe());
            carries = [carries[0] | ours[0], carries[1] | its[0]];
        }
        assert_eq!(carries, [true; 2], "not in service: {}", self.describe());
    }

    /// Every port, for people.
    fn describe(&self) -> String {
        let ports = self.cables.iter().enumerate().map(|(cable, it)| {
            let port = self.ours.port(slot(cable)).unwrap();
            let ours = format!("{:?} {:?} {:?}", port.mux(), port.actor(), port.partner());
            format!("\n{it:?}\n  {ours}\n  {}", self.halves[it.half].describe(cable))
        });
        ports.collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_sent_is_taken_in_whoever_made_the_partner(script in script()) {
        let mut world = World::new(&script);
        for event in &script.events {
            world.apply(event);
        }
        world.rest();
        world.all_is_taken_in();
        let before = world.ours.flapping();
        world.advance(REST);
        world.all_is_taken_in();
        prop_assert_eq!(world.ours.flapping(), before, "{}", world.describe());
    }
}
