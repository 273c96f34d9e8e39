//! LACP in the driver: the machines of [`crate::lacp`] with the lagg's clock, ports and plan.
//!
//! The machines are in the lagg's state, under its mutex. The LACP task gives them what has happened:
//! frames from the inbox, the time, links that went down. Then it sends the LACPDUs that are due, in the
//! network epoch and without the mutex. It waits for nothing, so that no partner times out because a lagg
//! waits. The protocol task publishes the plan that follows, and sends what must wait for the epoch. The
//! configuration task asks port drivers for their media.

use super::lacp_state::now;
use super::mode::Mode;
use super::softc::{Token, insist};
use super::state::State;
use super::{Port, Softc, lacp_frames, link, trace};
use crate::kpi::{Array, Ref, epoch, lacp_debug, log};
use crate::lacp::{Link, Time};
use crate::slots::SlotSet;
use crate::wire::slow::FRAME;

/// The LACP task's function.
pub(super) fn keep_time(softc: &Ref<Softc>) {
    if softc.state().destroying {
        return;
    }
    let mut publishes = softc.take_publishes();
    softc.ifp().in_vnet(|| {
        // F-83: a partner that was heard in time has not timed out, however late this is
        let now = now();
        lacp_frames::take_frames(softc);
        if run_machines(softc, now) {
            lacp_frames::send_pdus(softc);
            publishes |= link::set_lacp_alarm(softc) | has_news(softc);
        } else {
            // The protocol task has the rest to do, and sets the alarm.
            publishes = true;
        }
    });
    if publishes {
        Softc::wake_publisher(softc);
    }
}

/// Whether there is something to do for the protocol task after frames alone. Most LACPDUs say what the last
/// one said.
fn has_news(softc: &Softc) -> bool {
    let mut state = softc.state();
    if state.has_stale_plan() {
        return true;
    }
    let Some(lacp) = state.mode.lacp_mut() else { return true };
    let (is_news, last, machines) = (lacp.machines.take_news(), lacp.last_order(), &lacp.machines);
    is_news || machines.has_farewell(last) || machines.has_marker(last) || machines.has_report()
}

/// The protocol task's work for LACP. Sleeps. Returns whether the protocol is lacp.
// Not inlined, to keep what it takes off the caller's stack.
#[inline(never)]
pub(super) fn publish(softc: &Ref<Softc>) -> bool {
    if softc.state().mode.lacp().is_none() {
        return false;
    }
    if softc.publish_if_stale() {
        // LACPDUs that waited for this plan
        Softc::wake_protocol(softc);
    }
    lacp_frames::send_farewells(softc);
    lacp_frames::send_markers(softc);
    // A marker that could not be sent releases the flows that waited for it.
    softc.publish_if_stale();
    true
}

/// The milliseconds until LACP has something to do.
pub(super) fn until_due(state: &State) -> Option<u64> {
    let (lacp, now) = (state.mode.lacp()?, now());
    let until_due = lacp.machines.deadline(now)?.since(now);
    // What is due and was not done waits for a plan. Whoever publishes that wakes the task.
    Some(if until_due == 0 && lacp.is_stale() { STALE_MS } else { until_due })
}

/// In how many milliseconds the LACP task looks again while the plan is stale.
const STALE_MS: u64 = 100;

/// Sends the farewells of ports that are taken down, by an administrator or with the lagg, before their
/// drivers stop. Sleeps if the protocol is lacp, and does nothing otherwise.
pub(super) fn say_that_ports_are_down(softc: &Softc) {
    softc.ifp().in_vnet(|| {
        let before_due = softc.state().mode.lacp().map(|it| it.machines.before_due(now()));
        let Some(before_due) = before_due else { return };
        // F-85: what is due is left to the LACP task, which alone takes what was received before
        if run_machines(softc, before_due) {
            softc.publish_if_stale();
            lacp_frames::send_farewells(softc);
            // The protocol task may have taken a farewell from the machines, and be about to send it.
            epoch::wait();
        }
    });
}

