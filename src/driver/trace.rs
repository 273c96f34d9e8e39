//! What DTrace sees of plans and of LACP's machines. Nothing here is on the path of packets.

use core::mem::replace;
use core::ptr;

use super::lacp_state::now;
use super::state::State;
use super::{Plan, Port, Softc, link};
use crate::kpi::{Ifnet, Ref, epoch, probe};
use crate::lacp::mux::MuxState;
use crate::lacp::receive;
use crate::policy::Protocol;
use crate::policy::buckets::{BUCKETS, Table};
use crate::policy::lacp::Paused;
use crate::slots::{Slot, SlotMap, SlotSet};

/// What was last seen of the machines of [`crate::lacp`].
#[derive(Default)]
pub(super) struct Machines {
    /// Of the port in each slot.
    ports: SlotMap<(MuxState, receive::State)>,
    chosen: Option<Slot>,
}

impl Machines {
    /// A port is new in its slot.
    pub fn begin(&mut self, slot: Slot) {
        self.ports[slot] = Default::default();
    }
}

/// The next port whose mux machine has moved since this was asked last, and its states. Fires the probes of
/// LACP's machines. Called under the mutex.
pub(super) fn next_move(
    softc: &Softc,
    state: &mut State,
) -> Option<(Ref<Port>, MuxState, MuxState)> {
    let lagg = softc.ifp();
    let chosen = state.mode.lacp()?.machines.chosen();
    let number = |slot: Option<Slot>| slot.map_or(-1, |slot| slot.number().into());
    let before = replace(&mut state.changes.machines.chosen, chosen);
    if before != chosen {
        probe::lacp_select(lagg, number(before), number(chosen));
    }
    for slot in Slot::all() {
        let states =
            state.mode.lacp()?.machines.port(slot).map(|port| (port.mux(), port.receive()));
        let Some((mux, receive)) = states else { continue };
        let before = replace(&mut state.changes.machines.ports[slot], (mux, receive));
        if before == (mux, receive) {
            continue;
        }
        let Some(port) = state.claimed(slot) else { continue };
        if (before.1, receive) == (receive::State::Current, receive::State::Expired) {
            state.changes.history.timed_out(slot);
        }
        if before.1 != receive {
            probe::lacp_receive(lagg, port.ifp(), before.1.name(), receive.name());
        }
        if before.0 != mux {
            probe::lacp_mux(lagg, port.ifp(), before.0.name(), mux.name());
            return Some((port, before.0, mux));
        }
    }
    None
}

/// This plan is about to be published. Called under the mutex.
pub(super) fn publishes(softc: &Softc, state: &mut State, plan: &Plan) {
    if cfg!(loom) {
        return;
    }
    let ports = plan.count().map_or(0, |count| count.get());
    let protocol = plan.protocol().about().name;
    probe::plan_publish(softc.ifp(), protocol, ports, link::in_service(plan));
    epoch::section(|epoch| {
        let change = Change { lagg: softc.ifp(), old: softc.plan(epoch), new: plan };
        change.moves();
        change.pauses(state);
    });
}

/// A change from one plan to another.
struct Change<'a> {
    lagg: &'a Ifnet,
    old: &'a Plan,
    new: &'a Plan,
}

/// The table of flows, if the protocol has one.
fn table(plan: &Plan) -> Option<&Table> {
    match plan.protocol() {
        Protocol::LoadBalance(flows) => Some(&flows.table),
        Protocol::Lacp(lacp) => Some(&lacp.flows.table),
        _ => None,
    }
}

/// The buckets of flows that wait, if any does.
fn paused(plan: &Plan) -> Option<&Paused> {
    Some(&plan.protocol().lacp()?.exceptions.as_deref()?.paused)
}

/// How many of these buckets each slot has in a table.
fn counts(table: &Table, is_counted: impl Fn(u32) -> bool) -> SlotMap<u16> {
    let mut counts = SlotMap::<u16>::default();
    for bucket in (0..BUCKETS as u32).filter(|bucket| is_counted(*bucket)) {
        if let Some(slot) = table.first(bucket) {
            counts[slot] = counts[slot].saturating_add(1);
        }
    }
    counts
}

impl Change<'_> {
    /// The buckets that go to other ports.
    #[inline(never)]
    fn moves(&self) {
        let (Some(old), Some(new)) = (table(self.old), table(self.new)) else { return };
        if ptr::eq(old, new) {
            return;
        }
        let moves = |bucket: &u32| old.first(*bucket) != new.first(*bucket);
        let left = (0..BUCKETS as u32).filter(moves).filter_map(|bucket| old.first(bucket));
        for from in left.collect::<SlotSet>().iter() {
            let counts = counts(new, |bucket| old.first(bucket) == Some(from));
            for (to, count) in counts.iter().filter(|(to, count)| *to != from && **count != 0) {
                let from = self.old.in_slot(from).map(Port::ifp);
                let to = self.new.in_slot(to).map(Port::ifp);
                probe::bucket_move(self.lagg, from, to, (*count).into());
            }
        }
    }

    /// The buckets that begin to wait, and those that go on.
    #[inline(never)]
    fn pauses(&self, state: &mut State) {
        let (old, new) = (paused(self.old), paused(self.new));
        let has = |paused: Option<&Paused>, bucket| paused.is_some_and(|it| it.has(bucket));
        let since = match (&mut state.changes.since, new) {
            (since, Some(_)) => *since.get_or_insert(now()),
            (since, None) => match since.take() {
                None => return,
                Some(since) => since,
            },
        };
        let ms = u32::try_from(now().since(since)).unwrap_or(u32::MAX);
        let (Some(before), Some(after)) = (table(self.old), table(self.new)) else { return };
        let begin = counts(before, |bucket| has(new, bucket) && !has(old, bucket));
        for (slot, count) in begin.iter().filter(|(_, count)| **count != 0) {
            let port = self.old.in_slot(slot).map(Port::ifp);
            probe::lacp_pause(self.lagg, port, (*count).into());
        }
        let end = counts(after, |bucket| has(old, bucket) && !has(new, bucket));
        for (slot, count) in end.iter().filter(|(_, count)| **count != 0) {
            let port = self.new.in_slot(slot).map(Port::ifp);
            probe::lacp_resume(self.lagg, port, (*count).into(), ms);
        }
    }
}
