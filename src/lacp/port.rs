//! A port: the state of its machines, and their statistics.

use super::order::Order;
use super::selection::{Selected, System};
use super::time::{Time, Timer};
use super::{
    Link, Options, PRIORITY, churn, key, marker, mux, periodic, receive, report, transmit,
};
use crate::slots::Slot;
use crate::wire::MacAddr;
use crate::wire::lacpdu::{Info, Lacpdu, StateBits};
use crate::wire::slow::Malformed;

/// A port's statistics (802.1AX-2008 6.3.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "self-explanatory")]
pub struct Statistics {
    pub pdus_in: u32,
    pub pdus_out: u32,
    pub markers_in: u32,
    pub markers_out: u32,
    pub responses_in: u32,
    pub responses_out: u32,
    /// Markers that were not answered, because enough had been.
    pub markers_unanswered: u32,
    /// Our own LACPDUs that came back.
    pub looped: u32,
    /// Malformed frames, by reason.
    pub illegal: [u32; Malformed::ALL.len()],
    /// When the last LACPDU of a partner was received.
    pub heard: Option<Time>,
}

/// A link without its speed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    Down,
    Unfit,
    Up,
}

/// The machines of one port.
pub struct Port {
    pub(super) actor: Info,
    pub(super) partner: Info,
    /// The source address of its frames.
    pub(super) source: MacAddr,
    /// Its `if_index`, as many bits as fit into its key.
    pub(super) index: u16,
    pub(super) media: Media,
    /// The speed of its link, in bits per second. Kept while the link is down.
    pub(super) speed: u64,
    pub(super) receive: receive::State,
    pub(super) current_while: Timer,
    /// Whether the last LACPDU has set `current_while` to the short timeout.
    pub(super) is_short: bool,
    pub(super) periodic: periodic::State,
    pub(super) periodic_timer: Timer,
    pub(super) selected: Selected,
    pub(super) aggregator: Option<Slot>,
    /// Whether the last LACPDU was about this link, or about an individual one (recordPDU's condition).
    pub(super) partner_knows_us: bool,
    /// Whether it also had us in sync.
    pub(super) partner_has_our_sync: bool,
    /// Whether the partner's system chooses the aggregator, and does not follow.
    pub(super) is_led: bool,
    /// Whether the partner was in sync for long, but did not collect.
    pub(super) is_idle: bool,
    /// Whether the partner has other ports of its aggregator in service, and keeps this one as a standby.
    pub(super) is_spare: bool,
    /// Counts down with each LACPDU that is sent, from the last one that came back ([`receive::LOOPED`]).
    pub(super) looped: u8,
    pub(super) mux: mux::MuxState,
    /// Runs while the port waits for others and, when it is ready, for as long as its partner may wait for
    /// others.
    pub(super) wait_while: Timer,
    /// For which others it waits.
    pub(super) waits: mux::Waits,
    pub(super) ntt: bool,
    /// Whether the partner takes us for active: we or it have said so last.
    pub(super) is_taken_for_active: bool,
    /// Whether the next LACPDU asks the partner for one.
    pub(super) asks: bool,
    /// The partner that must still get a farewell, with its order.
    pub(super) farewell: Option<(Info, Order)>,
    pub(super) window: transmit::Window,
    pub(super) failures: transmit::Failures,
    pub(super) actor_churn: churn::Machine,
    pub(super) partner_churn: churn::Machine,
    pub(super) marker: marker::Generator,
    pub(super) answers: marker::Answers,
    pub(super) reporter: report::Reporter,
    pub(super) statistics: Statistics,
}

// All slots' ports are allocated at once, in malloc(9)'s 8,192 bytes. One more byte would take 16,384.
static_assertions::const_assert!(size_of::<Option<Port>>() <= 256);

