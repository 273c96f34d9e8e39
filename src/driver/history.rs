//! What has happened to the ports: how often they have failed, why, and when. It is for administrators, and
//! nothing depends on it.

use core::fmt;

use super::lacp_state::now;
use super::state::State;
use super::{Plan, Port, Softc, reason};
use crate::kpi::{Array, Name, Result};
use crate::lacp::{Reason, Time};
use crate::slots::Slot;

/// What has happened.
pub(super) struct History {
    /// A record for each slot. On the heap: a kernel stack is small.
    records: Array<Record>,
    last: Option<(Change, Time)>,
}

/// What has happened to a port.
#[derive(Clone, Copy, Default)]
pub(super) struct Record {
    /// How often it has failed.
    pub flaps: u32,
    /// How often its LACP partner has timed out.
    pub timeouts: u32,
    /// When it has failed last, and why.
    pub failed: Option<Time>,
    pub cause: Option<Reason>,
    level: Level,
}

// Each lagg has 32 of them in malloc(9)'s 512 bytes. One more byte would take 1,024.
static_assertions::const_assert!(size_of::<Record>() <= 16);

/// How good a port is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Level {
    /// It has no link, or is down.
    #[default]
    Down,
    /// It has a link.
    Up,
    InService,
}

/// What has happened to a port with this name.
#[derive(Clone, Copy)]
pub(super) struct Change {
    port: Name,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    InService,
    OutOfService(Reason),
    Left,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Change { port, what } = self;
        match what {
            What::InService => write!(f, "{port} in service"),
            What::OutOfService(reason) => write!(f, "{port} out of service: {}", reason.text()),
            What::Left => write!(f, "{port} left"),
        }
    }
}

impl History {
    /// Nothing has happened yet. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        let records = Array::try_new(Slot::COUNT, |_| Record::default())?;
        Ok(History { records, last: None })
    }

    /// What has happened to the port in a slot.
    pub fn of(&self, slot: Slot) -> Record {
        self.records.get(usize::from(slot)).copied().unwrap_or_default()
    }

    /// The last change of what is in service, and when that was.
    pub fn last(&self) -> Option<&(Change, Time)> {
        self.last.as_ref()
    }

    /// A port has joined in this slot.
    pub fn joined(&mut self, slot: Slot) {
        self.change(slot, |record| *record = Record::default());
    }

    /// What is found next is what was asked for: the protocol is another one, or the lagg is down.
    pub fn begin(&mut self) {
        self.records.iter_mut().for_each(|record| record.level = Level::Down);
    }

    /// A port leaves.
    pub fn left(&mut self, port: Name) {
        self.last = Some((Change { port, what: What::Left }, now()));
    }

    /// The partner of a port has timed out.
    pub fn timed_out(&mut self, slot: Slot) {
        self.change(slot, |record| record.timeouts = record.timeouts.saturating_add(1));
    }

    fn change(&mut self, slot: Slot, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.records.get_mut(usize::from(slot)) {
            change(record);
        }
    }
}

impl Record {
    /// The port has come to this level. Returns what has changed, if it was in service or is.
    fn follow(&mut self, level: Level, reason: Option<Reason>, now: Time) -> Option<What> {
        let before = core::mem::replace(&mut self.level, level);
        let what = match reason {
            None => What::InService,
            Some(reason) => {
                // To stand by for another is no failure.
                if level < before && reason != Reason::Standby {
                    self.flaps = self.flaps.saturating_add(1);
                    (self.failed, self.cause) = (Some(now), Some(reason));
                }
                What::OutOfService(reason)
            }
        };
        ((before == Level::InService) != (level == Level::InService)).then_some(what)
    }
}

impl Change {
    /// Of changes at the same time, a failure says most, and a port that only makes way says least.
    fn weight(&self) -> u8 {
        match self.what {
            What::OutOfService(Reason::Standby) => 0,
            What::InService => 1,
            What::OutOfService(_) | What::Left => 2,
        }
    }
}

/// Looks at the ports of the present plan. The protocol task's function.
pub(super) fn follow(softc: &Softc) {
    let mut guard = softc.state();
    // That of this state: it is published under the mutex.
    let (plan, now) = (softc.plan_ref(), now());
    if !plan.is_running() {
        // The ports of a lagg that goes down have not failed.
        if !guard.may_come_up() {
            guard.in_service.history.begin();
        }
        return;
    }
    let mut last: Option<Change> = None;
    for port in plan.ports() {
        let Some((level, reason)) = look(&guard, &plan, port) else { continue };
        let mut what = None;
        let history = &mut guard.in_service.history;
        history.change(port.slot(), |record| what = record.follow(level, reason, now));
        let change = what.map(|what| Change { port: port.ifp().name(), what });
        if change.is_some_and(|it| last.is_none_or(|last| last.weight() <= it.weight())) {
            last = change;
        }
    }
    if let Some(change) = last {
        guard.in_service.history.last = Some((change, now));
    }
}

/// How good a port is, and why it is not in service. None if that is to be seen later: its card restarts at the
/// lagg's request.
fn look(state: &State, plan: &Plan, port: &Port) -> Option<(Level, Option<Reason>)> {
    if state.is_restarting(port) {
        return None;
    }
    let reason = reason::of_port(plan, state, port);
    let level = match reason {
        None => Level::InService,
        Some(Reason::Down | Reason::NoLink) => Level::Down,
        Some(_) => Level::Up,
    };
    Some((level, reason))
}
