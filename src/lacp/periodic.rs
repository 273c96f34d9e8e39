//! The periodic transmission machine (802.1AX-2008 5.4.13; in 802.1AX-2014, 6.4.13): LACPDUs that keep the
//! partner from timing out.

use super::Port;
use super::time::Time;
use crate::wire::lacpdu::StateBits;

/// The state of the machine. PERIODIC_TX is not one, because the machine leaves it at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// LACP does not use the link, or both sides are passive.
    #[default]
    NoPeriodic,
    /// The partner wants a LACPDU every second.
    FastPeriodic,
    /// The partner wants a LACPDU every 30 seconds.
    SlowPeriodic,
}

/// The inputs of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conditions {
    /// The link is up, and at least one side is active.
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
    /// The next state, and whether a LACPDU is due on the way (Figure 5-11); none if it stays.
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
