//! Ports that come into service begin to distribute together.

use super::mux::MuxState;
use super::time::Time;
use super::{Lacp, LagId, Memory, Port, Selected};
use crate::wire::lacpdu::StateBits;

/// Milliseconds, from the first port on, in which the ports of an aggregator begin to distribute together.
/// Otherwise flows that begin on the first would have to move, and wait, with each further port.
pub const GATHERING: u32 = 100;

impl<P: Memory<Port>, A: Memory<LagId>> Lacp<P, A> {
    /// Whether ports may begin to distribute: all of the chosen aggregator can, or [`GATHERING`] is over. A
    /// partner that is not in sync, although it has recorded that we are, is not waited for.
    pub(super) fn has_gathered(&mut self, now: Time) -> bool {
        let (mut distributes, mut some, mut all) = (false, false, true);
        for (_, port) in self.ports().filter(|(_, port)| port.selected == Selected::Selected) {
            distributes |= port.mux == MuxState::Distributing;
            let partner = port.partner.state;
            let comes = partner.contains(StateBits::SYNC) || !port.partner_has_our_sync;
            if port.is_eligible() && comes {
                let collects = partner.contains(StateBits::SYNC | StateBits::COLLECTING);
                (some, all) = (some | collects, all & collects);
            }
        }
        if distributes || all || !some {
            self.gathering.stop();
            return distributes || all;
        }
        if self.gathering.deadline().is_none() {
            self.gathering.start(now, GATHERING);
        }
        self.gathering.expires(now)
    }
}
