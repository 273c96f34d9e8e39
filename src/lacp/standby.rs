//! The ports of the chosen aggregator that are in service, if there may be no more than so many. The others
//! are STANDBY (802.1AX-2008 5.4.8).
//!
//! The partner may have such a limit too. So the ports are taken in the order of their priorities and numbers
//! as the system with the lower identifier has them (5.6.1), and the other system takes those on which the
//! lower one is in sync.

use super::choice::{self, ANSWER};
use super::mux::MuxState;
use super::selection::{Selected, System};
use super::time::{Time, Timer};
use super::{Lacp, LagId, Memory, Port};
use crate::slots::{Slot, SlotSet};
use crate::wire::lacpdu::StateBits;

/// Milliseconds after which a port gives way to a standby: its partner knows that we are in sync on it, but is
/// not, or does not collect, and is in sync on the standby. More than a partner may wait for others.
pub const REFUSED: u32 = choice::FOLLOW;

/// The partner is not known to have a limit.
pub(super) const NO_LIMIT: u8 = u8::MAX;

/// The ports on which the partner does not do what it should.
#[derive(Default)]
pub(super) struct Refused {
    /// Until when they keep their places.
    pub timer: Timer,
    /// The partner was asked.
    is_asked: bool,
}

/// The order of the ports of an aggregator; the least is the best. What counts, in this order: it is no
/// standby of the partner, which collects on it; it is in sync, where the partner decides; it has nothing to
/// wait for before it takes over; and what decides between good ports.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    is_spare: bool,
    is_refused: bool,
    is_awaited: bool,
    order: [u16; 3],
}

/// The ports of an aggregator that are in service.
#[derive(Clone, Copy)]
enum Present {
    /// There are none.
    Idle,
    /// They can make way for others.
    Serves,
    /// The limit of LACPDUs would hold up what they have to say then.
    HeldUp,
}

impl<P: Memory<Port>, A: Memory<LagId>> Lacp<P, A> {
    fn rank(&self, port: &Port, present: Present, now: Time) -> Rank {
        let partner = System::of(&port.partner);
        let lower = self.system < partner;
        let named = if lower { &port.actor } else { &port.partner };
        let (priority, number) = (named.port_priority, named.port);
        let comes = port.selected != Selected::Selected;
        let is_offered = port.partner.state.contains(StateBits::SYNC);
        let waits = port.wait_while.deadline().is_some() && !is_offered;
        Rank {
            is_spare: port.is_spare || port.is_idle,
            is_refused: !lower && !is_offered,
            // F-77: what is in service stays until its successor can be
            is_awaited: comes
                && match present {
                    Present::Idle => false,
                    Present::Serves => waits || port.window.settles(now).is_some(),
                    Present::HeldUp => true,
                },
            order: self.settings.reselect.order(priority, number, comes),
        }
    }

    /// The ports of an aggregator that may be in service together: all that exchange frames, or the best of
    /// them.
    #[inline(never)]
    pub(super) fn links(&self, number: Slot, now: Time) -> SlotSet {
        let its = |(_, port): &(Slot, &Port)| port.aggregator == Some(number) && port.is_eligible();
        let ports = self.ports().filter(its);
        let most = match usize::from(self.settings.max_links) {
            0 => return ports.map(|(slot, _)| slot).collect(),
            most => most,
        };
        let serves = |(_, port): &(Slot, &Port)| {
            port.selected == Selected::Selected && port.mux == MuxState::Distributing
        };
        let mut served = ports.clone().filter(serves).map(|(_, port)| port.window.settles(now));
        let present = match served.next() {
            None => Present::Idle,
            Some(None) if served.all(|settles| settles.is_none()) => Present::Serves,
            Some(_) => Present::HeldUp,
        };
        let rank = |port: &Port| self.rank(port, present, now);
        let is_in = |(slot, port): &(Slot, &Port)| {
            let its = (rank(port), *slot);
            let better = |(other, port): &(Slot, &Port)| (rank(port), *other) < its;
            ports.clone().filter(better).count() < most
        };
        ports.clone().filter(is_in).map(|(slot, _)| slot).collect()
    }

