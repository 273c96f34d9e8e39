//! The machines' results: what to send and log, which ports are in service, and when to run again.

use super::report::Report;
use super::selection::{LagId, Selected, System};
use super::time::Time;
use super::{Lacp, Memory, Port, mux};
use crate::slots::{Slot, SlotSet};
use crate::wire::lacpdu::{Info, StateBits};
use crate::wire::slow::FRAME;

impl<P: Memory<Port>, A: Memory<LagId>> Lacp<P, A> {
    /// Whether a LACPDU was not like the last one of its port, since the last call.
    pub fn take_news(&mut self) -> bool {
        core::mem::take(&mut self.is_news)
    }

    /// Whether there is a report about a port.
    pub fn has_report(&self) -> bool {
        self.ports().any(|(_, port)| port.reporter.is_due())
    }

    /// The next report about a port, and the port's slot; it counts as made.
    pub fn poll_report(&mut self) -> Option<(Slot, Report)> {
        let (slot, report) =
            self.ports_mut().find_map(|(slot, port)| Some((slot, port.reporter.poll()?)))?;
        let is_standby = report == Report::NotInSync && self.is_active(slot);
        Some((slot, if is_standby { Report::Standby } else { report }))
    }

    /// The next frame that is due now, and the slot of the port that sends it; it counts as sent. None if
    /// nothing is due.
    pub fn poll_transmit(&mut self, now: Time) -> Option<(Slot, [u8; FRAME])> {
        self.poll_transmit_on(Slot::all().collect(), now)
    }

    /// The same for these ports.
    pub fn poll_transmit_on(&mut self, on: SlotSet, now: Time) -> Option<(Slot, [u8; FRAME])> {
        let txtest = self.options.txtest;
        for (slot, port) in self.ports_mut().filter(|(slot, _)| on.contains(*slot)) {
            while let Some(pdu) = port.poll_pdu(now) {
                if !txtest {
                    port.statistics.pdus_out = port.statistics.pdus_out.saturating_add(1);
                    return Some((slot, pdu.emit(port.source)));
                }
            }
        }
        None
    }

    /// A LACPDU was not sent after all: it is tried again after a pause, which grows.
    pub fn transmit_failed(&mut self, slot: Slot, now: Time) {
        if let Some(port) = self.port_mut(slot) {
            port.transmit_failed(now);
            port.statistics.pdus_out = port.statistics.pdus_out.saturating_sub(1);
        }
    }

    /// When [`Lacp::run`] and the polls have something to do again, if nothing happens before.
    pub fn deadline(&self, now: Time) -> Option<Time> {
        let ports = self.ports().filter_map(|(_, port)| port.deadline(now));
        let fallback = self.fallback_begins().filter(|&at| now < at || self.falls_back(now));
        let timers =
            [self.gathering.deadline(), self.refused.timer.deadline(), self.doubts.deadline()];
        ports.chain(timers.into_iter().flatten()).chain(fallback).min()
    }

    /// The last moment up to `now` at which nothing is due. [`Lacp::run`] then does what follows from events
    /// alone.
    pub fn before_due(&self, now: Time) -> Time {
        self.deadline(now).map_or(now, |due| now.min(due.just_before()))
    }

    /// The ports that wait for a marker's response.
    pub fn waiting(&self) -> SlotSet {
        self.set(|port| port.marker.is_waiting())
    }

    /// The ports from which frames are accepted: those that report COLLECTING, and standbys on which their
    /// partner still sends.
    pub fn collecting(&self) -> SlotSet {
        self.set(|port| port.actor.state.contains(StateBits::COLLECTING) || self.drains(port))
    }

    /// The ports on which frames are sent, which report DISTRIBUTING.
    pub fn distributing(&self) -> SlotSet {
        self.set(|port| port.actor.state.contains(StateBits::DISTRIBUTING))
    }

    /// Bits per second of the active aggregator.
    pub fn bandwidth(&self) -> u64 {
        let ports = self.ports().filter(|(_, port)| port.mux == mux::MuxState::Distributing);
        ports.fold(0, |sum, (_, port)| sum.saturating_add(port.speed))
    }

    /// How often a port has left DISTRIBUTING.
    pub fn flapping(&self) -> u32 {
        self.flapping
    }

    /// The aggregator that is chosen, once frames are sent on it.
    pub(super) fn in_service(&self) -> Option<Slot> {
        self.active.filter(|_| !self.distributing().is_empty())
    }

    /// Whether a port of the chosen aggregator is about to take over, of which only so many may be in service.
    pub fn takes_over(&self) -> bool {
        let comes = |port: &Port| {
            let is_coming = matches!(port.mux, mux::MuxState::Attached | mux::MuxState::Collecting);
            port.aggregator == self.active && port.selected == Selected::Selected && is_coming
        };
        self.settings.max_links != 0 && self.ports().any(|(_, port)| comes(port))
    }

    /// The number of the aggregator that is chosen.
    pub fn chosen(&self) -> Option<Slot> {
        self.active
    }

    /// The aggregator on whose ports frames are sent.
    pub fn sends_to(&self) -> Option<LagId> {
        let slot = self.distributing().iter().next()?;
        self.lag_id(self.port(slot)?.aggregator?)
    }

    /// Actor and partner of the active aggregator, if there is one.
    pub fn active_aggregator(&self) -> Option<(Info, Info)> {
        let id = self.lag_id(self.in_service()?)?;
        let System { priority, address } = self.system;
        let own = Info { system_priority: priority, system: address, ..Info::default() };
        Some(id.infos(&own))
    }

    /// The number of the active aggregator, if there is one.
    pub fn active(&self) -> Option<Slot> {
        self.in_service()
    }

    /// Whether a port's aggregator is the active one.
    pub fn is_active(&self, slot: Slot) -> bool {
        let active = self.in_service();
        active.is_some() && self.port(slot).is_some_and(|port| port.aggregator == active)
    }
}
