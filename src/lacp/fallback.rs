//! The port that is in service without a partner, if there is none on any port: for a system at the other end
//! that does not speak LACP, or not yet.
//!
//! It is an individual link. Its administrative partner (802.1AX-2008 5.4.7) is in sync and collects. As
//! only one port is in service, there is neither a loop nor a duplicate, whatever the other end does.

use super::receive::{self, State};
use super::time::Time;
use super::{Lacp, LagId, Memory, Port, Selected};
use crate::slots::Slot;
use crate::wire::MacAddr;
use crate::wire::lacpdu::StateBits;

impl<P: Memory<Port>, A: Memory<LagId>> Lacp<P, A> {
    /// Puts the best port in service, or takes it out of service.
    pub(super) fn run_fallback(&mut self, now: Time) {
        let (chosen, strict) = (self.fallback(now), self.options.strict);
        if chosen.is_some() && !self.speaks_up {
            self.speak_up(true);
        }
        for (slot, port) in self.ports_mut() {
            let is_chosen = chosen == Some(slot);
            if is_chosen != port.is_fallback() && port.receive == State::Defaulted {
                port.selected = Selected::Unselected;
                port.record_default(strict);
                if is_chosen {
                    port.partner.state -= StateBits::AGGREGATION;
                    port.partner.state |=
                        StateBits::SYNC | StateBits::COLLECTING | StateBits::DISTRIBUTING;
                }
            }
        }
    }

    /// A passive system speaks from now on, or no longer. If the other end is passive too, it would never be
    /// heard, and might have another port in service without a partner (F-81).
    pub(super) fn speak_up(&mut self, speaks_up: bool) {
        self.speaks_up = speaks_up;
        let active = self.is_active_system();
        self.ports_mut().for_each(|(_, port)| port.set_activity(active));
    }

    /// Whether LACPDUs are sent unasked.
    pub(super) fn is_active_system(&self) -> bool {
        self.settings.active || self.speaks_up
    }

    /// Whether a port is to be in service without a partner, and none is yet.
    pub(super) fn falls_back(&self, now: Time) -> bool {
        !self.ports().any(|(_, port)| port.is_fallback()) && self.fallback(now).is_some()
    }

    /// The port to be in service without a partner.
    fn fallback(&self, now: Time) -> Option<Slot> {
        let is_current = |(_, port): (Slot, &Port)| port.receive == State::Current;
        if self.fallback_begins().is_none_or(|at| now < at) || self.ports().any(is_current) {
            return None;
        }
        let ports = self.ports().filter(|(_, port)| port.receive == State::Defaulted);
        let best = ports.min_by_key(|(slot, port)| {
            let (priority, number) = (port.actor.port_priority, port.actor.port);
            (self.settings.reselect.order(priority, number, !port.is_fallback()), *slot)
        });
        best.map(|(slot, _)| slot)
    }

    /// The source of a port's LACPDUs, in a lagg with this address. A switch without LACP learns addresses from
    /// them. So while a port is in service without a partner, it alone has the lagg's address, and the port
    /// whose own that is has its address.
    pub fn source(&self, slot: Slot, lagg: MacAddr) -> Option<MacAddr> {
        let own = self.port(slot)?.source;
        let Some((chosen, port)) = self.ports().find(|(_, port)| port.is_fallback()) else {
            return Some(own);
        };
        let is_swapped = port.source != lagg && self.ports().any(|(_, port)| port.source == lagg);
        // F-79: the lagg gets what is sent to its address
        Some(match own {
            _ if !is_swapped => own,
            _ if slot == chosen => lagg,
            own if own == lagg => port.source,
            own => own,
        })
    }

    /// When a port may be in service without a partner, unless a LACPDU is received before.
    pub(super) fn fallback_begins(&self) -> Option<Time> {
        let heard = self.heard.filter(|_| self.settings.fallback)?;
        Some(heard.after(1_000 * u32::from(self.settings.fallback_delay)))
    }
}

impl Port {
    /// Whether it is in service, or comes into service, without a partner.
    pub(super) fn is_fallback(&self) -> bool {
        self.receive == receive::State::Defaulted
            && self.partner.state & (StateBits::SYNC | StateBits::AGGREGATION) == StateBits::SYNC
    }
}
