//! Selection: which aggregator a port belongs to (802.1AX-2008 5.4.14; in 802.1AX-2014, 6.4.14).

use super::mux::MuxState;
use super::{Lacp, Memory, PRIORITY, Port};
use crate::slots::{Slot, SlotSet};
use crate::wire::MacAddr;
use crate::wire::lacpdu::{Info, StateBits};

/// Whether a port has a suitable aggregator (the variable Selected).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Selected {
    /// It has none, or its aggregator no longer fits.
    #[default]
    Unselected,
    /// It has an aggregator, but that is not the chosen one, or has ports enough in service.
    Standby,
    /// It has an aggregator, which is the chosen one, and may be in service there.
    Selected,
}

/// A system's identifier (5.3.2); a lower one is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct System {
    /// Its priority.
    pub priority: u16,
    /// Its address.
    pub address: MacAddr,
}

impl System {
    /// This system, with the standard's priority and this address.
    pub const fn new(address: MacAddr) -> Self {
        System { priority: PRIORITY, address }
    }

    /// The system of one side of a link.
    pub(super) fn of(side: &Info) -> Self {
        System { priority: side.system_priority, address: side.system }
    }
}

/// What the ports of an aggregator have in common (5.3.6), except our own system, which is the same for
/// all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LagId {
    key: u16,
    pub(super) partner: System,
    partner_key: u16,
    /// The slot of an individual link, which is never aggregated with others.
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

    /// Actor and partner for the ioctl SIOCGLAGG: what the aggregator's ports have in common, and our
    /// system.
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
            let defaulted = port.actor.state.contains(StateBits::DEFAULTED) && !port.is_fallback();
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
                // It stands by until its aggregator is chosen.
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

    /// The aggregator with this identifier, else a free one, preferably the one with the port's own number.
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
        // A later aggregator with the same number is a different one.
        self.active = self.active.filter(|number| used.contains(*number));
    }
}
