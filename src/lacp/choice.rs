//! The choice of the aggregator in service. A lagg has one MAC client, so one of its aggregators is chosen,
//! and ports of the others are STANDBY (802.1AX-2008 5.4.8): they wait, and their partners are told that
//! they are not in sync.
//!
//! Both systems must choose the same aggregator, each from what it sees. The order of `Candidate` uses only
//! what both see. If they still differ, because they do not know the same speeds or the partner has its own
//! rules, SYNC decides. The system with the higher identifier follows the other at once. The lower one
//! leads, and follows only a partner that does not follow.

use super::selection::{LagId, Selected, System};
use super::settings::Select;
use super::standby;
use super::time::{Time, Timer};
use super::{Lacp, Memory, Port};
use crate::slots::Slot;
use crate::wire::lacpdu::StateBits;

/// Milliseconds after which the lower system follows a partner that is in sync only on another aggregator.
/// A partner that will follow needs less, even if its ports wait for others. Also the time after which a
/// partner that is in sync and does not collect is given up for another aggregator.
pub const FOLLOW: u32 = 5_000;

/// Milliseconds after which a partner is given up for another that is in sync. The limit can hold up its
/// answer for a second. Twice as long if the other system is the higher one, so that of systems in a ring
/// the lower one stays.
pub const ANSWER: u32 = 1_500;

/// An aggregator that could be in service. The least is the best. What counts is, in this order: not deaf,
/// what is set to decide, and the present partner. Between aggregators of one partner the past does not
/// count, because it differs between the ends. There the ports decide, as the system with the lower
/// identifier numbers them (5.6.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// Frames would probably be lost on each of its ports.
    is_deaf: bool,
    /// By what is set to decide.
    worth: [u64; 2],
    is_another_partner: bool,
    /// Priority and number of its best port.
    port: (u16, u16),
    partner: System,
    number: Slot,
    /// The partner is in sync on it, and is not deaf.
    is_offered: bool,
    /// The partner collects too.
    is_collected: bool,
    /// Until when the limit would hold up a change to this one.
    settles: Option<Time>,
}

/// Why the chosen aggregator may not be the right one: its partner is not in sync on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// But it is on another aggregator: it may choose by its own rules.
    Leads,
    /// But another partner is, which is a lower system than ours. Or this one is elsewhere, and was just
    /// followed.
    Lower,
    /// But another partner is, which is a higher system than ours.
    Higher,
    /// No other partner is in sync either. Each may have chosen another system.
    Nobody,
    /// It is in sync, but does not collect.
    Idle,
}

/// What to do about a doubt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Wait,
    /// Ask the partner for a LACPDU, and send it one.
    Ask,
    /// The doubt has lasted as long as it may.
    GiveUp,
}

/// The doubt about the chosen aggregator, if there is one, and until when it lasts.
#[derive(Default)]
pub(super) struct Doubts {
    of: Option<(Slot, Doubt)>,
    timer: Timer,
    /// For how long after its partner was asked, because a LACPDU may be lost.
    rest: u32,
    /// Whether its partner should answer soon, because another of its aggregators could have been in
    /// service, or because it is known to choose by its own rules.
    soon: bool,
    /// Until when a lower system is not followed at once again. Two systems that follow each other would
    /// never meet.
    followed: Timer,
    /// When to change to a better aggregator of the same partner, or to better ports.
    settles: Option<Time>,
    /// The better aggregator, and until when it must be better before it takes over.
    pub better: Option<Slot>,
    delay: Timer,
    /// How often another partner was tried. Each time takes twice as long, so that systems that try each
    /// other in turn come to rest.
    pub tries: u8,
}

impl Doubts {
    fn end(&mut self) {
        (self.of, self.soon) = (None, false);
        self.timer.stop();
    }

    /// What to do while this aggregator is doubted.
    fn step(&mut self, number: Slot, doubt: Doubt, now: Time) -> Step {
        if self.of != Some((number, doubt)) {
            self.of = Some((number, doubt));
            let ms = match doubt {
                Doubt::Leads if self.soon => ANSWER,
                Doubt::Leads => FOLLOW,
                Doubt::Lower => ANSWER,
                Doubt::Higher => 2 * ANSWER,
                Doubt::Nobody | Doubt::Idle => {
                    FOLLOW.saturating_mul(2_u32.saturating_pow(self.tries.into()))
                }
            };
            // F-71: so that one lost LACPDU does not decide
            self.rest = if ms < FOLLOW { 0 } else { ms.saturating_sub(ANSWER) };
            self.timer.start(now, ms.saturating_sub(self.rest));
        }
        if !self.timer.expires(now) {
            return Step::Wait;
        }
        match core::mem::take(&mut self.rest) {
            0 => Step::GiveUp,
            rest => {
                self.timer.start(now, rest);
                Step::Ask
            }
        }
    }

