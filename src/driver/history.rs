//! What has happened to the ports: how often they have failed, why, and when. The protocol task looks at them
//! after each plan. sysctl(8) shows it, and [`super::changes`] tells of it.

use core::fmt;

use super::lacp_state::now;
use super::state::State;
use super::{Plan, reason};
use crate::kpi::{Array, Name, Result, probe};
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
    /// Why it was not in service at the last look, or that it was; none before the first look.
    pub seen: Option<Option<Reason>>,
}

// Each lagg has 32 of them in malloc(9)'s 512 bytes. One more byte would take 1,024.
static_assertions::const_assert!(size_of::<Record>() <= 16);

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

    /// What is seen next is what was asked for.
    pub fn begin(&mut self) {
        self.records.iter_mut().for_each(|record| record.seen = None);
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
    /// Remembers why the port is not in service now. Returns what has changed, if it was in service or is.
    fn see(&mut self, why: Option<Reason>, now: Time) -> Option<What> {
        let before = self.seen.replace(why);
        let what = match why {
            None => What::InService,
            Some(reason) => {
                // To stand by for another is no failure.
                if level(self.seen) < level(before) && reason != Reason::Standby {
                    self.flaps = self.flaps.saturating_add(1);
                    (self.failed, self.cause) = (Some(now), Some(reason));
                }
                What::OutOfService(reason)
            }
        };
        ((before == Some(None)) != why.is_none()).then_some(what)
    }
}

/// How good a port is: in service, with a link, or neither.
fn level(seen: Option<Option<Reason>>) -> u8 {
    match seen {
        None | Some(Some(Reason::Down | Reason::NoLink)) => 0,
        Some(Some(_)) => 1,
        Some(None) => 2,
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

impl State {
    /// Looks at the ports of the present plan. The ports of a lagg that goes down have not failed.
    pub fn look_at_ports(&mut self, plan: &Plan, now: Time) {
        if !plan.is_running() {
            return;
        }
        let mut last: Option<Change> = None;
        for port in plan.ports() {
            // A card that restarts at the lagg's request has not failed.
            if self.is_restarting(port) {
                continue;
            }
            let (why, name) = (reason::of_port(plan, self, port), port.ifp().name());
            self.changes.history.change(port.slot(), |record| {
                if let Some(before) = record.seen.filter(|before| *before != why) {
                    probe::port_state(port.softc().ifp(), port.ifp(), text(before), text(why));
                }
                let change = record.see(why, now).map(|what| Change { port: name, what });
                if change.is_some_and(|it| last.is_none_or(|last| last.weight() <= it.weight())) {
                    last = change;
                }
            });
        }
        if let Some(change) = last {
            self.changes.history.last = Some((change, now));
        }
    }
}

fn text(why: Option<Reason>) -> &'static str {
    why.map_or("in service", Reason::text)
}
