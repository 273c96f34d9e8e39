//! Which ports are in service: whose links count as up, and which port failover sends on.

use core::mem::swap;

use super::Port;
use super::lacp_state::now;
use super::mode::Mode;
use super::settings::{Settings, USUAL_PRIORITY};
use super::state::State;
use crate::kpi::{Array, Errno, Name, Ref, Result, iff};
use crate::lacp::Time;
use crate::lacp::settings::Reselect;
use crate::slots::{Slot, SlotSet};

/// The ports that are in service, beside the plan that says the same to packets.
pub(super) struct InService {
    sender: Sender,
    delays: Delays,
    /// What the present plan was made from; none if the names of its ports have changed since.
    published: Option<Published>,
    /// Until when the lagg's link stays up for a standby of LACP that takes over.
    take_over_ends: Option<Time>,
}

/// Within so many milliseconds it does, for which two LACPDUs each way are exchanged.
const TAKE_OVER_MS: u32 = 500;

/// The slot of failover's port that sends, and the ports that count as up if not all that are active do.
type Published = (Option<Slot>, Option<SlotSet>);

/// The port that failover sends on.
#[derive(Clone, Copy, Default)]
struct Sender {
    /// None: no port can be used.
    slot: Option<Slot>,
    /// An administrator has chosen it, and it has not failed since.
    by_hand: bool,
    /// The primary shall take over as soon as it can be used, whatever `primary_reselect` says.
    recall: bool,
}

/// Which ports count as up, if a link that comes or goes counts only after a delay.
#[derive(Default)]
struct Delays {
    counted: SlotSet,
    /// Since when the link in a slot differs from that. Without delays there is no memory for it.
    since: DelayMemory,
}

/// Memory for delays.
pub(super) type DelayMemory = Array<Option<Time>>;

impl InService {
    /// The ports of a new lagg with these settings. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new(settings: &Settings) -> Result<Self> {
        let is_delayed = settings.up_delay | settings.down_delay != 0;
        let since = if is_delayed { delay_memory()? } else { Array::default() };
        Ok(InService {
            sender: Sender::default(),
            delays: Delays { since, ..Delays::default() },
            published: None,
            take_over_ends: None,
        })
    }

    /// There is another primary: it shall take over as soon as it can be used, also from a port that an
    /// administrator has chosen.
    pub fn appoint(&mut self) {
        (self.sender.by_hand, self.sender.recall) = (false, true);
    }
}

/// Memory for delays. May sleep.
///
/// # Errors
/// ENOMEM.
pub(super) fn delay_memory() -> Result<DelayMemory> {
    Array::try_new(Slot::COUNT, |_| None)
}

impl Delays {
    /// These members are active, and an administrator has taken these down. No others are known.
    fn follow(&mut self, active: SlotSet, taken_down: SlotSet, ms: Ms, now: Time) {
        self.counted = self.counted - taken_down;
        for (slot, since) in Slot::all().zip(self.since.iter_mut()) {
            let (counts, is_active) = (self.counted.contains(slot), active.contains(slot));
            if counts == is_active || taken_down.contains(slot) {
                *since = None;
            } else if now >= since.get_or_insert(now).after(ms.of(counts)) {
                *since = None;
                let set = if counts { SlotSet::remove } else { SlotSet::insert };
                set(&mut self.counted, slot);
            }
        }
        if (self.counted & active).is_empty() {
            // The lagg must not stay dark while there is a link.
            let waiting =
                Slot::all().zip(self.since.iter()).filter(|(slot, _)| active.contains(*slot));
            let first = waiting.filter_map(|(slot, since)| Some(((*since)?, slot))).min();
            if let Some((_, slot)) = first {
                self.counted.insert(slot);
            }
        }
    }

    /// Only these are members. Another port may get the slot of one that has left.
    fn forget_all_but(&mut self, members: SlotSet) {
        self.counted = self.counted & members;
        for (slot, since) in Slot::all().zip(self.since.iter_mut()) {
            *since = since.filter(|_| members.contains(slot));
        }
    }

