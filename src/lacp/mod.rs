//! LACP: the machines of IEEE 802.1AX, and nothing else.
//!
//! There is no clock, I/O, lock or allocation here, and nothing of the kernel. Events go in (`receive`,
//! `set_link`, …) with their time. [`Lacp::run`] runs all machines until they rest. Then the results come
//! out: LACPDUs and markers to send (`poll_*`), the ports that collect and distribute, and when to run
//! again ([`Lacp::deadline`]).
//!
//! Clauses are those of 802.1AX-2008; the same is in 6.4 of 802.1AX-2014 and in 43.4 of 802.3ad. This is
//! version 1: one key per port, no conversations.

use core::ops::DerefMut;

mod candidate;
pub mod choice;
pub mod churn;
mod fallback;
pub mod gathering;
pub mod key;
pub mod marker;
pub mod mux;
pub mod order;
pub mod periodic;
pub mod port;
pub mod reason;
pub mod receive;
pub mod report;
mod results;
pub mod selection;
pub mod settings;
pub mod standby;
pub mod time;
pub mod transmit;

use mux::Waits;
use order::Order;
use port::Media;
pub use port::{Port, Statistics};
pub use reason::Reason;
pub use report::Report;
pub use selection::{LagId, Selected, System};
pub use settings::Settings;
pub use time::{Time, Timer};

use crate::slots::{Slot, SlotSet};
use crate::wire::MacAddr;
use crate::wire::marker::{Frame, Kind};
use crate::wire::slow::{FRAME, Malformed};

/// The priority of our system and of our ports, the standard's default.
const PRIORITY: u16 = 0x8000;

/// The largest number of rounds. The machines have never needed ten.
const ROUNDS: u32 = 64;

/// What an administrator can set (`lacp_*` of ifconfig(8)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// A missing partner counts as one that agrees to nothing.
    pub strict: bool,
    /// The partner is asked for a LACPDU every second, not every 30.
    pub fast_timeout: bool,
    /// No LACPDUs are sent, for tests.
    pub txtest: bool,
    /// Received LACPDUs are dropped, for tests.
    pub rxtest: bool,
}

/// A port's link, as LACP sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    /// Down, or unknown.
    Down,
    /// Up, but cannot be aggregated: half duplex, or not Ethernet.
    Unfit,
    /// Up, with its bits per second, 0 if unknown.
    Up(u64),
}

/// Memory for a value of each slot, provided by the caller: an array of [`Slot::COUNT`].
pub trait Memory<T>: DerefMut<Target = [Option<T>]> {}

impl<T, M: DerefMut<Target = [Option<T>]>> Memory<T> for M {}

/// LACP of one lagg. Ports are identified by their slots, and aggregators have numbers of the same type.
pub struct Lacp<P, A> {
    system: System,
    /// The lagg's `if_index`.
    index: u32,
    options: Options,
    settings: Settings,
    ports: P,
    aggregators: A,
    /// The aggregator that is chosen.
    active: Option<Slot>,
    doubts: choice::Doubts,
    /// Until when its ports wait to begin to distribute together.
    gathering: Timer,
    refused: standby::Refused,
    /// The present partner has no more than so many links of an aggregator in service.
    limit: u8,
    /// When the last LACPDU of a partner was received, or the first link came up.
    heard: Option<Time>,
    /// A port was in service without a partner since, so that a passive system speaks like an active one.
    speaks_up: bool,
    flapping: u32,
    /// A LACPDU was not like the last one of its port, since this was last asked for.
    is_news: bool,
    last_order: Order,
    /// The source of a LACPDU with our identifier that none of our ports sent, and when it was received.
    twin: Option<(MacAddr, Time)>,
}

impl<P: Memory<Port>, A: Memory<LagId>> Lacp<P, A> {
    /// LACP without ports, in empty memory, for a lagg with this system identifier and `if_index`.
    pub fn new(system: System, index: u32, options: Options, ports: P, aggregators: A) -> Self {
        Lacp {
            system,
            index,
            options,
            settings: Settings::NEW,
            ports,
            aggregators,
            active: None,
            doubts: choice::Doubts::default(),
            gathering: Timer::default(),
            refused: standby::Refused::default(),
            limit: standby::NO_LIMIT,
            heard: None,
            speaks_up: false,
            flapping: 0,
            is_news: false,
            last_order: Order::FIRST,
            twin: None,
        }
    }

