//! How much is told of changes ([`super::changes`]): the same once a second, and so many lines.

use super::events::Kind;
use crate::lacp::Time;

/// Milliseconds before the same is told again of a port or a lagg.
const PAUSE: u32 = 1_000;

/// The kinds of events that were told lately.
#[derive(Clone, Copy, Default)]
pub(super) struct Quiet {
    /// When the last of them was told, in ticks. They come around after 17 minutes, and something may be told
    /// a second late then.
    since: [u8; 2],
    /// As bits.
    kinds: u8,
}

/// Milliseconds of a tick.
const TICK: u32 = 16;

impl Quiet {
    /// Whether an event of this kind may be told now; if so it counts as told. Otherwise it is `due` later.
    pub fn allows(&mut self, kind: Kind, now: Time, due: &mut Option<Time>) -> bool {
        let bit = 1 << kind as u8;
        let ticks = (now.since(Time::new(0)) / u64::from(TICK)) as u16;
        let passed =
            u32::from(ticks.wrapping_sub(u16::from_ne_bytes(self.since))).saturating_mul(TICK);
        if passed >= PAUSE {
            self.kinds = 0;
        } else if self.kinds & bit != 0 {
            let until = now.after(PAUSE.saturating_sub(passed));
            *due = Some(due.map_or(until, |due| due.min(until)));
            return false;
        }
        self.kinds |= bit;
        self.since = ticks.to_ne_bytes();
        true
    }
}

/// How many lines a lagg logs in a second.
const LINES: u8 = 10;

/// The lines of the present second.
#[derive(Default)]
pub(super) struct Lines {
    until: Option<Time>,
    logged: u8,
    left_out: u32,
}

impl Lines {
    /// Whether one more line may be logged; if so it counts.
    pub fn allow(&mut self, now: Time) -> bool {
        if self.until.is_none_or(|until| now >= until) {
            self.until = Some(now.after(PAUSE));
            self.logged = 0;
        }
        let allowed = self.logged < LINES;
        if allowed {
            self.logged = self.logged.saturating_add(1);
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
        allowed
    }

    /// When it is said how many lines were left out.
    pub fn due(&self) -> Option<Time> {
        self.until.filter(|_| self.left_out != 0)
    }

    /// How many were left out, once their second is over.
    pub fn take_left_out(&mut self, now: Time) -> Option<u32> {
        self.due().filter(|due| now >= *due).map(|_| core::mem::take(&mut self.left_out))
    }
}
