//! Multicast groups and promiscuous mode: the ports follow the lagg.

use super::asked::SlowProtocols;
use super::softc::Token;
use super::{Port, Softc};
use crate::kpi::{Array, Group, Ifnet, LinkAddr, Result, iff, log};

/// Makes all ports follow the lagg.
pub(super) fn update(softc: &Softc, token: &Token<'_>) {
    for port in &token.ports() {
        // A failure has been logged.
        let _ = follow(softc, port, has_lacp(softc));
    }
}

/// Puts all ports into the slow protocols' group.
///
/// # Errors
/// ENOMEM; then no port has joined the group here.
pub(super) fn join_slow(softc: &Softc, token: &Token<'_>) -> Result {
    if has_lacp(softc) {
        return Ok(());
    }
    let joined = token.ports().iter().try_for_each(|port| follow(softc, port, true));
    // D-21: all ports, or the protocol is not changed
    joined.inspect_err(|_| leave_slow(softc, token))
}

/// Takes all ports out of that group. Cannot fail.
pub(super) fn leave_slow(softc: &Softc, token: &Token<'_>) {
    for port in &token.ports() {
        let mut wants = softc.state().take_wants(port);
        if let Some(group) = wants.modes.slow.take() {
            port.ifp().leave_group(group);
        }
        softc.state().put_wants(port, wants);
    }
}

/// Whether ports must be in the slow protocols' group.
pub(super) fn has_lacp(softc: &Softc) -> bool {
    softc.state().mode.lacp().is_some()
}

/// Makes one port follow the lagg, asking only for what differs. What fails is tried again at the next
/// change. The caller has the token.
///
/// # Errors
/// ENOMEM: the port has not joined all groups. A mode that a driver refuses is not an error.
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

/// Undoes all that was asked of a port that leaves or has failed to join.
pub(super) fn give_back(softc: &Softc, port: &Port) {
    let mut wants = softc.state().take_wants(port);
    let ifp = port.ifp();
    // The stack's list begins with the group that was joined last. F-9: also if the interface departs
    for group in wants.groups.iter_mut().rev().filter_map(Option::take) {
        ifp.leave_group(group);
    }
    if let Some(group) = wants.modes.slow.take() {
        ifp.leave_group(group);
    }
    // An interface that is being destroyed has no use for modes. A VLAN has: it takes them back from its
    // parent later, with a lock that the parent wants too if it is a VLAN.
    // D-36: while vlan(4) does not hold it
    if ifp.flags() & iff::DYING == 0 || port.methods().is_vlan() {
        // F-8: before the stack checks them
        switch(&mut wants.modes.promisc, false, port, Ifnet::want_promisc);
        switch(&mut wants.modes.allmulti, false, port, Ifnet::want_allmulti);
    }
}

/// Turns a mode on or off, unless that has been asked for already.
///
/// vlan(4) passes modes on to the parent under a shared lock, so two threads at once pass on the same
/// change twice. The other thread is vlan(4)'s own task, which gives a VLAN its parent's address. Therefore
/// a VLAN is asked on the thread of that task (D-27).
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

/// Joins the slow protocols' group, if the port must be in it and is not.
fn join_for_lacp(ifp: &Ifnet, is_slow: bool, joined: &mut Option<Group<SlowProtocols>>) -> Result {
    if is_slow && joined.is_none() {
        *joined = Some(ifp.join_group(SlowProtocols)?);
    }
    Ok(())
}

/// Joins the groups that only the lagg is in, and leaves those that the lagg has left.
fn join(lagg: &Ifnet, ifp: &Ifnet, joined: &mut Array<Option<Group>>) -> Result {
    // The stack lists the group that was joined last first.
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
    // The groups that it stays in come first, in the order in which they were joined.
    let mut old = joined.iter_mut().filter_map(Option::take);
    let now = Array::try_new(wanted.len(), |_| match old.next() {
        None => ifp.join_group(*new.next()?).inspect_err(|errno| refused = Err(*errno)).ok(),
        group => group,
    })?;
    drop(old);
    *joined = now;
    refused
}

/// The place of a group among those that were joined. They are mostly in the lagg's order, so the search
/// begins at the next place.
fn place_of(address: &LinkAddr, joined: &[Option<Group>], next: usize) -> Option<usize> {
    // F-65: a search from where the last one ended
    let has = |(_, group): &(usize, &Option<Group>)| {
        group.as_ref().is_some_and(|group| group.address() == *address)
    };
    let all = || joined.iter().enumerate();
    all().skip(next).find(has).or_else(|| all().take(next).find(has)).map(|(place, _)| place)
}
