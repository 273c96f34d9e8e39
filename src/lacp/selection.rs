//! Selection: which aggregator a port belongs to (802.1AX-2008 5.4.14; in 802.1AX-2014, 6.4.14).

use super::mux::MuxState;
use super::{Lacp, Memory, PRIORITY, Port};
use crate::slots::{Slot, SlotSet};
use crate::wire::MacAddr;
use crate::wire::lacpdu::{Info, StateBits};

/// Whether a port has an aggregator that suits it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Selected {
    /// None, or not that one any more.
    #[default]
    Unselected,
    /// [`Port`]'s aggregator, which is not the one that is chosen.
    Standby,
    /// [`Port`]'s aggregator, and it is to be in service.
    Selected,
}

/// A system's identifier (5.3.2); the lower, the better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct System {
    /// Its priority.
    pub priority: u16,
    /// Its address.
    pub address: MacAddr,
}

impl System {
    /// Ours, which has the standard's priority, and this address.
    pub const fn new(address: MacAddr) -> Self {
        System { priority: PRIORITY, address }
    }

    /// The system of one side of a link.
    pub(super) fn of(side: &Info) -> Self {
        System { priority: side.system_priority, address: side.system }
    }
}

/// What the ports of an aggregator have in common (5.3.6). Our own system is the same for all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LagId {
    key: u16,
    pub(super) partner: System,
    partner_key: u16,
    /// An individual link is alone: its own slot.
    individual: Option<Slot>,
}

impl LagId {
    fn of(slot: Slot, port: &Port) -> Self {
        let both = port.actor.state & port.partner.state;
        let individual = !both.contains(StateBits::AGGREGATION);
        LagId {
            key: port.actor.key,
            partner: System::of(&port.partner),
            partner_key: port.partner.key,
            individual: individual.then_some(slot),
        }
    }

    /// Actor and partner as the ioctl SIOCGLAGG has them: what an aggregator knows of its ports, and of
    /// our system.
    pub(super) fn infos(&self, system: &Info) -> (Info, Info) {
        let state =
            if self.individual.is_none() { StateBits::AGGREGATION } else { StateBits::empty() };
        let actor = Info { key: self.key, state, ..*system };
        let partner = Info {
            system_priority: self.partner.priority,
            system: self.partner.address,
            key: self.partner_key,
            ..Info::default()
        };
        (actor, partner)
    }
}

impl<P: Memory<Port>, A: Memory<LagId>> Lacp<P, A> {
    /// Deselects ports without a partner, and selects an aggregator for ports that have none.
    pub(super) fn run_selection(&mut self) {
        self.free_aggregators();
        for slot in Slot::all() {
            let Some(port) = self.port(slot) else { continue };
            let id = LagId::of(slot, port);
            // Without a partner there is nothing to aggregate with.
            let defaulted = port.actor.state.contains(StateBits::DEFAULTED);
            let selected = port.selected != Selected::Unselected;
            let aggregator = port.aggregator;
            if selected {
                // A port that no longer fits was deselected when that changed.
                if defaulted {
                    self.set_selected(slot, Selected::Unselected, aggregator);
                }
            } else if aggregator.is_none() && port.mux == MuxState::Detached && !defaulted {
                let Some(number) = self.aggregator_for(slot, id) else { continue };
                if let Some(aggregator) = self.aggregators.get_mut(usize::from(number)) {
                    *aggregator = Some(id);
                }
                // Until it is chosen.
                self.set_selected(slot, Selected::Standby, Some(number));
            }
        }
    }

    fn set_selected(&mut self, slot: Slot, to: Selected, aggregator: Option<Slot>) {
        if let Some(port) = self.port_mut(slot) {
            port.selected = to;
            port.aggregator = aggregator;
        }
    }

    pub(super) fn lag_id(&self, number: Slot) -> Option<LagId> {
        self.aggregators.get(usize::from(number)).copied().flatten()
    }

    /// The aggregator of this identity, else a free one: the port's own number first.
    fn aggregator_for(&self, slot: Slot, id: LagId) -> Option<Slot> {
        let same = Slot::all().find(|&number| self.lag_id(number) == Some(id));
        let free = |number: &Slot| self.lag_id(*number).is_none();
        same.or_else(|| Some(slot).filter(free)).or_else(|| Slot::all().find(free))
    }

    fn free_aggregators(&mut self) {
        let used: SlotSet = self.ports().filter_map(|(_, port)| port.aggregator).collect();
        for (number, aggregator) in Slot::all().zip(self.aggregators.iter_mut()) {
            if !used.contains(number) {
                *aggregator = None;
            }
        }
        // The next of its number is another one.
        self.active = self.active.filter(|number| used.contains(*number));
    }
}
