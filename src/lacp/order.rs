//! Markers and farewells, which must be sent after the packets in flight. They are numbered, and so it is
//! known which of them a plan is older than.

use core::num::NonZeroU16;

use super::marker::Responder;
use super::{Lacp, LagId, Link, Memory, Port, Time};
use crate::slots::{Slot, SlotSet};
use crate::wire::marker::Marker;
use crate::wire::slow::FRAME;

/// The number of a marker or farewell. The numbers of one [`super::Lacp`] increase and wrap. Far fewer than
/// half of them are due at once. 16 bits, because each port stores two, and has no room for more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order(NonZeroU16);

impl Order {
    /// The first.
    pub(super) const FIRST: Self = Order(NonZeroU16::MIN);

    /// The next one.
    pub(super) fn next(self) -> Self {
        Order(self.0.checked_add(1).unwrap_or(NonZeroU16::MIN))
    }

    /// The number as a marker's transaction.
    pub(super) fn number(self) -> u32 {
        self.0.get().into()
    }

    /// Whether it was ordered no later than `last`.
    pub(super) fn is_by(self, last: Order) -> bool {
        last.0.get().wrapping_sub(self.0.get()) <= u16::MAX / 2
    }
}

impl<P: Memory<Port>, A: Memory<LagId>> Lacp<P, A> {
    /// Orders markers to the partners of these ports, which confirm that they have received all frames.
    /// Returns the ports for which flows wait.
    pub fn ask_markers(&mut self, slots: SlotSet, now: Time) -> SlotSet {
        let mut waiting = SlotSet::EMPTY;
        self.last_order = self.last_order.next();
        let (order, timeout) = (self.last_order, self.settings.marker_timeout);
        for slot in slots.iter() {
            let silent = self.is_silent(slot);
            if let Some(port) = self.port_mut(slot)
                && port.ask_marker((silent, timeout), order, now)
            {
                waiting.insert(slot);
            }
        }
        waiting
    }

    /// Whether this partner has let a marker time out, and has never answered one, on any port.
    fn is_silent(&self, slot: Slot) -> bool {
        let Some(system) = self.port(slot).map(|port| port.partner.system) else { return false };
        let ports = self.ports().filter(|(_, port)| port.partner.system == system);
        let mut responders = ports.map(|(_, port)| port.marker.responder);
        responders.clone().any(|responder| responder == Responder::Silent)
            && responders.all(|responder| responder != Responder::Answers)
    }

    /// The last marker or farewell that was ordered.
    pub fn last_order(&self) -> Order {
        self.last_order
    }

    /// The next marker that is due and was ordered by `last`, and the slot of its port; it counts as sent.
    /// Send it when no packet of a plan before that order is in flight any more.
    pub fn poll_marker(&mut self, last: Order) -> Option<(Slot, [u8; FRAME])> {
        self.ports_mut().find_map(|(slot, port)| {
            let marker: Marker = port.poll_marker(last)?;
            port.statistics.markers_out = port.statistics.markers_out.saturating_add(1);
            Some((slot, marker.emit(port.source)))
        })
    }

    /// A marker was not sent after all: no flow waits for its response.
    pub fn marker_failed(&mut self, slot: Slot) {
        if let Some(port) = self.port_mut(slot) {
            port.marker.failed();
            port.statistics.markers_out = port.statistics.markers_out.saturating_sub(1);
        }
    }

    /// Whether a marker is due that was ordered by `last`.
    pub fn has_marker(&self, last: Order) -> bool {
        self.ports().any(|(_, port)| port.marker.is_due(last))
    }

    /// An administrator takes a port down. Its link may stay up, so its partner is told
    /// ([`Lacp::poll_farewell`]): otherwise it would go on sending for up to 90 s (F-60).
    pub fn take_down(&mut self, slot: Slot, now: Time) {
        self.order_farewell(slot);
        self.set_link(slot, Link::Down, now);
    }

    /// Orders the farewell of a port that LACP no longer uses, if it has a partner.
    pub(super) fn order_farewell(&mut self, slot: Slot) {
        let order = self.last_order.next();
        let Some(port) = self.port_mut(slot) else { return };
        if let Some(partner) = port.hearer().filter(|_| port.farewell.is_none()) {
            port.farewell = Some((partner, order));
            self.last_order = order;
        }
    }

    /// The next farewell that was ordered by `last`, as in [`Lacp::remove`], and the slot of its port; it
    /// counts as sent. Send it when no packet of a plan before that order is in flight any more.
    pub fn poll_farewell(&mut self, last: Order) -> Option<(Slot, [u8; FRAME])> {
        let txtest = self.options.txtest;
        self.ports_mut().find_map(|(slot, port)| {
            let farewell = port.farewell.take_if(|(_, order)| order.is_by(last));
            let (partner, _) = farewell.filter(|_| !txtest)?;
            // F-86: it is a LACPDU like others
            port.statistics.pdus_out = port.statistics.pdus_out.saturating_add(1);
            Some((slot, port.last_words(partner).emit(port.source)))
        })
    }

    /// A farewell was not sent after all. The partner will time out.
    pub fn farewell_failed(&mut self, slot: Slot) {
        if let Some(port) = self.port_mut(slot) {
            port.statistics.pdus_out = port.statistics.pdus_out.saturating_sub(1);
        }
    }

    /// Whether a farewell is due that was ordered by `last`.
    pub fn has_farewell(&self, last: Order) -> bool {
        self.ports().any(|(_, port)| port.farewell.is_some_and(|(_, order)| order.is_by(last)))
    }
}

#[cfg(test)]
mod tests {
    use super::{NonZeroU16, Order};

    #[test]
    fn the_first_comes_after_the_last() {
        let last = Order(NonZeroU16::MAX);
        let first = last.next();
        assert_eq!(first, Order::FIRST);
        assert!(last.is_by(first) && first.is_by(first) && !first.is_by(last));
    }
}
