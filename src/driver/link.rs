//! Link state and baud rate of the lagg. The protocol task publishes them, so their changes are in order.

use core::mem::replace;

use super::mode::Mode;
use super::state::{NO_LLADDR, State};
use super::{Plan, Port, Softc, infiniband, lacp, rebalance, stacking};
use crate::kpi::{Ifnet, LaggType, LinkState, Ref, epoch, uptime_ms};
use crate::policy::buckets::BUCKETS;
use crate::policy::{Protocol, Speed};

/// Milliseconds after which an address is announced once more.
const AGAIN_MS: u64 = 1000;

/// Whether the link of a lagg with this plan is up, for both link state and media status: while enough ports
/// are in service. With lacp these are the ports that distribute, else the active ones, or with `up_delay`
/// and `down_delay` those whose links count as up.
///
/// A port that is down does not count. But a change of the lagg's address takes it and its ports down and up,
/// and its link must not follow that. So when it `may_come_up`, only their links count.
fn is_up(plan: &Plan, may_come_up: bool) -> bool {
    // F-43: the one rule for the link state and the media status
    let in_service = plan.protocol().in_service().unwrap_or_else(|| {
        let counts = |port: &&Ref<Port>| {
            // F-44, F-74: a port that is down does not count
            port.is_active() || may_come_up && port.ifp().link_state() == LinkState::Up
        };
        let counted = plan.counted().filter(|_| plan.is_running());
        counted.unwrap_or_else(|| plan.ports().filter(counts).count())
    });
    in_service >= plan.min_links()
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
        if !lacp::run(softc) {
            // Until this, packets take their flow's second choice.
            softc.publish_if_stale();
        }
        let until_due = until_due(&softc.state());
        if let Some(ms) = until_due {
            Softc::wake_protocol_in(softc, ms);
        }
        infiniband::run(softc);
        log_flows(softc);
        publish_link(softc);
    });
}

fn publish_link(softc: &Ref<Softc>) {
    let plan = softc.plan_ref();
    let ifp = softc.ifp();
    let baudrate = match plan.protocol().speed(&*plan) {
        Speed::Unchanged => None,
        Speed::Aggregator => lacp::bandwidth(softc),
        Speed::Of(slots) => {
            let ports = slots.iter().filter_map(|slot| plan.in_slot(slot));
            Some(ports.map(|port| port.ifp().baudrate()).fold(0, u64::saturating_add))
        }
    };
    if let Some(baudrate) = baudrate {
        ifp.set_baudrate(baudrate);
    }
    let (up, heard) = {
        let mut state = softc.state();
        let up = is_up(&plan, state.may_come_up());
        // A card may be down for a moment after a request, such as for another address or MTU.
        if !up && state.members().any(|port| state.is_restarting(port)) {
            return;
        }
        let heard = softc.kind == LaggType::Ethernet && plan.is_running() && up;
        if !heard && state.tell_again.take().is_some() {
            // Hosts may have missed the first announcement, so it is repeated when the link is back.
            state.told_lladdr = NO_LLADDR;
        }
        (up, heard)
    };
    // A lagg that has never had a port keeps its link state unknown. F-50: no port yet, so no event
    if plan.count().is_none() && ifp.link_state() == LinkState::Unknown {
        return;
    }
    ifp.change_link_state(if up { LinkState::Up } else { LinkState::Down });
    if heard {
        tell_again(softc);
    }
}

/// Announces an address that has not been announced yet, and once more a little later. A partner that has
/// just been found may need a moment before it accepts frames.
fn tell_again(softc: &Ref<Softc>) {
    let (lladdr, now) = (softc.ifp().lladdr(), uptime_ms());
    let (is_new, is_due) = {
        let mut state = softc.state();
        // F-64: this one has not been announced
        let is_new = replace(&mut state.told_lladdr, lladdr) != lladdr;
        let is_due = state.tell_again.take_if(|at| *at <= now).is_some();
        if is_new {
            state.tell_again = Some(now.saturating_add(AGAIN_MS));
        }
        (is_new, is_due)
    };
    if is_new || is_due {
        announce(softc.ifp());
    }
    if is_new {
        Softc::wake_protocol(softc);
    }
}

/// Announces the addresses of the lagg and of its VLANs to their neighbours. `iflladdr_event` would do
/// more: give the VLANs the lagg's address.
fn announce(ifp: &Ifnet) {
    epoch::section(|epoch| ifp.announce(epoch));
    stacking::each_vlan_id(ifp, |id| {
        epoch::section(|epoch| {
            if let Some(vlan) = ifp.vlan(id, epoch) {
                vlan.announce(epoch);
            }
        });
    });
}

/// Milliseconds until the protocol task must run again: to repeat an announcement, to see whether a
/// restarting card stays down, when a link counts, or for LACP.
fn until_due(state: &State) -> Option<u32> {
    let again = state.tell_again.map(|at| at.saturating_sub(uptime_ms()));
    let ours = again.into_iter().chain(state.next_restarted()).chain(state.next_counted());
    let ms = ours.chain(lacp::until_due(state)).chain(rebalance::until_due(state)).min()?;
    Some(u32::try_from(ms).unwrap_or(u32::MAX).max(1))
}

/// Whether what is sent now can reach other hosts.
fn can_be_heard(plan: &Plan) -> bool {
    plan.is_running() && is_up(plan, false)
}

/// Reports a new address of the lagg (`iflladdr_event`), which the stack announces to its peers. If nothing
/// can be sent, that is lost, and the protocol task announces it when something can. May sleep.
pub(super) fn tell_lladdr(softc: &Softc) {
    if !can_be_heard(&softc.plan_ref()) {
        softc.state().told_lladdr = NO_LLADDR;
    }
    softc.ifp().lladdr_event();
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
