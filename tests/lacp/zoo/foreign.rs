//! Systems as others make them, each as far as its partner can tell it from a [`Lacp`].
//!
//! [`Lacp`]: lagg_rs::lacp::Lacp

use lagg_rs::lacp::System as Id;
use lagg_rs::wire::lacpdu::{Info, Lacpdu, StateBits};

/// Who made it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A switch, all of whose aggregators are in service. A port distributes when it collects.
    Switch,
    /// One that has so many ports in service, and others standing by.
    HotStandby(usize),
    /// One that uses one aggregator, and keeps it while that has a port.
    Stubborn,
    /// Linux's bonding: likewise, and of all it takes the fastest. Ports of others are attached, and
    /// say that they are in sync if they came to be so while theirs was in use.
    Bonding,
    /// FreeBSD's and OpenBSD's: all ports are in sync and collect. It sends on the fastest aggregator.
    Lagg,
    /// Open vSwitch: its lead, the best port, says who its partner is.
    OpenVswitch,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Receive {
    Disabled,
    Expired,
    Defaulted,
    Current,
}

#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
enum Mux {
    Detached,
    Waiting,
    Attached,
    Collecting,
    Distributing,
}

/// What ports of one aggregator have in common: their own key, and the partner's system and key.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Group {
    key: u16,
    partner: Id,
    partner_key: u16,
}

#[derive(Debug)]
struct Port {
    speed: Option<u64>,
    actor: Info,
    partner: Info,
    receive: Receive,
    /// When what was heard is too old.
    until: u64,
    group: Option<Group>,
    mux: Mux,
    attaches: u64,
    has_to_say: bool,
    /// When it speaks in any case.
    speaks: u64,
    sent: Vec<u64>,
}

pub struct Foreign {
    kind: Kind,
    id: Id,
    fast: bool,
    passive: bool,
    /// By how much its keys differ from those before it was restarted.
    restarts: u16,
    ports: Vec<Port>,
    chosen: Option<Group>,
    /// When its timers run.
    pub ticks: u64,
}

fn system(info: &Info) -> Id {
    Id { priority: info.system_priority, address: info.system }
}

/// Whether one end has another opinion of a port than the other, as far as these bits go.
fn differs(one: &Info, other: &Info, bits: StateBits) -> bool {
    !one.is_same_port(other) || one.state & bits != other.state & bits
}

impl Foreign {
    pub fn new(kind: Kind, id: Id, fast: bool, passive: bool, ports: usize) -> Foreign {
        let (ports, chosen) = ((0..ports).map(|_| None), None);
        let mut it =
            Foreign { kind, id, fast, passive, restarts: 0, ports: Vec::new(), chosen, ticks: 0 };
        it.ports = ports.enumerate().map(|(n, speed)| it.port(n as u16, speed)).collect();
        it
    }

    fn port(&self, number: u16, speed: Option<u64>) -> Port {
        let mut state = StateBits::AGGREGATION | StateBits::DEFAULTED;
        state.set(StateBits::ACTIVITY, !self.passive);
        state.set(StateBits::TIMEOUT, self.fast);
        let Id { priority: system_priority, address: system } = self.id;
        // Not in the order in which ours are numbered.
        let (key, port) = (self.key(speed), 500 - number);
        let actor = Info { system_priority, system, key, port_priority: 0x8000, port, state };
        Port {
            speed,
            actor,
            partner: Info::default(),
            receive: Receive::Disabled,
            until: u64::MAX,
            group: None,
            mux: Mux::Detached,
            attaches: 0,
            has_to_say: false,
            speaks: u64::MAX,
            sent: Vec::new(),
        }
    }

    /// Of a port at this speed.
    pub fn key(&self, speed: Option<u64>) -> u16 {
        let speed = match self.kind {
            Kind::Stubborn | Kind::Bonding | Kind::Lagg => speed.unwrap_or(0) / 1_000_000_000,
            Kind::Switch | Kind::HotStandby(_) | Kind::OpenVswitch => 0,
        };
        100 + 100 * self.restarts + speed as u16
    }

    /// It forgets all, and has other keys; its links stay up.
    pub fn restart(&mut self, now: u64) {
        self.restarts += 1;
        self.chosen = None;
        let speeds: Vec<_> = self.ports.iter().map(|port| port.speed).collect();
        for (number, speed) in speeds.into_iter().enumerate() {
            self.ports[number] = self.port(number as u16, None);
            self.link(number, speed, now);
        }
    }

    /// The link of a port goes up, with a speed, or down.
    pub fn link(&mut self, number: usize, speed: Option<u64>, now: u64) {
        if self.ports[number].speed == speed {
            return;
        }
        self.ports[number] = self.port(number as u16, speed);
        if speed.is_some() {
            self.ports[number].expire(now);
        }
    }

