//! Link state and baud rate of the lagg. The protocol task publishes them, so their changes are in order.

use super::mode::Mode;
use super::state::State;
use super::{Plan, Port, Softc, changes, infiniband, lacp, peers, rebalance};
use crate::kpi::{LaggType, LinkState, Ref, probe, uptime_ms};
use crate::policy::buckets::BUCKETS;
use crate::policy::{Ports, Protocol, Speed};

/// Whether the link of a lagg with this plan is up, for both link state and media status: while enough ports
/// are in service. With lacp these are the ports that distribute, else the active ones, or with `up_delay`
/// and `down_delay` those whose links count as up.
///
/// A port that is down does not count. But a change of the lagg's address takes it and its ports down and up,
/// and its link must not follow that. So when it `may_come_up`, only their links count.
pub(super) fn is_up(plan: &Plan, may_come_up: bool) -> bool {
    // F-43: the one rule for the link state and the media status
    count(plan, may_come_up) >= plan.min_links().max(1)
}

/// How many ports are in service, or with failover could be. The link counts more: with none the ports that
/// have one, and with `down_delay` those whose links went down a while ago.
pub(super) fn in_service(plan: &Plan) -> usize {
    if !plan.is_running() || matches!(plan.protocol(), Protocol::None) {
        return 0;
    }
    plan.protocol().in_service().unwrap_or_else(|| {
        let counted = plan.ports().take(Ports::in_service(plan));
        counted.filter(|port| port.is_active()).count()
    })
}

/// How many ports the link state counts.
fn count(plan: &Plan, may_come_up: bool) -> usize {
    plan.protocol().in_service().unwrap_or_else(|| {
        let counts = |port: &&Ref<Port>| {
            // F-44, F-74: a port that is down does not count
            port.is_active() || may_come_up && port.ifp().link_state() == LinkState::Up
        };
        let counted = plan.counted().filter(|_| plan.is_running());
        counted.unwrap_or_else(|| plan.ports().filter(counts).count())
    })
}

/// Whether the media status is active. It agrees with the link state.
pub(super) fn is_active(softc: &Softc, plan: &Plan) -> bool {
    if plan.is_running() { is_up(plan, false) } else { softc.ifp().link_state() == LinkState::Up }
}

/// Publishes the lagg's link state and baud rate, from its ports. The protocol task's function.
pub(super) fn publish(softc: &Ref<Softc>) {
    if softc.state().destroying {
        return;
    }
    softc.ifp().in_vnet(|| {
        rebalance::run(softc);
        if !lacp::publish(softc) {
            // Until this, packets take their flow's second choice.
            softc.publish_if_stale();
        }
        infiniband::follow_address(softc);
        log_flows(softc);
        publish_link(softc);
        changes::tell(softc);
        set_alarm(softc, |ms| Some(ms.max(1)));
    });
}

/// Sets when the tasks run again. `when` says in how many milliseconds for what is due in so many for the protocol
/// task.
fn set_alarm(softc: &Ref<Softc>, when: impl FnOnce(u64) -> Option<u64>) {
    // Under the mutex: of two tasks, the one that is last here has seen the last state.
    let (state, now) = (softc.state(), uptime_ms());
    let due = until_due(softc.kind, &state).and_then(when);
    let due = due.into_iter().chain(lacp::until_due(&state).map(|ms| ms.max(1)));
    if let Some(ms) = due.min() {
        Softc::wake_protocol_at(softc, now.saturating_add(ms));
    }
}

/// The same for the LACP task. Returns whether something is due for the protocol task, which sets the next alarm
/// when that is done: it may wait for long.
pub(super) fn set_lacp_alarm(softc: &Ref<Softc>) -> bool {
    let mut is_due = false;
    set_alarm(softc, |ms| {
        is_due = ms == 0;
        Some(ms).filter(|_| !is_due)
    });
    is_due
}

// Not inlined, to keep what it takes off the stack while the rest runs.
#[inline(never)]
fn publish_link(softc: &Ref<Softc>) {
    let plan = softc.plan_ref();
    let ifp = softc.ifp();
    // A card may be down for a moment after a request, such as for another address or MTU.
    let is_restarting = |state: &State| state.members().any(|port| state.is_restarting(port));
    let is_settled = |state: &State| !state.may_come_up() && !is_restarting(state);
    if is_settled(&softc.state()) {
        ifp.set_baudrate(speed(softc, &plan));
    }
    let up = {
        let mut state = softc.state();
        let up = is_up(&plan, state.may_come_up());
        if !up && is_restarting(&state) {
            return;
        }
        // F-77: nor does the link go down while a standby takes over
        let was_up = ifp.link_state() == LinkState::Up;
        if state.stays_up(was_up && !up && plan.is_running()) {
            return;
        }
        if !peers::can_be_heard(&plan) {
            state.peers.cannot_hear(plan.is_running());
        }
        up
    };
    // A lagg that has never had a port keeps its link state unknown. F-50: no port yet, so no event
    if plan.count().is_none() && ifp.link_state() == LinkState::Unknown {
        return;
    }
    let to = if up { LinkState::Up } else { LinkState::Down };
    if ifp.link_state() != to {
        probe::link_state(ifp, up, in_service(&plan), plan.min_links());
    }
    ifp.change_link_state(to);
    peers::tell(softc, &plan);
}

/// The speed of the ports that packets are sent on, in bits per second.
fn speed(softc: &Softc, plan: &Plan) -> u64 {
    if !plan.is_running() {
        return 0;
    }
    match plan.protocol().speed(plan) {
        Speed::Aggregator => lacp::bandwidth(softc),
        Speed::Of(slots) => {
            let ports = slots.iter().filter_map(|slot| plan.in_slot(slot));
            ports.map(|port| port.ifp().baudrate()).fold(0, u64::saturating_add)
        }
    }
}

/// Milliseconds until the protocol task must run again: to tell peers once more, to see whether a restarting card
/// stays down, when a link counts, to move flows, to tell a change, or for InfiniBand.
fn until_due(kind: LaggType, state: &State) -> Option<u64> {
    let due = state.peers.until_due().into_iter().chain(state.next_restarted());
    let due = due.chain(state.next_taken_over());
    let due = due.chain(state.next_counted()).chain(rebalance::until_due(state));
    due.chain(state.changes.until_due()).chain(infiniband::until_due(kind, state)).min()
}

/// With IFF_DEBUG, logs how many buckets each port has, if that has changed.
fn log_flows(softc: &Softc) {
    let changed = match &mut softc.state().mode {
        Mode::LoadBalance(balancer) => balancer.take_changed(),
        _ => false,
    };
    if !changed || !softc.is_debugged() {
        return;
    }
    let plan = softc.plan_ref();
    let Protocol::LoadBalance(flows) = plan.protocol() else { return };
    for port in plan.ports() {
        let (name, count) = (port.ifp().name(), flows.table.count(port.slot()));
        softc.debug(format_args!("{count} of {BUCKETS} buckets of flows go to {name}"));
    }
}
