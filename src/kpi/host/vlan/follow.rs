//! What VLANs take over from their parent, and what they request of it.

use std::sync::atomic::Ordering;

use super::{Vlan, of_parent};
use crate::kpi::host::driver::Kind;
use crate::kpi::host::locks::VLAN;
use crate::kpi::host::tasks::THREAD;
use crate::kpi::host::witness::lock;
use crate::kpi::host::{multicast, stack};
use crate::kpi::{Ifnet, LinkAddr, LinkState, Result, iff};

impl Vlan {
    /// Gives the parent the flags that this VLAN wants.
    pub(super) fn pass_flags(&self, parent: &Ifnet, wanted: u32) -> Result {
        for flag in [iff::PROMISC, iff::ALLMULTI] {
            let (had, wants) = (*lock(&self.flags) & flag != 0, wanted & flag != 0);
            if had != wants {
                multicast::count_flag(parent, flag, wants)?;
                *lock(&self.flags) ^= flag;
            }
        }
        Ok(())
    }

    /// Keeps the parent in the groups that this VLAN is in.
    pub(super) fn pass_groups(&self, parent: &Ifnet, wanted: Vec<LinkAddr>) -> Result {
        let had = std::mem::replace(&mut *lock(&self.groups), wanted.clone());
        had.iter().for_each(|group| multicast::leave(parent, group));
        wanted.iter().try_for_each(|group| multicast::join(parent, group))
    }
}

/// Tells the VLANs of `parent` of its link state.
pub(in crate::kpi::host) fn parent_link_state(parent: &Ifnet, state: LinkState) {
    for vlan in of_parent(parent) {
        vlan.set_baudrate(parent.baudrate());
        vlan.change_link_state(state);
    }
}

/// Updates the VLANs of `parent` to what it can do (VLAN_CAPABILITIES).
pub(in crate::kpi::host) fn refresh(parent: &Ifnet) {
    // Taken even if there is no VLAN, so that a lock which must not be held here is found at once.
    let _vlan_sx = VLAN.lock_shared();
    parent.vlan_refreshes.fetch_add(1, Ordering::Relaxed);
    for vlan in of_parent(parent) {
        vlan.store_offloads(&parent.offloads());
    }
}

/// How often the VLANs of `parent` were updated. Each time costs as much as there are VLANs.
pub fn vlan_refreshes(parent: &Ifnet) -> u64 {
    parent.vlan_refreshes.load(Ordering::Relaxed)
}

/// Gives the VLANs of `parent` its address.
pub(in crate::kpi::host) fn parent_lladdr(parent: &Ifnet) {
    for vlan in of_parent(parent) {
        vlan.store_lladdr(&parent.lladdr());
        let Kind::Vlan(of_vlan) = &vlan.kind else { continue };
        let work = &of_vlan.lladdr_work;
        let vlan = vlan.clone();
        // Its driver needs `vlan_sx`, which the caller must not take.
        THREAD.enqueue(work, move || {
            vlan.in_vnet(|| {
                let _ = stack::set_lladdr(&vlan, &vlan.lladdr());
            });
        });
    }
}
