//! Joining: how an interface becomes a port.

use super::counters::Ledger;
use super::softc::Token;
use super::state::{Phase, Setting};
use super::{
    Port, Softc, counters, groups, infiniband, lacp, leave, offloads, peers, stacking, vlans,
};
use crate::kpi::Name;
use crate::kpi::{
    Errno, IfType, IfnetRef, LaggType, Ref, Result, Unique, detach_lock, epoch, iff, log,
};

/// SIOCSLAGGPORT: makes the interface `name` a port. It is published last, when everything that can fail
/// has succeeded. On failure, what was changed of it is restored.
///
/// # Errors
/// EINVAL: no such interface, the lagg itself, a lagg, or a VLAN on this lagg or a bridge. ENOSPC: 32
/// ports. EEXIST: a port of this lagg already. EBUSY: of another. EPROTONOSUPPORT: not of the lagg's type.
/// ENXIO: the lagg or the interface goes away. ENOMEM. EINTR, or the code that restarts the system call: a
/// signal came, and the interface is no port. The error of the port's driver for the lagg's MTU.
pub(super) fn add(softc: &Ref<Softc>, name: &Name) -> Result {
    let token = match softc.free_token()? {
        Some(token) => token,
        None => {
            // Refuse at once what cannot succeed. A port that is leaving the lagg will have left when this
            // thread gets the token.
            candidate(softc, name)?;
            softc.token()?
        }
    };
    leave::remove_looping(softc, &token);
    // D-28: only now, with the token
    let port = claim(softc, name, &token)?;
    let old_mtu = softc.ifp().mtu();
    prepare(softc, &port, &token).inspect_err(|_| {
        // Wait for other laggs that have found the interface free.
        epoch::wait();
        leave::abandon(softc, &port);
    })?;
    // Look while the token delays a departure, which would remove the addresses.
    let has_ipv6 = port.ifp().has_ipv6_lladdr();
    drop(token);
    Softc::wake_protocol(softc);
    if softc.ifp().mtu() != old_mtu {
        softc.ifp().notify_mtu();
    }
    // F-11: the interface has joined
    if has_ipv6 {
        remove_ipv6(softc, &port).inspect_err(|_| leave::take_out(softc, &port))?;
    }
    Ok(())
}

/// The interface of that name, if it can become a port.
fn candidate(softc: &Softc, name: &Name) -> Result<IfnetRef> {
    let ifp = IfnetRef::by_name(name).ok_or(Errno::EINVAL)?;
    if ifp.same(softc.ifp()) {
        log(softc.ifp(), format_args!("cannot be a port of itself"));
        return Err(Errno::EINVAL);
    }
    {
        let state = softc.state();
        if state.destroying {
            return Err(Errno::ENXIO);
        }
        if !state.has_room() {
            return Err(Errno::ENOSPC);
        }
    }
    // The type first: a reader that sees a port's type finds the port, for as long as the section lasts.
    let (if_type, port) = epoch::section(|_| (ifp.if_type(), ifp.lagg_port()));
    if let Some(port) = port {
        if !port.softc().is(softc) {
            return Err(Errno::EBUSY);
        }
        return match softc.state().phase(&port) {
            Some(Phase::Joining | Phase::Gone | Phase::Member) => Err(Errno::EEXIST),
            // Look at the rest when it has left. F-37: it joins once it has left
            Some(Phase::Leaving | Phase::Looping) | None => Ok(ifp),
        };
    }
    let fits = match softc.kind {
        LaggType::Ethernet => {
            matches!(if_type, IfType::Ethernet | IfType::Vlan) && ifp.addr_len() == 6
        }
        LaggType::Infiniband => if_type == IfType::Infiniband && ifp.addr_len() == 20,
    };
    if !fits {
        return Err(Errno::EPROTONOSUPPORT);
    }
    if ifp.lagg_softc().is_some() {
        return Err(Errno::EINVAL);
    }
    Ok(ifp)
}

/// Claims the interface for this lagg. Two laggs cannot claim it. A departure from here on finds the claim,
/// and waits for the token before the driver detaches. So the token's holder never calls a driver that is
/// gone.
fn claim(softc: &Ref<Softc>, name: &Name, _: &Token<'_>) -> Result<Ref<Port>> {
    let ifp = candidate(softc, name)?;
    // Only the holder of the token fills slots.
    let (slot, number) = {
        let state = softc.state();
        (state.free_slot().ok_or(Errno::ENOSPC)?, state.next_number())
    };
    let mut port = Port::try_new(ifp, softc, slot, number)?;
    // A departure removes the interface from the list, waits for this section to end, then looks for a
    // claim.
    let port = epoch::section(move |epoch| {
        let is = |ifp: &IfnetRef| ifp.same(port.ifp());
        // D-14: an interface that departs is no longer in the list
        if !IfnetRef::by_name(name).is_some_and(|ifp| is(&ifp)) {
            return Err(Errno::ENXIO);
        }
        if port.ifp().lagg_port().is_some() {
            return Err(Errno::EBUSY);
        }
        port.remember(epoch);
        let port = port.share();
        // D-15: only one lagg can set it
        if port.ifp().claim(&port, epoch) { Ok(port) } else { Err(Errno::EBUSY) }
    })?;
    {
        let mut state = softc.state();
        // From here on `stacking::moved` is called when the interface gets another parent.
        let parent = epoch::section(|epoch| port.ifp().vlan_of(epoch));
        state.insert(port.clone(), parent);
    }
    if let Some(obstacle) = stacking::obstacle(&port) {
        log(softc.ifp(), format_args!("{} cannot be a port: {obstacle}", port.ifp().name()));
        leave::abandon(softc, &port);
        return Err(Errno::EINVAL);
    }
    Ok(port)
}

