//! What has changed that nobody asked for. The protocol task tells it, after the plan is published, by comparing
//! what it has seen ([`super::history`]) with what it told last.
//!
//! What is seen first is what was asked for: of a new port, of a lagg that has come up, and of another
//! protocol. So it is told to nobody.

use super::events::{Change, Kind, Partner};
use super::history::History;
use super::lacp_state::now;
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
    Down,
    /// Down, and it has another partner than the ports in service.
    Stranger,
    Up,
}

// All slots take malloc(9)'s 384 bytes. One more byte would take 512.
static_assertions::const_assert!(size_of::<Told>() <= 12);

/// Whether a port counts as up: in service, or one of failover's standbys.
fn is_up(why: Option<Reason>, is_failover: bool) -> bool {
    why.is_none() || is_failover && why == Some(Reason::Standby)
}

/// Milliseconds before the same is told again of a port or a lagg.
const PAUSE: u32 = 1_000;

/// The kinds of events that were told lately.
#[derive(Clone, Copy, Default)]
struct Quiet {
    /// When the last of them was told, in ticks. They come around after 17 minutes, and something may be told
    /// a second late then.
    since: [u8; 2],
    /// As bits.
    kinds: u8,
}

/// Milliseconds of a tick.
const TICK: u32 = 16;

impl Quiet {
    /// Whether an event of this kind may be told now; if so it counts as told. Otherwise it is `due` later.
    fn allows(&mut self, kind: Kind, now: Time, due: &mut Option<Time>) -> bool {
        let bit = 1 << kind as u8;
        let ticks = (now.since(Time::new(0)) / u64::from(TICK)) as u16;
        let passed =
            u32::from(ticks.wrapping_sub(u16::from_ne_bytes(self.since))).saturating_mul(TICK);
        if passed >= PAUSE {
            self.kinds = 0;
        } else if self.kinds & bit != 0 {
            let until = now.after(PAUSE.saturating_sub(passed));
            *due = Some(due.map_or(until, |due| due.min(until)));
            return false;
        }
        self.kinds |= bit;
        self.since = ticks.to_ne_bytes();
        true
    }
}

/// How many lines a lagg logs in a second.
const LINES: u8 = 10;

/// The lines of the present second.
#[derive(Default)]
struct Lines {
    until: Option<Time>,
    logged: u8,
    left_out: u32,
}

impl Lines {
    /// Whether one more line may be logged; if so it counts.
    fn allow(&mut self, now: Time) -> bool {
        if self.until.is_none_or(|until| now >= until) {
            self.until = Some(now.after(PAUSE));
            self.logged = 0;
        }
        let allowed = self.logged < LINES;
        if allowed {
            self.logged = self.logged.saturating_add(1);
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
        allowed
    }

    /// When it is said how many lines were left out.
    fn due(&self) -> Option<Time> {
        self.until.filter(|_| self.left_out != 0)
    }

    /// How many were left out, once their second is over.
    fn take_left_out(&mut self, now: Time) -> Option<u32> {
        self.due().filter(|due| now >= *due).map(|_| core::mem::take(&mut self.left_out))
    }
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
        self.history.joined(slot);
        self.machines.begin(slot);
    }

    /// The interface of a port goes away.
    pub fn departs(&mut self, port: &Port) {
        let index = port.ifp().index();
        self.is_gone |= self.sender.is_some_and(|(sender, _)| sender == index);
    }

    /// The protocol is another one.
    pub fn begin_mode(&mut self) {
        self.machines = trace::Machines::default();
        self.forget();
    }

    /// What is seen next is what was asked for.
    pub fn forget(&mut self) {
        (self.sender, self.seen, self.is_enough) = (None, None, None);
        self.ports.iter_mut().for_each(|told| *told = Told::default());
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
            next.map(|change| (change, state.changes.lines.allow(now())))
        };
        let Some((change, is_logged)) = next else { return };
        change.tell(softc, is_logged);
    }
}

/// Tells that the interface of a port goes away, in the lagg's vnet.
pub(super) fn tell_gone(softc: &Softc, port: &Port) {
    let is_logged = {
        let mut state = softc.state();
        state.changes.departs(port);
        state.changes.lines.allow(now())
    };
    let change = Change::Gone { port: port.ifp().name() };
    softc.ifp().in_vnet(|| change.tell(softc, is_logged));
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
            let is = Some(if is_up { Is::Up } else { Is::Down });
            *told = Told { is, partner: partner.unwrap_or_default(), ..Told::default() };
            return None;
        };
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
                let is_new = is == Is::Down && why == Reason::AnotherPartner;
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
        let Some(ports) = plan.count() else {
            self.changes.is_enough = None;
            return None;
        };
        let is_enough = link::is_up(plan, self.may_come_up());
        if is_enough != (link == LinkState::Up) {
            // The plan is newer than what the task has published.
            return None;
        }
        let Changes { is_enough: told, quiet, due, .. } = &mut *self.changes;
        let kind = if is_enough { Kind::Restored } else { Kind::Degraded };
        match told {
            None => *told = is_enough.then_some(true),
            Some(told) if *told != is_enough && !is_restarting && quiet.allows(kind, now, due) => {
                *told = is_enough;
                let (count, ports) = (link::in_service(plan, false), ports.get());
                let min_links = plan.min_links();
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
