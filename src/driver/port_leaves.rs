//! What sysctl(8) shows of a port.

use core::fmt::Write;

use super::drops::Refused;
use super::events::Mac;
use super::history::Record;
use super::leaves::{
    KEY, MONITOR, NO_ROOM, NOT_ACCEPTED, NOT_MEMBER, NOT_RUNNING, Named, OWN_OUTPUT, PARTNER,
    PRIORITY, Row, SYSTEM, age, leaves,
};
use super::{Port, Softc, reason};
use crate::kpi::{Errno, Leaf, LinkState, Name, Result};
use crate::lacp;
use crate::policy::Protocol;
use crate::wire::slow::Malformed;

/// How many frames were not accepted for a reason.
macro_rules! refused {
    ($why:ident) => {
        Row::Reason(|port| Some(port.refused.of(Refused::$why)))
    };
}

/// A counter of LACP's.
macro_rules! count {
    ($which:ident) => {
        Row::Number(|port| Some(machines(port, |it| it.statistics().$which)?.into()))
    };
}

/// How many malformed frames were received.
macro_rules! illegal {
    ($why:ident) => {
        Row::Reason(|port| {
            let counts = machines(port, |it| it.statistics().illegal)?;
            Some((*counts.get(Malformed::$why as usize)?).into())
        })
    };
}

/// A number of our side, or of the partner's.
macro_rules! side {
    ($whose:ident, $what:ident) => {
        Row::Number(|port| Some(machines(port, |it| it.$whose().$what)?.into()))
    };
}

const ROWS: [Named<Port>; 51] = [
    (
        c"in_service",
        c"It is in service",
        Row::Number(|port| Some(reason::of(port.softc(), port).is_none().into())),
    ),
    (
        c"reason",
        c"Why it is not",
        Row::Text(|port, to| {
            let reason = reason::of(port.softc(), port);
            Some(to.write_str(reason.map_or("", |reason| reason.text())))
        }),
    ),
    (
        c"link_up",
        c"Its link is up",
        Row::Number(|port| Some((port.ifp().link_state() == LinkState::Up).into())),
    ),
    (c"speed", c"Bits per second", Row::Number(|port| Some(port.ifp().baudrate()))),
    (c"mtu", c"MTU", Row::Number(|port| Some(port.ifp().mtu().into()))),
    (c"buckets", c"Its share of 1024 buckets", Row::Number(buckets)),
    (c"flaps", c"How often it has failed", Row::Number(|port| Some(record(port).flaps.into()))),
    (
        c"last_flap",
        c"Why it failed last",
        Row::Text(|port, to| {
            Some(to.write_str(record(port).cause.map_or("", |reason| reason.text())))
        }),
    ),
    (c"last_flap_age", c"Seconds since then", Row::Number(|port| record(port).failed.map(age))),
    (c"dropped", c"Frames not accepted", Row::Node),
    (c"dropped.not_accepted", NOT_ACCEPTED, refused!(NotAccepted)),
    (c"dropped.not_running", NOT_RUNNING, refused!(NotRunning)),
    (c"dropped.not_member", NOT_MEMBER, refused!(NotMember)),
    (c"dropped.monitor", MONITOR, refused!(Monitor)),
    (c"dropped.own_output", OWN_OUTPUT, refused!(OwnOutput)),
    (c"dropped.no_room", NO_ROOM, refused!(NoRoom)),
    (c"lacp", c"LACP", Row::Node),
    (c"lacp.pdus_in", c"LACPDUs received", count!(pdus_in)),
    (c"lacp.pdus_out", c"LACPDUs sent", count!(pdus_out)),
    (
        c"lacp.pdu_age",
        c"Seconds since the last LACPDU",
        Row::Number(|port| machines(port, |it| it.statistics().heard)?.map(age)),
    ),
    (
        c"lacp.timeouts",
        c"How often it timed out",
        Row::Number(|port| machines(port, |_| ()).map(|()| record(port).timeouts.into())),
    ),
    (c"lacp.markers_in", c"Markers received", count!(markers_in)),
    (c"lacp.markers_out", c"Markers sent", count!(markers_out)),
    (c"lacp.responses_in", c"Answers received", count!(responses_in)),
    (c"lacp.responses_out", c"Answers sent", count!(responses_out)),
    (c"lacp.markers_unanswered", c"Markers not answered", count!(markers_unanswered)),
    (c"lacp.looped", c"Own LACPDUs received", count!(looped)),
    (c"lacp.illegal", c"Malformed frames", Row::Node),
    (c"lacp.illegal.short", c"Too short", illegal!(Short)),
    (c"lacp.illegal.destination", c"Bad destination", illegal!(Destination)),
    (c"lacp.illegal.length", c"Bad length of a field", illegal!(Length)),
    (c"lacp.illegal.kind", c"Neither marker nor answer", illegal!(Kind)),
    (
        c"lacp.unknown",
        c"Other slow protocols",
        Row::Number(|port| machines(port, |_| ()).map(|()| port.unknown().into())),
    ),
    (
        c"lacp.actor_churns",
        c"How often not in sync",
        Row::Number(|port| Some(machines(port, |it| it.churns().0)?.into())),
    ),
    (
        c"lacp.partner_churns",
        c"How often the partner was not",
        Row::Number(|port| Some(machines(port, |it| it.churns().1)?.into())),
    ),
    (
        c"lacp.unfit",
        c"It cannot be aggregated",
        Row::Number(|port| Some(machines(port, |it| it.is_unfit())?.into())),
    ),
    (
        c"lacp.aggregator",
        c"Its aggregator",
        Row::Number(|port| Some(machines(port, |it| it.aggregator())??.number().into())),
    ),
    (
        c"lacp.receive",
        c"Receive machine",
        Row::Text(|port, to| Some(to.write_str(machines(port, |it| it.receive())?.name()))),
    ),
    (
        c"lacp.mux",
        c"Mux machine",
        Row::Text(|port, to| Some(to.write_str(machines(port, |it| it.mux())?.name()))),
    ),
    (c"lacp.actor", c"This side", Row::Node),
    (c"lacp.actor.key", KEY, side!(actor, key)),
    (c"lacp.actor.port_priority", PORT_PRIORITY, side!(actor, port_priority)),
    (c"lacp.actor.port", PORT, side!(actor, port)),
    (
        c"lacp.actor.state",
        STATE,
        Row::Number(|port| Some(machines(port, |it| it.actor().state.bits())?.into())),
    ),
    (c"lacp.partner", PARTNER, Row::Node),
    (c"lacp.partner.priority", PRIORITY, side!(partner, system_priority)),
    (
        c"lacp.partner.system",
        SYSTEM,
        Row::Text(|port, to| {
            Some(write!(to, "{}", Mac(&machines(port, |it| it.partner().system)?)))
        }),
    ),
    (c"lacp.partner.key", KEY, side!(partner, key)),
    (c"lacp.partner.port_priority", PORT_PRIORITY, side!(partner, port_priority)),
    (c"lacp.partner.port", PORT, side!(partner, port)),
    (
        c"lacp.partner.state",
        STATE,
        Row::Number(|port| Some(machines(port, |it| it.partner().state.bits())?.into())),
    ),
];

