//! What an administrator must know about a link, because nothing else shows where to look (F-63).

use super::time::Time;
use super::{Port, receive};
use crate::wire::MacAddr;
use crate::wire::lacpdu::{Info, StateBits};

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Report {
    /// LACPDUs of our own come back.
    Looped,
    /// LACPDUs arrive from two partners in turn.
    TwoPartners,
    /// No partner was found within the time of churn detection.
    NoPartner,
    /// The partner did not get in sync within that time.
    NotInSync,
    /// The partner acknowledges the short timeout, but does not keep it.
    Slow,
    /// The partner uses other links of the aggregation, not this one.
    Standby,
}

impl Report {
    /// All reports, in the order of their numbers.
    pub const ALL: [Report; 6] = [
        Report::Looped,
        Report::TwoPartners,
        Report::NoPartner,
        Report::NotInSync,
        Report::Slow,
        Report::Standby,
    ];

    fn bit(self) -> u8 {
        1 << self as u8
    }

    /// The text of the message, which follows the name of the port.
    pub fn text(self) -> &'static str {
        match self {
            Report::Looped => {
                "receives its own lagg's LACPDUs: is the link looped, or are two ports connected?"
            }
            Report::TwoPartners => {
                "receives LACPDUs from two partners in turn: does a switch forward LACPDUs?"
            }
            Report::NoPartner => {
                "has found no LACP partner for a minute: is LACP enabled at the other end?"
            }
            Report::NotInSync => {
                "has a partner that has been out of sync for a minute: are its ports in one aggregation, and of one speed?"
            }
            Report::Standby => {
                "is kept as a standby by its partner, which uses other links of the aggregation"
            }
            Report::Slow => "has a partner that ignores the short timeout, or loses LACPDUs",
        }
    }
}

/// Milliseconds after a port's last report until its reports may be repeated.
pub const PAUSE: u32 = 60_000;

/// Milliseconds within which a partner that returns after another is one of two, and one that times out
/// again is slow. Two LACPDUs of a slow partner fit in.
const MEMORY: u32 = 70_000;

/// A port's reports, and what they are derived from.
#[derive(Default)]
pub(super) struct Reporter {
    /// The reports that are due, and those that were made, as bits; and when the last one was made.
    due: u8,
    said: u8,
    last: Option<Time>,
    /// The partner before this one: its system and port, and when it was replaced.
    before: Option<((MacAddr, u16), Time)>,
    /// When a partner with the short timeout last timed out.
    missed: Option<Time>,
    /// The partner acknowledges the short timeout.
    knows: bool,
}

impl Reporter {
    pub fn add(&mut self, report: Report, now: Time) {
        if self.last.is_some_and(|last| now >= last.after(PAUSE)) {
            self.said = 0;
        }
        if self.said & report.bit() == 0 {
            self.due |= report.bit();
            self.said |= report.bit();
            self.last = Some(now);
        }
    }

    pub fn is_due(&self) -> bool {
        self.due != 0
    }

    pub fn poll(&mut self) -> Option<Report> {
        let report = Report::ALL.into_iter().find(|report| self.due & report.bit() != 0)?;
        self.due &= !report.bit();
        Some(report)
    }

    /// The link has changed.
    pub fn forget(&mut self) {
        (self.before, self.missed, self.knows) = (None, None, false);
    }
}

impl Port {
    /// A LACPDU with this actor and partner was received, and is not recorded yet.
    pub(super) fn notice_pdu(&mut self, actor: &Info, partner: &Info, now: Time) {
        self.reporter.knows = partner.state.contains(StateBits::TIMEOUT);
        let (was, is) = ((self.partner.system, self.partner.port), (actor.system, actor.port));
        if self.actor.state.contains(StateBits::DEFAULTED) || was == is {
            return;
        }
        let before = self.reporter.before.replace((was, now));
        if before.is_some_and(|(before, until)| before == is && now < until.after(MEMORY)) {
            self.reporter.add(Report::TwoPartners, now);
        }
    }

    /// Its partner has timed out.
    pub(super) fn notice_missed(&mut self, now: Time) {
        let asked = self.actor.state.contains(StateBits::TIMEOUT) && self.reporter.knows;
        if self.receive != receive::State::Current || !asked {
            return;
        }
        let before = self.reporter.missed.replace(now);
        if before.is_some_and(|before| now < before.after(MEMORY)) {
            self.reporter.add(Report::Slow, now);
        }
    }

    /// One side did not get in sync in time.
    pub(super) fn notice_churn(&mut self, now: Time) {
        if self.actor.state.contains(StateBits::DEFAULTED) {
            self.reporter.add(Report::NoPartner, now);
        } else if !self.partner.state.contains(StateBits::SYNC) {
            self.reporter.add(Report::NotInSync, now);
        }
        // Otherwise this system is the cause: the port stands by or waits.
    }
}
