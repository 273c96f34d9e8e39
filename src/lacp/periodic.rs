//! The periodic transmission machine (802.1AX-2008 5.4.13; in 802.1AX-2014, 6.4.13): LACPDUs that
//! keep the partner from missing us.

use super::Port;
use super::time::Time;
use crate::wire::lacpdu::StateBits;

/// Where the machine is. PERIODIC_TX is passed through, not stayed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// The link is not in use, or both sides are passive.
    #[default]
    NoPeriodic,
    /// The partner wants to hear us every second.
    FastPeriodic,
    /// It is content with every 30 seconds.
    SlowPeriodic,
}

/// What the machine looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conditions {
    /// The link is up, and one side at least is active.
    pub enabled: bool,
    /// The partner has the short timeout.
    pub short: bool,
    /// `periodic_timer` has expired.
    pub expired: bool,
}

/// Milliseconds (Fast_Periodic_Time).
pub const FAST: u32 = 1_000;
/// Milliseconds (Slow_Periodic_Time).
pub const SLOW: u32 = 30_000;

impl State {
    /// Where it goes, and whether a LACPDU is due on the way (Figure 5-11); none: it stays.
    pub fn next(self, conditions: Conditions) -> Option<(State, bool)> {
        let Conditions { enabled, short, expired } = conditions;
        let period = if short { State::FastPeriodic } else { State::SlowPeriodic };
        match self {
            State::NoPeriodic => enabled.then_some((State::FastPeriodic, false)),
            _ if !enabled => Some((State::NoPeriodic, false)),
            State::FastPeriodic if expired => Some((period, true)),
            State::FastPeriodic => (!short).then_some((State::SlowPeriodic, false)),
            State::SlowPeriodic => (short || expired).then_some((period, true)),
        }
    }
}

impl Port {
    /// Runs the machine for one step.
    pub(super) fn run_periodic(&mut self, now: Time) {
        let conditions = Conditions {
            enabled: self.speaks(),
            short: self.partner.state.contains(StateBits::TIMEOUT),
            expired: self.periodic_timer.expires(now),
        };
        let Some((next, due)) = self.periodic.next(conditions) else { return };
        self.periodic = next;
        self.ntt |= due;
        match next {
            State::NoPeriodic => self.periodic_timer.stop(),
            State::FastPeriodic => self.periodic_timer.start(now, FAST),
            State::SlowPeriodic => self.periodic_timer.start(now, SLOW),
        }
    }
}
