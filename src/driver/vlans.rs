//! VLANs on the lagg: its ports are told of them, for their hardware filters (spec B.15).

use super::softc::Token;
use super::{Port, Softc};
use crate::kpi::{Array, Ref, Result, iff};

/// Sets of VLAN ids.
pub(super) struct Vlans {
    /// Those that are on the lagg.
    wanted: Array<u64>,
    /// Those that the ports have been told of.
    told: Array<u64>,
}

/// Words of a set: 4,096 ids.
const WORDS: usize = 64;

impl Vlans {
    pub fn try_new() -> Result<Self> {
        let none = || Array::try_new(WORDS, |_| 0);
        Ok(Vlans { wanted: none()?, told: none()? })
    }

    /// The first id, from `from` on, that has come or gone since the ports were told, and whether it is
    /// there; the ports are told next.
    fn take_change(&mut self, from: u16) -> Option<(u16, bool)> {
        let words = self.wanted.iter().zip(self.told.iter()).map(|(wanted, told)| wanted ^ told);
        let id = first(words, from)?;
        let (wanted, told) = (self.wanted.get(word(id))?, self.told.get_mut(word(id))?);
        *told ^= bit(id);
        Some((id, wanted & bit(id) != 0))
    }

    /// The first id, from `from` on, that the ports have been told of.
    fn next_told(&self, from: u16) -> Option<u16> {
        first(self.told.iter().copied(), from)
    }
}

/// The place of an id's word in a set, and its bit there.
fn word(id: u16) -> usize {
    usize::from(id / 64)
}

fn bit(id: u16) -> u64 {
    1 << (id % 64)
}

/// The first id of a set, from `from` on.
fn first(set: impl Iterator<Item = u64>, from: u16) -> Option<u16> {
    let mut words = (0_u16..).zip(set).skip(word(from));
    let here = words.next().map(|(n, word)| (n, word & (u64::MAX << (from % 64))));
    let (n, word) = here.into_iter().chain(words).find(|(_, word)| *word != 0)?;
    Some(n.wrapping_mul(64).wrapping_add(word.trailing_zeros() as u16))
}

/// A VLAN was configured on the lagg, or is no more. The caller holds `vlan_sx`: the ports are told by
/// the configuration task.
pub(super) fn changed(softc: &Ref<Softc>, id: u16, configured: bool) {
    if let Some(word) = softc.state().vlans.wanted.get_mut(word(id)) {
        *word = if configured { *word | bit(id) } else { *word & !bit(id) };
    }
    Softc::wake_configuration(softc);
}

/// Tells all ports what has changed.
pub(super) fn update(softc: &Softc, token: &Token<'_>) {
    let ports = token.ports();
    let mut from = 0;
    loop {
        let change = softc.state().vlans.take_change(from);
        let Some((id, configured)) = change else { return };
        for port in &ports {
            port.ifp().vlan_event(id, configured);
        }
        from = id.saturating_add(1);
    }
}

/// Tells a port that has joined of the VLANs that the others know.
pub(super) fn announce(softc: &Softc, port: &Port) {
    tell(softc, port, true);
}

/// Takes it back from a port that leaves.
pub(super) fn withdraw(softc: &Softc, port: &Port) {
    if port.ifp().flags() & iff::DYING == 0 {
        tell(softc, port, false);
    }
}

fn tell(softc: &Softc, port: &Port, configured: bool) {
    let mut from = 0;
    loop {
        let next = softc.state().vlans.next_told(from);
        let Some(id) = next else { return };
        port.ifp().vlan_event(id, configured);
        from = id.saturating_add(1);
    }
}
