//! What is configured through the lagg for all of its ports: up and down, MTU, protocol.

use core::mem::replace;

use super::mode::{Mode, PlanMemory};
use super::softc::Token;
use super::state::{Phase, Setting, State};
use super::{Port, Softc, groups, infiniband, lacp, leave, offloads, vlans};
use crate::kpi::{Errno, Ioctl, LaggType, Ref, Result, iff, log};
use crate::policy::Kind;

/// How long a request for up or down waits for others to finish before it leaves the work to the
/// configuration task, in milliseconds.
const PATIENCE_MS: u32 = 10_000;

/// The flags that the stack changes with its locks held.
const MODES: u32 = iff::PROMISC | iff::ALLMULTI;

/// SIOCSIFFLAGS: the lagg's flags may have changed.
///
/// An administrator's up or down is done when this returns. A change of PROMISC or ALLMULTI comes from the
/// stack with its locks held (a VLAN's with `vlan_sx`), so it must not wait for port drivers, which may
/// want the same locks: the configuration task does it. Both look alike but for the flag that differs;
/// where two changes meet and the guess is wrong, the wait has an end. Up and down, and the address, are
/// compared with what the ports were brought to: the stack takes a lagg down on its own where it goes to
/// another vnet, and no event reports an address that it then gets.
///
/// A change of the lagg's address (if_setlladdr) takes it down, then up again. For its ports that is not
/// the end of the lagg: they get the address when it is up again.
///
/// Nothing is done for a lagg that is being destroyed.
pub(super) fn flags_changed(softc: &Ref<Softc>) {
    let (new_modes, new_up) = {
        let mut state = softc.state();
        // Its address goes when it is detached, which is next.
        if state.destroying {
            return;
        }
        let (flags, lladdr) = (softc.ifp().flags(), softc.ifp().lladdr());
        let modes = flags & MODES;
        let up = flags & iff::UP != 0;
        softc.has_given_lladdr(&mut state);
        // The address of an InfiniBand lagg cannot be given.
        let is_given = softc.kind == LaggType::Ethernet
            && lladdr != replace(&mut state.lladdr_seen, lladdr.ethernet());
        if is_given && !up {
            return;
        }
        let new_lladdr = up && !state.members().all(|port| port.has_lladdr(&lladdr));
        let new_modes = replace(&mut state.modes_seen, modes) != modes;
        (new_modes, state.running != up || new_lladdr)
    };
    if new_up
        && !new_modes
        && let Ok(Some(token)) = softc.token_within(PATIENCE_MS)
    {
        follow_flags(softc, &token);
    } else if new_up || new_modes {
        Softc::wake_configuration(softc);
    }
}

/// SIOCADDMULTI, SIOCDELMULTI: the lagg's groups have changed, and perhaps IFF_ALLMULTI: IPv6 sets it
/// silently when all groups are joined. If it counted as new with the next down, that down would not be
/// waited for.
pub(super) fn groups_changed(softc: &Ref<Softc>) {
    // F-39: or it would be new to the next `down`
    softc.state().modes_seen = softc.ifp().flags() & MODES;
    Softc::wake_configuration(softc);
}

/// Brings the ports to what is wanted of them. The configuration task's function.
pub(super) fn reconcile(softc: &Ref<Softc>) {
    let Ok(token) = softc.token() else { return };
    softc.ifp().in_vnet(|| {
        leave::remove_looping(softc, &token);
        follow_flags(softc, &token);
        groups::update(softc, &token);
        vlans::update(softc, &token);
        offloads::update(softc, &token, None);
        lacp::follow_links(softc, &token);
    });
}

/// Brings the lagg up (`if_init`): an address has set IFF_UP, of which no SIOCSIFFLAGS tells.
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

/// Up: the ports get the lagg's address and come up, then packets are taken in.
fn start(softc: &Ref<Softc>, token: &Token<'_>) {
    let ifp = softc.ifp();
    let lladdr = ifp.lladdr();
    let ports = token.ports();
    let mut is_new = false;
    for port in &ports {
        // What a port refused the next up tries again.
        is_new |= port.share_lladdr(&lladdr);
    }
    if ifp.is_running() {
        if is_new {
            lacp::link_changed(softc);
        }
        Softc::wake_protocol(softc);
        return;
    }
    ports.iter().for_each(|port| port.up());
    set_running(softc, token, true);
    infiniband::follow_address(softc);
    lacp::follow_links(softc, token);
}

/// Down: no packet is taken in, LACP's partners are told, then the ports go down.
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
    Softc::wake_protocol(softc);
}

fn set_running(softc: &Ref<Softc>, _: &Token<'_>, running: bool) {
    softc.change(|state| {
        state.running = running;
        softc.ifp().set_running(running);
    });
    lacp::link_changed(softc);
}

/// SIOCSIFMTU: the MTU of the lagg and of all its ports, which it keeps. What one port refuses none of
/// them keeps.
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
            // Among them may be the one that refused: it may have failed half way.
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

/// SIOCSIFCAP, SIOCSIFCAPNV: all ports are asked for the same; what each of them makes of it is what
/// it is wanted to do from now on.
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

/// SIOCSIFCAP, SIOCSIFCAPNV of a port itself: when this returns the lagg offers no more than it, and the
/// VLANs on the lagg neither. May sleep; the callers, a user and a bridge, hold nothing that the token's
/// holder asks for.
///
/// # Errors
/// What its driver returned.
pub(super) fn set_port_capabilities(port: &Ref<Port>, request: &mut Ioctl<'_>) -> Result {
    let softc = port.softc();
    // Refused only while the lagg is being destroyed: the port leaves it just now.
    let Ok(token) = softc.token() else {
        return port.methods().forward(port.ifp(), request);
    };
    if softc.state().phase(port) != Some(Phase::Member) {
        drop(token);
        // It has left, and may be gone by now, or belong to another lagg.
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

/// SIOCSLAGG: packets under way finish under the old protocol, new ones start under the new one.
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
