//! The ports of the chosen aggregator that are in service, if there may be no more than so many. The others
//! are STANDBY (802.1AX-2008 5.4.8).
//!
//! The partner may have such a limit too. So the ports are taken in the order of their priorities and numbers
//! as the system with the lower identifier has them (5.6.1), and the other system takes those on which the
//! lower one is in sync.

use super::mux::MuxState;
use super::selection::{Selected, System};
use super::time::Time;
use super::{Lacp, LagId, Memory, Port};
use crate::slots::{Slot, SlotSet};
use crate::wire::lacpdu::StateBits;

/// Milliseconds after which a port gives way to a standby: its partner is not in sync on it, though it knows
/// that we are, and is on the standby. More than a partner may wait for others.
pub const REFUSED: u32 = 3_500;

/// The order of the ports of an aggregator; the least is the best. What counts is, in this order: not a
/// standby of the partner, in sync where the partner decides, and what decides between good ports.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    is_spare: bool,
    is_refused: bool,
    order: [u16; 3],
}

impl<P: Memory<Port>, A: Memory<LagId>> Lacp<P, A> {
    fn rank(&self, port: &Port) -> Rank {
        let partner = System::of(&port.partner);
        let lower = self.system < partner;
        let named = if lower { &port.actor } else { &port.partner };
        let (priority, number) = (named.port_priority, named.port);
        let comes = port.selected != Selected::Selected;
        Rank {
            is_spare: port.is_spare,
            is_refused: !lower && !port.partner.state.contains(StateBits::SYNC),
            order: self.settings.reselect.order(priority, number, comes),
        }
    }

    /// The ports of an aggregator that may be in service together: all that exchange frames, or the best of
    /// them.
    #[inline(never)]
    pub(super) fn links(&self, number: Slot) -> SlotSet {
        let its = |(_, port): &(Slot, &Port)| port.aggregator == Some(number) && port.is_eligible();
        let ports = self.ports().filter(its);
        let most = match usize::from(self.settings.max_links) {
            0 => return ports.map(|(slot, _)| slot).collect(),
            most => most,
        };
        let is_in = |(slot, port): &(Slot, &Port)| {
            let rank = (self.rank(port), *slot);
            let better = |(other, its): &(Slot, &Port)| (self.rank(its), *other) < rank;
            ports.clone().filter(better).count() < most
        };
        ports.clone().filter(is_in).map(|(slot, _)| slot).collect()
    }

    /// Ports of the chosen aggregator give way to standbys if only these are in sync at the other end.
    pub(super) fn run_refused(&mut self, now: Time) {
        let active = self.active;
        let has = |port: &Port, selected, state: StateBits| {
            port.aggregator == active
                && port.selected == selected
                && port.is_eligible()
                && port.partner.state & StateBits::SYNC == state
        };
        let refused = self.set(|port| {
            has(port, Selected::Selected, StateBits::empty())
                && port.mux == MuxState::Attached
                && port.partner_has_our_sync
        });
        let offered = self.set(|port| has(port, Selected::Standby, StateBits::SYNC));
        if active.is_none() || refused.is_empty() || offered.is_empty() {
            self.refused.stop();
        } else if self.refused.deadline().is_none() {
            self.refused.start(now, REFUSED);
        } else if self.refused.expires(now) {
            for slot in refused.iter() {
                if let Some(port) = self.port_mut(slot) {
                    port.is_spare = true;
                }
            }
        }
    }
}