    /// When the first of the links that differ will count.
    fn next(&self, ms: Ms) -> Option<Time> {
        let waiting = Slot::all().zip(self.since.iter());
        let ends = waiting
            .filter_map(|(slot, since)| Some((*since)?.after(ms.of(self.counted.contains(slot)))));
        ends.min()
    }
}

/// `up_delay` and `down_delay`, in milliseconds.
#[derive(Clone, Copy)]
struct Ms {
    up: u32,
    down: u32,
}

impl Ms {
    /// For a link that counts as up, or does not.
    fn of(self, counts: bool) -> u32 {
        if counts { self.down } else { self.up }
    }
}

impl State {
    fn delays(&self) -> Ms {
        Ms { up: self.settings.up_delay, down: self.settings.down_delay }
    }

    /// The members whose links count as up. None if no delay is set or the protocol is lacp: then all that
    /// are active do.
    pub fn counted(&self) -> Option<SlotSet> {
        let delays = &self.in_service.delays;
        let is_used = !delays.since.is_empty() && self.mode.lacp().is_none();
        is_used.then_some(delays.counted)
    }

    /// Looks at the links. Those of a lagg that is down say nothing: it has taken its ports down.
    fn look_at_links(&mut self) {
        if self.in_service.delays.since.is_empty() {
            return;
        }
        let (members, active) = self.members_and_active();
        self.in_service.delays.forget_all_but(members);
        if !self.running {
            return;
        }
        let is_taken_down = |port: &&Ref<Port>| port.ifp().flags() & iff::UP == 0;
        let taken_down = self.members().filter(is_taken_down).map(|port| port.slot()).collect();
        let ms = self.delays();
        self.in_service.delays.follow(active, taken_down, ms, now());
    }

    /// Chooses the ports that are in service, for the next plan: failover's port that sends, and those whose
    /// links count as up, if not all do.
    pub fn choose(&mut self) -> Published {
        self.look_at_links();
        self.in_service.sender = self.sender();
        let choice = (self.in_service.sender.slot, self.counted());
        self.in_service.published = Some(choice);
        choice
    }

    /// Whether other ports are in service than in the present plan.
    pub fn is_choice_stale(&mut self) -> bool {
        self.look_at_links();
        self.in_service.published != Some((self.sender().slot, self.counted()))
    }

    /// A port has another name, by which the settings may know it.
    pub fn has_new_name(&mut self, port: &Port) {
        self.in_service.published = None;
        self.recall(port);
    }

    /// A port has joined. The primary takes over when it returns, even if it would not when its link does.
    pub fn has_joined(&mut self, port: &Port) {
        self.recall(port);
    }

    /// The primary takes over as soon as it can be used, if it is `port`.
    fn recall(&mut self, port: &Port) {
        if port.ifp().name() == self.settings.primary {
            self.in_service.sender.recall = true;
        }
    }

    /// Whether the lagg's link, if it `goes_down`, stays up for a moment, because a standby of LACP takes over.
    pub fn stays_up(&mut self, goes_down: bool) -> bool {
        let takes_over = self.mode.lacp().is_some_and(|lacp| lacp.machines.takes_over());
        let ends = &mut self.in_service.take_over_ends;
        *ends = if goes_down && takes_over {
            ends.or_else(|| Some(now().after(TAKE_OVER_MS)))
        } else {
            None
        };
        ends.is_some_and(|ends| now() < ends)
    }

    /// In how many milliseconds that moment is over; none if it is not.
    pub fn next_taken_over(&self) -> Option<u64> {
        let ends = self.in_service.take_over_ends.filter(|ends| now() < *ends)?;
        Some(ends.since(now()))
    }

    /// In how many milliseconds the next link counts as up or down; none if none will.
    pub fn next_counted(&self) -> Option<u64> {
        if !self.running {
            return None;
        }
        Some(self.in_service.delays.next(self.delays())?.since(now()))
    }

