//! Time, and timers.

use core::num::NonZeroU16;

/// A moment: milliseconds on a clock that never goes back. It takes six bytes, also as an option, because a
/// port has a dozen of them. 48 bits suffice for 8,900 years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Time {
    /// The high word plus one.
    high: NonZeroU16,
    middle: u16,
    low: u16,
}

impl Time {
    /// The last moment.
    pub const END: Self = Time::new(u64::MAX);

    /// The same, in milliseconds.
    const LAST: u64 = 0xfffe_ffff_ffff;

    /// `ms` milliseconds after the clock began.
    pub const fn new(ms: u64) -> Self {
        let ms = if ms < Self::LAST { ms } else { Self::LAST };
        Time {
            high: NonZeroU16::MIN.saturating_add((ms >> 32) as u16),
            middle: (ms >> 16) as u16,
            low: ms as u16,
        }
    }

    fn ms(self) -> u64 {
        let high = self.high.get().saturating_sub(1);
        u64::from(high) << 32 | u64::from(self.middle) << 16 | u64::from(self.low)
    }

    /// `ms` milliseconds later.
    #[must_use]
    pub fn after(self, ms: u32) -> Time {
        Time::new(self.ms().saturating_add(ms.into()))
    }

    /// A millisecond earlier.
    #[must_use]
    pub fn just_before(self) -> Time {
        Time::new(self.ms().saturating_sub(1))
    }

    /// Milliseconds since `earlier`; 0 if that is later.
    pub fn since(self, earlier: Time) -> u64 {
        self.ms().saturating_sub(earlier.ms())
    }
}

/// A timer: not running, or running until a deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Timer(Option<Time>);

impl Timer {
    /// Not running.
    pub const STOPPED: Self = Timer(None);

    /// Runs for `ms` milliseconds from `now` on.
    pub fn start(&mut self, now: Time, ms: u32) {
        self.0 = Some(now.after(ms));
    }

    /// If it runs, extends it by `ms` milliseconds.
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

    /// Whether it runs and its deadline has come; if so, it is stopped.
    pub fn expires(&mut self, now: Time) -> bool {
        let expired = self.0.is_some_and(|deadline| now >= deadline);
        if expired {
            self.stop();
        }
        expired
    }
}

static_assertions::assert_eq_size!(Timer, [u8; 6]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_in_order_and_end_with_the_last() {
        let all = [0, 1, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, Time::LAST - 1, Time::LAST];
        for (n, a) in all.into_iter().enumerate() {
            for (m, b) in all.into_iter().enumerate() {
                assert_eq!(Time::new(a).cmp(&Time::new(b)), n.cmp(&m));
                assert_eq!(Time::new(a).since(Time::new(b)), a.saturating_sub(b));
            }
        }
        let end = Time::END;
        assert_eq!((Time::new(u64::MAX), end.after(1)), (end, end));
        let (first, second) = (Time::new(0), Time::new(1));
        assert_eq!((second.just_before(), first.just_before()), (first, first));
    }

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
