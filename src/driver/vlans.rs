//! VLANs on the lagg, of which its ports are told for their hardware filters.
//!
//! A card's filter is a set, and does not count the users of an id. So a port is not told of ids for which
//! it has a VLAN of its own: the stack has told it, and will tell it when that goes.

use super::asked::{ANY, Lost, bit, first, word};
use super::softc::Token;
use super::state::Phase;
use super::{Port, Softc};
use crate::kpi::{Ref, iff};

/// A VLAN was configured on the lagg or removed. The caller holds `vlan_sx`, so the configuration task
/// tells the ports.
pub(super) fn changed(softc: &Ref<Softc>, id: u16, configured: bool) {
    if let Some(word) = softc.state().vlans.wanted.get_mut(word(id)) {
        *word = if configured { *word | bit(id) } else { *word & !bit(id) };
    }
    // D-16: `vlan_sx` is held here, so the token is not waited for
    Softc::wake_configuration(softc);
}

/// A VLAN on the port itself was removed, and the port's driver removes its id from the filter. The caller
/// holds `vlan_sx`. If the lagg has that id too, the configuration task puts it back.
pub(super) fn lost(port: &Ref<Port>, id: u16) {
    let softc = port.softc();
    {
        let mut state = softc.state();
        if state.phase(port) != Some(Phase::Member) || !state.vlans.has_told(id) {
            return;
        }
        state.lose(port, id);
    }
    // D-17: as in `changed`
    Softc::wake_configuration(softc);
}

/// Tells all ports what has changed.
pub(super) fn update(softc: &Softc, token: &Token<'_>) {
    let ports = token.ports();
    let mut from = 0;
    loop {
        let changes = softc.state().vlans.take_changes(from);
        let Some((word, come, gone)) = changes else { break };
        for port in &ports {
            take(port, word, gone);
            give(port, word, come);
        }
        from = word.saturating_add(1);
    }
    for port in &ports {
        let lost = softc.state().take_lost(port);
        if lost != [0; 2] {
            give_again(softc, port, &lost);
        }
    }
}

/// Tells a port that has joined of the VLANs that the other ports were told of.
pub(super) fn announce(softc: &Softc, port: &Port) {
    each(softc, |word, told| give(port, word, told));
}

/// Undoes that for a port that leaves.
pub(super) fn withdraw(softc: &Softc, port: &Port) {
    if port.ifp().flags() & iff::DYING == 0 {
        each(softc, |word, told| take(port, word, told));
    }
}

/// Calls `f` with each word of the ids that the ports have been told of, without the mutex.
fn each(softc: &Softc, mut f: impl FnMut(usize, u64)) {
    let mut from = 0;
    loop {
        let next = softc.state().vlans.next_told(from);
        let Some((word, told)) = next else { return };
        f(word, told);
        from = word.saturating_add(1);
    }
}

/// Adds ids of a word to a port's filter.
fn give(port: &Port, word: usize, ids: u64) {
    let own = port.ifp().vlans(first(word), ids);
    tell(port, word, ids & !own, true);
}

/// Removes ids of a word from a port's filter.
fn take(port: &Port, word: usize, ids: u64) {
    // F-36: its own VLANs' ids stay
    let ids = ids & !port.ifp().vlans(first(word), ids);
    tell(port, word, ids, false);
    // The port may have got VLANs of its own meanwhile.
    let own = port.ifp().vlans(first(word), ids);
    tell(port, word, own, true);
}

/// Reports ids of a word to the port's driver, as configured or removed. Some cards restart for each.
fn tell(port: &Port, word: usize, ids: u64, configured: bool) {
    if ids != 0 {
        // F-68: a port that restarts for this stays in service
        port.restarting(|| port.ifp().vlan_events(first(word), ids, configured));
    }
}

/// Puts back ids that the driver was told to remove.
fn give_again(softc: &Softc, port: &Port, lost: &Lost) {
    // `vlan_sx` is held until all handlers of the event have returned, so this waits for them.
    port.ifp().refresh_vlans();
    let any = lost.contains(&ANY);
    each(softc, |n, told| {
        let lost =
            lost.iter().filter(|id| **id != 0 && word(**id) == n).fold(0, |ids, id| ids | bit(*id));
        give(port, n, if any { told } else { told & lost });
    });
}