    /// A port joins, with its link down: its slot, its `if_index`, and the source address of its frames.
    pub fn add(&mut self, slot: Slot, index: u32, source: MacAddr) {
        let mut port = Port::new(self.system, (index, self.number(index)), source, self.options);
        port.set_activity(self.is_active_system());
        self.twin.take_if(|(twin, _)| *twin == source);
        if let Some(place) = self.ports.get_mut(usize::from(slot)) {
            *place = Some(port);
        }
    }

    /// The number of a new port in LACPDUs. It is its `if_index`, unless that is 0 in 16 bits, or another
    /// port's (F-62).
    fn number(&self, index: u32) -> u16 {
        let is_free =
            |number: &u16| *number != 0 && self.ports().all(|(_, it)| it.actor.port != *number);
        let numbers = core::iter::once(index as u16).chain((1..=u16::MAX).rev());
        numbers.into_iter().find(is_free).unwrap_or(u16::MAX)
    }

    /// A port leaves. Returns its farewell, if its link is up: a LACPDU that is neither in sync nor
    /// aggregatable.
    pub fn remove(&mut self, slot: Slot) -> Option<[u8; FRAME]> {
        let port = self.ports.get_mut(usize::from(slot))?.take()?;
        let partner = port.hearer().filter(|_| !self.options.txtest)?;
        Some(port.last_words(partner).emit(port.source))
    }

    /// Changes the system's identifier. Partners are told (F-26).
    pub fn set_system(&mut self, system: System) {
        self.system = system;
        let others = |port: &&mut Port| System::of(&port.actor) != system;
        for port in self.ports.iter_mut().flatten().filter(others) {
            port.actor.system_priority = system.priority;
            port.actor.system = system.address;
            port.ntt = true;
            // Responses to the old identifier would not be recognised.
            port.marker.stop();
        }
    }

    /// The options.
    pub fn options(&self) -> Options {
        self.options
    }

    /// Changes the options. The short timeout applies to all ports, including later ones (F-18).
    pub fn set_options(&mut self, options: Options) {
        // F-25: for the ports of all units
        self.options = options;
        for (_, port) in self.ports_mut() {
            port.set_timeout(options.fast_timeout);
        }
    }

    /// A port's link.
    pub fn link(&self, slot: Slot) -> Option<Link> {
        self.port(slot).map(Port::link)
    }

    /// A port's link has changed. While it is down, its key and its partner's information are kept (5.4.12,
    /// PORT_DISABLED). The partner on a link that has become unfit gets a farewell.
    pub fn set_link(&mut self, slot: Slot, link: Link, now: Time) {
        let (number, strict) = (self.key_number(), self.options.strict);
        let limited = self.settings.max_links != 0;
        if link == Link::Unfit {
            self.order_farewell(slot);
        }
        if matches!(link, Link::Up(_)) && !self.ports().any(|(_, port)| port.is_enabled()) {
            self.heard = Some(now);
        }
        let Some(port) = self.port_mut(slot) else { return };
        let was = port.link();
        let event = match link {
            Link::Up(speed) => {
                (port.media, port.speed, port.farewell) = (Media::Up, speed, None);
                receive::Event::Up
            }
            Link::Unfit => {
                port.media = Media::Unfit;
                receive::Event::Unfit
            }
            Link::Down => {
                port.media = Media::Down;
                receive::Event::Down
            }
        };
        match link {
            Link::Up(speed) => port.set_key(key::aggregatable(number, speed), true),
            Link::Unfit => port.set_key(key::individual(port.index.into()), false),
            Link::Down => {}
        }
        if link != was {
            // Frames in flight are lost, or have arrived.
            port.marker.stop();
            port.reporter.forget();
            (port.is_idle, port.looped) = (false, 0);
            port.receive_event(event, strict, now);
            // F-88: its partner may wait for others, where it does not
            if limited && port.is_enabled() && port.waits == Waits::No {
                port.wait_while.start(now, choice::FOLLOW);
            }
        }
    }

    /// A Marker PDU was received on a port. Returns the response to send, if it is a marker. A port sends
    /// at most [`marker::ANSWERS`] responses a second.
    pub fn receive_marker(
        &mut self,
        slot: Slot,
        frame: &Frame,
        kind: Kind,
        now: Time,
    ) -> Option<[u8; FRAME]> {
        let port = self.port_mut(slot)?;
        let counted = match kind {
            Kind::Information => &mut port.statistics.markers_in,
            Kind::Response => &mut port.statistics.responses_in,
        };
        *counted = counted.saturating_add(1);
        match kind {
            Kind::Information => port.answers_marker(now).then(|| frame.response(port.source)),
            Kind::Response => {
                if port.media != Media::Down {
                    port.marker_response(&frame.marker());
                }
                None
            }
        }
    }

