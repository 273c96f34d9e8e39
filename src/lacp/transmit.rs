//! The transmit machine (802.1AX-2008 5.4.16; in 802.1AX-2014, 6.4.16).

use super::time::{Time, Timer};
use super::{Port, periodic};
use crate::wire::lacpdu::{Lacpdu, StateBits};

/// The limit of LACPDUs on a port within any [`periodic::FAST`] ms.
pub const LIMIT: usize = 3;

/// Milliseconds until a LACPDU that could not be sent is tried again: the first times, and from then on.
const PAUSES: [u32; 3] = [10, 100, 300];

/// Milliseconds within which a partner answers if it has to.
const ANSWER: u32 = 100;

/// The times of the last LACPDUs, the oldest first.
#[derive(Default)]
pub(super) struct Window([Option<Time>; LIMIT]);

impl Window {
    /// When the next one may be sent; none if now.
    fn opens(&self, now: Time) -> Option<Time> {
        let oldest = self.0.first().copied().flatten()?.after(periodic::FAST);
        (now < oldest).then_some(oldest)
    }

    /// When a change that needs two LACPDUs is not held up: both may be sent, and no answer to the last
    /// one, which may need a third, is expected. None if now.
    pub fn settles(&self, now: Time) -> Option<Time> {
        let [_, second, last] = self.0;
        let open = second.map(|at| at.after(periodic::FAST));
        let settled = open.max(last.map(|at| at.after(ANSWER)))?;
        (now < settled).then_some(settled)
    }

    fn sent(&mut self, now: Time) {
        self.0.rotate_left(1);
        if let Some(last) = self.0.last_mut() {
            *last = Some(now);
        }
    }

    /// The last one was not sent after all.
    fn forget(&mut self) {
        self.0.rotate_right(1);
        if let Some(first) = self.0.first_mut() {
            *first = None;
        }
    }
}

/// LACPDUs that could not be sent.
#[derive(Default)]
pub(super) struct Failures {
    /// How many in a row.
    count: u8,
    pause: Timer,
}

impl Port {
    /// Whether LACPDUs are sent on it at all: the link is up, and at least one side is active.
    pub(super) fn speaks(&self) -> bool {
        self.is_enabled() && (self.actor.state | self.partner.state).contains(StateBits::ACTIVITY)
    }

    /// The LACPDU that is due now, if there is one; it counts as sent. A side that has become passive says so
    /// before it is silent: otherwise a passive partner would wait for it until it times out (F-76).
    pub(super) fn poll_pdu(&mut self, now: Time) -> Option<Lacpdu> {
        if !(self.speaks() || self.is_enabled() && self.is_taken_for_active) {
            self.ntt = false;
        }
        if !self.ntt || self.opens(now).is_some() {
            return None;
        }
        // This is not a retry: the last one was sent.
        if !self.failures.pause.expires(now) {
            self.failures.count = 0;
        }
        self.ntt = false;
        self.is_taken_for_active = self.actor.state.contains(StateBits::ACTIVITY);
        self.window.sent(now);
        self.looped = self.looped.saturating_sub(1);
        let mut partner = self.partner;
        if core::mem::take(&mut self.asks) {
            partner.state.remove(StateBits::SYNC);
        }
        Some(Lacpdu { actor: self.actor, partner })
    }

    /// Makes the partner send a LACPDU: it does if we report it out of sync while it is in sync
    /// (update_NTT, 5.4.9). It also gets one of ours.
    pub(super) fn ask(&mut self) {
        (self.ntt, self.asks) = (true, true);
    }

    /// The last LACPDU was not sent after all. It does not count in the limit, which is about LACPDUs that
    /// were sent (F-59).
    pub(super) fn transmit_failed(&mut self, now: Time) {
        (self.ntt, self.is_taken_for_active) = (true, true);
        self.window.forget();
        let [.., longest] = PAUSES;
        let pause = PAUSES.get(usize::from(self.failures.count)).copied().unwrap_or(longest);
        self.failures.pause.start(now, pause);
        self.failures.count = self.failures.count.saturating_add(1);
    }

    /// When a LACPDU may be sent; none if now.
    fn opens(&self, now: Time) -> Option<Time> {
        let pause = self.failures.pause.deadline().filter(|&end| now < end);
        self.window.opens(now).max(pause)
    }

    /// When a LACPDU that is due may be sent.
    pub(super) fn transmit_deadline(&self, now: Time) -> Option<Time> {
        self.ntt.then(|| self.opens(now).unwrap_or(now))
    }
}