    pub fn receive(&mut self, number: usize, pdu: &Lacpdu, now: u64) {
        let port = &mut self.ports[number];
        if port.receive == Receive::Disabled || pdu.actor.system == self.id.address {
            return;
        }
        if differs(&pdu.actor, &port.partner, StateBits::AGGREGATION) {
            port.group = None;
        }
        let mentioned =
            StateBits::ACTIVITY | StateBits::TIMEOUT | StateBits::SYNC | StateBits::AGGREGATION;
        port.has_to_say |= differs(&pdu.partner, &port.actor, mentioned);
        if (port.partner.state ^ pdu.actor.state).contains(StateBits::TIMEOUT) {
            port.speaks = now;
        }
        port.partner = pdu.actor;
        if differs(&pdu.partner, &port.actor, StateBits::AGGREGATION) {
            port.partner.state.remove(StateBits::SYNC);
        }
        port.receive = Receive::Current;
        port.actor.state.remove(StateBits::EXPIRED | StateBits::DEFAULTED);
        port.until = now + if self.fast { 3_000 } else { 90_000 };
    }

    /// Runs its machines.
    pub fn run(&mut self, now: u64) {
        self.ports.iter_mut().for_each(|port| port.run_receive(now));
        let state = |it: &Foreign| {
            let ports = it.ports.iter().map(|port| (port.group, port.mux, port.actor.state));
            (it.chosen, ports.collect::<Vec<_>>())
        };
        // Each may follow from another.
        for _ in 0..self.ports.len() + 4 {
            let before = state(self);
            for port in &mut self.ports {
                let is_wanted = port.receive != Receive::Disabled
                    && port.partner.state.contains(StateBits::AGGREGATION);
                let (key, partner) = (port.actor.key, system(&port.partner));
                let group = Group { key, partner, partner_key: port.partner.key };
                // It leaves one before it joins another.
                let may_join = port.group.is_some() || port.mux == Mux::Detached;
                let group = port.group.unwrap_or(group);
                port.group = Some(group).filter(|_| is_wanted && may_join);
            }
            self.choose();
            for number in 0..self.ports.len() {
                let (is_used, kind) = (self.is_used(number), self.kind);
                self.ports[number].run_mux(kind, is_used, now);
            }
            if state(self) == before {
                return;
            }
        }
    }

    fn choose(&mut self) {
        let of = |group| self.ports.iter().filter(move |port| port.group == Some(group));
        let speed = |group, least| {
            let ports = of(group).filter(|port| port.mux >= least);
            ports.filter_map(|port| port.speed).sum::<u64>()
        };
        let groups = self.ports.iter().filter_map(|port| port.group);
        let before = self.chosen.filter(|chosen| of(*chosen).next().is_some());
        // The first of those that are the best.
        let best = |least| {
            let groups = groups.clone().filter(|group| of(*group).any(|port| port.mux >= least));
            let groups = before.into_iter().chain(groups).collect::<Vec<_>>();
            groups.into_iter().rev().max_by_key(|group| speed(*group, least))
        };
        self.chosen = match self.kind {
            Kind::Stubborn => before.or(groups.clone().next()),
            Kind::Bonding => before.or_else(|| best(Mux::Detached)),
            Kind::Lagg => best(Mux::Distributing),
            Kind::OpenVswitch => {
                let current = self
                    .ports
                    .iter()
                    .filter(|port| port.receive == Receive::Current && port.group.is_some());
                let lead = current.min_by_key(|port| {
                    let lower = self.id < system(&port.partner);
                    let named = if lower { &port.actor } else { &port.partner };
                    let is_offered = port.partner.state.contains(StateBits::SYNC);
                    (!is_offered, named.port_priority, named.port)
                });
                lead.and_then(|lead| lead.group)
            }
            Kind::Switch | Kind::HotStandby(_) => None,
        };
    }

    /// Whether a port may come into service.
    pub fn is_used(&self, number: usize) -> bool {
        let is_current = |port: &Port| port.receive == Receive::Current && port.group.is_some();
        let port = &self.ports[number];
        match self.kind {
            Kind::Switch | Kind::Lagg => true,
            Kind::HotStandby(most) => {
                // The lower system says which ones.
                let rank = |port: &Port| {
                    let lower = self.id < system(&port.partner);
                    let named = if lower { &port.actor } else { &port.partner };
                    (named.port_priority, named.port)
                };
                let before = |other: &&Port| is_current(other) && rank(other) < rank(port);
                self.ports.iter().filter(before).count() < most
            }
            Kind::Stubborn | Kind::Bonding => port.group.is_some() && port.group == self.chosen,
            Kind::OpenVswitch => is_current(port) && port.group == self.chosen,
        }
    }

