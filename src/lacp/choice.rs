//! The choice of the aggregator in service. A lagg has one MAC client, so one of its aggregators is chosen,
//! and ports of the others are STANDBY (802.1AX-2008 5.4.8): they wait, and their partners are told that
//! they are not in sync.
//!
//! Both systems must choose the same aggregator, each from what it sees. The order of `Candidate` uses only
//! what both see. If they still differ, because they do not know the same speeds or the partner has its own
//! rules, SYNC decides. The system with the higher identifier follows the other at once. The lower one
//! leads, and follows only a partner that does not follow.

use super::candidate::Found;
use super::selection::{Selected, System};
use super::standby;
use super::time::{Time, Timer};
use super::{Lacp, LagId, Memory, Port};
use crate::slots::Slot;

/// Milliseconds after which the lower system follows a partner that is in sync only on another aggregator.
/// A partner that will follow needs less, even if its ports wait for others. Also the time after which a
/// partner that is in sync and does not collect is given up for another aggregator.
pub const FOLLOW: u32 = 5_000;

/// Milliseconds after which a partner is given up for another that is in sync. The limit can hold up its
/// answer for a second. Twice as long if the other system is the higher one, so that of systems in a ring
/// the lower one stays.
pub const ANSWER: u32 = 1_500;

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

impl<P: Memory<Port>, A: Memory<LagId>> Lacp<P, A> {
    /// Chooses an aggregator; the ports of all others stand by.
    pub(super) fn run_choice(&mut self, now: Time) {
        self.run_refused(now);
        // If there is no candidate, nothing changes, so ports find their aggregator again when they are
        // back. F-53: both ends make the same choice
        let before = self.partner();
        match self.survey(now) {
            Some(found) => self.active = Some(self.choose(found, now)),
            None => self.doubts = Doubts { tries: self.doubts.tries, ..Doubts::default() },
        }
        if self.partner() != before {
            self.limit = standby::NO_LIMIT;
        }
        let active = self.active;
        let limit = active.filter(|_| self.settings.max_links != 0);
        let links = limit.map(|active| self.links(active, now));
        let links = links.map(|links| links | self.stay(links));
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
    fn choose(&mut self, Found { best, offer, before }: Found, now: Time) -> Slot {
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
        let its = match best.partner == chosen.partner {
            true => Some(best),
            false => self.candidates(now).filter(|it| it.partner == chosen.partner).min(),
        };
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

    /// Whether a port was given up because its partner did not collect.
    fn has_idle(&self) -> bool {
        self.ports().any(|(_, port)| port.is_idle)
    }

    /// Whether the partner has not followed us. That is remembered as long as a port has this partner.
    fn is_led_by(&self, partner: System) -> bool {
        self.ports().any(|(_, port)| port.is_led && System::of(&port.partner) == partner)
    }
}
