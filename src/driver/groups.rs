//! Multicast groups and promiscuous mode: the ports have what the lagg has (spec B.6, B.7).

use super::ioctl::text;
use super::softc::Token;
use super::{Port, Softc};
use crate::kpi::{Array, Group, Result, iff, log};

/// What the driver has asked of a port's interface, and has to take back.
#[derive(Default)]
pub(super) struct Wants {
    promisc: bool,
    allmulti: bool,
    groups: Array<Option<Group>>,
}

/// Brings all ports to what the lagg has.
pub(super) fn update(softc: &Softc, token: &Token<'_>) {
    for port in &token.ports() {
        follow(softc, port);
    }
}

/// Brings one port to what the lagg has: only what differs is asked for. What the port refuses is
/// tried again with the next change. The caller has the token.
pub(super) fn follow(softc: &Softc, port: &Port) {
    let (lagg, ifp) = (softc.ifp(), port.ifp());
    let mut wants = softc.state().take_wants(port);
    let flags = lagg.flags();
    switch(&mut wants.promisc, flags & iff::PROMISC != 0, |on| ifp.want_promisc(on));
    switch(&mut wants.allmulti, flags & iff::ALLMULTI != 0, |on| ifp.want_allmulti(on));
    if let Err(errno) = join(softc, port, &mut wants) {
        log(
            lagg,
            format_args!(
                "{} has not joined all groups (error {})",
                text(&ifp.name()),
                errno.number()
            ),
        );
    }
    softc.state().put_wants(port, wants);
}

/// Takes everything back from a port that leaves.
pub(super) fn release(port: &Port, mut wants: Wants) {
    let ifp = port.ifp();
    leave(port, core::mem::take(&mut wants.groups));
    // An interface that is being destroyed has no use for modes.
    if ifp.flags() & iff::DYING == 0 {
        switch(&mut wants.promisc, false, |on| ifp.want_promisc(on));
        switch(&mut wants.allmulti, false, |on| ifp.want_allmulti(on));
    }
}

/// Asks for a mode that is wanted and has not been asked for, or the other way round.
fn switch(asked: &mut bool, wanted: bool, ask: impl FnOnce(bool) -> Result) {
    if *asked != wanted && ask(wanted).is_ok() {
        *asked = wanted;
    }
}

/// Joins what the lagg is in and the port is not, and leaves what the lagg has left.
fn join(softc: &Softc, port: &Port, wants: &mut Wants) -> Result {
    let wanted = softc.ifp().groups()?;
    let mut refused = Ok(());
    let joined = &mut wants.groups;
    let now = Array::try_new(wanted.len(), |place| {
        let address = wanted.get(place)?;
        let has = |group: &&mut Option<Group>| {
            group.as_ref().is_some_and(|group| group.address() == *address)
        };
        match joined.iter_mut().find(has) {
            Some(group) => group.take(),
            None => port.ifp().join_group(address).inspect_err(|errno| refused = Err(*errno)).ok(),
        }
    })?;
    let left = core::mem::replace(joined, now);
    leave(port, left);
    refused
}

fn leave(port: &Port, mut groups: Array<Option<Group>>) {
    for group in groups.iter_mut().filter_map(Option::take) {
        port.ifp().leave_group(group);
    }
}