/// Fits the port to the lagg and publishes it.
fn prepare(softc: &Ref<Softc>, port: &Ref<Port>, token: &Token<'_>) -> Result {
    let (lagg, ifp) = (softc.ifp(), port.ifp());
    ifp.show_leaves(lagg)?;
    let (first, has_mtu, has_lladdr) = {
        let mut state = softc.state();
        let first = state.members().next().is_none();
        // F-42: asked of the first port too
        let given = state.mtu == Setting::Given;
        (first, !first || given, !first || softc.has_given_lladdr(&mut state))
    };
    if has_mtu && ifp.mtu() != lagg.mtu() {
        port.methods().set_mtu(ifp, lagg.mtu()).inspect_err(|errno| {
            log(
                lagg,
                format_args!(
                    "{} refuses the MTU {} (error {})",
                    ifp.name(),
                    lagg.mtu(),
                    errno.number()
                ),
            );
            // It may have failed half way.
            leave::restore(port);
        })?;
    }
    if has_lladdr {
        port.share_lladdr(&lagg.lladdr());
    }
    let ledger = counters::begin(ifp).inspect_err(|_| leave::restore(port))?;
    let new_lladdr = groups::follow(softc, port, groups::has_lacp(softc))
        .and_then(|()| {
            // Packets must not ask the port for what it cannot do. F-35: before the port is in the plan
            offloads::update(softc, token, Some(port));
            publish(softc, port, first, ledger)
        })
        .inspect_err(|_| {
            groups::give_back(softc, port);
            leave::restore(port);
            offloads::update(softc, token, None);
        })?;
    if new_lladdr {
        peers::tell_lladdr(softc);
    }
    if softc.state().running && ifp.flags() & iff::UP == 0 {
        // F-41: also if the lagg is up already
        port.up();
    }
    infiniband::follow_address(softc);
    // F-14: including those that were there before
    vlans::announce(softc, port);
    lacp::follow_links(softc, token);
    Ok(())
}

/// Commits: from here on the interface is a port, and packets see it. Returns whether the lagg's address
/// has changed. An address that an administrator has set meanwhile stays, and the port gets it at the next
/// `up`.
fn publish(softc: &Softc, port: &Ref<Port>, first: bool, ledger: Unique<Ledger>) -> Result<bool> {
    softc.try_change(|state| {
        if state.phase(port) != Some(Phase::Joining) {
            return Err(Errno::ENXIO);
        }
        let mut new_lladdr = false;
        if first {
            if state.mtu != Setting::Given {
                state.mtu = Setting::Taken(port.ifp().mtu());
                softc.ifp().store_mtu(port.ifp().mtu());
            }
            if softc.kind == LaggType::Ethernet {
                new_lladdr = softc.take_lladdr(state, port.ifp().lladdr());
            }
            state.addressed_by = Some(port.slot());
        }
        state.set_phase(port, Phase::Member);
        state.has_joined(port);
        if let Some(lacp) = state.mode.lacp_mut() {
            // D-4: LACP knows the port before a frame can reach it
            lacp.add(port);
        }
        state.changes.begin(port.slot());
        counters::enter(&softc.ledger, port, ledger);
        port.ifp().enslave(port.methods());
        Ok(new_lladdr)
    })
}

/// Removes the port's IPv6 addresses, for which it would otherwise answer beside the lagg. Comes last,
/// because it cannot be undone. The caller holds no lock of the lagg, because this sleeps for tasks that
/// call back into the lagg. The detach lock keeps out a detach of the interface, which removes them too.
///
/// # Errors
/// EINTR, or the code that restarts the system call: a signal came while other interfaces detached.
fn remove_ipv6(softc: &Softc, port: &Port) -> Result {
    // D-35: a signal ends the wait
    let _detach = detach_lock()?;
    let member = softc.state().phase(port) == Some(Phase::Member);
    if member && port.ifp().has_ipv6_lladdr() {
        log(
            softc.ifp(),
            format_args!(
                "IPv6 addresses on {} have been removed before adding it as a member to prevent IPv6 address scope violation",
                port.ifp().name()
            ),
        );
        port.ifp().in6_detach();
    }
    Ok(())
}
