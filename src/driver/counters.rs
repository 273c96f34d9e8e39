//! The lagg's counters: what its ports have carried for it, including ports that have left. They never go
//! back.

use core::sync::atomic::{AtomicU64, Ordering};

use arrayvec::ArrayVec;

use super::Port;
use super::drops::{REFUSED, Refused};
use crate::kpi::{Counter, EpochCell, Ifnet, Ref, Result, Unique};
use crate::slots::Slot;

/// The kinds of counters.
const KINDS: usize = Counter::ALL.len();

/// The ports whose counters add up to the lagg's. Read in the epoch, and replaced as a whole.
pub(super) struct Ledger {
    /// The ports, including those that are leaving.
    ports: ArrayVec<Ref<Port>, { Slot::COUNT }>,
    /// What is added to the ports' counters: what former ports have carried, minus what each present port
    /// had counted when it joined. Modulo 2^64.
    balance: [u64; KINDS],
    /// The frames of former ports that were not accepted.
    refused: [u64; REFUSED],
}

impl Ledger {
    pub const NEW: Ledger =
        Ledger { ports: ArrayVec::new_const(), balance: [0; KINDS], refused: [0; REFUSED] };

    /// What is added to the sum of the ports' counters.
    pub fn balance(&self, counter: Counter) -> u64 {
        self.balance.get(counter as usize).copied().unwrap_or(0)
    }

    /// The ports that count, in the order in which they joined.
    pub fn ports(&self) -> &[Ref<Port>] {
        &self.ports
    }

    /// How many frames of former ports were not accepted for this reason.
    pub fn refused_by_left(&self, why: Refused) -> u64 {
        self.refused.get(why as usize).copied().unwrap_or(0)
    }

    fn add<'a>(&mut self, ports: impl Iterator<Item = &'a Ref<Port>>) {
        for port in ports {
            // There is room, because there are no more ports than slots.
            let _ = self.ports.try_push(port.clone());
        }
    }
}

/// The highest value reported of each counter. A reader of an older ledger may have seen a higher sum than
/// the next ledger gives, if a port has just left or a card has reset its counters.
#[derive(Default)]
pub(super) struct HighWater([AtomicU64; KINDS]);

impl HighWater {
    pub fn at_least(&self, counter: Counter, now: u64) -> u64 {
        // The sum is negative if a card has reset its counters.
        let now = now.cast_signed().max(0).unsigned_abs();
        let told = self.0.get(counter as usize);
        // D-13: never less than was reported before
        told.map_or(now, |told| told.fetch_max(now, Ordering::Relaxed).max(now))
    }
}

/// A ledger for when `ifp` is a port, which counts from here on. May sleep.
///
/// # Errors
/// ENOMEM.
pub(super) fn begin(ifp: &Ifnet) -> Result<Unique<Ledger>> {
    let mut ledger = memory()?;
    for (balance, counter) in ledger.balance.iter_mut().zip(Counter::ALL) {
        *balance = ifp.counter(counter).wrapping_neg();
    }
    Ok(ledger)
}

/// Memory for a ledger. May sleep.
///
/// # Errors
/// ENOMEM.
pub(super) fn memory() -> Result<Unique<Ledger>> {
    Unique::try_new(Ledger::NEW)
}

/// A port joins. The caller has the token.
pub(super) fn enter(cell: &EpochCell<Ledger>, port: &Ref<Port>, mut ledger: Unique<Ledger>) {
    let now = cell.get();
    ledger.refused = now.refused;
    for (balance, before) in ledger.balance.iter_mut().zip(now.balance) {
        *balance = balance.wrapping_add(before);
    }
    ledger.add(now.ports.iter().chain([port]));
    cell.replace(ledger.share());
}

/// Ports have left, a grace period ago. The caller has the token.
pub(super) fn settle(cell: &EpochCell<Ledger>, ports: &[Ref<Port>], mut ledger: Unique<Ledger>) {
    let now = cell.get();
    (ledger.balance, ledger.refused) = (now.balance, now.refused);
    for port in ports {
        for (sum, count) in ledger.refused.iter_mut().zip(port.refused.fetch()) {
            *sum = sum.wrapping_add(count);
        }
        for (balance, counter) in ledger.balance.iter_mut().zip(Counter::ALL) {
            *balance = balance.wrapping_add(port.ifp().counter(counter));
        }
    }
    let stays = |port: &&Ref<Port>| !ports.iter().any(|gone| gone.is(port));
    ledger.add(now.ports.iter().filter(stays));
    cell.replace(ledger.share());
}