    /// Whether a lower system is followed at once.
    fn follows(&mut self, now: Time) -> bool {
        let follows = self.followed.deadline().is_none_or(|end| now >= end);
        if follows {
            self.followed.start(now, FOLLOW);
        }
        follows
    }

    /// Whether this aggregator, which is better than the one in service, takes over now. None is better if
    /// there is no number.
    fn takes_over(&mut self, number: Option<Slot>, up_delay: u32, now: Time) -> bool {
        if self.better != number {
            self.better = number;
            self.delay.stop();
            if number.is_some() && up_delay > 0 {
                self.delay.start(now, up_delay);
            }
        }
        // The delay may have been made shorter.
        if self.delay.deadline().is_some_and(|end| end > now.after(up_delay)) {
            self.delay.start(now, up_delay);
        }
        self.delay.expires(now) || self.delay.deadline().is_none()
    }

    pub fn deadline(&self) -> Option<Time> {
        let timers = [self.timer.deadline(), self.delay.deadline(), self.settles];
        timers.into_iter().flatten().min()
    }
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
            && self.ready
            && (has_partner || self.is_fallback())
    }

    /// Whether frames would probably be lost on it: its partner does not receive our LACPDUs, or did not
    /// collect.
    fn is_deaf(&self) -> bool {
        self.is_idle || self.partner.state.contains(StateBits::EXPIRED)
    }

    /// When the partner can answer at once to a change of the aggregator in service: when the limit does
    /// not hold up an answer, and the partner has had time to wait for others too. None if it can now.
    fn settles(&self, now: Time) -> Option<Time> {
        self.wait_while.deadline().max(self.window.settles(now))
    }
}

impl<P: Memory<Port>, A: Memory<LagId>> Lacp<P, A> {
    /// Chooses an aggregator; the ports of all others stand by.
    pub(super) fn run_choice(&mut self, now: Time) {
        self.run_refused(now);
        // If there is no candidate, nothing changes, so ports find their aggregator again when they are
        // back. F-53: both ends make the same choice
        let before = self.partner();
        match self.candidates(now).min() {
            Some(best) => self.active = Some(self.choose(best, now)),
            None => self.doubts = Doubts { tries: self.doubts.tries, ..Doubts::default() },
        }
        if self.partner() != before {
            self.limit = standby::NO_LIMIT;
        }
        let active = self.active;
        let limit = active.filter(|_| self.settings.max_links != 0);
        let links = limit.map(|active| self.links(active, now));
        let its = self.ports().filter(|(_, port)| limit.is_some() && port.aggregator == limit);
        let settles = its.filter_map(|(_, port)| port.window.settles(now)).max();
        self.doubts.settles = self.doubts.settles.into_iter().chain(settles).min();
        for (slot, port) in self.ports_mut() {
            if port.selected != Selected::Unselected {
                let is_active = active.is_some() && port.aggregator == active;
                let is_used = is_active && links.is_none_or(|links| links.contains(slot));
                // F-54: their partners are told
                port.selected = if is_used { Selected::Selected } else { Selected::Standby };
            }
        }
    }

