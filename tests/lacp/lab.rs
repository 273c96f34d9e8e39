//! Systems joined by cables, in virtual time: it jumps to whatever happens next. After each event
//! all that must always hold is checked (`checks.rs`), in every test.

use std::collections::BTreeMap;
use std::ops::Index;

use lagg_rs::lacp::{Link, Options, Port, System as Id, Time};
use lagg_rs::slots::{Slot, SlotSet};
use lagg_rs::wire::MacAddr;
use lagg_rs::wire::lacpdu::Lacpdu;
use lagg_rs::wire::marker::{Frame as MarkerFrame, Kind};
use lagg_rs::wire::slow::{self, FRAME, Subtype};

use crate::parts::Flight;
pub use crate::parts::{Cable, End, Last, Record, STRAIGHT, System, Way};
pub use crate::whole::{Lacp, lacp};

pub fn nth(number: u8) -> Slot {
    Slot::new(number.into()).unwrap()
}

pub fn set(bits: u32) -> SlotSet {
    SlotSet::from_bits(bits)
}

/// One gigabit.
pub const GIGABIT: Link = Link::Up(1_000_000_000);

/// The system priority that a [`Lacp`] has if nothing else is said.
pub const PRIORITY: u16 = 0x8000;

pub const DEFAULTS: Options =
    Options { strict: true, fast_timeout: false, txtest: false, rxtest: false };

/// Milliseconds that a frame takes if nothing else is said.
pub const DELAY: u64 = 1;

pub struct Lab {
    pub now: u64,
    pub systems: Vec<System>,
    pub cables: Vec<Cable>,
    flights: BTreeMap<(u64, u64), Flight>,
    count: u64,
    random: u64,
}

impl Index<usize> for Lab {
    type Output = Lacp;

    fn index(&self, system: usize) -> &Lacp {
        &self.systems[system].lacp
    }
}

/// The address of the system `n`.
pub fn mac(n: u8) -> MacAddr {
    [2, 0, 0, 0, 0, n]
}

impl Lab {
    pub fn new() -> Self {
        let (systems, cables, flights) = (Vec::new(), Vec::new(), BTreeMap::new());
        Lab { now: 1_000, systems, cables, flights, count: 0, random: 1 }
    }

    /// Two systems, 0 and 1, with this many cables, all up.
    pub fn pair(cables: usize) -> Self {
        let mut lab = Lab::new();
        let (a, b) = (lab.system(mac(1), 11, DEFAULTS), lab.system(mac(2), 22, DEFAULTS));
        for _ in 0..cables {
            let cable = lab.cable(a, b);
            lab.plug(cable);
        }
        lab
    }

    /// Another seed for what is lost, doubled or late.
    pub fn seed(&mut self, seed: u64) {
        self.random = seed.wrapping_mul(2).wrapping_add(1);
    }