impl Port {
    /// A port that joins, with its link down.
    pub(super) fn new(
        system: System,
        (index, number): (u32, u16),
        source: MacAddr,
        options: Options,
    ) -> Self {
        let mut state = StateBits::ACTIVITY;
        state.set(StateBits::TIMEOUT, options.fast_timeout);
        let actor = Info {
            system_priority: system.priority,
            system: system.address,
            key: key::individual(index),
            port_priority: PRIORITY,
            port: number,
            state,
        };
        let mut port = Port {
            actor,
            partner: Info::default(),
            source,
            index: index as u16,
            media: Media::Down,
            speed: 0,
            receive: receive::State::default(),
            current_while: Timer::default(),
            is_short: false,
            periodic: periodic::State::default(),
            periodic_timer: Timer::default(),
            selected: Selected::default(),
            aggregator: None,
            partner_knows_us: false,
            partner_has_our_sync: false,
            is_led: false,
            is_idle: false,
            is_spare: false,
            looped: 0,
            mux: mux::MuxState::default(),
            wait_while: Timer::default(),
            waits: mux::Waits::ForAny,
            ntt: false,
            is_taken_for_active: false,
            asks: false,
            farewell: None,
            window: transmit::Window::default(),
            failures: transmit::Failures::default(),
            actor_churn: churn::Machine::default(),
            partner_churn: churn::Machine::default(),
            marker: marker::Generator::NEW,
            answers: marker::Answers::default(),
            reporter: report::Reporter::default(),
            statistics: Statistics {
                pdus_in: 0,
                pdus_out: 0,
                markers_in: 0,
                markers_out: 0,
                responses_in: 0,
                responses_out: 0,
                markers_unanswered: 0,
                looped: 0,
                illegal: [0; Malformed::ALL.len()],
                heard: None,
            },
        };
        port.initialize(options.strict);
        port
    }

    /// Whether the link is up, and can be aggregated (port_enabled and LACP_Enabled).
    pub(super) fn is_enabled(&self) -> bool {
        self.media == Media::Up
    }

    /// The farewell to this partner: the port is neither in sync nor aggregatable any more.
    pub(super) fn last_words(&self, partner: Info) -> Lacpdu {
        let state = self.actor.state & (StateBits::ACTIVITY | StateBits::TIMEOUT);
        Lacpdu { actor: Info { state, ..self.actor }, partner }
    }

    /// The partner that gets a farewell when LACP no longer uses the link; none if it gets no LACPDUs at
    /// all.
    pub(super) fn hearer(&self) -> Option<Info> {
        self.speaks().then_some(self.partner)
    }

    /// Its link.
    pub(super) fn link(&self) -> Link {
        match self.media {
            Media::Down => Link::Down,
            Media::Unfit => Link::Unfit,
            Media::Up => Link::Up(self.speed),
        }
    }

    /// The actor: our side.
    pub fn actor(&self) -> &Info {
        &self.actor
    }

    /// The partner: the other side.
    pub fn partner(&self) -> &Info {
        &self.partner
    }

    /// The partner whose LACPDUs arrive; none if none do.
    pub fn heard(&self) -> Option<&Info> {
        (self.receive == receive::State::Current).then_some(&self.partner)
    }

    /// Milliseconds without a LACPDU after which its partner times out, or has timed out.
    pub fn timeout(&self) -> u32 {
        if self.is_short { receive::SHORT_TIMEOUT } else { receive::LONG_TIMEOUT }
    }

    /// Its statistics.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The state of its mux machine.
    pub fn mux(&self) -> mux::MuxState {
        self.mux
    }

    /// The state of its receive machine.
    pub fn receive(&self) -> receive::State {
        self.receive
    }

    /// The number of its aggregator, if it has one.
    pub fn aggregator(&self) -> Option<Slot> {
        self.aggregator
    }

    /// Whether its link is up, but cannot be aggregated.
    pub fn is_unfit(&self) -> bool {
        self.media == Media::Unfit
    }

    /// How often the actor, and the partner, did not get in sync in time.
    pub fn churns(&self) -> (u32, u32) {
        (self.actor_churn.count, self.partner_churn.count)
    }

    /// The next moment at which a machine has something to do.
    pub(super) fn deadline(&self, now: Time) -> Option<Time> {
        [
            self.current_while.deadline(),
            self.periodic_timer.deadline(),
            self.wait_while.deadline(),
            self.actor_churn.deadline(),
            self.partner_churn.deadline(),
            self.marker.deadline(),
            self.transmit_deadline(now),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
