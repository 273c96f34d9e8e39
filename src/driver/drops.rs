//! Counts what a lagg drops, by reason.
//!
//! Processors that drop packets at the same time do not write the same cache line, nor one that packets
//! read.

use core::ffi::CStr;

use crate::kpi::{Counters, Result};
use crate::policy::Unsent;

/// Why a lagg drops what comes to one of its ports.
#[derive(Clone, Copy)]
pub(super) enum Refused {
    /// The protocol does not accept frames from this port.
    NotAccepted,
    /// The lagg is down.
    NotRunning,
    /// The port is joining or leaving.
    NotMember,
    /// The lagg is a monitor: only bpf(4) has seen the frame.
    Monitor,
    /// The host tried to send a packet on the port itself.
    OwnOutput,
    /// lacp: one of its frames, of which too many wait to be processed.
    NoRoom,
}

/// How many reasons of [`Refused`] there are.
pub(super) const REFUSED: usize = 6;

impl Refused {
    /// Its name, for C.
    pub const fn c_name(self) -> &'static CStr {
        match self {
            Refused::NotAccepted => c"not_accepted",
            Refused::NotRunning => c"not_running",
            Refused::NotMember => c"not_member",
            Refused::Monitor => c"monitor",
            Refused::OwnOutput => c"own_output",
            Refused::NoRoom => c"no_room",
        }
    }
}

/// Counters of packets that a lagg did not send.
pub(super) struct UnsentCounters(Counters);

impl UnsentCounters {
    /// May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        Counters::try_new().map(UnsentCounters)
    }

    /// Counts a packet.
    pub fn count(&self, why: Unsent) {
        self.0.increment(why as usize);
    }

    /// The count of a reason.
    pub fn fetch(&self, why: Unsent) -> u64 {
        self.0.fetch(why as usize)
    }
}

static_assertions::const_assert!((Unsent::Paused as usize) < Counters::COUNT);

/// Counters of what was not accepted from a port, or not sent on it.
pub(super) struct RefusedCounters(Counters);

static_assertions::const_assert!(REFUSED <= Counters::COUNT);

impl RefusedCounters {
    /// May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        Counters::try_new().map(RefusedCounters)
    }

    /// Counts a packet.
    pub fn count(&self, why: Refused) {
        self.0.increment(why as usize);
    }

    /// The count of each reason, in their order.
    pub fn fetch(&self) -> [u64; REFUSED] {
        core::array::from_fn(|why| self.0.fetch(why))
    }

    /// The count of a reason.
    pub fn of(&self, why: Refused) -> u64 {
        self.0.fetch(why as usize)
    }
}
