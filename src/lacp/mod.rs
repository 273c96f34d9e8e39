//! LACP: IEEE 802.1AX's machines, and nothing else.
//!
//! No clock, I/O, lock or allocation is in here, and nothing of the kernel. What happens goes in (`receive`, `set_link`, …) with
//! the time at which it does, [`Lacp::run`] brings all machines to where they have nothing more to
//! do, and what follows from it comes out: LACPDUs and markers to send (`poll_*`), the ports that
//! collect and distribute, and when to run again ([`Lacp::deadline`]).
//!
//! Clauses are those of 802.1AX-2008; the same is in 6.4 of 802.1AX-2014 and in 43.4 of 802.3ad. It
//! is version 1: one key a port, no conversations.

use core::ops::DerefMut;

pub mod choice;
pub mod churn;
pub mod key;
pub mod marker;
pub mod mux;
pub mod order;
pub mod periodic;
pub mod port;
pub mod receive;
pub mod report;
mod results;
pub mod selection;
pub mod time;
pub mod transmit;

use order::Order;
use port::Media;
pub use port::{Port, Statistics};
pub use report::Report;
pub use selection::{LagId, Selected, System};
pub use time::{Time, Timer};

use crate::slots::{Slot, SlotSet};
use crate::wire::MacAddr;
use crate::wire::lacpdu::{Info, Lacpdu, StateBits};
use crate::wire::marker::{Frame, Kind};
use crate::wire::slow::{FRAME, Malformed};

/// The priority of our system and of our ports: the standard's own.
const PRIORITY: u16 = 0x8000;

/// Rounds after which the machines are left where they are. They have never needed ten.
const ROUNDS: u32 = 64;

/// What an administrator can set (`lacp_*` of ifconfig(8)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// A missing partner is taken for one that agrees to nothing.
    pub strict: bool,
    /// The partner is asked to speak every second, not every 30.
    pub fast_timeout: bool,
    /// LACPDUs that would be sent are not, for tests.
    pub txtest: bool,
    /// LACPDUs that come are dropped, for tests.
    pub rxtest: bool,
}

/// A port's link, as LACP sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    /// Down, or not known yet.
    Down,
    /// Up, and not one to be aggregated: half duplex, or no Ethernet.
    Unfit,
    /// Up; bits a second, 0 if unknown.
    Up(u64),
}

/// Memory for a value of each slot, which the machines are given: an array of [`Slot::COUNT`].
pub trait Memory<T>: DerefMut<Target = [Option<T>]> {}

impl<T, M: DerefMut<Target = [Option<T>]>> Memory<T> for M {}

/// LACP of one lagg. Ports are known by their slots, and aggregators are numbered in the same way.
pub struct Lacp<P, A> {
    system: System,
    /// The lagg's number among the interfaces.
    index: u32,
    options: Options,
    ports: P,
    aggregators: A,
    /// The aggregator that is chosen.
    active: Option<Slot>,
    doubts: choice::Doubts,
    /// Until when its ports wait to distribute together.
    gathering: Timer,
    flapping: u32,
    last_order: Order,
}

impl<P: Memory<Port>, A: Memory<LagId>> Lacp<P, A> {
    /// Without ports, in memory with nothing in it; of the lagg whose system identifier and `if_index` these
    /// are.
    pub fn new(system: System, index: u32, options: Options, ports: P, aggregators: A) -> Self {
        Lacp {
            system,
            index,
            options,
            ports,
            aggregators,
            active: None,
            doubts: choice::Doubts::default(),
            gathering: Timer::default(),
            flapping: 0,
            last_order: Order::FIRST,
        }
    }

    /// A port joins, its link down so far: its slot, its `if_index`, and the address that its frames
    /// come from.
    pub fn add(&mut self, slot: Slot, index: u32, source: MacAddr, now: Time) {
        let port = Port::new(self.system, (index, self.number(index)), source, self.options, now);
        if let Some(place) = self.ports.get_mut(usize::from(slot)) {
            *place = Some(port);
        }
    }

    /// The number of a new port: what its frames' hearers know it by. Its `if_index`, unless that is 0 in
    /// 16 bits, or another's (F-62).
    fn number(&self, index: u32) -> u16 {
        let is_free =
            |number: &u16| *number != 0 && self.ports().all(|(_, it)| it.actor.port != *number);
        let numbers = core::iter::once(index as u16).chain((1..=u16::MAX).rev());
        numbers.into_iter().find(is_free).unwrap_or(u16::MAX)
    }

    /// A port leaves. Returned: the LACPDU that tells its partner, if its link is up; it is not in
    /// sync, and not to be aggregated any more.
    pub fn remove(&mut self, slot: Slot) -> Option<[u8; FRAME]> {
        let port = self.ports.get_mut(usize::from(slot))?.take()?;
        let partner = port.hearer().filter(|_| !self.options.txtest)?;
        Some(port.last_words(partner).emit(port.source))
    }

    /// The system has another identifier: partners are told (F-26).
    pub fn set_system(&mut self, system: System) {
        self.system = system;
        let others = |port: &&mut Port| System::of(&port.actor) != system;
        for port in self.ports.iter_mut().flatten().filter(others) {
            port.actor.system_priority = system.priority;
            port.actor.system = system.address;
            port.ntt = true;
            // Answers to the old one would not be known.
            port.marker.stop();
        }
    }

    /// The options.
    pub fn options(&self) -> Options {
        self.options
    }

    /// Other options. The short timeout holds for all ports, those to come included (F-18).
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

