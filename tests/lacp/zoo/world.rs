//! A lagg, its partner, and the cables between them, in virtual time.

use std::collections::BTreeMap;

use lagg_rs::lacp::settings::Select;
use lagg_rs::lacp::{Link, Options, Settings, System as Id, Time, key};
use lagg_rs::slots::{Slot, SlotSet};
use lagg_rs::wire::lacpdu::Lacpdu;
use lagg_rs::wire::marker::{Frame as MarkerFrame, Kind as MarkerKind};
use lagg_rs::wire::slow::{self, Subtype};

use super::foreign::Foreign;
use super::frames::{self, Version};
use super::{Cable, Event, REST, SPEEDS, Script};
use crate::lab::{DEFAULTS, mac};
use crate::whole::{Lacp, lacp};

/// The number of our lagg.
const LAGG: u32 = 11;

pub struct World {
    pub now: u64,
    pub ours: Lacp,
    touched: bool,
    pub halves: Vec<Foreign>,
    version: Version,
    answers_markers: bool,
    cables: Vec<Cable>,
    up: Vec<[bool; 2]>,
    muted: Vec<[bool; 2]>,
    /// The next frame is lost.
    lossy: Vec<[bool; 2]>,
    /// By when they arrive and the order in which they were sent: the cable, and its end.
    flights: BTreeMap<(u64, u64), (usize, usize, Vec<u8>)>,
    count: u64,
}

/// The slot of our port on a cable.
pub fn slot(cable: usize) -> Slot {
    Slot::new(cable).unwrap()
}

impl World {
    pub fn new(script: &Script) -> World {
        let [fast, its_fast] = script.fast;
        let options = Options { fast_timeout: fast, ..DEFAULTS };
        let [ours, its] = if script.ours_is_lower { [1, 2] } else { [2, 1] };
        let now = 10_000;
        let mut lacp = lacp(Id::new(mac(ours)), LAGG, options);
        for slot in Slot::all().take(script.cables.len()) {
            let number = slot.number();
            lacp.add(slot, 1 + u32::from(number), [2, 0, 0, 1, 0, number]);
            lacp.set_port_priority(slot, script.priorities[usize::from(number)], Time::new(now));
        }
        lacp.set_settings(script.settings);
        let ports = script.cables.len();
        let half =
            |_| Foreign::new(script.kind, Id::new(mac(its)), its_fast, script.passive, ports);
        let mut world = World {
            now,
            ours: lacp,
            touched: true,
            halves: (0..script.halves).map(half).collect(),
            version: script.version,
            answers_markers: script.answers_markers,
            cables: script.cables.clone(),
            up: vec![[false; 2]; ports],
            muted: vec![[false; 2]; ports],
            lossy: vec![[false; 2]; ports],
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

    pub fn apply(&mut self, event: &Event) {
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
            Event::Lose(cable, from) => self.lossy[cable][from] = true,
            Event::Heal(cable) => self.muted[cable] = [false; 2],
            Event::Restart(half) => self.halves[half].restart(self.now),
            Event::Priority(cable, priority) => self.set_port_priority(cable, priority),
            Event::Markers => {
                self.ours.ask_markers(self.ours.distributing(), Time::new(self.now));
                self.touched = true;
                self.settle();
            }
        }
    }

    /// Our settings change.
    pub fn set(&mut self, change: impl FnOnce(&mut Settings)) {
        let mut settings = *self.ours.settings();
        change(&mut settings);
        self.ours.set_settings(settings);
        self.touched = true;
        self.settle();
    }

    /// The priority of our port changes.
    pub fn set_port_priority(&mut self, cable: usize, priority: u16) {
        self.ours.set_port_priority(slot(cable), priority, Time::new(self.now));
        self.touched = true;
        self.settle();
    }

    fn send(&mut self, cable: usize, from: usize, frame: Vec<u8>) {
        if std::mem::take(&mut self.lossy[cable][from]) || self.muted[cable][from] {
            return;
        }
        let Cable { delay, echoes, .. } = self.cables[cable];
        for to in [1 - from, from].into_iter().take(1 + usize::from(echoes)) {
            self.count += 1;
            self.flights.insert((self.now + delay, self.count), (cable, to, frame.clone()));
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
                said.push((usize::from(slot), 0, frame.to_vec()));
            }
            while let Some((slot, frame)) = self.ours.poll_transmit(now) {
                said.push((usize::from(slot), 0, frame.to_vec()));
            }
            while let Some((slot, frame)) = self.ours.poll_marker(self.ours.last_order()) {
                said.push((usize::from(slot), 0, frame.to_vec()));
            }
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
            let frame = |pdu| frames::emit(&pdu, mac(3), self.version);
            said.extend(half.says(self.now).into_iter().map(|(port, pdu)| (port, 1, frame(pdu))));
        }
        for (cable, from, frame) in said {
            self.send(cable, from, frame);
        }
    }

