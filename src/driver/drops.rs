//! Counts what a lagg drops, by reason.
//!
//! Processors that drop packets at the same time do not write the same cache line, nor one that packets
//! read.

use core::ffi::CStr;

use crate::kpi::{Counters, Result};
use crate::policy::{About, Kind, Unsent};

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

/// Their names, in their order.
pub(super) const REFUSED_NAMES: [&str; REFUSED] =
    ["not_accepted", "not_running", "not_member", "monitor", "own_output", "no_room"];

/// Counters of packets that a lagg did not send.
pub(super) struct UnsentCounters([Counters; 2]);

/// What is counted: all reasons of each protocol, in the order of `net.link.lagg.stats`.
pub(super) fn unsent() -> impl Iterator<Item = (&'static About, Unsent)> {
    let abouts = Kind::ALL.into_iter().map(|kind| kind.about());
    abouts.flat_map(|about| about.unsent.iter().map(move |why| (about, *why)))
}

const _: () = {
    let (mut all, mut kinds) = (0, Kind::ALL.as_slice());
    while let [kind, rest @ ..] = kinds {
        all += kind.about().unsent.len();
        kinds = rest;
    }
    assert!(all <= 2 * Counters::COUNT);
};

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

impl UnsentCounters {
    /// May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        Ok(UnsentCounters([Counters::try_new()?, Counters::try_new()?]))
    }

    /// Counts a packet that this protocol did not send.
    pub fn count(&self, protocol: &About, why: Unsent) {
        let is = |(about, reason): (&About, _)| about.number == protocol.number && reason == why;
        let place = unsent().position(is);
        if let Some((counters, which)) = place.and_then(|place| self.at(place)) {
            counters.increment(which);
        }
    }

    fn at(&self, place: usize) -> Option<(&Counters, usize)> {
        let counters = self.0.get(place / Counters::COUNT)?;
        Some((counters, place % Counters::COUNT))
    }

    /// The count at a place in the order of [`unsent`].
    pub fn fetch(&self, place: usize) -> u64 {
        self.at(place).map_or(0, |(counters, which)| counters.fetch(which))
    }
}

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

    /// The count of each reason.
    pub fn fetch(&self) -> [u64; REFUSED] {
        core::array::from_fn(|why| self.0.fetch(why))
    }
}
