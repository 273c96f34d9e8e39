//! Which interface stands on which: a VLAN on its parent, a lagg on its ports. What a lagg sends must not
//! come back to it.
//!
//! Administrators can stack interfaces at any time. So a VLAN is checked when it joins, and again when it,
//! or a VLAN beneath it, is given a parent (`vlan_config`). A port that must not be one any more is out of
//! the plan before `vlan_config` returns. Until then packets stop at the guard of laggs on VLANs
//! ([`Ifnet::guard`]).

use core::fmt::{self, Display, Formatter};

use arrayvec::ArrayVec;

use super::state::Phase;
use super::{Port, Softc};
use crate::kpi::{Epoch, IfType, Ifnet, MAX_STACKING, Ref, epoch, log};
use crate::slots::Slot;

/// Why a VLAN cannot be a port.
#[derive(Clone, Copy)]
pub(super) enum Obstacle {
    /// A packet would come back to the lagg.
    Itself,
    /// It stands on a bridge, which may send anywhere.
    Bridge,
    /// The stack is too high to follow.
    Height,
}

impl Display for Obstacle {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Obstacle::Itself => "it stands on the lagg itself",
            Obstacle::Bridge => "it stands on a bridge, which may send to the lagg",
            Obstacle::Height => "too many VLANs and laggs are stacked beneath it",
        })
    }
}

/// Why a claimed interface cannot be a port, if it cannot. Takes the mutexes of the laggs beneath, one at a
/// time; the caller holds none.
pub(super) fn obstacle(port: &Port) -> Option<Obstacle> {
    // What is found in an epoch section is not freed in it.
    epoch::section(|epoch| {
        let parent = port.parent(epoch)?;
        beneath(&parent, port.softc(), MAX_STACKING - 1, epoch)
    })
}

fn beneath(ifp: &Ifnet, softc: &Softc, depth: u32, epoch: &Epoch) -> Option<Obstacle> {
    // D-25: the lagg itself
    if ifp.same(softc.ifp()) {
        return Some(Obstacle::Itself);
    }
    let Some(depth) = depth.checked_sub(1) else {
        return Some(Obstacle::Height);
    };
    if ifp.if_type() == IfType::Bridge {
        return Some(Obstacle::Bridge);
    }
    if let Some((parent, _)) = ifp.vlan_of(epoch) {
        return beneath(&parent, softc, depth, epoch);
    }
    // The kernel recognises VLANs by their type, which a port does not have.
    if let Some(parent) = ifp.lagg_port().and_then(|port| port.parent(epoch)) {
        return beneath(&parent, softc, depth, epoch);
    }
    let lagg = ifp.lagg_softc()?;
    Slot::all().find_map(|slot| {
        let port = lagg.state().claimed(slot)?;
        let parent = port.parent(epoch)?;
        beneath(&parent, softc, depth, epoch)
    })
}

/// `vlan` is now the VLAN `id` of `parent`. The caller may hold `vlan_sx`. Sleeps only for memory.
pub(super) fn moved(vlan: &Ifnet, parent: &Ifnet, id: u16) {
    if let Some(port) = vlan.lagg_port() {
        let mut state = port.softc().state();
        // Another thread may have reported a newer parent, so this may be out of date.
        let now = epoch::section(|epoch| parent.vlan(id, epoch));
        if now.is_some_and(|now| now.same(vlan)) {
            state.set_parent(&port, (parent.to_ref(), id));
        }
    }
    // D-27: however the VLAN got its parent
    look_at(vlan, MAX_STACKING);
}

/// Takes out ports that must not be ports any more: the VLAN, and what stands on it.
fn look_at(vlan: &Ifnet, depth: u32) {
    if let Some(port) = vlan.lagg_port()
        && let Some(obstacle) = obstacle(&port)
    {
        take_out(&port, obstacle);
    }
    let Some(depth) = depth.checked_sub(1) else { return };
    each_vlan_id(vlan, |id| {
        if let Some(above) = epoch::section(|epoch| vlan.vlan(id, epoch)) {
            look_at(&above, depth);
        }
    });
}

/// Calls `f` with the id of each VLAN on an interface.
pub(super) fn each_vlan_id(ifp: &Ifnet, mut f: impl FnMut(u16)) {
    for first in (0..4096).step_by(64) {
        let mut ids = ifp.vlans(first, u64::MAX);
        while ids != 0 {
            f(first.saturating_add(ids.trailing_zeros() as u16));
            ids &= ids.wrapping_sub(1);
        }
    }
}

/// Calls `f` with an interface and what stands on it: VLANs, bridges, and laggs that have one of these as a
/// port. Takes no mutex; `f` may be called twice with the same interface.
pub(super) fn each_above(ifp: &Ifnet, f: &mut dyn FnMut(&Ifnet)) {
    climb(ifp, MAX_STACKING, &mut ArrayVec::new(), f);
}

/// The same for `depth` interfaces on top of each other, and for other bridges than `seen`.
fn climb(ifp: &Ifnet, depth: u32, seen: &mut Bridges, f: &mut dyn FnMut(&Ifnet)) {
    f(ifp);
    let Some(depth) = depth.checked_sub(1) else { return };
    each_vlan_id(ifp, |id| {
        if let Some(vlan) = epoch::section(|epoch| ifp.vlan(id, epoch)) {
            climb(&vlan, depth, seen, f);
        }
    });
    if let Some(port) = ifp.lagg_port() {
        climb(port.softc().ifp(), depth, seen, f);
    }
    // All VLANs may be members of one bridge.
    if let Some(bridge) = epoch::section(|epoch| ifp.bridge(epoch))
        && !seen.contains(&bridge.index())
    {
        // Of more than it can hold, some may be climbed twice.
        let _ = seen.try_push(bridge.index());
        climb(&bridge, depth, seen, f);
    }
}

/// The indexes of some bridges.
type Bridges = ArrayVec<u32, 64>;

/// Takes a port out of the plan. The configuration task does the rest; a joining thread gives up.
fn take_out(port: &Ref<Port>, why: Obstacle) {
    let softc = port.softc();
    let was_port = softc.change(|state| {
        match state.phase(port) {
            Some(Phase::Joining) => state.set_phase(port, Phase::Gone),
            Some(Phase::Member) => {
                state.set_phase(port, Phase::Looping);
                if let Some(lacp) = state.mode.lacp_mut() {
                    // Its farewell would come back here, so it is not sent.
                    let _ = lacp.machines.remove(port.slot());
                }
            }
            _ => return false,
        }
        true
    });
    if !was_port {
        return;
    }
    log(softc.ifp(), format_args!("{} is no longer a port: {why}", port.ifp().name()));
    Softc::wake_configuration(softc);
    Softc::wake_protocol(softc);
}