    /// The ports that give way to some of these links, but not yet: their partner is in sync on those, and does
    /// not collect. No more than the limit allows are in service meanwhile.
    #[inline(never)]
    pub(super) fn stay(&self, links: SlotSet) -> SlotSet {
        let ports = self.ports().filter(|(_, port)| port.aggregator == self.active);
        let collects = StateBits::SYNC | StateBits::COLLECTING;
        let comes = ports.clone().filter(|(slot, port)| {
            links.contains(*slot) && port.partner.state & collects == StateBits::SYNC
        });
        // F-88: some act on what they are told once a second
        let stay = ports.filter(|(slot, port)| {
            let serves = port.selected == Selected::Selected && port.mux == MuxState::Distributing;
            !links.contains(*slot) && serves && port.is_eligible()
        });
        stay.take(comes.count()).map(|(slot, _)| slot).collect()
    }

    /// Whether the partner still sends on a port that has become a standby. It is not told yet, or acts on it
    /// later.
    pub(super) fn drains(&self, port: &Port) -> bool {
        let sends = port.partner.state.contains(StateBits::SYNC | StateBits::DISTRIBUTING);
        let is_standby = port.selected == Selected::Standby && port.aggregator == self.active;
        is_standby && sends && port.is_eligible()
    }

    /// Notes how many links the partner has in service, if it keeps another one as a standby. If it has more, it
    /// has no such limit any more.
    pub(super) fn run_limit(&mut self, is_limited: bool) {
        let ports = self.ports().filter(|(_, port)| port.aggregator == self.active);
        let offered = ports
            .filter(|(_, port)| port.is_eligible() && port.partner.state.contains(StateBits::SYNC));
        let offered = offered.count() as u8;
        if is_limited {
            self.limit = offered;
        } else if offered > self.limit {
            self.limit = NO_LIMIT;
        }
    }

    /// Ports of the chosen aggregator give way to standbys on which the partner is in sync, if it is not on
    /// them, or does not collect. It is asked before that, because a LACPDU may have been lost.
    pub(super) fn run_refused(&mut self, now: Time) {
        let active = self.active.filter(|_| self.settings.max_links != 0);
        let has = |port: &Port, selected| {
            port.aggregator == active && port.selected == selected && port.is_eligible()
        };
        let refused = self.set(|port| {
            let state = port.partner.state;
            let waits = match port.mux {
                MuxState::Attached => !state.contains(StateBits::SYNC),
                MuxState::Collecting => !state.contains(StateBits::COLLECTING),
                _ => false,
            };
            has(port, Selected::Selected) && port.partner_has_our_sync && waits
        });
        let offered = self.set(|port| {
            let is_offered = port.partner.state.contains(StateBits::SYNC) && !port.is_idle;
            has(port, Selected::Standby) && is_offered
        });
        // Some have not given way yet.
        let more =
            self.set(|port| has(port, Selected::Selected)).len() > self.settings.max_links.into();
        if active.is_none() || refused.is_empty() || offered.is_empty() && !more {
            // Or all may be in service.
            self.refused = Refused::default();
        } else if self.refused.timer.deadline().is_none() {
            self.refused.timer.start(now, REFUSED.saturating_sub(ANSWER));
        } else if self.refused.timer.expires(now) {
            let is_asked = core::mem::replace(&mut self.refused.is_asked, true);
            if !is_asked {
                self.refused.timer.start(now, ANSWER);
            }
            for (_, port) in self.ports_mut().filter(|(slot, _)| refused.contains(*slot)) {
                match port.mux {
                    _ if !is_asked => port.ask(),
                    MuxState::Attached => port.is_spare = true,
                    // F-78: it would be chosen again and again
                    _ => port.is_idle = true,
                }
            }
        }
    }
}
