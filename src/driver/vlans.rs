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

    /// A word of those that have come or gone since the ports were told, and of those that are
    /// there; the ports are told next.
    fn take_changes(&mut self, word: usize) -> (u64, u64) {
        let (Some(wanted), Some(told)) = (self.wanted.get(word), self.told.get_mut(word)) else {
            return (0, 0);
        };
        let changed = *wanted ^ *told;
        *told = *wanted;
        (changed, *wanted)
    }
}

/// A VLAN was configured on the lagg, or is no more. The caller holds `vlan_sx`: the ports are told by
/// the configuration task.
pub(super) fn changed(softc: &Ref<Softc>, id: u16, configured: bool) {
    let bit = 1_u64 << (id % 64);
    if let Some(word) = softc.state().vlans.wanted.get_mut(usize::from(id / 64)) {
        *word = if configured { *word | bit } else { *word & !bit };
    }
    Softc::wake_configuration(softc);
}

/// Tells all ports what has changed.
pub(super) fn update(softc: &Softc, token: &Token<'_>) {
    let ports = token.ports();
    for word in 0..WORDS {
        let (changed, configured) = softc.state().vlans.take_changes(word);
        for (id, bit) in ids(word, changed) {
            for port in &ports {
                port.ifp().vlan_event(id, configured & bit != 0);
            }
        }
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
    for word in 0..WORDS {
        let told = softc.state().vlans.told.get(word).copied().unwrap_or(0);
        for (id, _) in ids(word, told) {
            port.ifp().vlan_event(id, configured);
        }
    }
}

/// The ids in one word of a set, each with its bit.
fn ids(word: usize, set: u64) -> impl Iterator<Item = (u16, u64)> {
    let first = u16::try_from(word).unwrap_or(0).wrapping_mul(64);
    (0..64_u16).map(move |n| (first.wrapping_add(n), 1 << n)).filter(move |(_, bit)| set & bit != 0)
}
