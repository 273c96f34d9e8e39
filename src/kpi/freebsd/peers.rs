//! What hosts and switches are told when a lagg sends on another port (`kmod/peers.c`).

use super::bindings as c;
use super::ifnet::{Ifnet, IfnetRef};
use crate::kpi::Epoch;

impl Ifnet {
    /// Tells its neighbours where it is: a gratuitous ARP for each IPv4 address, an unsolicited neighbour
    /// advertisement with the override flag for each IPv6 address that is in use. Has its groups reported
    /// again (IGMP, MLD), which takes some tenths of a second. Does nothing if it is down. Returns whether
    /// carp(4) has addresses on it, which [`announce_carp`] announces. The caller holds no mutex.
    pub fn announce(&self, _: &Epoch) -> bool {
        // SAFETY: in a section of the epoch, as the argument proves, and in the interface's vnet, which does not
        // end in the section unless the interface is dying. The function sees for itself that the interface is
        // not being detached, before anything else. What it calls sends packets and takes the mutexes of IGMP and
        // MLD; the caller holds none.
        self.in_vnet(|| unsafe { c::lagg_rs_announce(self.as_ptr()) })
    }

    /// Detects again whether its IPv6 addresses that were made `since` then, in seconds of uptime, are
    /// duplicates, and until then does not use them. May sleep. The thread is in a vnet, that of the lagg, which
    /// stays; the interface may be in another.
    pub fn detect_duplicates(&self, since: u64) {
        // SAFETY: in a vnet that stays, and in no section of the epoch, as the caller may sleep. The function sees
        // in sections of its own that the interface is not being detached, enters its vnet there, and has a
        // reference to the address that it goes on with.
        unsafe { c::lagg_rs_detect_duplicates(self.as_ptr(), since) };
    }

    /// The bridge that it is a member of.
    pub fn bridge(&self, _: &Epoch) -> Option<IfnetRef> {
        // SAFETY: in a section of the epoch, as the argument proves, in which if_bridge(4) does not free what it
        // has for the interface, and in the interface's vnet, whose interfaces are looked through.
        let bridge = self.in_vnet(|| unsafe { c::lagg_rs_bridge(self.as_ptr()) });
        // SAFETY: found in the section that the caller is in still.
        unsafe { IfnetRef::found(bridge) }
    }
}

/// Has carp(4) announce its addresses wherever it is the master, from their own link-level addresses. It
/// does so later, on a thread of its own. The thread is in a vnet.
pub fn announce_carp() {
    // SAFETY: it adds nothing to a number of the current vnet, and wakes a thread of the kernel's, in any
    // context. carp(4) is not unloaded while it has addresses, and otherwise clears the pointer that is read.
    unsafe { c::lagg_rs_carp_announce() };
}