    /// A port's link has changed. While it is down its key and what is known of its partner stay as
    /// they are (5.4.12, PORT_DISABLED). The partner on a link that is unfit now is told.
    pub fn set_link(&mut self, slot: Slot, link: Link, now: Time) {
        let (lagg, strict) = (self.index, self.options.strict);
        if link == Link::Unfit {
            self.order_farewell(slot);
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
        let (key, aggregatable) = match link {
            Link::Up(speed) => (key::aggregatable(lagg, speed), true),
            Link::Unfit => (key::individual(port.index.into()), false),
            Link::Down => (port.actor.key, port.actor.state.contains(StateBits::AGGREGATION)),
        };
        if (port.actor.key, port.actor.state.contains(StateBits::AGGREGATION))
            != (key, aggregatable)
        {
            port.actor.key = key;
            port.actor.state.set(StateBits::AGGREGATION, aggregatable);
            port.selected = Selected::Unselected;
            port.ntt = true;
        }
        if link != was {
            // What was on its way is gone, or has arrived.
            port.marker.stop();
            port.reporter.forget();
            port.is_idle = false;
            port.receive_event(event, strict, now);
        }
    }

    /// A LACPDU came in on a port. Ignored while the link is down, and if it is our own.
    pub fn receive(&mut self, slot: Slot, pdu: &Lacpdu, now: Time) {
        let (options, own) = (self.options, self.system);
        let Some(port) = self.port_mut(slot) else { return };
        port.statistics.pdus_in = port.statistics.pdus_in.saturating_add(1);
        let is_own = System::of(&pdu.actor) == own;
        // An echo: the link is looped.
        if is_own && !self.gives_way(&pdu.actor) {
            let Some(port) = self.port_mut(slot) else { return };
            port.statistics.looped = port.statistics.looped.saturating_add(1);
            port.reporter.add(Report::Looped, now);
            return;
        }
        let Some(port) = self.port_mut(slot) else { return };
        if options.rxtest || !port.is_enabled() {
            return;
        }
        let is_new = !port.partner.is_same_port(&pdu.actor);
        if is_new {
            port.marker.forget();
        }
        port.notice_pdu(&pdu.actor, &pdu.partner, now);
        port.receive_pdu(pdu, now);
        if is_new {
            self.doubts.tries = 0;
        }
        self.forget_moved(slot, &pdu.actor, now);
    }

    /// Another system may have our identifier: the address of a port that has lent it to us, has left, and is
    /// theirs now. Then ours is the address of a port that is here. False: it is such an address already, so
    /// the other gives way; or the LACPDU is our own.
    fn gives_way(&mut self, actor: &Info) -> bool {
        let System { priority, address } = self.system;
        let stays = |port: &Port| port.actor.port == actor.port || port.source == address;
        if self.ports().any(|(_, port)| stays(port)) {
            return false;
        }
        let Some(address) = self.ports().next().map(|(_, port)| port.source) else { return false };
        // F-66: two laggs that are one system would never agree
        self.set_system(System { priority, address });
        true
    }

    /// A partner that speaks on one port has left the one that is down, where it was last heard
    /// (port_moved, 5.4.8).
    fn forget_moved(&mut self, slot: Slot, partner: &Info, now: Time) {
        let strict = self.options.strict;
        for (_, port) in self.ports_mut().filter(|(other, _)| *other != slot) {
            let defaulted = port.actor.state.contains(StateBits::DEFAULTED);
            let same = (port.partner.system, port.partner.port) == (partner.system, partner.port);
            if same && !defaulted {
                port.receive_event(receive::Event::Moved, strict, now);
            }
        }
    }

    /// A Marker PDU came in on a port. Returned: the response to be sent, if it asks. No more than
    /// [`marker::ANSWERS`] a second are given on a port.
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

    /// A frame of a slow protocol came in on a port that is malformed.
    pub fn receive_malformed(&mut self, slot: Slot, why: Malformed) {
        let Some(port) = self.port_mut(slot) else { return };
        if let Some(count) = port.statistics.illegal.get_mut(why as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// Runs all machines until none moves: nothing that has just become possible waits for a timer.
    /// To be called after whatever has happened, and when [`Lacp::deadline`] has come.
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
            self.run_churn(now);
            self.run_selection();
            self.run_ready(now);
            self.run_choice(now);
            let gathered = self.has_gathered(now);
            // Whatever the others have changed for it, this one follows at once.
            !self.run_mux(gathered, now)
        });
        debug_assert!(rests, "the machines do not come to rest");
    }

    fn run_churn(&mut self, now: Time) {
        let active = self.in_service();
        for (_, port) in self.ports_mut() {
            let churns = port.run_churn(now);
            // F-70: a partner may have a limit of links, which says how fast an aggregator is
            port.is_spare |= churns && active.is_some() && port.aggregator == active;
        }
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

    /// Ready (5.4.8): counted again each time, so that a port that leaves while it waits keeps no other
    /// waiting (F-15). A port that has waited once does not wait for later ones.
    fn run_ready(&mut self, now: Time) {
        for slot in Slot::all() {
            let number = self.port(slot).filter(|port| port.is_waiting()).map(|it| it.aggregator);
            let Some(number) = number else { continue };
            let ready =
                self.ports().all(|(_, port)| port.aggregator != number || port.has_waited());
            if ready && let Some(port) = self.port_mut(slot) {
                port.ready = true;
                port.wait_while.start(now, choice::FOLLOW);
            }
        }
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
