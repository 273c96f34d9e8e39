//! The marker generator (802.1AX-2008 5.2.3.2, 5.5; in 802.1AX-2014, 6.5): before a flow moves to another
//! port, the partner of the old port confirms that it has received all of the flow's frames. And the
//! responder, which confirms that to partners.

use super::order::Order;
use super::port::Media;
use super::time::{Time, Timer};
use super::{Port, Statistics};
use crate::wire::lacpdu::StateBits;
use crate::wire::marker::Marker;

/// Milliseconds to wait for a response, if nothing else is set. No frame is in flight for longer on the
/// links of a lagg. A lost response costs all flows that have left the port this much (F-63).
pub const TIMEOUT: u32 = 500;

/// The markers that a port answers within a second (802.3 Annex 57A: slow protocols send no more).
pub const ANSWERS: u32 = 10;

/// What is known of the partner's responder.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Responder {
    /// It has not been asked yet.
    #[default]
    Unknown,
    /// It has answered.
    Answers,
    /// It has not answered in time. No flow waits for it until it does.
    Silent,
}

/// One port's generator.
pub(super) struct Generator {
    /// The last marker's order, which is also its transaction on the link.
    order: Order,
    waiting: Timer,
    due: bool,
    pub responder: Responder,
}

impl Generator {
    pub const NEW: Self = Generator {
        order: Order::FIRST,
        waiting: Timer::STOPPED,
        due: false,
        responder: Responder::Unknown,
    };

    /// Asks the partner, which is `silent` or not on its other ports here. Returns whether to wait for the
    /// answer, for `timeout` milliseconds.
    fn ask(&mut self, (silent, timeout): (bool, u16), order: Order, now: Time) -> bool {
        (self.order, self.due) = (order, true);
        let answers = match self.responder {
            Responder::Unknown => !silent,
            Responder::Answers => true,
            Responder::Silent => false,
        };
        let waits = answers && timeout > 0;
        if waits {
            self.waiting.start(now, timeout.into());
        }
        waits
    }

    /// Nothing is in flight any more.
    pub fn stop(&mut self) {
        self.waiting.stop();
        self.due = false;
    }

    /// The marker that was due could not be sent. Another one may be due already.
    pub fn failed(&mut self) {
        if !self.due {
            self.waiting.stop();
        }
    }

    /// The partner is a new one, which has not been asked yet.
    pub fn forget(&mut self) {
        self.stop();
        self.responder = Responder::Unknown;
    }

    /// Gives up a partner that has not answered in time.
    pub fn run(&mut self, now: Time) {
        if self.waiting.expires(now) {
            self.responder = Responder::Silent;
        }
    }

    pub fn deadline(&self) -> Option<Time> {
        self.waiting.deadline()
    }

    pub fn is_due(&self, last: Order) -> bool {
        self.due && self.order.is_by(last)
    }

    pub fn is_waiting(&self) -> bool {
        self.waiting.deadline().is_some()
    }
}

/// One port's responder.
#[derive(Default)]
pub(super) struct Answers {
    second: Timer,
    given: u8,
}

impl Answers {
    /// Whether one more marker may be answered. If so, it counts as answered.
    fn give(&mut self, now: Time) -> bool {
        if self.second.deadline().is_none_or(|end| now >= end) {
            self.second.start(now, 1_000);
            self.given = 0;
        }
        let gives = u32::from(self.given) < ANSWERS;
        self.given = self.given.saturating_add(u8::from(gives));
        gives
    }
}

impl Port {
    /// Whether to answer a received marker. That depends on how many came within a second (F-55), not on
    /// whether LACP is used on the link (5.5.1).
    pub(super) fn answers_marker(&mut self, now: Time) -> bool {
        if self.media == Media::Down {
            return false;
        }
        let answers = self.answers.give(now);
        let Statistics { responses_out, markers_unanswered, .. } = &mut self.statistics;
        let counted = if answers { responses_out } else { markers_unanswered };
        *counted = counted.saturating_add(1);
        answers
    }

    /// Requests a marker. Returns whether flows must wait for its response, for `timeout` milliseconds: not
    /// if the partner is known not to answer, here or, if it is `silent`, on its other ports.
    pub(super) fn ask_marker(&mut self, known: (bool, u16), order: Order, now: Time) -> bool {
        self.takes_in() && self.marker.ask(known, order, now)
    }

    /// Whether its partner takes frames in. If there is none, or it has timed out or does not collect,
    /// frames in flight do not arrive, or nobody would answer.
    fn takes_in(&self) -> bool {
        self.is_enabled()
            && self.partner.state.contains(StateBits::SYNC | StateBits::COLLECTING)
            && !self.actor.state.contains(StateBits::DEFAULTED)
    }

    /// The marker that is due, if it was ordered by `last`; it counts as sent.
    pub(super) fn poll_marker(&mut self, last: Order) -> Option<Marker> {
        let is_due = self.marker.is_due(last);
        self.marker.due &= !is_due;
        is_due.then(|| self.asked())
    }

    /// A response came. If it is to the last marker, no flow waits any more.
    pub(super) fn marker_response(&mut self, response: &Marker) {
        if *response == self.asked() {
            self.marker.responder = Responder::Answers;
            self.marker.waiting.stop();
        }
    }

    fn asked(&self) -> Marker {
        Marker {
            port: self.actor.port,
            system: self.actor.system,
            transaction: self.marker.order.number(),
        }
    }
}
