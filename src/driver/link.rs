//! Link state and baud rate of the lagg: published by the protocol task, in the order in which they
//! came true.

use core::mem::replace;

use super::mode::Mode;
use super::state::{NO_LLADDR, State};
use super::{Plan, Softc, infiniband, lacp, stacking};
use crate::kpi::{Ifnet, LaggType, LinkState, Ref, epoch, uptime_ms};
use crate::policy::buckets::BUCKETS;
use crate::policy::{Protocol, Speed};

/// After how many milliseconds an address is told of once more.
const AGAIN_MS: u64 = 1000;

/// Whether the link of a lagg with this plan is up, for the link state and the media status alike: lacp's
/// while a port distributes, another one's while a port is active.
///
/// A lagg that is down has taken its ports down with it, so only their links count then: a change of the
/// lagg's address takes it down and up, and its link must not follow.
pub(super) fn is_up(plan: &Plan) -> bool {
    // F-43: the one rule for the link state and the media status
    plan.protocol().link().unwrap_or_else(|| {
        if plan.is_running() {
            // F-44: a port that is down does not count
            plan.first_active().is_some()
        } else {
            plan.ports().any(|port| port.ifp().link_state() == LinkState::Up)
        }
    })
}

/// Publishes what the ports' link states make of the lagg's. The protocol task's function.
pub(super) fn publish(softc: &Ref<Softc>) {
    if softc.state().destroying {
        return;
    }
    softc.ifp().in_vnet(|| {
        if !lacp::run(softc) {
            // Until then packets take their flow's second choice.
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
        let up = is_up(&plan);
        // A card is down for a moment where it gets another address or MTU, or is to do something else.
        if !up && state.members().any(|port| state.is_restarting(port)) {
            return;
        }
        let heard = softc.kind == LaggType::Ethernet && plan.is_running() && up;
        if !heard && state.tell_again.take().is_some() {
            // A host may not have heard it the first time, so it is announced again when the link is back.
            state.told_lladdr = NO_LLADDR;
        }
        (up, heard)
    };
    // Of a lagg that has not had a port yet nothing is known.
    // F-50: no port yet, so no event
    if plan.count().is_none() && ifp.link_state() == LinkState::Unknown {
        return;
    }
    ifp.change_link_state(if up { LinkState::Up } else { LinkState::Down });
    if heard {
        tell_again(softc);
    }
}

/// Announces an address that no host has heard of yet, and once more a little later: a partner that has
/// only just been found may need a moment before it accepts frames.
fn tell_again(softc: &Ref<Softc>) {
    let (lladdr, now) = (softc.ifp().lladdr(), uptime_ms());
    let (is_new, is_due) = {
        let mut state = softc.state();
        // F-64: no host has heard this one
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

/// Announces the addresses of the lagg and of its VLANs to their neighbours. Not by `iflladdr_event`, which
/// would give the VLANs the lagg's address.
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

/// In how many milliseconds the address is to be told of once more, it is known of a card that restarts
/// whether it stays down, or LACP has something to do.
fn until_due(state: &State) -> Option<u32> {
    let at = state.tell_again.into_iter().chain(state.next_restarted()).min();
    let ms = at.map(|at| at.saturating_sub(uptime_ms()));
    let ms = ms.into_iter().chain(lacp::until_due(state)).min()?;
    Some(u32::try_from(ms).unwrap_or(u32::MAX).max(1))
}

/// Whether what is sent now can arrive.
fn can_be_heard(plan: &Plan) -> bool {
    plan.is_running() && is_up(plan)
}

/// Says that the lagg has another address (`iflladdr_event`), which the stack tells its peers. While
/// they cannot hear it that is for nothing: the protocol task says it again when they can. May sleep.
pub(super) fn tell_lladdr(softc: &Softc) {
    if !can_be_heard(&softc.plan_ref()) {
        softc.state().told_lladdr = NO_LLADDR;
    }
    softc.ifp().lladdr_event();
}

/// With IFF_DEBUG: how many buckets each port has now, if that changed.
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
