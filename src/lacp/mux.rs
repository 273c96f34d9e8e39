//! The mux machine (802.1AX-2008 5.4.15, Figure 5-14, independent control; in 802.1AX-2014, 6.4.15).

use super::time::Time;
use super::{Port, Selected};
use crate::wire::lacpdu::StateBits;

/// The state of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MuxState {
    /// Attached to no aggregator.
    #[default]
    Detached,
    /// An aggregator is selected. The port waits for others that select it too, and until it is chosen.
    Waiting,
    /// Attached to it.
    Attached,
    /// Frames are accepted.
    Collecting,
    /// Frames are sent too.
    Distributing,
}

/// For which other ports one waits that has selected an aggregator (Ready).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// For any that may select it too.
    ForAny,
    /// For all that have a link and may have a partner: it was in service, and they may follow to its other
    /// partner.
    ForSame,
    /// For none any more.
    No,
}

/// The inputs of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conditions {
    /// An aggregator is selected.
    pub selected: Selected,
    /// No port of this aggregator has to wait for others any more.
    pub ready: bool,
    /// The partner is in sync.
    pub partner_sync: bool,
    /// The partner collects, on this port and on the others that begin to distribute together.
    pub partner_collecting: bool,
}

/// Milliseconds that a port waits for others (Aggregate_Wait_Time).
pub const AGGREGATE_WAIT: u32 = 2_000;

impl MuxState {
    /// All states.
    pub const ALL: [MuxState; 5] = [
        MuxState::Detached,
        MuxState::Waiting,
        MuxState::Attached,
        MuxState::Collecting,
        MuxState::Distributing,
    ];

    /// The next state; none if it stays. A port that is to stand by goes back to WAITING. In the standard
    /// it goes through DETACHED and waits for others again; here it does not wait twice.
    pub fn next(self, conditions: Conditions) -> Option<MuxState> {
        let Conditions { selected, ready, partner_sync, partner_collecting } = conditions;
        let unselected = selected == Selected::Unselected;
        let chosen = selected == Selected::Selected;
        let collects = chosen && partner_sync;
        match self {
            MuxState::Detached => (!unselected).then_some(MuxState::Waiting),
            MuxState::Waiting | MuxState::Attached if unselected => Some(MuxState::Detached),
            MuxState::Waiting => (chosen && ready).then_some(MuxState::Attached),
            MuxState::Attached if !chosen => Some(MuxState::Waiting),
            MuxState::Attached => collects.then_some(MuxState::Collecting),
            MuxState::Collecting if !collects => Some(MuxState::Attached),
            MuxState::Collecting => partner_collecting.then_some(MuxState::Distributing),
            MuxState::Distributing => {
                (!collects || !partner_collecting).then_some(MuxState::Collecting)
            }
        }
    }

    /// Its name in 802.1AX.
    pub fn name(self) -> &'static str {
        match self {
            MuxState::Detached => "DETACHED",
            MuxState::Waiting => "WAITING",
            MuxState::Attached => "ATTACHED",
            MuxState::Collecting => "COLLECTING",
            MuxState::Distributing => "DISTRIBUTING",
        }
    }
}

impl Port {
    /// Runs the machine for one step; `gathered` if the ports that begin to distribute together have all
    /// come. Returns whether the state has changed.
    pub(super) fn run_mux(&mut self, gathered: bool, now: Time) -> bool {
        let Some(next) = self.mux.next(Conditions {
            selected: self.selected,
            ready: self.waits == Waits::No,
            partner_sync: self.partner.state.contains(StateBits::SYNC),
            partner_collecting: self.partner.state.contains(StateBits::COLLECTING) && gathered,
        }) else {
            return false;
        };
        let was = core::mem::replace(&mut self.mux, next);
        let state = &mut self.actor.state;
        match next {
            MuxState::Detached => {
                state.remove(StateBits::SYNC | StateBits::COLLECTING | StateBits::DISTRIBUTING);
                self.aggregator = None;
                self.wait_while.stop();
            }
            MuxState::Waiting if was == MuxState::Detached => {
                if self.waits == Waits::No {
                    self.waits = Waits::ForAny;
                }
                let wait = if self.is_fallback() { 0 } else { AGGREGATE_WAIT };
                self.wait_while.start(now, wait);
            }
            MuxState::Waiting => state.remove(StateBits::SYNC),
            MuxState::Attached => {
                state.insert(StateBits::SYNC);
                state.remove(StateBits::COLLECTING | StateBits::DISTRIBUTING);
            }
            MuxState::Collecting => {
                // F-57: and frames are accepted from now on
                state.insert(StateBits::COLLECTING);
                state.remove(StateBits::DISTRIBUTING);
            }
            MuxState::Distributing => state.insert(StateBits::DISTRIBUTING),
        }
        // In DISTRIBUTING the partner may have to know that (F-27). In WAITING it learns that it is known
        // here; until then it does not choose this aggregator.
        self.ntt = true;
        true
    }

    /// Whether it waits for other ports that select its aggregator.
    pub(super) fn is_waiting(&self) -> bool {
        self.mux == MuxState::Waiting && self.waits != Waits::No
    }

    /// Those that it was in service with are not waited for any more.
    pub(super) fn leave_others(&mut self) {
        if self.waits == Waits::ForSame {
            self.waits = Waits::ForAny;
        }
    }

    /// Whether others may stop waiting for this port (Ready_N).
    pub(super) fn has_waited(&self) -> bool {
        !self.is_waiting() || self.wait_while.deadline().is_none()
    }
}
