//! Churn detection (802.1AX-2008 5.4.17; in 802.1AX-2014, 6.4.17): a side that does not get in sync within
//! a minute is reported to the administrator. There is a machine for the actor and one for the partner.

use super::time::{Time, Timer};
use super::{Port, Selected};
use crate::wire::lacpdu::StateBits;

/// The state of a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// In sync, or the link is down.
    #[default]
    NoChurn,
    /// Not in sync yet.
    ChurnMonitor,
    /// Not in sync for too long.
    Churn,
}

/// The inputs of a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conditions {
    /// The link is up.
    pub enabled: bool,
    /// The side is in sync, or should not be.
    pub sync: bool,
    /// The machine's timer has expired.
    pub expired: bool,
}

/// Milliseconds (Actor_Churn_Detection_Time, Partner_Churn_Detection_Time).
pub const DETECTION_TIME: u32 = 60_000;

impl State {
    /// The next state; none if it stays.
    pub fn next(self, conditions: Conditions) -> Option<State> {
        let Conditions { enabled, sync, expired } = conditions;
        match self {
            State::NoChurn => (enabled && !sync).then_some(State::ChurnMonitor),
            _ if !enabled || sync => Some(State::NoChurn),
            State::ChurnMonitor => expired.then_some(State::Churn),
            State::Churn => None,
        }
    }
}

/// One side's machine.
#[derive(Default)]
pub(super) struct Machine {
    pub state: State,
    timer: Timer,
    /// How often it was in CHURN.
    pub count: u32,
}

impl Machine {
    /// Returns whether it has entered CHURN.
    fn run(&mut self, enabled: bool, sync: bool, now: Time) -> bool {
        let expired = self.timer.expires(now);
        let Some(next) = self.state.next(Conditions { enabled, sync, expired }) else {
            return false;
        };
        self.state = next;
        self.timer.stop();
        match next {
            State::NoChurn => {}
            State::ChurnMonitor => self.timer.start(now, DETECTION_TIME),
            State::Churn => self.count = self.count.saturating_add(1),
        }
        next == State::Churn
    }

    pub fn deadline(&self) -> Option<Time> {
        self.timer.deadline()
    }
}

impl Port {
    /// Runs both machines for one step. A port that stands by, and could be in service, is out of sync on
    /// purpose, and its partner because it follows. Neither is churn. Returns whether the partner's has
    /// entered CHURN.
    pub(super) fn run_churn(&mut self, now: Time) -> bool {
        let enabled = self.is_enabled();
        let stands_by = self.selected == Selected::Standby && self.is_eligible();
        let [ours, theirs] = [self.actor, self.partner]
            .map(|side| stands_by || side.state.contains(StateBits::SYNC));
        let ours = self.actor_churn.run(enabled, ours, now);
        let theirs = self.partner_churn.run(enabled, theirs, now);
        if ours || theirs {
            self.notice_churn(now);
        }
        theirs
    }
}