    /// Sets a delay. `memory` is for delays, unless this is 0. The old one is left there, to be freed without
    /// the mutex.
    pub fn set_delay(
        &mut self,
        field: fn(&mut Settings) -> &mut u32,
        ms: u32,
        memory: &mut DelayMemory,
    ) {
        *field(&mut self.settings) = ms;
        let Ms { up, down } = self.delays();
        let (_, active) = self.members_and_active();
        let delays = &mut self.in_service.delays;
        if (up | down != 0) == delays.since.is_empty() {
            // Links that are up now have been for a while.
            delays.counted = active;
            swap(&mut delays.since, memory);
        }
    }

    /// Sends on the port with this name from now on, until it fails.
    ///
    /// # Errors
    /// EINVAL: the protocol is not failover, or that is no port that can be used.
    pub fn send_on(&mut self, port: &Name) -> Result {
        let is_it = |there: &&Ref<Port>| {
            there.ifp().name() == *port && there.is_active() && self.is_usable(there)
        };
        let slot = self.members().find(is_it).map(|port| port.slot());
        if slot.is_none() || !matches!(self.mode, Mode::Failover) {
            return Err(Errno::EINVAL);
        }
        self.in_service.sender = Sender { slot, by_hand: true, recall: false };
        Ok(())
    }

    /// Whether an administrator has chosen the port that failover sends on.
    pub fn is_sender_chosen(&self) -> bool {
        self.in_service.sender.by_hand
    }

    /// Whether failover may send on a port: its link counts as up. A card that restarts at the lagg's request
    /// has not failed.
    fn is_usable(&self, port: &Port) -> bool {
        let counts = |counted: SlotSet| counted.contains(port.slot());
        self.counted().map_or_else(|| port.is_active(), counts) || self.is_restarting(port)
    }

    /// A port's place in the order of the ports. failover's is the administrator's: the primary, then by
    /// priority, then as they were added. That of the others is by `if_index`.
    pub fn rank(&self, port: &Port) -> u64 {
        if !matches!(self.mode, Mode::Failover | Mode::None) {
            return port.ifp().index().into();
        }
        let settings = &self.settings;
        let (is_primary, priority) = match settings.has_names().then(|| port.ifp().name()) {
            Some(name) => (name == settings.primary, settings.priority_of(&name)),
            None => (false, USUAL_PRIORITY),
        };
        u64::from(!is_primary) << 48 | u64::from(priority) << 32 | u64::from(port.number())
    }

    /// The port for failover to send on.
    fn sender(&self) -> Sender {
        let old = self.in_service.sender;
        if !matches!(self.mode, Mode::Failover) {
            return Sender { slot: None, by_hand: false, ..old };
        }
        let present = self.members().find(|port| old.slot == Some(port.slot()));
        // The ports of a lagg that is down have not failed.
        let present = present.filter(|port| !self.running || self.is_usable(port));
        // In one pass: a lagg has up to 32 ports, and each that joins has this looked at again.
        let (mut first, mut best) = (u64::MAX, None);
        for port in self.members() {
            let rank = self.rank(port);
            first = first.min(rank);
            if best.is_none_or(|(best, _)| rank < best) && self.running && self.is_usable(port) {
                best = Some((rank, port));
            }
        }
        let is_first = best.is_some_and(|(rank, _)| rank == first);
        let best = best.map(|(_, port)| port);
        let primary = &self.settings.primary;
        let is_primary = |port: &&Ref<Port>| primary.is_empty() || port.ifp().name() == *primary;
        let has_returned = old.recall && is_first && best.is_some_and(|best| is_primary(&best));
        let takes_over = |port: &&Ref<Port>| match (present, self.settings.primary_reselect) {
            (None, _) => true,
            _ if old.by_hand => false,
            _ if has_returned => true,
            (_, Reselect::Always) => true,
            // Of failover's ports the faster one is better.
            (Some(present), Reselect::Better) => port.ifp().baudrate() > present.ifp().baudrate(),
            (_, Reselect::Failure) => false,
        };
        Sender {
            slot: best.filter(takes_over).or(present).map(|port| port.slot()),
            by_hand: old.by_hand && present.is_some(),
            recall: old.recall && !has_returned,
        }
    }
}