    /// A number below `below` (xorshift64*).
    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % below
    }

    pub fn time(&self) -> Time {
        Time::new(self.now)
    }

    /// One more system. Two of the same address and lagg are an MLAG pair.
    pub fn system(&mut self, address: MacAddr, lagg: u32, options: Options) -> usize {
        self.systems.push(System {
            lacp: lacp(Id::new(address), lagg, options),
            id: Id::new(address),
            lagg,
            answers_markers: true,
            records: vec![Record::default(); 32],
            touched: false,
        });
        self.systems.len() - 1
    }

    /// A cable between the places of two ports, systems and slots: they have not joined.
    pub fn wire(&mut self, ends: [(usize, u8); 2]) -> usize {
        let end =
            |(system, slot)| End { system, slot, link: Link::Down, present: false, deaf: None };
        self.cables.push(Cable { ends: ends.map(end), ways: [STRAIGHT; 2], disturbed: [0; 2] });
        self.cables.len() - 1
    }

    /// One more port on each of two systems, and a cable between them; the links are down.
    pub fn cable(&mut self, a: usize, b: usize) -> usize {
        let place = |system, more| (system, (self.ends_of(system).len() + more) as u8);
        let ends = [place(a, 0), place(b, usize::from(a == b))];
        let cable = self.wire(ends);
        self.join(cable, 0);
        self.join(cable, 1);
        cable
    }

    /// What happens to a system; everything that follows from it at once happens too.
    pub fn at<R>(&mut self, system: usize, what: impl FnOnce(&mut Lacp, Time) -> R) -> R {
        let now = self.time();
        let result = what(self.systems[system].touch(), now);
        self.settle();
        result
    }

    /// The port at an end joins its system, with its link as it is.
    pub fn join(&mut self, cable: usize, end: usize) {
        let now = self.time();
        let end = &mut self.cables[cable].ends[end];
        end.present = true;
        let system = &mut self.systems[end.system];
        let index = 100 * end.system as u32 + u32::from(end.slot) + 1;
        let hushed = system.lacp.options().txtest.then_some(self.now + 1_000);
        system.records[usize::from(end.slot)] = Record { hushed, ..Record::default() };
        system.touch().add(nth(end.slot), index, [2, 0, 0, 1, end.system as u8, end.slot]);
        system.lacp.set_link(nth(end.slot), end.link, now);
        self.settle();
    }

    /// It leaves, with a farewell.
    pub fn leave(&mut self, cable: usize, end: usize) {
        let at = &mut self.cables[cable].ends[end];
        at.present = false;
        let farewell = self.systems[at.system].touch().remove(nth(at.slot));
        if let Some(frame) = farewell {
            self.send(cable, end, frame);
        }
        self.settle();
    }

    /// A system forgets all, and has these identity and options now; its links stay up.
    pub fn restart(&mut self, system: usize, address: MacAddr, lagg: u32, options: Options) {
        let it = &mut self.systems[system];
        it.id.address = address;
        it.lacp = lacp(it.id, lagg, options);
        it.lagg = lagg;
        self.disturb(system);
        let mut ends = self.ends_of(system);
        ends.retain(|&(cable, end)| self.cables[cable].ends[end].present);
        for &(cable, end) in &ends {
            self.cables[cable].ends[end].present = false;
        }
        for (cable, end) in ends {
            self.join(cable, end);
        }
    }

    /// An end's link changes.
    pub fn link(&mut self, cable: usize, end: usize, link: Link) {
        let now = self.time();
        let at = &mut self.cables[cable].ends[end];
        at.link = link;
        let (system, slot) = (at.system, at.slot);
        if !matches!(link, Link::Up(_)) {
            self.systems[system].records[usize::from(slot)].heard = None;
        }
        self.systems[system].touch().set_link(nth(at.slot), link, now);
        self.disturb_way(cable, end);
        self.settle();
    }

    /// Both ends have a link.
    pub fn plug(&mut self, cable: usize) {
        self.link(cable, 0, GIGABIT);
        self.link(cable, 1, GIGABIT);
    }

    /// Both ends have lost it, and what was under way.
    pub fn unplug(&mut self, cable: usize) {
        self.flights.retain(|_, flight| flight.cable != cable);
        self.link(cable, 0, Link::Down);
        self.link(cable, 1, Link::Down);
    }

    /// A direction gets other properties.
    pub fn way(&mut self, cable: usize, from: usize, way: Way) {
        self.disturb_way(cable, from);
        self.cables[cable].ways[from] = way;
    }

    /// In both directions nothing comes through; the links stay up.
    pub fn cut(&mut self, cable: usize) {
        for from in [0, 1] {
            self.way(cable, from, Way { cut: true, ..STRAIGHT });
        }
    }

    pub fn heal(&mut self, cable: usize) {
        for from in [0, 1] {
            self.way(cable, from, STRAIGHT);
        }
    }

    pub fn options(&mut self, system: usize, options: Options) {
        self.disturb(system);
        if options.txtest || self[system].options().txtest {
            for record in &mut self.systems[system].records {
                record.hushed = Some(self.now + 1_000);
            }
        }
        self.at(system, |lacp, _| lacp.set_options(options));
    }

    pub fn set_address(&mut self, system: usize, address: MacAddr) {
        let priority = self.systems[system].id.priority;
        self.set_id(system, Id { priority, address });
    }

    pub fn set_priority(&mut self, system: usize, priority: u16) {
        let address = self.systems[system].id.address;
        self.set_id(system, Id { priority, address });
    }

    fn set_id(&mut self, system: usize, id: Id) {
        self.systems[system].id = id;
        self.at(system, |lacp, _| lacp.set_system(id));
    }

    fn disturb_way(&mut self, cable: usize, from: usize) {
        let cable = &mut self.cables[cable];
        let way = cable.ways[from];
        cable.disturbed[from] = cable.disturbed[from].max(self.now + way.delay + way.jitter);
    }

    fn disturb(&mut self, system: usize) {
        for (cable, _) in self.ends_of(system) {
            self.disturb_way(cable, 0);
            self.disturb_way(cable, 1);
        }
    }

    /// The cables of a system, and which end of each it is.
    pub fn ends_of(&self, system: usize) -> Vec<(usize, usize)> {
        let all = (0..self.cables.len()).flat_map(|cable| [(cable, 0), (cable, 1)]);
        all.filter(|&(cable, end)| self.cables[cable].ends[end].system == system).collect()
    }

    /// The port at an end.
    pub fn port(&self, cable: usize, end: usize) -> &Port {
        let end = &self.cables[cable].ends[end];
        self[end.system].port(nth(end.slot)).expect("the port has left")
    }

    /// A frame goes onto a cable, as the way there lets it.
    fn send(&mut self, cable: usize, from: usize, frame: [u8; FRAME]) {
        let Way { cut, delay, jitter, lost, doubled } = self.cables[cable].ways[from];
        let copies = if self.random(100) < doubled { 2 } else { 1 };
        for _ in 0..copies {
            if cut || self.random(100) < lost {
                continue;
            }
            let at = self.now + delay + self.random(jitter + 1);
            self.count += 1;
            self.flights.insert((at, self.count), Flight { cable, to: 1 - from, frame });
        }
    }

    fn deliver(&mut self, flight: Flight) {
        let now = self.time();
        let end = &self.cables[flight.cable].ends[flight.to];
        if !end.present || end.link == Link::Down {
            return;
        }
        let (slot, system) = (nth(end.slot), &mut self.systems[end.system]);
        match Subtype::of(&flight.frame).unwrap() {
            Subtype::Lacp => {
                let pdu = Lacpdu::parse(&flight.frame).unwrap();
                let knew = pdu.partner.is_same_port(system.lacp.port(slot).unwrap().actor());
                if !system.lacp.options().rxtest {
                    system.records[usize::from(slot)].heard =
                        Some(Last { at: self.now, pdu, knew });
                }
                system.touch().receive(slot, slow::source(&flight.frame), &pdu, now);
            }
            Subtype::Marker => {
                let (frame, kind) = MarkerFrame::parse(&flight.frame).unwrap();
                let response = system.touch().receive_marker(slot, frame, kind, now);
                assert!(response.is_none() || kind == Kind::Information);
                if let Some(frame) = response.filter(|_| system.answers_markers) {
                    self.send(flight.cable, flight.to, frame);
                }
            }
        }
    }

    /// The cable of a port, and which end of it the port is.
    fn end_at(&self, system: usize, slot: Slot) -> (usize, usize) {
        let is_it =
            |&(cable, end): &(usize, usize)| self.cables[cable].ends[end].slot == slot.number();
        self.ends_of(system).into_iter().find(is_it).unwrap()
    }

    /// All systems that something has happened to, or whose time has come, run and send what is due.
    pub fn settle(&mut self) {
        let now = self.time();
        for system in 0..self.systems.len() {
            let it = &mut self.systems[system];
            if !it.touched && it.lacp.deadline(now).is_none_or(|at| at > now) {
                continue;
            }
            it.touch().run(now);
            while let Some((slot, frame)) = self.systems[system].lacp.poll_transmit(now) {
                let said = Last { at: self.now, pdu: Lacpdu::parse(&frame).unwrap(), knew: false };
                let record = &mut self.systems[system].records[usize::from(slot)];
                record.said = Some(said);
                record.hushed = record.hushed.filter(|&until| self.now < until);
                record.sent.push(self.now);
                record.check_rate();
                let (cable, end) = self.end_at(system, slot);
                self.send(cable, end, frame);
            }
            let last = self.systems[system].lacp.last_order();
            while let Some((slot, frame)) = self.systems[system].lacp.poll_marker(last) {
                let (cable, end) = self.end_at(system, slot);
                self.send(cable, end, frame);
            }
        }
        self.check();
        self.systems.iter_mut().for_each(|system| system.touched = false);
    }

    /// When the next thing happens.
    fn next(&self) -> Option<u64> {
        let time = self.time();
        let deadlines = self.systems.iter().filter_map(|system| system.lacp.deadline(time));
        let deadlines = deadlines.map(|at| self.now + at.since(time));
        deadlines.chain(self.flights.keys().next().map(|&(at, _)| at)).min()
    }

    /// Goes to the next event, if that is not after `end`. False: it is.
    pub fn step(&mut self, end: u64) -> bool {
        let Some(at) = self.next().filter(|&at| at <= end) else { return false };
        assert!(at > self.now, "something is due at the time at which all was done");
        self.now = at;
        while let Some(flight) = self.flights.first_entry().filter(|entry| entry.key().0 == at) {
            let flight = flight.remove();
            self.deliver(flight);
        }
        self.settle();
        true
    }

    /// So many milliseconds pass.
    pub fn advance(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.step(end) {}
        self.now = end;
        self.settle();
    }

    /// Goes on until something is seen, within `ms` milliseconds: how many it took.
    pub fn until(&mut self, ms: u64, seen: impl Fn(&Lab) -> bool) -> u64 {
        let (begin, end) = (self.now, self.now + ms);
        while !seen(self) {
            assert!(self.step(end), "not seen within {ms} ms: {}", self.describe());
        }
        self.now - begin
    }

    /// Every port, for people.
    pub fn describe(&self) -> String {
        let mut text = format!("at {} ms", self.now);
        for (cable, it) in self.cables.iter().enumerate() {
            for end in &it.ends {
                let Some(port) = self[end.system].port(nth(end.slot)) else { continue };
                text += &format!("\ncable {cable}, system {}: {:?}", end.system, port.mux());
                text += &format!("\n  actor {:?}\n  partner {:?}", port.actor(), port.partner());
            }
        }
        text
    }
}
