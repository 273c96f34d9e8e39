//! The marker generator (802.1AX-2008 5.2.3.2, 5.5; in 802.1AX-2014, 6.5): before a flow moves to
//! another port, the old one's partner says when it has all of it. And the responder, which says so
//! to others.

use super::Port;
use super::time::{Time, Timer};
use crate::wire::lacpdu::State as Bits;
use crate::wire::marker::Marker;

/// Milliseconds that a response is waited for.
pub const TIMEOUT: u32 = 3_000;

/// What is known of a partner's responder.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Responder {
    /// It was not asked yet.
    #[default]
    Unknown,
    /// It has answered.
    Answers,
    /// It has not: nobody waits for it again until it does.
    Silent,
}

/// One port's generator.
#[derive(Default)]
pub(super) struct Generator {
    transaction: u32,
    waiting: Timer,
    due: bool,
    pub responder: Responder,
}

impl Generator {
    /// Asks a partner whose other ports, if it has some here, are `silent` or not. True: the answer is to
    /// be waited for.
    fn ask(&mut self, silent: bool, now: Time) -> bool {
        self.due = true;
        self.transaction = self.transaction.wrapping_add(1);
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

    pub fn is_due(&self) -> bool {
        self.due
    }

    pub fn is_waiting(&self) -> bool {
        self.waiting.deadline().is_some()
    }
}

impl Port {
    /// Has a marker sent. True: frames that would overtake those before it have to wait for
    /// its response; false if the partner is known not to answer, here or, if it is `silent`, on its
    /// other ports. Neither if the link is down or the
    /// partner is missed or does not collect: what is under way overtakes nothing there.
    pub(super) fn ask_marker(&mut self, silent: bool, now: Time) -> bool {
        let collects = self.partner.state.contains(Bits::SYNC | Bits::COLLECTING);
        self.is_enabled() && collects && self.marker.ask(silent, now)
    }

    /// The marker that is due, if there is one; it counts as sent.
    pub(super) fn poll_marker(&mut self) -> Option<Marker> {
        core::mem::take(&mut self.marker.due).then(|| self.asked())
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
            transaction: self.marker.transaction,
        }
    }
}