    /// A frame has come to an end of a cable.
    fn deliver(&mut self, cable: usize, to: usize, frame: &[u8]) {
        if !self.up[cable][to] {
            return;
        }
        let now = Time::new(self.now);
        let half = &mut self.halves[self.cables[cable].half];
        match Subtype::of(frame).unwrap() {
            Subtype::Lacp if to == 0 => {
                let pdu = Lacpdu::parse(frame).unwrap();
                self.ours.receive(slot(cable), slow::source(frame), &pdu, now);
            }
            Subtype::Lacp => half.receive(cable, &Lacpdu::parse(frame).unwrap(), self.now),
            Subtype::Marker => {
                let (frame, kind) = MarkerFrame::parse(frame).unwrap();
                if to == 0 {
                    if let Some(frame) = self.ours.receive_marker(slot(cable), frame, kind, now) {
                        self.send(cable, 0, frame.to_vec());
                    }
                } else if kind == MarkerKind::Information && self.answers_markers {
                    self.send(cable, 1, frame.response(mac(3)).to_vec());
                }
            }
        }
        self.touched |= to == 0;
    }

    pub fn advance(&mut self, ms: u64) {
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
                let (cable, to, frame) = flight.remove();
                self.deliver(cable, to, &frame);
            }
            self.settle();
        }
    }

    /// Everything is healed, and comes to rest.
    pub fn rest(&mut self) {
        for cable in 0..self.cables.len() {
            self.muted[cable] = [false; 2];
            self.plug(cable);
        }
        self.advance(REST);
    }

    /// What one end sends the other takes in, and there is something.
    pub fn all_is_taken_in(&self) {
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
        assert!(self.ours.waiting().is_empty(), "a marker is waited for: {}", self.describe());
    }

    /// Whether there is a port on which nothing would be lost, in either direction, and none on which something is.
    pub fn loses_nothing(&self) -> bool {
        let mut carries = [false; 2];
        let sound = self.cables.iter().enumerate().all(|(cable, it)| {
            let half = &self.halves[it.half];
            let has = |ports: SlotSet| ports.contains(slot(cable));
            let sends = [has(self.ours.distributing()), half.distributes(cable)];
            carries = [carries[0] | sends[0], carries[1] | sends[1]];
            let up = self.up[cable] == [true; 2];
            up && (!sends[0] || half.collects(cable)) && (!sends[1] || has(self.ours.collecting()))
                || sends == [false; 2]
        });
        sound && carries == [true; 2]
    }

    /// No aggregator is better by what is set, of the links that both would have in service.
    pub fn the_best_is_in_service(&self) {
        let Settings { select, max_links, key, .. } = *self.ours.settings();
        let (most, number) = match (max_links, key) {
            (most, 0) => (most, LAGG),
            (most, key) => (most, key.into()),
        };
        let mut aggregators = BTreeMap::<_, Vec<u64>>::new();
        for (cable, it) in self.cables.iter().enumerate() {
            let [ours, its] = it.speeds.map(|speed| SPEEDS[speed] * 1_000_000_000);
            let half = &self.halves[it.half];
            if half.is_used(cable) {
                let keys = (key::aggregatable(number, ours), half.key(Some(its)));
                let speeds = aggregators.entry(keys).or_default();
                if most == 0 || speeds.len() < most.into() {
                    speeds.push(ours);
                }
            }
        }
        let (count, bandwidth) = (self.ours.distributing().len() as usize, self.ours.bandwidth());
        if most != 0 {
            // Ports of one class may have different speeds, and which of them are left out decides.
            let counts: Vec<_> = aggregators.values().map(Vec::len).collect();
            assert!(counts.contains(&count), "{count} of {counts:?}: {}", self.describe());
            return;
        }
        let worth = |count: usize, bandwidth: u64| match select {
            Select::Count => (count, bandwidth),
            Select::Priority | Select::Bandwidth => (0, bandwidth),
        };
        let worths = aggregators.values().map(|speeds| worth(speeds.len(), speeds.iter().sum()));
        let ours = worth(count, bandwidth);
        assert_eq!(Some(ours), worths.max(), "not the best: {}", self.describe());
    }

    /// Every port, for people.
    pub fn describe(&self) -> String {
        let ports = self.cables.iter().enumerate().map(|(cable, it)| {
            let port = self.ours.port(slot(cable)).unwrap();
            let ours = format!("{:?} {:?} {:?}", port.mux(), port.actor(), port.partner());
            format!("\n{it:?}\n  {ours}\n  {}", self.halves[it.half].describe(cable))
        });
        ports.collect()
    }
}
