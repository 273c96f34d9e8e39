//! What is configured through the lagg for all of its ports: up and down, MTU, protocol.

use core::mem::replace;

use super::mode::{Mode, PlanMemory};
use super::softc::Token;
use super::state::{Phase, Setting, State};
use super::{Port, Softc, groups, infiniband, lacp, leave, offloads, vlans};
use crate::kpi::{Errno, Ioctl, LaggType, Ref, Result, iff, log};
use crate::policy::Kind;

/// How long a request for up or down waits for others to finish, in milliseconds. Then it leaves the work
/// to the configuration task.
const PATIENCE_MS: u32 = 10_000;

/// The flags that the stack changes with its locks held.
const MODES: u32 = iff::PROMISC | iff::ALLMULTI;

/// SIOCSIFFLAGS: the lagg's flags may have changed.
///
/// An administrator's up or down is done when this returns. A change of PROMISC or ALLMULTI comes from the
/// stack with its locks held (a VLAN's with `vlan_sx`), so it must not wait for port drivers, which may
/// want the same locks: the configuration task does it. Only the flag that differs tells the two apart. If
/// two changes coincide and the guess is wrong, the wait is limited. Up, down and the address are compared
/// with what the ports have: the stack takes a lagg down when it moves to another vnet, and no event
/// reports an address that it then gets.
///
/// A change of the lagg's address (if_setlladdr) takes it down, then up again. The ports get the address
/// when it is up again.
///
/// Nothing is done for a lagg that is being destroyed.
pub(super) fn flags_changed(softc: &Ref<Softc>) {
    let (new_modes, new_up, new_monitor) = {
        let mut state = softc.state();
        // Its interface is detached next, and loses its address then.
        if state.destroying {
            return;
        }
        let new_monitor = softc.has_new_monitor(&state);
        let (flags, lladdr) = (softc.ifp().flags(), softc.ifp().lladdr());
        let modes = flags & MODES;
        let up = flags & iff::UP != 0;
        softc.has_given_lladdr(&mut state);
        // The address of an InfiniBand lagg cannot be given.
        let is_given = softc.kind == LaggType::Ethernet
            && lladdr != replace(&mut state.lladdr_seen, lladdr.ethernet());
        if is_given && !up && !new_monitor {
            return;
        }
        let new_lladdr = up && !state.members().all(|port| port.has_lladdr(&lladdr));
        let new_modes = replace(&mut state.modes_seen, modes) != modes;
        (new_modes, state.running != up || new_lladdr, new_monitor)
    };
    if new_monitor && !new_modes {
        softc.change(|_| ());
    }
    if new_up
        && !new_modes
        && let Ok(Some(token)) = softc.token_within(PATIENCE_MS)
    {
        follow_flags(softc, &token);
    } else if new_up || new_modes {
        Softc::wake_configuration(softc);
    }
}

/// SIOCADDMULTI, SIOCDELMULTI: the lagg's groups have changed, and perhaps IFF_ALLMULTI: IPv6 sets that
/// silently when it joins all groups. If it counted as new at the next `down`, that `down` would return
/// early.
pub(super) fn groups_changed(softc: &Ref<Softc>) {
    // F-39: so that the next `down` does not take it for new
    softc.state().modes_seen = softc.ifp().flags() & MODES;
    Softc::wake_configuration(softc);
}

/// Applies to the ports what is wanted of them. The configuration task's function.
pub(super) fn reconcile(softc: &Ref<Softc>) {
    let Ok(token) = softc.token() else { return };
    softc.ifp().in_vnet(|| {
        leave::remove_looping(softc, &token);
        let new_monitor = softc.has_new_monitor(&softc.state());
        if new_monitor {
            softc.change(|_| ());
        }
        follow_flags(softc, &token);
        groups::update(softc, &token);
        vlans::update(softc, &token);
        offloads::update(softc, &token, None);
        lacp::follow_links(softc, &token);
    });
}

/// Brings the lagg up (`if_init`): adding an address has set IFF_UP, without SIOCSIFFLAGS.
///
/// # Errors
/// ENXIO: the lagg is being destroyed.
pub(super) fn bring_up(softc: &Ref<Softc>) -> Result {
    let token = softc.token()?;
    follow_flags(softc, &token);
    Ok(())
}

fn follow_flags(softc: &Ref<Softc>, token: &Token<'_>) {
    if softc.ifp().flags() & iff::UP != 0 {
        start(softc, token);
    } else {
        stop(softc, token);
    }
}

/// Up: the ports get the lagg's address and come up, then packets are accepted.
fn start(softc: &Ref<Softc>, token: &Token<'_>) {
    let ifp = softc.ifp();
    let lladdr = ifp.lladdr();
    let ports = token.ports();
    let mut is_new = false;
    for port in &ports {
        // The address is tried again at each `up`, for ports that refused it.
        is_new |= port.share_lladdr(&lladdr);
    }
    if ifp.is_running() {
        if is_new {
            lacp::link_changed(softc);
        }
        Softc::wake_protocol(softc);
        return;
    }
    softc.state().begin_up();
    ports.iter().for_each(|port| port.up());
    set_running(softc, token, true);
    infiniband::follow_address(softc);
    lacp::follow_links(softc, token);
}