    /// What it has to say, by port.
    pub fn says(&mut self, now: u64) -> Vec<(usize, Lacpdu)> {
        let mut said = Vec::new();
        for (number, port) in self.ports.iter_mut().enumerate() {
            let both = port.actor.state | port.partner.state;
            if port.receive == Receive::Disabled || !both.contains(StateBits::ACTIVITY) {
                continue;
            }
            if now >= port.speaks {
                let is_short = port.partner.state.contains(StateBits::TIMEOUT);
                port.speaks = now + if is_short { 1_000 } else { 30_000 };
                port.has_to_say = true;
            }
            port.sent.retain(|at| at + 1_000 > now);
            if port.has_to_say && port.sent.len() < 3 {
                port.has_to_say = false;
                port.sent.push(now);
                said.push((number, Lacpdu { actor: port.actor, partner: port.partner }));
            }
        }
        said
    }

    /// Milliseconds between two runs of its timers, and whether what it hears waits for that.
    pub fn tick(&self) -> (u64, bool) {
        match self.kind {
            Kind::Bonding => (100, true),
            Kind::Lagg => (1_000, true),
            _ => (100, false),
        }
    }

    /// Whether frames that come in on a port are taken in, whatever it says.
    pub fn collects(&self, number: usize) -> bool {
        let port = &self.ports[number];
        let is_chosen = !matches!(self.kind, Kind::Bonding) || port.group == self.chosen;
        port.receive != Receive::Disabled && port.mux >= Mux::Collecting && is_chosen
    }

    pub fn distributes(&self, number: usize) -> bool {
        let port = &self.ports[number];
        let is_chosen = self.kind != Kind::Lagg || port.group == self.chosen;
        self.collects(number) && port.mux == Mux::Distributing && is_chosen
    }

    /// A port, for people.
    pub fn describe(&self, number: usize) -> String {
        format!("{:?} chosen {:?}: {:?}", self.kind, self.chosen, self.ports[number])
    }
}

impl Port {
    fn expire(&mut self, now: u64) {
        self.receive = Receive::Expired;
        self.until = now + 3_000;
        self.partner.state.remove(StateBits::SYNC);
        self.partner.state.insert(StateBits::TIMEOUT);
        self.actor.state.insert(StateBits::EXPIRED);
        self.has_to_say = true;
        self.speaks = now;
    }

    fn run_receive(&mut self, now: u64) {
        match self.receive {
            Receive::Current if now >= self.until => self.expire(now),
            Receive::Expired if now >= self.until => {
                self.receive = Receive::Defaulted;
                self.partner = Info::default();
                self.until = u64::MAX;
                self.actor.state.remove(StateBits::EXPIRED);
                self.actor.state.insert(StateBits::DEFAULTED);
            }
            _ => {}
        }
    }

    fn run_mux(&mut self, kind: Kind, is_used: bool, now: u64) {
        let is_bonding = kind == Kind::Bonding;
        let is_offered = self.partner.state.contains(StateBits::SYNC);
        // Who distributes when it collects does not look whether the partner does.
        let is_coupled = kind != Kind::Lagg;
        let distributes = is_coupled || self.partner.state.contains(StateBits::COLLECTING);
        let stays = is_offered && (is_used || is_bonding);
        self.mux = match self.mux {
            _ if self.group.is_none() => Mux::Detached,
            Mux::Detached => {
                self.attaches = now + if kind == Kind::OpenVswitch { 0 } else { 2_000 };
                Mux::Waiting
            }
            Mux::Waiting if now < self.attaches => Mux::Waiting,
            Mux::Waiting => Mux::Attached,
            Mux::Attached if !is_offered || !is_used => Mux::Attached,
            _ if self.mux >= Mux::Collecting && !stays => Mux::Attached,
            _ if distributes => Mux::Distributing,
            _ => Mux::Collecting,
        };
        let before = self.actor.state;
        let in_sync = before & (StateBits::SYNC | StateBits::COLLECTING) == StateBits::SYNC;
        let mut says = StateBits::empty();
        says.set(
            StateBits::SYNC,
            match self.mux {
                Mux::Detached | Mux::Waiting => false,
                Mux::Attached => is_used || is_bonding && in_sync,
                Mux::Collecting | Mux::Distributing => true,
            },
        );
        says.set(StateBits::COLLECTING, self.mux >= Mux::Collecting);
        says.set(StateBits::DISTRIBUTING, self.mux == Mux::Distributing);
        let bits = StateBits::SYNC | StateBits::COLLECTING | StateBits::DISTRIBUTING;
        self.actor.state = (before - bits) | says;
        self.has_to_say |= self.actor.state != before;
    }
}