/// Runs the machines until they rest. Returns whether the protocol is lacp.
fn run_machines(softc: &Softc, now: Time) -> bool {
    {
        let mut guard = softc.state();
        let state = &mut *guard;
        let Some(lacp) = state.mode.lacp() else { return false };
        let running = state.running;
        let (mut down, mut taken_down) = (SlotSet::EMPTY, SlotSet::EMPTY);
        let is_down = |port: &&Ref<Port>| !port.is_active() && !state.is_restarting(port);
        for port in state.members().filter(|port| !running || is_down(port)) {
            let set = if lacp.is_taken_down(port) { &mut taken_down } else { &mut down };
            set.insert(port.slot());
        }
        let Some(lacp) = state.mode.lacp_mut() else { return false };
        let machines = &mut lacp.machines;
        for slot in down.iter() {
            machines.set_link(slot, Link::Down, now);
        }
        for slot in taken_down.iter() {
            machines.take_down(slot, now);
        }
        machines.run(now);
    }
    report_moves(softc);
    true
}

/// Shows DTrace how the machines have moved, and logs it with `net.link.lagg.lacp.debug`.
fn report_moves(softc: &Softc) {
    loop {
        let next = trace::next_move(softc, &mut softc.state());
        let Some((port, from, to)) = next else { return };
        if lacp_debug() > 0 {
            let name = port.ifp().name();
            log(softc.ifp(), format_args!("{name}: {} to {}", from.name(), to.name()));
        }
    }
}

/// Tells the partner of a port that has left that the port is no longer part of the aggregation. The caller
/// has waited for the epoch since it left, so this is sent after all packets and LACPDUs in flight.
pub(super) fn say_farewell(port: &Port, frame: &[u8; FRAME]) {
    if port.is_active() {
        // If it is lost, the partner will time out. D-20: LACP sends in the epoch too
        let _ = epoch::section(|epoch| lacp_frames::transmit(port, frame, epoch));
    }
}

/// Says farewell on all ports of a lagg that no longer has this mode, if the mode was LACP. Sleeps then.
pub(super) fn say_farewells(old: &mut Mode, ports: &[Ref<Port>]) {
    let Some(lacp) = old.lacp_mut() else { return };
    epoch::wait();
    for port in ports {
        if let Some(frame) = lacp.machines.remove(port.slot()) {
            say_farewell(port, &frame);
        }
    }
}

/// Asks all ports for their media, if a link may have come up. The caller has the token, so the ports stay.
pub(super) fn follow_links(softc: &Ref<Softc>, _: &Token<'_>) {
    let running = {
        let mut state = softc.state();
        let running = state.running;
        let Some(lacp) = state.mode.lacp_mut() else { return };
        if !core::mem::take(&mut lacp.links_changed) {
            return;
        }
        running
    };
    let plan = softc.plan_ref();
    let link_of = |place: usize| match plan.at(place) {
        Some(port) if running && port.is_active() => link(port),
        _ => Link::Down,
    };
    // On the heap: a kernel stack is small.
    let links = insist(|| Array::try_new(plan.ports().count(), link_of));
    // All at once, so that ports which come up together are found together.
    if let Some(lacp) = softc.state().mode.lacp_mut() {
        for (port, link) in plan.ports().zip(links.iter()).filter(|(_, link)| **link != Link::Down)
        {
            lacp.machines.set_link(port.slot(), *link, now());
            lacp.balancer.set_address(port.slot(), port.ifp().lladdr().ethernet());
        }
    }
    Softc::wake_protocol(softc);
}

/// The link of a port. Virtual cards report neither full nor half duplex, and for new media a driver may
/// know only the speed, or nothing (F-45).
fn link(port: &Port) -> Link {
    let media = port.methods().media(port.ifp());
    if media.is_some_and(|media| !media.ethernet || media.half_duplex) {
        return Link::Unfit;
    }
    let speed = media.map_or(0, |media| media.baudrate);
    Link::Up(if speed == 0 { port.ifp().baudrate() } else { speed })
}

/// A link has changed. The protocol task handles a link that went down, the configuration task one that
/// came up. Does not wait.
pub(super) fn link_changed(softc: &Ref<Softc>) {
    Softc::wake_protocol(softc);
    {
        let mut state = softc.state();
        let Some(lacp) = state.mode.lacp_mut() else { return };
        lacp.links_changed = true;
    }
    Softc::wake_configuration(softc);
}

/// The bandwidth of the active aggregator, in bits per second.
pub(super) fn bandwidth(softc: &Softc) -> u64 {
    softc.state().mode.lacp().map_or(0, |lacp| lacp.machines.bandwidth())
}
