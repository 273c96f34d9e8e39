//! Rebalancing: ports get other flows, so that all carry the same (the setting `rebalance`).
//!
//! While it is set, each packet is measured, which needs the closer look. Every so many seconds the
//! protocol task moves a few buckets; with lacp their flows wait for their old port, as for any other move.

use super::mode::{Balancer, Mode};
use super::state::State;
use super::{Softc, lacp_state};
use crate::kpi::{Boxed, Ref, Result, Tallies};
use crate::lacp::Time;
use crate::policy::buckets::{BUCKETS, Moves};
use crate::slots::SlotSet;

/// What measures the flows of a lagg, and moves them.
pub(super) struct Rebalancer {
    pub tallies: Ref<Tallies>,
    /// The tallies when the present interval began.
    last: Boxed<[u64; BUCKETS]>,
    /// When that ends.
    due: Time,
    /// What the next plan is to move.
    pub moves: Moves,
}

impl Rebalancer {
    /// Nothing is measured yet. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    fn try_new(due: Time) -> Result<Boxed<Self>> {
        let tallies = Ref::try_new(Tallies::try_new(BUCKETS)?)?;
        let last = Boxed::try_zeroed()?;
        Boxed::try_new(Rebalancer { tallies, last, due, moves: Moves::new() })
    }
}

/// The protocol task's work: begins or ends measuring, and moves flows when it is time. May sleep.
pub(super) fn run(softc: &Softc) {
    let now = lacp_state::now();
    let (measured, ms) = {
        let mut state = softc.state();
        let ms = interval_ms(&state);
        let Some(balancer) = state.mode.balancer_mut() else { return };
        (balancer.rebalancer.is_some(), ms)
    };
    match ms {
        Some(ms) if measured => {
            let mut state = softc.state();
            let Some(balancer) = state.mode.balancer_mut() else { return };
            balancer.rebalance(now, now.after(ms));
        }
        // Without memory: when the task runs next.
        Some(ms) => {
            if let Ok(rebalancer) = Rebalancer::try_new(now.after(ms)) {
                put(softc, Some(rebalancer));
            }
        }
        None if measured => put(softc, None),
        None => {}
    }
}

/// Begins to measure, or ends it. What there was is dropped without the mutex.
fn put(softc: &Softc, mut rebalancer: Option<Boxed<Rebalancer>>) {
    if let Some(balancer) = softc.state().mode.balancer_mut() {
        core::mem::swap(&mut balancer.rebalancer, &mut rebalancer);
    }
}

/// The interval, in milliseconds; none if nothing is to be measured.
fn interval_ms(state: &State) -> Option<u32> {
    let seconds = state.settings.rebalance;
    (seconds != 0).then(|| seconds.saturating_mul(1000))
}

/// The milliseconds until flows are to be moved.
pub(super) fn until_due(state: &State) -> Option<u64> {
    let balancer = match &state.mode {
        Mode::LoadBalance(balancer) => balancer,
        Mode::Lacp(control) => &control.balancer,
        _ => return None,
    };
    Some(balancer.rebalancer.as_ref()?.due.since(lacp_state::now()))
}

impl Mode {
    /// What spreads the flows, if the protocol has flows.
    fn balancer_mut(&mut self) -> Option<&mut Balancer> {
        match self {
            Mode::LoadBalance(balancer) => Some(balancer),
            Mode::Lacp(control) => Some(&mut control.balancer),
            _ => None,
        }
    }
}

impl Balancer {
    /// If the interval is over, decides what the next plan moves. The next one ends at `next`.
    // Not inlined: a kernel stack is small.
    #[inline(never)]
    fn rebalance(&mut self, now: Time, next: Time) {
        let up: SlotSet = self.carrying();
        let Some(rebalancer) = self.rebalancer.as_deref_mut() else { return };
        let Rebalancer { tallies, last, due, moves } = rebalancer;
        // The interval may have been made shorter.
        *due = (*due).min(next);
        if now < *due {
            return;
        }
        *due = next;
        for (bucket, last) in last.iter_mut().enumerate() {
            // A thread that was interrupted may have put back an older tally.
            *last = tallies.sum(bucket).saturating_sub(*last);
        }
        *moves = self.flows.table.table.moves(up, |bucket| last.get(bucket).copied().unwrap_or(0));
        for (bucket, last) in last.iter_mut().enumerate() {
            *last = tallies.sum(bucket);
        }
    }
}
