//! What has changed that nobody asked for. The protocol task tells it, after the plan is published, by comparing
//! what it has seen ([`super::history`]) with what it told last.
//!
//! What is seen first is what was asked for: of a new port, of a lagg that has come up, and of another
//! protocol. So it is told to nobody.

use super::events::{Change, Kind, Partner};
use super::history::History;
use super::lacp_state::now;
use super::limits::{Lines, Quiet};
use super::state::State;
use super::{Plan, Port, Softc, link, reason, trace};
use crate::kpi::{Array, LinkState, Name, Result, log, probe};
use crate::lacp::{self, Reason, Time};
use crate::policy::{self, Protocol, failover};
use crate::slots::Slot;

/// What has happened, and what was told last.
pub(super) struct Changes {
    pub history: History,
    /// The port that failover sends on, by its interface's index, and its name then.
    sender: Option<(u32, Name)>,
    /// The port that it was found to send on, which may not be told yet.
    seen: Option<(u32, Name)>,
    /// The interface of that port has gone.
    is_gone: bool,
    /// A port was lost since the last one joined: its interface has gone.
    has_lost: bool,
    /// Whether enough ports are in service; none if they never were.
    is_enough: Option<bool>,
    /// For each slot.
    ports: Array<Told>,
    quiet: Quiet,
    lines: Lines,
    /// When a change is told that was told within the last second.
    due: Option<Time>,
    /// Since when flows of lacp wait.
    pub since: Option<Time>,
    pub machines: trace::Machines,
}

/// What was told last of a port.
#[derive(Clone, Copy, Default)]
struct Told {
    /// Zeros: none.
    partner: Partner,
    quiet: Quiet,
    /// None: nothing yet.
    is: Option<Is>,
}

/// How a port is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    /// Not up when it was first seen, of which nothing was told.
    Waiting,
    Down,
    /// Down, and it has another partner than the ports in service.
    Stranger,
    Up,
    /// Its interface has gone.
    Gone,
}

// All slots take malloc(9)'s 384 bytes. One more byte would take 512.
static_assertions::const_assert!(size_of::<Told>() <= 12);

/// Whether a port counts as up: in service, or one of failover's standbys.
fn is_up(why: Option<Reason>, is_failover: bool) -> bool {
    why.is_none() || is_failover && why == Some(Reason::Standby)
}

impl Changes {
    /// Nothing was told yet. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        Ok(Changes {
            history: History::try_new()?,
            sender: None,
            seen: None,
            since: None,
            machines: trace::Machines::default(),
            is_gone: false,
            has_lost: false,
            is_enough: None,
            ports: Array::try_new(Slot::COUNT, |_| Told::default())?,
            quiet: Quiet::default(),
            lines: Lines::default(),
            due: None,
        })
    }

    /// In how many milliseconds the protocol task must look again.
    pub fn until_due(&self) -> Option<u64> {
        let due = self.due.into_iter().chain(self.lines.due()).min()?;
        Some(due.since(now()))
    }

    /// A port is new in its slot.
    pub fn begin(&mut self, slot: Slot) {
        if let Some(told) = self.ports.get_mut(usize::from(slot)) {
            *told = Told::default();
        }
        self.has_lost = false;
        self.history.joined(slot);
        self.machines.begin(slot);
    }

    /// A port is taken out by hand.
    pub fn taken_out(&mut self) {
        self.has_lost = false;
    }

    /// The interface of a port goes away. Returns whether that takes it down.
    fn departs(&mut self, port: &Port) -> bool {
        let index = port.ifp().index();
        self.is_gone |= self.sender.is_some_and(|(sender, _)| sender == index);
        self.has_lost = true;
        let told = self.ports.get_mut(usize::from(port.slot()));
        told.is_some_and(|told| told.is.replace(Is::Gone) == Some(Is::Up))
    }

    /// The protocol is another one.
    pub fn begin_mode(&mut self) {
        self.machines = trace::Machines::default();
        self.forget();
    }

    /// What is seen next is what was asked for. But who was told that a port or the lagg is down is also told
    /// when it is up again.
    pub fn forget(&mut self) {
        (self.sender, self.seen) = (None, None);
        self.is_enough = self.is_enough.filter(|is_enough| !is_enough);
        for told in self.ports.iter_mut() {
            let is_told = matches!(told.is, Some(Is::Down | Is::Stranger));
            (told.partner, told.is) = (Partner::default(), is_told.then_some(Is::Down));
        }
        self.history.begin();
    }
}