    /// A malformed frame of a slow protocol was received on a port.
    pub fn receive_malformed(&mut self, slot: Slot, why: Malformed) {
        let Some(port) = self.port_mut(slot) else { return };
        if let Some(count) = port.statistics.illegal.get_mut(why as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// Runs all machines until none moves, so nothing that has become possible waits for a timer. Call this
    /// after each event, and when [`Lacp::deadline`] has come.
    pub fn run(&mut self, now: Time) {
        let strict = self.options.strict;
        let mut rounds = 0..ROUNDS;
        let rests = rounds.any(|_| {
            for (_, port) in self.ports_mut() {
                if port.current_while.expires(now) {
                    port.notice_missed(now);
                    port.receive_event(receive::Event::Timeout, strict, now);
                }
                port.wait_while.expires(now);
                port.marker.run(now);
                port.run_periodic(now);
            }
            // F-82: another choice may follow from one
            let choice = (self.active, self.doubts.tries);
            self.run_churn(now);
            self.run_fallback(now);
            self.run_selection();
            self.run_ready(now);
            self.run_choice(now);
            let gathered = self.has_gathered(now);
            // Last, because it follows what the others have changed.
            !self.run_mux(gathered, now) && choice == (self.active, self.doubts.tries)
        });
        debug_assert!(rests, "the machines do not come to rest");
    }

    fn run_churn(&mut self, now: Time) {
        let active = self.in_service();
        let mut is_limited = false;
        for (_, port) in self.ports_mut() {
            let churns = port.run_churn(now);
            // F-70: a partner may limit the number of links, which limits an aggregator's speed
            let is_spare = churns && active.is_some() && port.aggregator == active;
            port.is_spare |= is_spare;
            is_limited |= is_spare;
        }
        self.run_limit(is_limited);
    }

    fn run_mux(&mut self, gathered: bool, now: Time) -> bool {
        let (mut moved, mut flapping) = (false, 0);
        for (_, port) in self.ports_mut() {
            let distributed = port.mux == mux::MuxState::Distributing;
            let moves = port.run_mux(gathered, now);
            moved |= moves;
            flapping += u32::from(distributed && moves);
        }
        self.flapping = self.flapping.saturating_add(flapping);
        moved
    }

    /// Ready (5.4.8), computed again each time, so that a port that leaves while it waits keeps no other
    /// waiting (F-15). A port that has waited once does not wait for later ones. One that was in service waits
    /// until all links that may have a partner have the same aggregator, as when it changes its identifier.
    fn run_ready(&mut self, now: Time) {
        let held = self.ports().filter(|(_, port)| !port.has_waited());
        let held: SlotSet = held.filter_map(|(_, port)| port.aggregator).collect();
        // F-87: no other can follow
        let same = self.common_aggregator();
        for (_, port) in self.ports_mut().filter(|(_, port)| port.is_waiting()) {
            let has_all = port.waits == Waits::ForSame && port.aggregator == same;
            if has_all || port.aggregator.is_none_or(|number| !held.contains(number)) {
                port.waits = Waits::No;
                port.wait_while.start(now, choice::FOLLOW);
            }
        }
    }

    /// The aggregator of all ports that have a link and may have a partner, if they have the same.
    fn common_aggregator(&self) -> Option<Slot> {
        let is_up = |port: &Port| port.is_enabled() && port.receive != receive::State::Defaulted;
        let up = self.ports().filter(|(_, port)| is_up(port));
        let mut numbers = up.map(|(_, port)| port.aggregator);
        let first = numbers.next()?;
        if numbers.all(|number| number == first) { first } else { None }
    }

    /// The machines of a port.
    pub fn port(&self, slot: Slot) -> Option<&Port> {
        self.ports.get(usize::from(slot))?.as_ref()
    }

    fn port_mut(&mut self, slot: Slot) -> Option<&mut Port> {
        self.ports.get_mut(usize::from(slot))?.as_mut()
    }

    fn ports(&self) -> impl Iterator<Item = (Slot, &Port)> + Clone {
        Slot::all().zip(self.ports.iter()).filter_map(|(slot, port)| Some((slot, port.as_ref()?)))
    }

    fn ports_mut(&mut self) -> impl Iterator<Item = (Slot, &mut Port)> {
        let ports = Slot::all().zip(self.ports.iter_mut());
        ports.filter_map(|(slot, port)| Some((slot, port.as_mut()?)))
    }

    fn set(&self, has: impl Fn(&Port) -> bool) -> SlotSet {
        self.ports().filter(|(_, port)| has(port)).map(|(slot, _)| slot).collect()
    }
}
