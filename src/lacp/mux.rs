//! The mux machine (802.1AX-2008 5.4.15, Figure 5-14, independent control; in 802.1AX-2014, 6.4.15).

use super::time::Time;
use super::{Port, Selected};
use crate::wire::lacpdu::State as Bits;

/// Where the machine is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// Attached to no aggregator.
    #[default]
    Detached,
    /// An aggregator is selected; others that want it too are waited for.
    Waiting,
    /// Attached to it.
    Attached,
    /// Frames are taken in.
    Collecting,
    /// Frames are sent too.
    Distributing,
}

/// What the machine looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conditions {
    /// An aggregator is selected.
    pub selected: Selected,
    /// No port waits for this aggregator any more.
    pub ready: bool,
    /// The partner is in sync.
    pub partner_sync: bool,
    /// The partner collects.
    pub partner_collecting: bool,
}

/// Milliseconds that a port waits for others (Aggregate_Wait_Time).
pub const AGGREGATE_WAIT: u32 = 2_000;

impl State {
    /// All of them.
    pub const ALL: [State; 5] =
        [State::Detached, State::Waiting, State::Attached, State::Collecting, State::Distributing];

    /// Where it goes; none: it stays.
    pub fn next(self, conditions: Conditions) -> Option<State> {
        let Conditions { selected, ready, partner_sync, partner_collecting } = conditions;
        let selected = selected == Selected::Selected;
        let collects = selected && partner_sync;
        match self {
            State::Detached => selected.then_some(State::Waiting),
            State::Waiting if !selected => Some(State::Detached),
            State::Waiting => ready.then_some(State::Attached),
            State::Attached if !selected => Some(State::Detached),
            State::Attached => collects.then_some(State::Collecting),
            State::Collecting if !collects => Some(State::Attached),
            State::Collecting => partner_collecting.then_some(State::Distributing),
            State::Distributing => (!collects || !partner_collecting).then_some(State::Collecting),
        }
    }

    /// Its name in 802.1AX.
    pub fn name(self) -> &'static str {
        match self {
            State::Detached => "DETACHED",
            State::Waiting => "WAITING",
            State::Attached => "ATTACHED",
            State::Collecting => "COLLECTING",
            State::Distributing => "DISTRIBUTING",
        }
    }
}

impl Port {
    /// Runs the machine for one step. True: it has moved.
    pub(super) fn run_mux(&mut self, ready: bool, now: Time) -> bool {
        let Some(next) = self.mux.next(Conditions {
            selected: self.selected,
            ready,
            partner_sync: self.partner.state.contains(Bits::SYNC),
            partner_collecting: self.partner.state.contains(Bits::COLLECTING),
        }) else {
            return false;
        };
        self.mux = next;
        self.statistics.last_change = now;
        self.wait_while.stop();
        let state = &mut self.actor.state;
        match next {
            State::Detached => {
                state.remove(Bits::SYNC | Bits::COLLECTING | Bits::DISTRIBUTING);
                self.aggregator = None;
            }
            State::Waiting => {
                self.wait_while.start(now, AGGREGATE_WAIT);
                return true;
            }
            State::Attached => {
                state.insert(Bits::SYNC);
                state.remove(Bits::COLLECTING | Bits::DISTRIBUTING);
            }
            State::Collecting => {
                state.insert(Bits::COLLECTING);
                state.remove(Bits::DISTRIBUTING);
            }
            State::Distributing => state.insert(Bits::DISTRIBUTING),
        }
        // In DISTRIBUTING too: the partner may have to know (F-27).
        self.ntt = true;
        true
    }

    /// Whether others may stop waiting for this port (Ready_N).
    pub(super) fn is_ready(&self) -> bool {
        self.mux != State::Waiting || self.wait_while.deadline().is_none()
    }
}
