//! Why a port is not in service.

use super::mux::MuxState;
use super::port::Media;
use super::selection::Selected;
use super::{Lacp, LagId, Memory, Port, receive};
use crate::slots::Slot;
use crate::wire::lacpdu::StateBits;

/// Why a port is not in service. Some of this is also said of ports of other protocols.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Its link is down.
    NoLink,
    /// It is down, or its lagg is.
    Down,
    /// It gets LACPDUs with its own lagg's identifier, and no others.
    Looped,
    /// It gets no LACPDUs.
    NoPartner,
    /// The two ends have not agreed yet, on it or on those that come into service with it. Or the partner
    /// does not want to use it.
    NotInSync,
    /// The partner does not accept frames yet.
    NotCollecting,
    /// It cannot be aggregated, and another aggregator is in service.
    Individual,
    /// The aggregator in service has another partner.
    AnotherPartner,
    /// Others are in service in its place, which may change at any time.
    Standby,
    /// It has not been better, or up, for long enough.
    WaitsUpDelay,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Reason; 10] = [
        Reason::NoLink,
        Reason::Down,
        Reason::Looped,
        Reason::NoPartner,
        Reason::NotInSync,
        Reason::NotCollecting,
        Reason::Individual,
        Reason::AnotherPartner,
        Reason::Standby,
        Reason::WaitsUpDelay,
    ];

    /// The reason in words.
    pub fn text(self) -> &'static str {
        match self {
            Reason::NoLink => "no link",
            Reason::Down => "down",
            Reason::Looped => "looped",
            Reason::NoPartner => "no partner",
            Reason::NotInSync => "not in sync",
            Reason::NotCollecting => "not collecting",
            Reason::Individual => "individual",
            Reason::AnotherPartner => "another partner",
            Reason::Standby => "standby",
            Reason::WaitsUpDelay => "waits up_delay",
        }
    }
}

impl<P: Memory<Port>, A: Memory<LagId>> Lacp<P, A> {
    /// Why a port does not distribute; none if it does, or there is no such port.
    pub fn reason(&self, slot: Slot) -> Option<Reason> {
        let port = self.port(slot)?;
        match port.media {
            _ if port.mux == MuxState::Distributing => None,
            Media::Down => Some(Reason::NoLink),
            Media::Unfit => Some(Reason::Individual),
            Media::Up => Some(self.reason_up(port)),
        }
    }

    fn reason_up(&self, port: &Port) -> Reason {
        if port.receive != receive::State::Current {
            return if port.looped > 0 { Reason::Looped } else { Reason::NoPartner };
        }
        // F-80: nothing takes its place while nothing is in service
        let (true, Some(active)) = (port.is_eligible(), self.in_service()) else {
            return self.reason_of_none(port);
        };
        if self.doubts.better.is_some() && self.doubts.better == port.aggregator {
            return Reason::WaitsUpDelay;
        }
        if port.aggregator == Some(active) {
            return match port.selected {
                _ if port.is_idle => Reason::NotCollecting,
                _ if port.mux == MuxState::Collecting => self.reason_of_none(port),
                Selected::Standby => Reason::Standby,
                _ if port.is_spare => Reason::Standby,
                _ => Reason::NotInSync,
            };
        }
        let partner = |number: Option<Slot>| Some(self.lag_id(number?)?.partner);
        let both = port.actor.state & port.partner.state;
        match (partner(port.aggregator), partner(Some(active))) {
            (Some(its), Some(active)) if its != active => Reason::AnotherPartner,
            _ if !both.contains(StateBits::AGGREGATION) => Reason::Individual,
            _ => Reason::Standby,
        }
    }

    /// Why a port is not in service, though no other is in its place.
    fn reason_of_none(&self, port: &Port) -> Reason {
        let collects = port.partner.state.contains(StateBits::COLLECTING);
        match port.mux {
            MuxState::Collecting if !collects => Reason::NotCollecting,
            _ => Reason::NotInSync,
        }
    }
}
