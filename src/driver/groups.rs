//! Multicast groups and promiscuous mode: the ports have what the lagg has.

use super::asked::SlowProtocols;
use super::softc::Token;
use super::{Port, Softc};
use crate::kpi::{Array, Group, Ifnet, LinkAddr, Result, iff, log};

/// Brings all ports to what the lagg has.
pub(super) fn update(softc: &Softc, token: &Token<'_>) {
    for port in &token.ports() {
        // What cannot be had is in the log.
        let _ = follow(softc, port, has_lacp(softc));
    }
}

/// Puts all ports into the slow protocols' group.
///
/// # Errors
/// ENOMEM; those that were not in it are not in it then.
pub(super) fn join_slow(softc: &Softc, token: &Token<'_>) -> Result {
    if has_lacp(softc) {
        return Ok(());
    }
    let joined = token.ports().iter().try_for_each(|port| follow(softc, port, true));
    // D-21: all ports, or the protocol is not changed
    joined.inspect_err(|_| leave_slow(softc, token))
}

/// Takes all ports out of it. Cannot fail.
pub(super) fn leave_slow(softc: &Softc, token: &Token<'_>) {
    for port in &token.ports() {
        let mut wants = softc.state().take_wants(port);
        if let Some(group) = wants.modes.slow.take() {
            port.ifp().leave_group(group);
        }
        softc.state().put_wants(port, wants);
    }
}

/// Whether ports are to be in the slow protocols' group.
pub(super) fn has_lacp(softc: &Softc) -> bool {
    softc.state().mode.lacp().is_some()
}

/// Brings one port to what the lagg has: only what differs is asked for. What cannot be had is tried
/// again with the next change. The caller has the token.
///
/// # Errors
/// ENOMEM: the port has not joined all groups. A driver that refuses a mode is left at that.
pub(super) fn follow(softc: &Softc, port: &Port, is_slow: bool) -> Result {
    let (lagg, ifp) = (softc.ifp(), port.ifp());
    let mut wants = softc.state().take_wants(port);
    let flags = lagg.flags();
    switch(&mut wants.modes.promisc, flags & iff::PROMISC != 0, port, Ifnet::want_promisc);
    switch(&mut wants.modes.allmulti, flags & iff::ALLMULTI != 0, port, Ifnet::want_allmulti);
    let joined_slow = join_for_lacp(ifp, is_slow, &mut wants.modes.slow);
    let joined = join(lagg, ifp, &mut wants.groups).and(joined_slow);
    if let Err(errno) = joined {
        log(
            lagg,
            format_args!("{} has not joined all groups (error {})", ifp.name(), errno.number()),
        );
    }
    softc.state().put_wants(port, wants);
    joined
}

/// Takes everything back from a port that leaves, or did not come.
pub(super) fn give_back(softc: &Softc, port: &Port) {
    let mut wants = softc.state().take_wants(port);
    let ifp = port.ifp();
    // The stack looks for each from the one that was joined last.
    // F-9: of an interface that departs too
    for group in wants.groups.iter_mut().rev().filter_map(Option::take) {
        ifp.leave_group(group);
    }
    if let Some(group) = wants.modes.slow.take() {
        ifp.leave_group(group);
    }
    // An interface that is being destroyed has no use for modes.
    if ifp.flags() & iff::DYING == 0 {
        // F-8: before the stack looks at them
        switch(&mut wants.modes.promisc, false, port, Ifnet::want_promisc);
        switch(&mut wants.modes.allmulti, false, port, Ifnet::want_allmulti);
    }
}

/// Asks for a mode that is wanted and has not been asked for, or the other way round.
///
/// vlan(4) passes modes on to the parent with a shared lock, and two threads that change them at once ask
/// for the same twice. The other thread is its own task, which gives a VLAN its parent's address: so a VLAN
/// is asked on the thread where that runs (D-27).
fn switch(asked: &mut bool, wanted: bool, port: &Port, ask: fn(&Ifnet, bool) -> Result) {
    if *asked == wanted {
        return;
    }
    let ifp = port.ifp();
    let answer =
        if port.methods().is_vlan() { ifp.on_stack_thread(ask, wanted) } else { ask(ifp, wanted) };
    if answer.is_ok() {
        *asked = wanted;
    }
}

/// Joins the slow protocols' group, if the port is to be in it and is not.
fn join_for_lacp(ifp: &Ifnet, is_slow: bool, joined: &mut Option<Group<SlowProtocols>>) -> Result {
    if is_slow && joined.is_none() {
        *joined = Some(ifp.join_group(SlowProtocols)?);
    }
    Ok(())
}

/// Joins what the lagg is in and the port is not, and leaves what the lagg has left.
fn join(lagg: &Ifnet, ifp: &Ifnet, joined: &mut Array<Option<Group>>) -> Result {
    // The stack has those first that were joined last.
    let mut wanted = lagg.groups()?;
    wanted.reverse();
    let mut stays = Array::try_new(joined.len(), |_| false)?;
    let mut is_new = Array::try_new(wanted.len(), |_| true)?;
    let mut next = 0;
    for (address, is_new) in wanted.iter().zip(is_new.iter_mut()) {
        if let Some(place) = place_of(address, joined, next)
            && let Some(stays) = stays.get_mut(place)
        {
            (*stays, *is_new) = (true, false);
            next = place.saturating_add(1);
        }
    }
    for (group, stays) in joined.iter_mut().zip(stays.iter()) {
        // F-32: only what has changed
        if !stays && let Some(left) = group.take() {
            ifp.leave_group(left);
        }
    }
    if !is_new.contains(&true) {
        return Ok(());
    }
    let mut refused = Ok(());
    let new = wanted.iter().zip(is_new.iter());
    let mut new = new.filter_map(|(address, is_new)| is_new.then_some(address));
    // Those that it is in come first: in the order in which they were joined.
    let mut old = joined.iter_mut().filter_map(Option::take);
    let now = Array::try_new(wanted.len(), |_| match old.next() {
        None => ifp.join_group(*new.next()?).inspect_err(|errno| refused = Err(*errno)).ok(),
        group => group,
    })?;
    drop(old);
    *joined = now;
    refused
}

/// Where that group is among those that were joined, which mostly are in the lagg's order: it is looked for
/// from the place that is next.
fn place_of(address: &LinkAddr, joined: &[Option<Group>], next: usize) -> Option<usize> {
    // F-65: a search from where the last one ended
    let has = |(_, group): &(usize, &Option<Group>)| {
        group.as_ref().is_some_and(|group| group.address() == *address)
    };
    let all = || joined.iter().enumerate();
    all().skip(next).find(has).or_else(|| all().take(next).find(has)).map(|(place, _)| place)
}
