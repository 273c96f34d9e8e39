//! What sysctl(8) shows of a lagg beside its settings: `net.link.lagg.iface.<lagg>.<name>`, and of a port
//! `net.link.lagg.iface.<lagg>.port.<port>.<name>`.
//!
//! A leaf is a row of a table. sysctl(8), userlagg and the tests of the manual page all read these tables.

use core::ffi::CStr;
use core::fmt::{self, Write};

use super::drops::Refused;
use super::events::Mac;
use super::lacp_state::now;
use super::{Softc, link};
use crate::kpi::{Errno, Leaf, LinkState, Result, Shows};
use crate::lacp::Time;
use crate::policy::Unsent;
use crate::wire::lacpdu::Info;

/// How a leaf is read. None: it has nothing to say now.
pub(super) enum Row<T> {
    /// Leaves are below it.
    Node,
    Number(fn(&T) -> Option<u64>),
    /// A number whose name ends in a reason.
    Reason(fn(&T) -> Option<u64>),
    Text(fn(&T, &mut dyn Write) -> Option<fmt::Result>),
}

impl<T> Row<T> {
    pub const fn shows(&self) -> Shows {
        match self {
            Row::Node => Shows::Nodes,
            Row::Number(_) => Shows::Number,
            Row::Reason(_) => Shows::Reason,
            Row::Text(_) => Shows::Text,
        }
    }

    /// Writes the value to memory.
    ///
    /// # Errors
    /// ENOENT: there is none. EINVAL: there is no room.
    pub fn write(&self, of: &T, to: &mut dyn Write) -> Result {
        let number = |to: &mut dyn Write, number: u64| write!(to, "{number}");
        let written = match self {
            Row::Node => None,
            Row::Number(read) | Row::Reason(read) => read(of).map(|it| number(to, it)),
            Row::Text(write) => write(of, to),
        };
        written.ok_or(Errno::ENOENT)?.map_err(|_| Errno::EINVAL)
    }
}

/// The name, what it is, and how it is read.
pub(super) type Named<T> = (&'static CStr, &'static CStr, Row<T>);

/// How many packets were not sent for a reason.
macro_rules! unsent {
    ($why:ident) => {
        Row::Reason(|softc| Some(softc.unsent.fetch(Unsent::$why)))
    };
}

/// How many frames were not accepted for a reason from ports that have left.
macro_rules! left {
    ($why:ident) => {
        Row::Reason(|softc| Some(softc.ledger.get().refused_by_left(Refused::$why)))
    };
}

/// Those of a lagg.
const ROWS: [Named<Softc>; 35] = [
    (
        c"protocol",
        c"Protocol",
        Row::Text(|softc, to| Some(to.write_str(softc.plan_ref().protocol().about().name))),
    ),
    (c"up", c"It is up", Row::Number(|softc| Some(softc.plan_ref().is_running().into()))),
    (
        c"link_up",
        c"Its link is up",
        Row::Number(|softc| Some((softc.ifp().link_state() == LinkState::Up).into())),
    ),
    (c"speed", c"Bits per second", Row::Number(|softc| Some(softc.ifp().baudrate()))),
    (c"mtu", c"MTU", Row::Number(|softc| Some(softc.ifp().mtu().into()))),
    (c"ports", c"Ports", Row::Number(|softc| Some(softc.plan_ref().ports().count() as u64))),
    (
        c"active_ports",
        c"Ports in service",
        Row::Number(|softc| Some(link::in_service(&softc.plan_ref()) as u64)),
    ),
    (
        c"failovers",
        c"How often another port took over",
        Row::Number(|softc| Some(softc.state().peers.failovers.into())),
    ),
    (c"last_change", c"Which port came or went last", Row::Text(write_last_change)),
    (c"last_change_age", c"Seconds since then", Row::Number(last_change_age)),
    (c"dropped", c"Packets not sent", Row::Node),
    (c"dropped.no_ports", c"No ports", unsent!(NoPorts)),
    (c"dropped.no_active_port", c"No port in service", unsent!(NoActivePort)),
    (c"dropped.no_copy", c"No memory for a copy", unsent!(NoCopy)),
    (c"dropped.disabled", c"The protocol is none", unsent!(Disabled)),
    (c"dropped.paused", c"Their flow changes its port", unsent!(Paused)),
    (c"left", c"Ports that have left", Row::Node),
    (c"left.dropped", c"Frames not accepted", Row::Node),
    (c"left.dropped.not_accepted", NOT_ACCEPTED, left!(NotAccepted)),
    (c"left.dropped.not_running", NOT_RUNNING, left!(NotRunning)),
    (c"left.dropped.not_member", NOT_MEMBER, left!(NotMember)),
    (c"left.dropped.monitor", MONITOR, left!(Monitor)),
    (c"left.dropped.own_output", OWN_OUTPUT, left!(OwnOutput)),
    (c"left.dropped.no_room", NO_ROOM, left!(NoRoom)),
    (c"lacp", c"LACP", Row::Node),
    (
        c"lacp.aggregator",
        c"The aggregator in service",
        Row::Number(|softc| Some(softc.state().mode.lacp()?.machines.active()?.number().into())),
    ),
    (c"lacp.actor", c"This system", Row::Node),
    (
        c"lacp.actor.priority",
        PRIORITY,
        Row::Number(|softc| Some(actor(softc)?.system_priority.into())),
    ),
    (
        c"lacp.actor.system",
        SYSTEM,
        Row::Text(|softc, to| Some(write!(to, "{}", Mac(&actor(softc)?.system)))),
    ),
    (c"lacp.actor.key", KEY, Row::Number(|softc| Some(actor(softc)?.key.into()))),
    (c"lacp.partner", PARTNER, Row::Node),
    (
        c"lacp.partner.priority",
        PRIORITY,
        Row::Number(|softc| Some(partner(softc)?.system_priority.into())),
    ),
    (
        c"lacp.partner.system",
        SYSTEM,
        Row::Text(|softc, to| Some(write!(to, "{}", Mac(&partner(softc)?.system)))),
    ),
    (c"lacp.partner.key", KEY, Row::Number(|softc| Some(partner(softc)?.key.into()))),
    (c"port", c"Ports by name", Row::Node),
];

