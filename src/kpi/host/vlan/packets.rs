//! Frames of VLANs with their tags, and cards that filter them.

use std::sync::atomic::Ordering;

use super::{Vlan, of_parent};
use crate::kpi::host::input as stack_input;
use crate::kpi::host::witness::lock;
use crate::kpi::{Counter, Epoch, Errno, Ifnet, Mbuf, Result, iff};

/// IFCAP_VLAN_HWFILTER.
const HWFILTER: u64 = 1 << 16;

impl Vlan {
    pub(in crate::kpi::host) fn transmit(&self, ifp: &Ifnet, mut m: Mbuf, epoch: &Epoch) -> Result {
        ifp.bpf_tap(&m);
        let parent = self.parent();
        let parent = parent.filter(|p| p.flags() & iff::UP != 0 && p.is_running());
        let result = parent.ok_or(Errno::ENETDOWN).and_then(|parent| {
            let len = m.len() as u64;
            m.set_vlan_tag(Some(self.tag()));
            parent.transmit(m, epoch)?;
            Ok(len)
        });
        match result {
            Ok(len) => {
                ifp.count(Counter::Opackets, 1);
                ifp.count(Counter::Obytes, len);
                Ok(())
            }
            Err(error) => {
                ifp.count(Counter::Oerrors, 1);
                Err(error)
            }
        }
    }
}

/// The tag inside a frame.
fn in_band(frame: &[u8]) -> Option<u16> {
    match frame.get(12..16)? {
        &[0x81, 0x00, high, low] => Some(u16::from_be_bytes([high, low])),
        _ => None,
    }
}

/// Makes `ifp` a card whose hardware filters VLANs while IFCAP_VLAN_HWFILTER is enabled, and enables it.
pub fn filter_vlans(ifp: &Ifnet) {
    let mut offloads = ifp.offloads();
    offloads.capabilities |= HWFILTER;
    offloads.enabled |= HWFILTER;
    ifp.store_offloads(&offloads);
    ifp.filters.store(true, Ordering::Relaxed);
}

/// Whether the card's hardware admits a frame from the wire. It may filter VLANs.
pub(in crate::kpi::host) fn lets_in(ifp: &Ifnet, m: &Mbuf) -> bool {
    if ifp.enabled() & HWFILTER == 0 || ifp.flags() & iff::PROMISC != 0 {
        return true;
    }
    let tag = m.vlan_tag().or_else(|| in_band(m.first()));
    tag.is_none_or(|tag| lock(&ifp.vlan_filter).contains(&(tag & 0xfff)))
}

/// Passes a tagged frame received on `parent` to its VLAN. Returns all other frames.
pub(in crate::kpi::host) fn input(parent: &Ifnet, mut m: Mbuf, epoch: &Epoch) -> Option<Mbuf> {
    if !parent.has_vlans.load(Ordering::Relaxed) {
        return Some(m);
    }
    let tag = match m.vlan_tag() {
        Some(tag) => tag,
        None => {
            let Some(tag) = in_band(m.first()) else { return Some(m) };
            let mut bytes = m.to_bytes();
            bytes.drain(12..16);
            m = Mbuf::from_vec(bytes);
            tag
        }
    };
    let vlan = of_parent(parent).into_iter().find(|vlan| vlan.tag() == Some(tag & 0xfff))?;
    m.set_vlan_tag(None);
    stack_input::input(&vlan, m, epoch);
    None
}
