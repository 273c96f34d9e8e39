//! What an administrator has to know of a link, for nothing else tells where to look (F-63).

use super::time::Time;
use super::{Port, receive};
use crate::wire::MacAddr;
use crate::wire::lacpdu::{Info, StateBits};

/// What is not right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Report {
    /// LACPDUs of our own come back.
    Looped,
    /// Two partners speak in turns.
    TwoPartners,
    /// None has been heard for as long as churn detection takes.
    NoPartner,
    /// The one that is heard has not been in sync for as long.
    NotInSync,
    /// It is to speak every second, says that it knows, and does not.
    Slow,
    /// It has others of the aggregation's links in service, and not this one.
    Standby,
}

impl Report {
    /// All of them, in the order of their numbers.
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

    /// What is said of the port, behind its name.
    pub fn text(self) -> &'static str {
        match self {
            Report::Looped => {
                "receives its own lagg's LACPDUs: is the link looped, or are two ports connected?"
            }
            Report::TwoPartners => {
                "hears two LACP partners in turns: does a switch pass LACPDUs on?"
            }
            Report::NoPartner => "has heard no LACP partner for a minute: is LACP active there?",
            Report::NotInSync => {
                "has a partner out of sync for a minute: are its ports in one aggregation, and one speed?"
            }
            Report::Standby => {
                "is kept as a standby by its partner, which uses other links of the aggregation"
            }
            Report::Slow => {
                "has a partner that does not keep the short timeout it was asked for, or loses LACPDUs"
            }
        }
    }
}

/// Milliseconds after the last that was said of a port until what has been said is said again.
pub const PAUSE: u32 = 60_000;

/// Milliseconds within which a partner that has come back is one of two, and one that is missed again is
/// slow: two LACPDUs of the slowest have room in it.
const MEMORY: u32 = 70_000;

/// What is to be said of a port, and what it follows from.
#[derive(Default)]
pub(super) struct Reporter {
    /// Sets of bits, by the reports' numbers: what is to be said, and what was, the last of it then.
    due: u8,
    said: u8,
    last: Option<Time>,
    /// The partner before this one: its system, its port, and until when it was there.
    before: Option<((MacAddr, u16), Time)>,
    /// When the partner was last missed that is to speak every second.
    missed: Option<Time>,
    /// It says that it is to.
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

    pub fn poll(&mut self) -> Option<Report> {
        let report = Report::ALL.into_iter().find(|report| self.due & report.bit() != 0)?;
        self.due &= !report.bit();
        Some(report)
    }

    /// The link is another one now.
    pub fn forget(&mut self) {
        (self.before, self.missed, self.knows) = (None, None, false);
    }
}

impl Port {
    /// A LACPDU has come, whose two sides these are, and is not recorded yet.
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

    /// Its partner is missed.
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

    /// One side has not got in sync in time.
    pub(super) fn notice_churn(&mut self, now: Time) {
        if self.actor.state.contains(StateBits::DEFAULTED) {
            self.reporter.add(Report::NoPartner, now);
        } else if !self.partner.state.contains(StateBits::SYNC) {
            self.reporter.add(Report::NotInSync, now);
        }
        // Else it is ours: the port stands by, or waits.
    }
}