    /// The aggregator to be in service, if this is the best by the order. Not inlined, because its
    /// candidates would take kernel stack while everything else runs.
    #[inline(never)]
    fn choose(&mut self, best: Candidate, now: Time) -> Slot {
        let offer = self.candidates(now).filter(|it| it.is_offered).min();
        let before = self.active.and_then(|number| self.candidate(number, now));
        let chosen = match before {
            // An aggregator that is offered can be in service at once.
            None => offer.unwrap_or(best),
            // Never leave service for an aggregator that may not come into service.
            Some(chosen) => {
                offer.filter(|offer| chosen.is_offered || *offer == best).unwrap_or(chosen)
            }
        };
        // Except for the lower system, whose partner follows: it changes as soon as nothing holds that up.
        let leads = self.system < chosen.partner && !self.is_led_by(chosen.partner);
        let its = self.candidates(now).filter(|it| it.partner == chosen.partner).min();
        let its = its.filter(|_| leads || !chosen.is_offered).unwrap_or(chosen);
        self.doubts.settles = its.settles.filter(|_| chosen.is_offered && its != chosen);
        let chosen = if self.doubts.settles.is_some() { chosen } else { its };
        let present = before.filter(|it| it.is_collected && it.number != chosen.number);
        let better = present.map(|_| chosen.number);
        let takes_over = self.doubts.takes_over(better, self.settings.up_delay, now);
        let chosen = present.filter(|_| !takes_over).unwrap_or(chosen);
        self.doubts.soon |= self.is_led_by(chosen.partner)
            || before.is_some_and(|it| it.is_offered && it.number != chosen.number);
        let (doubt, instead) = match offer {
            _ if chosen.is_collected => (None, None),
            // Another of its ports stands in.
            _ if chosen.is_offered && self.refused.timer.deadline().is_some() => (None, None),
            _ if chosen.is_offered => (Some(Doubt::Idle), self.next_to(chosen.number, now)),
            Some(offer) if offer.partner == chosen.partner => {
                match offer.partner < self.system {
                    true if self.doubts.follows(now) => return self.settled(offer.number),
                    // F-73: the partner may have changed to where we were
                    true => (Some(Doubt::Lower), Some(offer)),
                    false => (Some(Doubt::Leads), Some(offer)),
                }
            }
            Some(offer) if offer.partner < self.system => (Some(Doubt::Lower), Some(offer)),
            Some(offer) => (Some(Doubt::Higher), Some(offer)),
            None => {
                let other = self.next_partner(chosen.partner, now);
                (Some(Doubt::Nobody), other.or(Some(chosen).filter(|_| self.has_idle())))
            }
        };
        let (Some(doubt), Some(instead)) = (doubt, instead) else {
            return self.settled(chosen.number);
        };
        match self.doubts.step(chosen.number, doubt, now) {
            Step::Wait => return chosen.number,
            Step::Ask => {
                let its = |port: &&mut Port| port.aggregator == Some(chosen.number);
                self.ports.iter_mut().flatten().filter(its).for_each(Port::ask);
                return chosen.number;
            }
            Step::GiveUp => {}
        }
        match doubt {
            Doubt::Leads => {
                let its = |port: &&mut Port| System::of(&port.partner) == instead.partner;
                self.ports.iter_mut().flatten().filter(its).for_each(|port| port.is_led = true);
            }
            Doubt::Lower | Doubt::Higher => {}
            Doubt::Nobody => {
                self.doubts.tries = self.doubts.tries.saturating_add(1);
                // F-72: nothing else is in sync, so its partner may want only what was given up
                self.ports_mut().for_each(|(_, port)| port.is_idle = false);
                let its = self.candidates(now).filter(|it| it.partner == instead.partner);
                let offer = its.filter(|it| it.is_offered).min().unwrap_or(instead);
                return self.settled(offer.number);
            }
            Doubt::Idle => {
                self.doubts.tries = self.doubts.tries.saturating_add(1);
                // If all are idle, they are tried in turn.
                for (_, port) in self.ports_mut() {
                    port.is_idle =
                        port.aggregator == Some(chosen.number) || port.is_idle && !instead.is_deaf;
                }
            }
        }
        self.settled(instead.number)
    }

    /// Ends the doubt: this aggregator is right.
    fn settled(&mut self, number: Slot) -> Slot {
        self.doubts.end();
        number
    }

    fn candidates(&self, now: Time) -> impl Iterator<Item = Candidate> {
        Slot::all().filter_map(move |number| self.candidate(number, now))
    }

    fn candidate(&self, number: Slot, now: Time) -> Option<Candidate> {
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
    fn partner(&self) -> Option<System> {
        Some(self.lag_id(self.active?)?.partner)
    }

    /// How many links of an aggregator of this partner would be in service, and their bandwidth. If it is not
    /// deaf, only links that are not count. Not inlined, as [`Self::choose`].
    #[inline(never)]
    fn strength(&self, number: Slot, partner: System, is_deaf: bool, now: Time) -> (u64, u64) {
        let links = self.links(number, now);
        let counts = |port: &Port| !port.is_spare && (is_deaf || !port.is_deaf());
        let used = self.ports().filter(|(slot, port)| links.contains(*slot) && counts(port));
        // F-84: a partner that limits one aggregator limits all
        let limit = if self.partner() == Some(partner) { self.limit } else { standby::NO_LIMIT };
        let used = used.take(limit.into());
        used.fold((0, 0_u64), |(count, sum), (_, port)| (count + 1, sum.saturating_add(port.speed)))
    }

    /// The best candidate of the next partner after this one, if there is another.
    fn next_partner(&self, partner: System, now: Time) -> Option<Candidate> {
        let others = self.candidates(now).filter(|it| it.partner != partner);
        others.min_by_key(|it| (it.partner < partner, it.partner, *it))
    }

    /// The best candidate except this one, if there is another; one that is offered comes first.
    fn next_to(&self, number: Slot, now: Time) -> Option<Candidate> {
        let others = self.candidates(now).filter(|it| it.number != number);
        others.min_by_key(|it| (!it.is_offered, *it))
    }

    /// Whether a port was given up because its partner did not collect.
    fn has_idle(&self) -> bool {
        self.ports().any(|(_, port)| port.is_idle)
    }

    /// Whether the partner has not followed us. That is remembered as long as a port has this partner.
    fn is_led_by(&self, partner: System) -> bool {
        self.ports().any(|(_, port)| port.is_led && System::of(&port.partner) == partner)
    }
}