const PORT_PRIORITY: &core::ffi::CStr = c"Port priority";
const PORT: &core::ffi::CStr = c"Port number";
const STATE: &core::ffi::CStr = c"State, as bits";

/// The leaves of a port.
pub(super) const LEAVES: [Leaf; ROWS.len()] = leaves(&ROWS);

/// Writes the value of one of them to memory, for the port with this name. Takes the mutex.
///
/// # Errors
/// ENOENT: there is no such port or no such leaf, or it has no value now. EINVAL: there is no room.
pub(super) fn write(softc: &Softc, port: &Name, place: usize, to: &mut dyn Write) -> Result {
    let (.., row) = ROWS.get(place).ok_or(Errno::ENOENT)?;
    let port = {
        let state = softc.state();
        state.members().find(|there| there.ifp().name() == *port).cloned()
    };
    row.write(&*port.ok_or(Errno::ENOENT)?, to)
}

fn record(port: &Port) -> Record {
    port.softc().state().changes.history.of(port.slot())
}

/// What is asked of LACP's machines, if the protocol is lacp.
fn machines<R>(port: &Port, ask: impl FnOnce(&lacp::Port) -> R) -> Option<R> {
    port.softc().state().mode.lacp()?.machines.port(port.slot()).map(ask)
}

fn buckets(port: &Port) -> Option<u64> {
    let plan = port.softc().plan_ref();
    let table = match plan.protocol() {
        Protocol::LoadBalance(flows) => &flows.table,
        Protocol::Lacp(lacp) => &lacp.flows.table,
        _ => return None,
    };
    Some(table.count(port.slot()) as u64)
}
