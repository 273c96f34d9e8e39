//! Time, and timers.

use core::num::NonZeroU64;

/// A moment: milliseconds on a clock that never goes back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Time(NonZeroU64);

impl Time {
    /// `ms` milliseconds after the clock began; the first one where that is 0.
    pub const fn new(ms: u64) -> Self {
        match NonZeroU64::new(ms) {
            Some(ms) => Time(ms),
            None => Time(NonZeroU64::MIN),
        }
    }

    /// So many milliseconds later.
    #[must_use]
    pub fn after(self, ms: u32) -> Time {
        Time(self.0.saturating_add(ms.into()))
    }

    /// Milliseconds since `earlier`; 0 if that is later.
    pub fn since(self, earlier: Time) -> u64 {
        self.0.get().saturating_sub(earlier.0.get())
    }
}

/// A timer: not running, or running until a deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Timer(Option<Time>);

impl Timer {
    /// Runs for `ms` milliseconds from `now` on.
    pub fn start(&mut self, now: Time, ms: u32) {
        self.0 = Some(now.after(ms));
    }

    /// If it runs, it runs for `ms` milliseconds more.
    pub fn extend(&mut self, ms: u32) {
        self.0 = self.0.map(|deadline| deadline.after(ms));
    }

    /// Stops it.
    pub fn stop(&mut self) {
        self.0 = None;
    }

    /// When it ends, if it runs.
    pub fn deadline(&self) -> Option<Time> {
        self.0
    }

    /// Whether it runs and its end has come; it is stopped then.
    pub fn expires(&mut self, now: Time) -> bool {
        let expired = self.0.is_some_and(|deadline| now >= deadline);
        if expired {
            self.stop();
        }
        expired
    }
}

static_assertions::assert_eq_size!(Timer, u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_expires_once_and_at_its_time() {
        let (now, mut timer) = (Time::new(0), Timer::default());
        assert!(!timer.expires(now));
        timer.start(now, 3_000);
        assert_eq!(timer.deadline(), Some(now.after(3_000)));
        assert!(!timer.expires(now) && !timer.expires(now.after(2_999)));
        assert!(timer.expires(now.after(3_000)) && !timer.expires(now.after(4_000)));
        timer.extend(1_000);
        assert_eq!(timer.deadline(), None);
        timer.start(now, 3_000);
        timer.extend(1_000);
        assert_eq!(timer.deadline(), Some(now.after(4_000)));
        assert_eq!((now.after(5).since(now), now.since(now.after(5))), (5, 0));
    }
}
