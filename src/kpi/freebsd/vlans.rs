//! The VLANs on an interface, and its parent if it is a VLAN.

use super::bindings as c;
use super::ifnet::{Ifnet, IfnetRef};
use crate::kpi::{Epoch, epoch};

impl Ifnet {
    /// Its parent and id as a VLAN; none if it is not one. The kernel recognises a VLAN by its type, so a
    /// VLAN that is a lagg's port is not one. The interface was found in this section of the epoch, or the
    /// caller keeps it from being detached.
    pub fn vlan_of(&self, _: &Epoch) -> Option<(IfnetRef, u16)> {
        let mut id = 0;
        // SAFETY: in a section of the epoch, as the argument proves, in which vlan(4) does not free what it has
        // for the interface. The id is written before this returns, to a place of ours.
        let parent = unsafe { c::lagg_rs_vlan_of(self.as_ptr(), &raw mut id) };
        // SAFETY: found in the section that the caller is in still.
        Some((unsafe { IfnetRef::found(parent) }?, id))
    }

    /// Its VLAN of that id.
    pub fn vlan(&self, id: u16, _: &Epoch) -> Option<IfnetRef> {
        // SAFETY: in a section of the epoch, as the argument proves, in which vlan(4) does not free what it has
        // for the interface.
        let vlan = unsafe { c::lagg_rs_vlan(self.as_ptr(), id) };
        // SAFETY: found in the section that the caller is in still.
        unsafe { IfnetRef::found(vlan) }
    }

    /// Reports that VLANs were configured on it or removed (`vlan_config`, `vlan_unconfig`), to drivers
    /// with a hardware filter. The bits of `ids` stand for `first` and the ids that follow. May sleep.
    pub fn vlan_events(&self, first: u16, ids: u64, configured: bool) {
        // SAFETY: the ifnet is there while its handlers run. They take locks of their drivers' and of the
        // stack, and the caller holds none that comes after those.
        unsafe { c::lagg_rs_vlan_events(self.as_ptr(), first, ids, configured) };
    }

    /// Those of `ids`, in the same form, for which it has a VLAN now.
    pub fn vlans(&self, first: u16, ids: u64) -> u64 {
        // SAFETY: the ifnet is there, and this only asks whether it has anything for VLANs. Most have not.
        if unsafe { c::if_getvlantrunk(self.as_ptr()) }.is_null() {
            return 0;
        }
        // SAFETY: the ifnet is there, and in the epoch so is what it has for its VLANs.
        epoch::section(|_| unsafe { c::lagg_rs_vlans(self.as_ptr(), first, ids) })
    }

    /// Updates the capabilities of the VLANs on it (VLAN_CAPABILITIES). Takes `vlan_sx`.
    pub fn refresh_vlans(&self) {
        // SAFETY: the ifnet is there, and what it has for its VLANs is looked at under `vlan_sx`, which the
        // function takes: the caller holds no lock that comes after it.
        unsafe { c::lagg_rs_vlan_capabilities(self.as_ptr()) };
    }
}
