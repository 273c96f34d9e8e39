//! Selection: which aggregator a port belongs to (802.1AX-2008 5.4.14; in 802.1AX-2014, 6.4.14), and
//! which aggregator is the active one.

use super::mux::State as Mux;
use super::time::Time;
use super::{AGGREGATORS, Lacp, Port};
use crate::kpi::MacAddr;
use crate::slots;
use crate::wire::lacpdu::{Info, State as Bits};

/// Milliseconds that the ports of the first active aggregator have to come up together.
pub const GATHERING: u32 = 100;

/// Whether a port has an aggregator that suits it. STANDBY is not used: an aggregator has room for
/// all ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Selected {
    /// None, or not that one any more.
    #[default]
    Unselected,
    /// [`Port`]'s aggregator.
    Selected,
}

/// What the ports of an aggregator have in common (5.3.6). Our own system is the same for all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LagId {
    key: u16,
    partner_priority: u16,
    partner: MacAddr,
    partner_key: u16,
    /// An individual link is alone: its own slot.
    individual: Option<u8>,
}

impl LagId {
    fn of(slot: u8, port: &Port) -> Self {
        let both = port.actor.state & port.partner.state;
        let individual = !both.contains(Bits::AGGREGATION);
        LagId {
            key: port.actor.key,
            partner_priority: port.partner.system_priority,
            partner: port.partner.system,
            partner_key: port.partner.key,
            individual: individual.then_some(slot),
        }
    }

    /// Actor and partner as the ioctl SIOCGLAGG has them: what an aggregator knows of its ports, and of
    /// our system.
    pub(super) fn infos(&self, system: &Info) -> (Info, Info) {
        let state = if self.individual.is_none() { Bits::AGGREGATION } else { Bits::empty() };
        let actor = Info { key: self.key, state, ..*system };
        let partner = Info {
            system_priority: self.partner_priority,
            system: self.partner,
            key: self.partner_key,
            ..Info::default()
        };
        (actor, partner)
    }
}

impl Lacp {
    /// Unselects who has no partner, and selects for who is without an aggregator.
    pub(super) fn run_selection(&mut self) {
        self.free_aggregators();
        for slot in 0..AGGREGATORS as u8 {
            let Some(port) = self.port(slot) else { continue };
            let id = LagId::of(slot, port);
            // Without a partner there is nothing to aggregate with.
            let defaulted = port.actor.state.contains(Bits::DEFAULTED);
            let selected = port.selected == Selected::Selected;
            let aggregator = port.aggregator;
            if selected {
                // Who does not fit any more was unselected when that changed.
                if defaulted {
                    self.set_selected(slot, Selected::Unselected, aggregator);
                }
            } else if aggregator.is_none() && port.mux == Mux::Detached && !defaulted {
                let Some(number) = self.aggregator_for(slot, id) else { continue };
                if let Some(aggregator) = self.aggregators.get_mut(usize::from(number)) {
                    *aggregator = Some(id);
                }
                self.set_selected(slot, Selected::Selected, Some(number));
            }
        }
    }

    fn set_selected(&mut self, slot: u8, to: Selected, aggregator: Option<u8>) {
        if let Some(port) = self.port_mut(slot) {
            port.selected = to;
            port.aggregator = aggregator;
        }
    }

    fn lag_id(&self, number: u8) -> Option<LagId> {
        self.aggregators.get(usize::from(number)).copied().flatten()
    }

    /// The aggregator of this identity, else a free one: the port's own number first.
    fn aggregator_for(&self, slot: u8, id: LagId) -> Option<u8> {
        let numbers = 0..AGGREGATORS as u8;
        let same = numbers.clone().find(|&number| self.lag_id(number) == Some(id));
        let free = |number: &u8| self.lag_id(*number).is_none();
        same.or_else(|| Some(slot).filter(free)).or_else(|| numbers.clone().find(free))
    }

    fn free_aggregators(&mut self) {
        let used = self.ports().filter_map(|(_, port)| port.aggregator);
        let used = used.fold(0, |set, number| set | slots::bit(number));
        for (number, aggregator) in (0..).zip(self.aggregators.iter_mut()) {
            if !slots::has(used, number) {
                *aggregator = None;
            }
        }
    }

    /// Chooses the active aggregator among those that distribute: the one whose partner has the best
    /// priority, then the fastest, then the one that is active already, then the lowest (F-19).
    /// One of unknown speed will do if there is no other (F-21).
    ///
    /// The first one is active when all of its ports distribute, or after [`GATHERING`]: theirs come up
    /// within moments, and flows that begin on the first would have to move, and to wait, with each.
    pub(super) fn choose_active(&mut self, now: Time) {
        let candidates = (0..AGGREGATORS as u8).filter_map(|number| {
            let id = self.lag_id(number)?;
            let mut ports = self.distributing_on(number).peekable();
            ports.peek()?;
            let bandwidth = ports.fold(0_u64, |sum, (_, port)| sum.saturating_add(port.speed));
            let order = (
                id.partner_priority,
                core::cmp::Reverse(bandwidth),
                self.active != Some(number),
                number,
            );
            Some((order, number))
        });
        let best = candidates.min_by_key(|(order, _)| *order).map(|(_, number)| number);
        let complete = |number| {
            let mut ports = self.ports().filter(|(_, port)| port.aggregator == Some(number));
            ports.all(|(_, port)| port.mux == Mux::Distributing || !port.is_enabled())
        };
        if self.active.is_some() || best.is_none_or(complete) || self.gathering.expires(now) {
            self.active = best;
            self.gathering.stop();
        } else if self.gathering.deadline().is_none() {
            self.gathering.start(now, GATHERING);
        }
    }

    /// The ports that distribute on an aggregator.
    pub(super) fn distributing_on(&self, number: u8) -> impl Iterator<Item = (u8, &Port)> {
        self.ports().filter(move |(_, port)| {
            port.aggregator == Some(number) && port.mux == Mux::Distributing
        })
    }
}
