//! The lagg's counters: what its ports have carried for it, those that left included. They never go
//! back (spec B.14).

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrayvec::ArrayVec;

use super::stats::REFUSED;
use super::{Port, Softc};
use crate::kpi::ioctl::LAGG_MAX_PORTS;
use crate::kpi::{Counter, Epoch, Ifnet, Ref, Result, Unique};

/// The kinds of counters.
const KINDS: usize = Counter::ALL.len();

/// Whose counters are the lagg's: read in the epoch, replaced as a whole.
pub(super) struct Ledger {
    /// The ports, and those that are just leaving.
    ports: ArrayVec<Ref<Port>, LAGG_MAX_PORTS>,
    /// What those have carried that left.
    left: [u64; KINDS],
    /// What they did not take in.
    refused: [u64; REFUSED],
}

impl Ledger {
    pub const NEW: Ledger =
        Ledger { ports: ArrayVec::new_const(), left: [0; KINDS], refused: [0; REFUSED] };

    /// The ports that count, in the order in which they joined.
    pub fn ports(&self) -> &[Ref<Port>] {
        &self.ports
    }

    /// What those did not take in that left.
    pub fn refused_by_left(&self) -> [u64; REFUSED] {
        self.refused
    }

    fn add<'a>(&mut self, ports: impl Iterator<Item = &'a Ref<Port>>) {
        for port in ports {
            // There is room: no more ports than slots.
            let _ = self.ports.try_push(port.clone());
        }
    }
}

/// How much of an interface's counters it has carried for the lagg.
#[derive(Default)]
pub(super) struct Carried {
    /// The interface's counters when it joined.
    before: [AtomicU64; KINDS],
    /// The most that a reader has been told.
    told: [AtomicU64; KINDS],
    /// It carries nothing for the lagg any more; what was told stands until its last word is known.
    frozen: AtomicBool,
}

impl Carried {
    /// From here on it counts.
    pub fn begin(&self, ifp: &Ifnet) {
        for (before, counter) in self.before.iter().zip(Counter::ALL) {
            before.store(ifp.counter(counter), Ordering::Relaxed);
        }
    }

    /// From here on nobody is told more, a grace period later.
    pub fn freeze(&self) {
        self.frozen.store(true, Ordering::Relaxed);
    }

    fn tell(&self, ifp: &Ifnet, counter: Counter) -> u64 {
        let (Some(told), Some(before)) =
            (self.told.get(counter as usize), self.before.get(counter as usize))
        else {
            return 0;
        };
        if self.frozen.load(Ordering::Relaxed) {
            return told.load(Ordering::Relaxed);
        }
        let now = ifp.counter(counter).saturating_sub(before.load(Ordering::Relaxed));
        told.fetch_max(now, Ordering::Relaxed).max(now)
    }

    /// All that it has carried. It was frozen a grace period ago: nobody is being told more.
    fn last_word(&self, ifp: &Ifnet, counter: Counter) -> u64 {
        let told = self.tell(ifp, counter);
        let before = self.before.get(counter as usize).map_or(0, |b| b.load(Ordering::Relaxed));
        told.max(ifp.counter(counter).saturating_sub(before))
    }
}

/// A counter of the lagg (`if_get_counter`).
pub(super) fn counter(softc: &Softc, counter: Counter, epoch: &Epoch) -> u64 {
    let ledger = softc.ledger().load(epoch);
    let ports = ledger.ports.iter().map(|port| port.carried().tell(port.ifp(), counter));
    let left = ledger.left.get(counter as usize).copied().unwrap_or(0);
    ports.fold(softc.ifp().own_counter(counter).wrapping_add(left), u64::wrapping_add)
}

/// Memory for the ledger that has one port more. May sleep.
///
/// # Errors
/// ENOMEM.
pub(super) fn memory() -> Result<Unique<Ledger>> {
    Unique::try_new(Ledger::NEW)
}

/// A port joins that has begun to count. The caller has the token.
pub(super) fn enter(softc: &Softc, port: &Ref<Port>, mut ledger: Unique<Ledger>) {
    let now = softc.ledger().get();
    (ledger.left, ledger.refused) = (now.left, now.refused);
    ledger.add(now.ports.iter().chain([port]));
    softc.ledger().replace(ledger.share());
}

/// Ports have left: frozen a grace period ago. The caller has the token.
pub(super) fn settle(softc: &Softc, ports: &[Ref<Port>], mut ledger: Unique<Ledger>) {
    let now = softc.ledger().get();
    (ledger.left, ledger.refused) = (now.left, now.refused);
    for port in ports {
        for (left, count) in ledger.refused.iter_mut().zip(port.refused().fetch()) {
            *left = left.wrapping_add(count);
        }
        for (left, counter) in ledger.left.iter_mut().zip(Counter::ALL) {
            *left = left.wrapping_add(port.carried().last_word(port.ifp(), counter));
        }
    }
    let stays = |port: &&Ref<Port>| !ports.iter().any(|gone| gone.is(port));
    ledger.add(now.ports.iter().filter(stays));
    softc.ledger().replace(ledger.share());
}