/// Down: packets are no longer accepted, LACP's partners are told, then the ports go down.
fn stop(softc: &Ref<Softc>, token: &Token<'_>) {
    if !softc.ifp().is_running() {
        return;
    }
    set_running(softc, token, false);
    lacp::say_that_ports_are_down(softc);
    for port in &token.ports() {
        port.ifp().down();
        let _ = port.methods().set_flags(port.ifp());
    }
    softc.state().end_down();
    Softc::wake_protocol(softc);
}

fn set_running(softc: &Ref<Softc>, _: &Token<'_>, running: bool) {
    softc.change(|state| {
        state.set_running(running);
        softc.ifp().set_running(running);
    });
    lacp::link_changed(softc);
}

/// SIOCSIFMTU: sets the MTU of the lagg and of all its ports. If one port refuses it, all keep the old one.
///
/// # Errors
/// What the port's driver returned; ENXIO while the lagg is being destroyed.
pub(super) fn set_mtu(softc: &Softc, mtu: u32) -> Result {
    let token = softc.token()?;
    let ifp = softc.ifp();
    let old = ifp.mtu();
    let ports = token.ports();
    for port in &ports {
        if let Err(errno) = port.restarting(|| port.methods().set_mtu(port.ifp(), mtu)) {
            log(
                ifp,
                format_args!(
                    "cannot set the MTU of {} to {mtu} (error {})",
                    port.ifp().name(),
                    errno.number()
                ),
            );
            // This includes the port that refused, if it failed half way.
            for port in ports.iter().filter(|port| port.ifp().mtu() != old) {
                let _ = port.restarting(|| port.methods().set_mtu(port.ifp(), old));
            }
            return Err(errno);
        }
    }
    softc.state().mtu = Setting::Given;
    ifp.store_mtu(mtu);
    offloads::update(softc, &token, None);
    Ok(())
}

/// SIOCSIFCAP, SIOCSIFCAPNV: asks all ports for the same. What each of them then has enabled is wanted of
/// it from now on.
///
/// # Errors
/// ENXIO while the lagg is being destroyed.
pub(super) fn set_capabilities(softc: &Softc, request: &mut Ioctl<'_>) -> Result {
    let token = softc.token()?;
    for port in &token.ports() {
        let _ = ask_port(port, request);
    }
    offloads::update(softc, &token, None);
    Ok(())
}

/// SIOCSIFCAP, SIOCSIFCAPNV of a port itself. When this returns, the lagg and its VLANs offer no more than
/// the port does. May sleep: the callers, a user and a bridge, hold no lock that the token's holder takes.
///
/// # Errors
/// What its driver returned.
pub(super) fn set_port_capabilities(port: &Ref<Port>, request: &mut Ioctl<'_>) -> Result {
    let softc = port.softc();
    // Refused only while the lagg is being destroyed, so the port is leaving it.
    let Ok(token) = softc.token() else {
        return port.methods().forward(port.ifp(), request);
    };
    if softc.state().phase(port) != Some(Phase::Member) {
        drop(token);
        // The port has left. Its interface may be gone, or belong to another lagg.
        return port.ifp().methods().forward(port.ifp(), request);
    }
    let result = ask_port(port, request);
    offloads::update(softc, &token, None);
    result
}

/// The same request for one port.
///
/// # Errors
/// What its driver returned.
fn ask_port(port: &Port, request: &mut Ioctl<'_>) -> Result {
    port.restarting(|| port.methods().forward(port.ifp(), request))?;
    let enabled = port.ifp().enabled();
    port.softc().state().set_wanted(port, enabled);
    Ok(())
}

/// SIOCSLAGG: packets in flight finish under the old protocol, new ones start under the new one.
///
/// # Errors
/// ENOMEM; ENXIO while the lagg is being destroyed; EPROTONOSUPPORT for a protocol that is not
/// served, and for InfiniBand for all but failover.
pub(super) fn set_protocol(softc: &Ref<Softc>, number: u32) -> Result {
    let kind = Kind::numbered(number).ok_or(Errno::EPROTONOSUPPORT)?;
    if softc.kind == LaggType::Infiniband && kind != Kind::Failover {
        return Err(Errno::EPROTONOSUPPORT);
    }
    let token = softc.token()?;
    let mode = Mode::try_new(kind, softc.ifp())?;
    let memory = PlanMemory::try_new(kind)?;
    if mode.lacp().is_some() {
        groups::join_slow(softc, &token)?;
    }
    let mut old = softc.switch(mode, memory, State::begin_mode);
    softc.debug(format_args!("the protocol is {}", kind.about().name));
    lacp::say_farewells(&mut old, &token.ports());
    drop(old);
    if softc.state().mode.lacp().is_none() {
        groups::leave_slow(softc, &token);
    }
    lacp::follow_links(softc, &token);
    // F-13: the new protocol's link state
    Softc::wake_protocol(softc);
    Ok(())
}