// Of ports too.
pub(super) const NOT_ACCEPTED: &CStr = c"The protocol does not accept it";
pub(super) const NOT_RUNNING: &CStr = c"The lagg is down";
pub(super) const NOT_MEMBER: &CStr = c"The port joins or leaves";
pub(super) const MONITOR: &CStr = c"The lagg is a monitor";
pub(super) const OWN_OUTPUT: &CStr = c"Sent on the port itself";
pub(super) const NO_ROOM: &CStr = c"Too many LACPDUs wait";
pub(super) const PRIORITY: &CStr = c"System priority";
pub(super) const SYSTEM: &CStr = c"System address";
pub(super) const KEY: &CStr = c"Key";
pub(super) const PARTNER: &CStr = c"The partner";

/// A table for kpi.
pub(super) const fn leaves<T, const N: usize>(rows: &'static [Named<T>; N]) -> [Leaf; N] {
    let mut leaves = [const { Leaf { name: c"", about: c"", shows: Shows::Nodes } }; N];
    let mut place = 0;
    while place < N {
        let (name, about, row) = &rows[place];
        leaves[place] = Leaf { name, about, shows: row.shows() };
        place += 1;
    }
    leaves
}

/// The leaves of a lagg.
pub(super) const LEAVES: [Leaf; ROWS.len()] = leaves(&ROWS);

/// Writes the value of one of them to memory. Takes the mutex.
///
/// # Errors
/// ENOENT: it has none now, or there is no such leaf. EINVAL: there is no room.
pub(super) fn write(softc: &Softc, place: usize, to: &mut dyn Write) -> Result {
    let (.., row) = ROWS.get(place).ok_or(Errno::ENOENT)?;
    row.write(softc, to)
}

fn write_last_change(softc: &Softc, to: &mut dyn Write) -> Option<fmt::Result> {
    let last = softc.state().changes.history.last().copied();
    Some(last.map_or(Ok(()), |(change, _)| write!(to, "{change}")))
}

fn last_change_age(softc: &Softc) -> Option<u64> {
    let (_, at) = softc.state().changes.history.last().copied()?;
    Some(age(at))
}

/// Seconds since then.
pub(super) fn age(at: Time) -> u64 {
    now().since(at) / 1000
}

fn actor(softc: &Softc) -> Option<Info> {
    Some(softc.state().mode.lacp()?.machines.active_aggregator()?.0)
}

fn partner(softc: &Softc) -> Option<Info> {
    Some(softc.state().mode.lacp()?.machines.active_aggregator()?.1)
}