/// Tells what has changed. The protocol task's work, in the lagg's vnet; may sleep.
#[inline(never)]
pub(super) fn tell(softc: &Softc) {
    let left_out = {
        let mut state = softc.state();
        // That of this state: it is published under the mutex.
        state.look_at_ports(&softc.plan_ref(), now());
        state.changes.due = None;
        state.changes.lines.take_left_out(now())
    };
    if let Some(count) = left_out {
        log(softc.ifp(), format_args!("{count} more lines were left out"));
    }
    loop {
        let next = {
            let mut state = softc.state();
            let plan = softc.plan_ref();
            let next = state.next_change(&plan, softc.ifp().link_state(), now());
            // Those of the lagg itself are few, and say what the others come to.
            next.map(|change| {
                let is_logged = change.is_of_lagg() || state.changes.lines.allow(now());
                (change, is_logged)
            })
        };
        let Some((change, is_logged)) = next else { return };
        if is_logged {
            change.log(softc);
        }
        change.notify(softc);
    }
}

/// Tells that the interface of a port goes away, in the lagg's vnet.
pub(super) fn tell_gone(softc: &Softc, port: &Port) {
    let (is_logged, is_event) = {
        let mut state = softc.state();
        (state.changes.lines.allow(now()), state.changes.departs(port))
    };
    let change = Change::Gone { port: port.ifp().name() };
    softc.ifp().in_vnet(|| {
        if is_logged {
            change.log(softc);
        }
        if is_event {
            change.notify(softc);
        }
    });
}

impl State {
    /// The next change that is to be told; it counts as told.
    fn next_change(&mut self, plan: &Plan, link: LinkState, now: Time) -> Option<Change> {
        if !plan.is_running() || plan.protocol().kind() == policy::Kind::None {
            return None;
        }
        if let Some((slot, report)) =
            self.mode.lacp_mut().and_then(|lacp| lacp.machines.poll_report())
            && let Some(port) = plan.in_slot(slot)
        {
            return Some(Change::Report(port.ifp().name(), report));
        }
        let ports = Slot::all().find_map(|slot| self.next_of_port(plan, slot, now));
        ports.or_else(|| self.next_sender(plan, now)).or_else(|| self.next_link(plan, link, now))
    }

    /// The same for the port in a slot.
    // Not inlined, as the next ones: a kernel stack is small.
    #[inline(never)]
    fn next_of_port(&mut self, plan: &Plan, slot: Slot, now: Time) -> Option<Change> {
        let port = plan.in_slot(slot)?.ifp().name();
        let why = self.changes.history.of(slot).seen?;
        let is_up = is_up(why, matches!(plan.protocol(), Protocol::Failover));
        let machines = self.mode.lacp().and_then(|lacp| lacp.machines.port(slot));
        let heard = machines.and_then(lacp::Port::heard);
        let partner = heard.map(|partner| (partner.system, partner.port));
        let unheard = machines.filter(|_| why == Some(Reason::NoPartner));
        let unheard = unheard.map(|port| port.timeout() / 1000);
        let Changes { ports, due, .. } = &mut *self.changes;
        let told = ports.get_mut(usize::from(slot))?;
        let Some(is) = told.is else {
            let is = Some(if is_up { Is::Up } else { Is::Waiting });
            *told = Told { is, partner: partner.unwrap_or_default(), ..Told::default() };
            return None;
        };
        if is == Is::Gone {
            return None;
        }
        if let Some(to) = partner.filter(|to| *to != told.partner) {
            let from = told.partner;
            if from == Partner::default() {
                told.partner = to;
            } else if told.quiet.allows(Kind::Partner, now, due) {
                told.partner = to;
                return Some(Change::Partner { port, from, to });
            }
        }
        match why {
            Some(why) if !is_up => {
                if is == Is::Up && told.quiet.allows(Kind::PortDown, now, due) {
                    told.is = Some(Is::Down);
                    return Some(Change::Down { port, why, unheard });
                }
                let is_new = matches!(is, Is::Waiting | Is::Down) && why == Reason::AnotherPartner;
                if is_new && told.quiet.allows(Kind::Partner, now, due) {
                    told.is = Some(Is::Stranger);
                    return Some(Change::Stranger { port, partner });
                }
            }
            _ => {
                if is != Is::Up && told.quiet.allows(Kind::PortUp, now, due) {
                    told.is = Some(Is::Up);
                    return Some(Change::Up { port, is_standby: why.is_some(), partner });
                }
            }
        }
        None
    }

