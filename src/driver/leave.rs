//! Leaving: how a port becomes an interface of its own again, and how a lagg ends.

use super::mode::{Mode, PlanMemory};
use super::softc::{Token, insist};
use super::state::{NO_LLADDR, Phase};
use super::{Port, Softc, changes, counters, groups, infiniband, lacp, offloads, peers, vlans};
use crate::kpi::Name;
use crate::kpi::{Errno, Ifnet, IfnetRef, LaggType, Ref, Result, epoch, iff, probe};
use crate::policy::Kind;

/// SIOCSLAGGDELPORT: takes the interface `name` out of the lagg.
///
/// # Errors
/// EINVAL: no such interface. ENOENT: not a port of this lagg. ENXIO: the lagg is being destroyed.
pub(super) fn remove(softc: &Ref<Softc>, name: &Name) -> Result {
    let ifp = IfnetRef::by_name(name).ok_or(Errno::EINVAL)?;
    let token = softc.token()?;
    let port = ifp.lagg_port().filter(|port| is_in(softc, port)).ok_or(Errno::ENOENT)?;
    softc.state().changes.taken_out();
    leave(softc, &port, &token);
    Ok(())
}

/// The port of `softc` that `ifp` is.
pub(super) fn member(softc: &Softc, ifp: &Ifnet) -> Option<Ref<Port>> {
    let port = ifp.lagg_port()?;
    (softc.state().phase(&port) == Some(Phase::Member)).then_some(port)
}

/// Whether `port` has joined `softc` and has not begun to leave, though it may no longer be in the plan.
fn is_in(softc: &Softc, port: &Port) -> bool {
    matches!(softc.state().phase(port), Some(Phase::Member | Phase::Looping))
}

/// Removes the ports that would send to the lagg itself.
pub(super) fn remove_looping(softc: &Ref<Softc>, token: &Token<'_>) {
    loop {
        let looping = softc.state().looping();
        let Some(port) = looping else { return };
        leave(softc, &port, token);
    }
}

/// The port's interface goes away or moves to another vnet. A claim that is not committed yet is marked,
/// and the joining thread, which has the token, gives up.
pub(super) fn departure(port: &Ref<Port>) {
    let softc = port.softc();
    let was_member = {
        let mut state = softc.state();
        if state.phase(port) == Some(Phase::Joining) {
            state.set_phase(port, Phase::Gone);
        }
        state.phase(port) == Some(Phase::Member)
    };
    if was_member {
        changes::tell_gone(softc, port);
    }
    // F-10: before the interface is in its new vnet
    take_out(softc, port);
}

/// Takes a port out, if it still is one when this thread has the token.
pub(super) fn take_out(softc: &Ref<Softc>, port: &Ref<Port>) {
    // Refused only if the lagg is being destroyed, which removes all ports.
    let Ok(token) = softc.token() else { return };
    // D-9: another thread may have taken it out while this one waited for the token
    if is_in(softc, port) {
        leave(softc, port, &token);
    }
}

/// Takes every port out and ends all work. The caller holds `ifnet_detach_sxlock`.
pub(super) fn destroy(softc: &Ref<Softc>) {
    let token = softc.last_token();
    let memory = insist(|| PlanMemory::try_new(Kind::None));
    // Only the holder of the token changes the set of ports.
    let ports = softc.state().joined();
    let mut mode = softc.switch(Mode::None, memory, |state| {
        state.running = false;
        state.addressed_by = None;
        for port in &ports {
            state.set_phase(port, Phase::Leaving);
        }
    });
    softc.ifp().set_running(false);
    lacp::say_farewells(&mut mode, &ports);
    give_back(softc, &ports, &token);
    drop(token);
    softc.drain_tasks();
}

/// Takes one port out: first from the plan, then it is restored.
fn leave(softc: &Ref<Softc>, port: &Ref<Port>, token: &Token<'_>) {
    let (gave_address, farewell) = softc.change(|state| {
        state.set_phase(port, Phase::Leaving);
        state.changes.history.left(port.ifp().name());
        let lacp = state.mode.lacp_mut();
        let farewell = lacp.and_then(|lacp| lacp.machines.remove(port.slot()));
        let gave_address = state.addressed_by == Some(port.slot());
        if gave_address {
            let lowest = state.members().min_by_key(|port| port.ifp().index());
            state.addressed_by = lowest.map(|port| port.slot());
        }
        (gave_address, farewell)
    });
    if let Some(frame) = farewell {
        epoch::wait();
        lacp::say_farewell(port, &frame);
    }
    if gave_address {
        readdress(softc, token);
    }
    give_back(softc, core::slice::from_ref(port), token);
    // F-7: what only this port lacked comes back
    offloads::update(softc, token, None);
    Softc::wake_protocol(softc);
}

/// Restores interfaces that are in no plan any more. `if_lagg` is cleared a grace period after `if_type`,
/// because the stack reads them in this order. It is cleared last, because until then a departure waits for
/// the token, and so for the calls of the drivers here.
fn give_back(softc: &Softc, ports: &[Ref<Port>], _: &Token<'_>) {
    let ledger = insist(counters::memory);
    for port in ports {
        // D-5: the type goes first, the pointer a grace period later
        port.ifp().release(port.methods());
    }
    if !ports.is_empty() {
        epoch::wait();
    }
    counters::settle(&softc.ledger, ports, ledger);
    for port in ports {
        groups::give_back(softc, port);
        vlans::withdraw(softc, port);
        restore(port);
        abandon(softc, port);
        probe::port_leave(softc.ifp(), port.ifp());
    }
}

/// The port has left that the lagg had its address from: the lagg and its ports take another one's own
/// address. Without ports the lagg has no address. An address that an administrator has set stays.
fn readdress(softc: &Ref<Softc>, token: &Token<'_>) {
    if softc.kind == LaggType::Infiniband {
        infiniband::follow_address(softc);
        return;
    }
    let lladdr = {
        let mut state = softc.state();
        let port = state.addressed_by.and_then(|slot| state.claimed(slot));
        let lladdr = port.map_or(NO_LLADDR, |port| port.original_lladdr());
        if !softc.take_lladdr(&mut state, lladdr) {
            return;
        }
        lladdr
    };
    peers::tell_lladdr(softc);
    for port in &token.ports() {
        port.share_lladdr(&lladdr);
    }
    // Once for all ports, not for each.
    lacp::link_changed(softc);
}

/// Gives an interface back its own address, MTU and capabilities, when it leaves or has failed to join.
/// IFF_UP stays as it is.
pub(super) fn restore(port: &Port) {
    // F-33: IFF_UP stays as it is
    let ifp = port.ifp();
    if ifp.flags() & iff::DYING != 0 {
        return;
    }
    port.set_lladdr(&port.original_lladdr());
    // F-12: its own MTU
    if ifp.mtu() != port.original_mtu() {
        let _ = port.methods().set_mtu(ifp, port.original_mtu());
    }
    // F-4: both words
    if ifp.enabled() != port.original_enabled() {
        let _ = port.methods().enable(ifp, port.original_enabled());
    }
}

/// Ends a claim: the slot and the interface are free again.
pub(super) fn abandon(softc: &Softc, port: &Port) {
    port.ifp().hide_leaves(softc.ifp());
    softc.state().remove(port);
    port.ifp().unclaim(port);
}
