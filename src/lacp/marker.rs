//! The marker generator (802.1AX-2008 5.2.3.2, 5.5; in 802.1AX-2014, 6.5): before a flow moves to
//! another port, the old one's partner says when it has all of it. And the responder, which says so
//! to others.

use super::order::Order;
use super::port::Media;
use super::time::{Time, Timer};
use super::{Port, Statistics};
use crate::wire::lacpdu::StateBits;
use crate::wire::marker::Marker;

/// Milliseconds that a response is waited for. Nothing is under way for longer where a lagg is used; what a
/// lost response costs is this, for all flows that have left the port (F-63).
pub const TIMEOUT: u32 = 500;

/// Markers that are answered on a port within a second (802.3 Annex 57A: slow protocols send no more).
pub const ANSWERS: u32 = 10;

/// What is known of a partner's responder.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Responder {
    /// It was not asked yet.
    #[default]
    Unknown,
    /// It has answered.
    Answers,
    /// It has not: no flow waits for it again until it does.
    Silent,
}

/// One port's generator.
pub(super) struct Generator {
    /// The last: what it is known by on the link, too.
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

    /// Asks a partner whose other ports, if it has some here, are `silent` or not. True: the answer is to
    /// be waited for.
    fn ask(&mut self, silent: bool, order: Order, now: Time) -> bool {
        (self.order, self.due) = (order, true);
        let waits = match self.responder {
            Responder::Unknown => !silent,
            Responder::Answers => true,
            Responder::Silent => false,
        };
        if waits {
            self.waiting.start(now, TIMEOUT);
        }
        waits
    }

    /// Nothing is under way any more.
    pub fn stop(&mut self) {
        self.waiting.stop();
        self.due = false;
    }

    /// The one that was just due could not be sent. There may be another already.
    pub fn failed(&mut self) {
        if !self.due {
            self.waiting.stop();
        }
    }

    /// The partner is another one, which was not asked yet.
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
    /// Whether one more marker is answered; it is then.
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
    /// Whether a marker that came in is answered. Whether LACP is used on the link does not matter
    /// (5.5.1); how many came within a second does (F-55).
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

    /// Requests a marker. True: frames that would overtake those before it have to wait for its response;
    /// false if the partner is known not to answer, here or, if it is `silent`, on its other ports. Neither
    /// if the link is down or the partner is missed or does not collect: what is under way overtakes
    /// nothing there.
    pub(super) fn ask_marker(&mut self, silent: bool, order: Order, now: Time) -> bool {
        let collects = self.partner.state.contains(StateBits::SYNC | StateBits::COLLECTING);
        self.is_enabled() && collects && self.marker.ask(silent, order, now)
    }

    /// The marker that is due, if there is one that was ordered by then; it counts as sent.
    pub(super) fn poll_marker(&mut self, last: Order) -> Option<Marker> {
        let is_due = self.marker.is_due(last);
        self.marker.due &= !is_due;
        is_due.then(|| self.asked())
    }

    /// A response came. If it is the one to what was asked, nothing waits any more.
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
