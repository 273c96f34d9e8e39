//! The aggregators between which there is a choice, and what speaks for each.

use super::mux::Waits;
use super::selection::{Selected, System};
use super::settings::Select;
use super::standby;
use super::time::Time;
use super::{Lacp, LagId, Memory, Port};
use crate::slots::Slot;
use crate::wire::lacpdu::StateBits;

/// An aggregator that could be in service. The least is the best. What counts is, in this order: not deaf,
/// what is set to decide, and the present partner. Between aggregators of one partner the past does not
/// count, because it differs between the ends. There the ports decide, as the system with the lower
/// identifier numbers them (5.6.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    /// Frames would probably be lost on each of its ports.
    pub is_deaf: bool,
    /// By what is set to decide.
    pub worth: [u64; 2],
    pub is_another_partner: bool,
    /// Priority and number of its best port.
    pub port: (u16, u16),
    pub partner: System,
    pub number: Slot,
    /// The partner is in sync on it, and is not deaf.
    pub is_offered: bool,
    /// The partner collects too.
    pub is_collected: bool,
    /// Until when the limit would hold up a change to this one.
    pub settles: Option<Time>,
}

/// What a look at the candidates finds.
pub(super) struct Found {
    pub best: Candidate,
    /// The best that is offered.
    pub offer: Option<Candidate>,
    /// The one in service.
    pub before: Option<Candidate>,
}

impl Port {
    /// Whether frames could be exchanged on it: it has a partner that has recorded it and has not timed
    /// out, and it has waited for others. A partner that is neither aggregatable nor in sync has sent a
    /// farewell. Or there is no partner on any port, and this one is in service without.
    pub(super) fn is_eligible(&self) -> bool {
        let has_partner = self.partner_knows_us
            && self.partner.state.intersects(StateBits::AGGREGATION | StateBits::SYNC)
            && !self.actor.state.intersects(StateBits::DEFAULTED | StateBits::EXPIRED);
        self.is_enabled()
            && self.selected != Selected::Unselected
            && self.waits == Waits::No
            && (has_partner || self.is_fallback())
    }

    /// Whether frames would probably be lost on it: its partner does not receive our LACPDUs, or did not
    /// collect.
    pub(super) fn is_deaf(&self) -> bool {
        self.is_idle || self.partner.state.contains(StateBits::EXPIRED)
    }

    /// When the partner can answer at once to a change of the aggregator in service: when the limit does
    /// not hold up an answer, and the partner has had time to wait for others too. None if it can now.
    pub(super) fn settles(&self, now: Time) -> Option<Time> {
        self.wait_while.deadline().max(self.window.settles(now))
    }
}

impl<P: Memory<Port>, A: Memory<LagId>> Lacp<P, A> {
    /// Looks at each candidate once; none if there is none. Not inlined, as [`Self::choose`].
    #[inline(never)]
    pub(super) fn survey(&self, now: Time) -> Option<Found> {
        let mut candidates = self.candidates(now);
        let found = |it: Candidate| Found {
            best: it,
            offer: Some(it).filter(|it| it.is_offered),
            before: Some(it).filter(|it| Some(it.number) == self.active),
        };
        let first = found(candidates.next()?);
        Some(candidates.fold(first, |so_far, it| {
            let it = found(it);
            let offers = so_far.offer.into_iter().chain(it.offer);
            Found {
                best: so_far.best.min(it.best),
                offer: offers.min(),
                before: so_far.before.or(it.before),
            }
        }))
    }

    pub(super) fn candidates(&self, now: Time) -> impl Iterator<Item = Candidate> {
        Slot::all().filter_map(move |number| self.candidate(number, now))
    }

    pub(super) fn candidate(&self, number: Slot, now: Time) -> Option<Candidate> {
        let partner = self.lag_id(number)?.partner;
        let lower = self.system < partner;
        let ports = self.ports().map(|(_, port)| port);
        let ports = ports.filter(|it| it.aggregator == Some(number) && it.is_eligible());
        let is_deaf = ports.clone().all(Port::is_deaf);
        let ports = ports.filter(move |port| is_deaf || !port.is_deaf());
        let named = ports.clone().map(|port| if lower { &port.actor } else { &port.partner });
        let port = named.map(|info| (info.port_priority, info.port)).min()?;
        let (count, bandwidth) = self.strength(number, partner, is_deaf, now);
        let priority = u64::from(partner.priority);
        let present = self.partner();
        let says = |state| ports.clone().any(|port| port.partner.state.contains(state));
        Some(Candidate {
            is_deaf,
            worth: match self.settings.select {
                // F-19: the partner's priority. F-21: an unknown speed is the slowest
                Select::Priority => [priority, !bandwidth],
                Select::Bandwidth => [!bandwidth, priority],
                Select::Count => [!count, !bandwidth],
            },
            is_another_partner: present.is_some_and(|present| present != partner),
            port,
            partner,
            number,
            is_offered: !is_deaf && says(StateBits::SYNC),
            is_collected: !is_deaf && says(StateBits::SYNC | StateBits::COLLECTING),
            settles: ports.clone().filter_map(|port| port.settles(now)).max(),
        })
    }

    /// The partner of the chosen aggregator.
    pub(super) fn partner(&self) -> Option<System> {
        Some(self.lag_id(self.active?)?.partner)
    }

    /// How many links of an aggregator of this partner would be in service, and their bandwidth. If it is not
    /// deaf, only links that are not count. Not inlined, as [`Self::choose`].
    #[inline(never)]
    pub(super) fn strength(
        &self,
        number: Slot,
        partner: System,
        is_deaf: bool,
        now: Time,
    ) -> (u64, u64) {
        let links = self.links(number, now);
        let counts = |port: &Port| !port.is_spare && (is_deaf || !port.is_deaf());
        let used = self.ports().filter(|(slot, port)| links.contains(*slot) && counts(port));
        // F-84: a partner that limits one aggregator limits all. What it offers of this one may be more or less.
        let limit = if self.partner() == Some(partner) { self.limit } else { standby::NO_LIMIT };
        let is_offered = |(_, port): &(Slot, &Port)| port.partner.state.contains(StateBits::SYNC);
        let limit = match used.clone().filter(is_offered).count() {
            offered if offered > 0 && limit != standby::NO_LIMIT => offered,
            _ => limit.into(),
        };
        let used = used.take(limit);
        used.fold((0, 0_u64), |(count, sum), (_, port)| (count + 1, sum.saturating_add(port.speed)))
    }

    /// The best candidate of the next partner after this one, if there is another.
    pub(super) fn next_partner(&self, partner: System, now: Time) -> Option<Candidate> {
        let others = self.candidates(now).filter(|it| it.partner != partner);
        others.min_by_key(|it| (it.partner < partner, it.partner, *it))
    }

    /// The best candidate except this one, if there is another; one that is offered comes first.
    pub(super) fn next_to(&self, number: Slot, now: Time) -> Option<Candidate> {
        let others = self.candidates(now).filter(|it| it.number != number);
        others.min_by_key(|it| (!it.is_offered, *it))
    }
}
