//! The choice of the aggregator in service. A lagg has one MAC client, so one of its aggregators is chosen,
//! and ports of the others are STANDBY (802.1AX-2008 5.4.8): they wait, and their partners are told that
//! they are not in sync.
//!
//! Two systems have to choose the same aggregator, each from what it sees. First decides what both
//! see, by the order of `Candidate`. Where that leaves them apart, because they do not know the
//! same speeds or the partner has rules of its own, what the partner does decides: where it is in
//! sync. The system of the higher identifier follows at once; the lower one takes the initiative, and
//! follows only a partner that does not.

use core::cmp::Reverse;

use super::selection::{LagId, Selected, System};
use super::time::{Time, Timer};
use super::{Lacp, Memory, Port, mux};
use crate::slots::Slot;
use crate::wire::lacpdu::StateBits;

/// Milliseconds that the ports of an aggregator have to distribute together, from the first on: flows that
/// begin on that one would have to move, and to wait, with each of the others.
pub const GATHERING: u32 = 100;

/// Milliseconds after which the lower system follows a partner that is in sync on another aggregator only:
/// more than one needs that is to follow, if its ports have to wait for others. And after which one that is
/// in sync and does not collect is given up for another aggregator.
pub const FOLLOW: u32 = 5_000;

/// Milliseconds after which a partner is given up for another that is in sync: the limit can hold up its
/// answer for a second. Twice as many if the other is the higher system: of systems that offer
/// themselves in a ring the lower one stays.
pub const ANSWER: u32 = 1_500;

/// An aggregator that could be in service. The least is the best: one that is not deaf, that of the partner with the best priority (F-19), then the fastest, where one of unknown speed will do if there is no other
/// (F-21). Then it stays with the partner that it is with; between aggregators of one partner nothing
/// past counts, because that is not the same for both ends. There the ports decide, as the system
/// of the lower identifier numbers them (5.6.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// Frames would be lost, as it seems, on each of its ports.
    is_deaf: bool,
    partner_priority: u16,
    bandwidth: Reverse<u64>,
    is_another_partner: bool,
    /// Priority and number of its best port.
    port: (u16, u16),
    partner: System,
    number: Slot,
    /// The partner is in sync on it, and is not deaf.
    is_offered: bool,
    /// And collects.
    is_collected: bool,
    /// Until when the limit would hold up a change to it.
    settles: Option<Time>,
}

/// Why the chosen aggregator may not be the right one: its partner is not in sync on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// But on another: it may be one that chooses by itself.
    Leads,
    /// But another partner is, which is a lower system than ours. Or this one is elsewhere, and was followed just
    /// now.
    Lower,
    /// But another partner is, which is a higher system than ours.
    Higher,
    /// Nor is any other partner; each may have chosen another system.
    Nobody,
    /// It is in sync, and does not collect.
    Idle,
}

/// What is to be done about a doubt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Wait,
    /// The partner is to say again what it is, and hears again what we are.
    Ask,
    /// It was doubted for as long as it may be.
    GiveUp,
}

/// What the chosen aggregator is doubted for, if it is, and until when.
#[derive(Default)]
pub(super) struct Doubts {
    of: Option<(Slot, Doubt)>,
    timer: Timer,
    /// For how long once its partner was asked: a LACPDU may be lost.
    rest: u32,
    /// Its partner should answer soon: it could have been in service, and was left for the chosen one, or
    /// it is known to choose by itself.
    soon: bool,
    /// Until when a lower system is not followed at once again: two that follow each other would never meet.
    followed: Timer,
    /// When there will be a change to a better one of the same partner.
    settles: Option<Time>,
    /// How often another partner was tried: after twice as long each time, so that systems that would try each
    /// other in turn come to rest.
    pub tries: u8,
}

impl Doubts {
    fn end(&mut self) {
        (self.of, self.soon) = (None, false);
        self.timer.stop();
    }

    /// What is to be done while this is doubted.
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
            // F-71: no LACPDU that is lost decides
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

    pub fn deadline(&self) -> Option<Time> {
        self.timer.deadline().into_iter().chain(self.settles).min()
    }
}

impl Port {
    /// Whether frames could be exchanged on it: it has a partner that knows it, and is not missed, and has
    /// waited for others. A partner that is neither to be aggregated nor in sync has said farewell.
    pub(super) fn is_eligible(&self) -> bool {
        self.is_enabled()
            && self.selected != Selected::Unselected
            && self.ready
            && self.partner_knows_us
            && self.partner.state.intersects(StateBits::AGGREGATION | StateBits::SYNC)
            && !self.actor.state.intersects(StateBits::DEFAULTED | StateBits::EXPIRED)
    }

    /// Whether frames would be lost on it, as it seems: its partner does not hear us, or did not come to
    /// collect.
    fn is_deaf(&self) -> bool {
        self.is_idle || self.partner.state.contains(StateBits::EXPIRED)
    }

    /// When the partner can answer at once to a change that takes what is in service out of it: the limit
    /// does not hold up an answer, and the partner has had time to wait for others as well. None: now.
    fn settles(&self, now: Time) -> Option<Time> {
        self.wait_while.deadline().max(self.window.settles(now))
    }
}

impl<P: Memory<Port>, A: Memory<LagId>> Lacp<P, A> {
    /// Chooses an aggregator, and has the ports of all others stand by.
    pub(super) fn run_choice(&mut self, now: Time) {
        // Where none could take over the ports find their aggregator as it was when they are back.
        // F-53: both ends make the same choice
        match self.candidates(now).min() {
            Some(best) => self.active = Some(self.choose(best, now)),
            None => self.doubts = Doubts { tries: self.doubts.tries, ..Doubts::default() },
        }
        let active = self.active;
        for (_, port) in self.ports_mut() {
            if port.selected != Selected::Unselected {
                let is_active = active.is_some() && port.aggregator == active;
                // F-54: their partners are told
                port.selected = if is_active { Selected::Selected } else { Selected::Standby };
            }
        }
    }