    /// The same for the port that failover sends on.
    #[inline(never)]
    fn next_sender(&mut self, plan: &Plan, now: Time) -> Option<Change> {
        if !matches!(plan.protocol(), Protocol::Failover) {
            return None;
        }
        let sender = failover::select(plan)?;
        let (lagg, to) = (sender.softc().ifp(), sender.ifp().name());
        let to = (sender.ifp().index(), to);
        let others = |it: Option<(u32, Name)>| it.filter(|(index, _)| *index != to.0);
        let (seen, told) = (others(self.changes.seen), others(self.changes.sender));
        let is_restarting = |(index, _): (u32, Name)| {
            let port = plan.ports().find(|port| port.ifp().index() == index);
            port.is_some_and(|port| self.is_restarting(port))
        };
        if seen.is_some_and(is_restarting) {
            return None;
        }
        if let Some((index, from)) = seen
            && let Some(why) = self.why_not(plan, index)
        {
            probe::failover(lagg, &from, &to.1, why);
        }
        self.changes.seen = Some(to);
        // None if the port was taken out by hand.
        let why = told.and_then(|(index, _)| self.why_not(plan, index));
        let Changes { quiet, due, .. } = &mut *self.changes;
        let change = match (told, why) {
            (Some(_), Some(_)) if !quiet.allows(Kind::Failover, now, due) => return None,
            (Some((_, from)), Some(why)) => Some(Change::Sender { from, to: to.1, why }),
            _ => None,
        };
        (self.changes.sender, self.changes.is_gone) = (Some(to), false);
        change
    }

    /// Why failover no longer sends on the port with this index; none if it was taken out by hand.
    fn why_not(&self, plan: &Plan, index: u32) -> Option<&'static str> {
        let Some(port) = plan.ports().find(|port| port.ifp().index() == index) else {
            return self.changes.is_gone.then_some("gone");
        };
        Some(match reason::of_port(plan, self, port) {
            None | Some(Reason::Standby) if self.is_sender_chosen() => "asked for",
            None | Some(Reason::Standby) => "preferred",
            Some(why) => why.text(),
        })
    }

    /// The same for the lagg's link.
    fn next_link(&mut self, plan: &Plan, link: LinkState, now: Time) -> Option<Change> {
        let is_restarting = self.members().any(|port| self.is_restarting(port));
        let ports = plan.ports().count();
        let is_enough = link::is_up(plan, self.may_come_up());
        if is_enough != (link == LinkState::Up) {
            // The plan is newer than what the task has published.
            return None;
        }
        let Changes { is_enough: told, has_lost, quiet, due, .. } = &mut *self.changes;
        let kind = if is_enough { Kind::Restored } else { Kind::Degraded };
        match told {
            None => *told = is_enough.then_some(true),
            // The last port was taken out by hand.
            Some(true) if ports == 0 && !*has_lost => *told = None,
            Some(told) if *told != is_enough && !is_restarting && quiet.allows(kind, now, due) => {
                *told = is_enough;
                let (count, min_links) = (link::in_service(plan), plan.min_links());
                return Some(match is_enough {
                    true => Change::Restored { count, ports },
                    false => Change::Degraded { count, ports, min_links },
                });
            }
            Some(_) => {}
        }
        None
    }
}