    /// The aggregator to be in service, if the best by the order is this. Not inline: its candidates would be
    /// on the stack, of which a kernel has little, while all else runs.
    #[inline(never)]
    fn choose(&mut self, best: Candidate, now: Time) -> Slot {
        let offer = self.candidates(now).filter(|it| it.is_offered).min();
        let before = self.active.and_then(|number| self.candidate(number, now));
        let chosen = match before {
            // What is offered can be in service at once.
            None => offer.unwrap_or(best),
            // Never out of service for one that may not come into it.
            Some(chosen) => {
                offer.filter(|offer| chosen.is_offered || *offer == best).unwrap_or(chosen)
            }
        };
        // But for the lower system, whose partner follows: as soon as nothing holds that up.
        let leads = self.system < chosen.partner && !self.is_led_by(chosen.partner);
        let its = self.candidates(now).filter(|it| it.partner == chosen.partner).min();
        let its = its.filter(|_| leads || !chosen.is_offered).unwrap_or(chosen);
        self.doubts.settles = its.settles.filter(|_| chosen.is_offered && its != chosen);
        let chosen = if self.doubts.settles.is_some() { chosen } else { its };
        self.doubts.soon |= self.is_led_by(chosen.partner)
            || before.is_some_and(|it| it.is_offered && it.number != chosen.number);
        let (doubt, instead) = match offer {
            _ if chosen.is_collected => (None, None),
            _ if chosen.is_offered => (Some(Doubt::Idle), self.next_to(chosen.number, now)),
            Some(offer) if offer.partner == chosen.partner => {
                match offer.partner < self.system {
                    true if self.doubts.follows(now) => return self.settled(offer.number),
                    // F-73: it may have come to where we were
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
                // F-72: nothing else is in sync, so what was given up may be all that its partner wants
                self.ports_mut().for_each(|(_, port)| port.is_idle = false);
                let its = self.candidates(now).filter(|it| it.partner == instead.partner);
                let offer = its.filter(|it| it.is_offered).min().unwrap_or(instead);
                return self.settled(offer.number);
            }
            Doubt::Idle => {
                self.doubts.tries = self.doubts.tries.saturating_add(1);
                // If all are, they are tried in turn.
                for (_, port) in self.ports_mut() {
                    port.is_idle =
                        port.aggregator == Some(chosen.number) || port.is_idle && !instead.is_deaf;
                }
            }
        }
        self.settled(instead.number)
    }

    /// This one is not doubted.
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
        let used = ports.clone().filter(|port| !port.is_spare);
        let bandwidth = used.fold(0_u64, |sum, port| sum.saturating_add(port.speed));
        let present = self.active.and_then(|number| self.lag_id(number)).map(|id| id.partner);
        let says = |state| ports.clone().any(|port| port.partner.state.contains(state));
        Some(Candidate {
            is_deaf,
            partner_priority: partner.priority,
            bandwidth: Reverse(bandwidth),
            is_another_partner: present.is_some_and(|present| present != partner),
            port: named.map(|info| (info.port_priority, info.port)).min()?,
            partner,
            number,
            is_offered: !is_deaf && says(StateBits::SYNC),
            is_collected: !is_deaf && says(StateBits::SYNC | StateBits::COLLECTING),
            settles: ports.clone().filter_map(|port| port.settles(now)).max(),
        })
    }

    /// The best candidate of the partner that is next to this one, if there is another.
    fn next_partner(&self, partner: System, now: Time) -> Option<Candidate> {
        let others = self.candidates(now).filter(|it| it.partner != partner);
        others.min_by_key(|it| (it.partner < partner, it.partner, *it))
    }

    /// The best candidate but for this one, if there is another: one that is offered, if there is.
    fn next_to(&self, number: Slot, now: Time) -> Option<Candidate> {
        let others = self.candidates(now).filter(|it| it.number != number);
        others.min_by_key(|it| (!it.is_offered, *it))
    }

    /// Whether something was given up because its partner did not come to collect.
    fn has_idle(&self) -> bool {
        self.ports().any(|(_, port)| port.is_idle)
    }

    /// Whether the partner has not followed us. That is known as long as a port has it.
    fn is_led_by(&self, partner: System) -> bool {
        self.ports().any(|(_, port)| port.is_led && System::of(&port.partner) == partner)
    }

    /// Whether ports may begin to distribute: all of the chosen aggregator can, or have had [`GATHERING`]
    /// to come to that. A partner that is not in sync, and knows that we are, is not waited for.
    pub(super) fn has_gathered(&mut self, now: Time) -> bool {
        let (mut distributes, mut some, mut all) = (false, false, true);
        for (_, port) in self.ports().filter(|(_, port)| port.selected == Selected::Selected) {
            distributes |= port.mux == mux::MuxState::Distributing;
            let partner = port.partner.state;
            let comes = partner.contains(StateBits::SYNC) || !port.partner_has_our_sync;
            if port.is_eligible() && comes {
                let collects = partner.contains(StateBits::SYNC | StateBits::COLLECTING);
                (some, all) = (some | collects, all & collects);
            }
        }
        if distributes || all || !some {
            self.gathering.stop();
            return distributes || all;
        }
        if self.gathering.deadline().is_none() {
            self.gathering.start(now, GATHERING);
        }
        self.gathering.expires(now)
    }
}
