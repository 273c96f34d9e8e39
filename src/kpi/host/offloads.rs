//! What an interface's hardware does for the stack (SIOCSIFCAP, SIOCSIFCAPNV), and how real cards respond
//! to requests.

use core::sync::atomic::Ordering;

use super::witness::lock;
use super::{multicast, privilege, vlan};
use crate::kpi::ioctl::{InterfaceRequest, Ioctl, SIOCSIFCAPNV};
use crate::kpi::offloads::capability::NETMAP;
use crate::kpi::requests::CapabilitiesRequest;
use crate::kpi::{Errno, Ifnet, LinkState, Offloads, Result, iff};

/// The capabilities that SIOCSIFCAP can set.
const FIRST: u64 = 0xffff_ffff;

/// How the capabilities of a card hang together, and what else its driver does by itself. Such a card
/// restarts when one of them is really switched, or its MTU: its link goes down and comes up again.
#[derive(Clone, Copy, Default, Debug)]
pub struct Couplings {
    /// What changes one of these changes all of them that the card has, as iflib's RXCSUM and
    /// RXCSUM_IPV6.
    pub together: u64,
    /// The first of each pair is off where the second is, as vtnet(4)'s TSO4 without TXCSUM.
    pub needs: &'static [(u64, u64)],
    /// The largest MTU, if it is less than most cards have.
    pub max_mtu: Option<u32>,
    /// Above this MTU the card takes these off whenever it starts, as re(4) does.
    pub above_mtu: Option<(u32, u64)>,
    /// The card takes these off whenever its link comes up, as em(4) does with TSO at 100 Mb/s.
    pub at_link_up: u64,
    /// Its link, lost by a restart, comes back later, when the test says so. IFF_UP restarts it too.
    pub is_late: bool,
    /// Its link stays when it restarts.
    pub keeps_link: bool,
    /// It restarts for each VLAN that comes or goes (IFLIB_RESTART_VLAN_CONFIG).
    pub at_vlans: bool,
    /// It cannot filter addresses, and sets these flags itself whenever one of them is changed.
    pub own_flags: u32,
    /// Groups that its filter has room for; with more it lets all in. None: it has no filter.
    pub groups: Option<usize>,
}

/// The state of a coupled card.
#[derive(Default)]
pub(super) struct Coupled {
    couplings: Option<Couplings>,
    restarts: u64,
    /// The flags when its driver last looked at them.
    flags: u32,
}

/// Makes `ifp` a card whose capabilities hang together.
pub fn couple(ifp: &Ifnet, couplings: Couplings) {
    lock(&ifp.coupled).couplings = Some(couplings);
    if couplings.groups.is_some() {
        ifp.filters.store(true, Ordering::Relaxed);
    }
}

/// How often the capabilities of `ifp` were read.
pub fn offload_looks(ifp: &Ifnet) -> u64 {
    ifp.offload_looks.load(Ordering::Relaxed)
}

/// How often a coupled card has restarted.
pub fn restarts(ifp: &Ifnet) -> u64 {
    lock(&ifp.coupled).restarts
}

impl Ifnet {
    /// What it can do, and what is enabled.
    pub fn offloads(&self) -> Offloads {
        self.offload_looks.fetch_add(1, Ordering::Relaxed);
        let mut offloads = *lock(&self.offloads);
        if self.has_netmap() {
            offloads.enabled |= NETMAP;
        }
        offloads
    }

    /// Only what is enabled.
    pub fn enabled(&self) -> u64 {
        self.offloads().enabled
    }

    /// Stores what it can do and what is enabled, except IFCAP_NETMAP, and does nothing else. For a lagg's
    /// own interface, by one thread at a time.
    ///
    /// On the host for cards too.
    pub fn store_offloads(&self, offloads: &Offloads) {
        *lock(&self.offloads) = Offloads { enabled: offloads.enabled & !NETMAP, ..*offloads };
    }

    /// Updates the capabilities of the VLANs on it (VLAN_CAPABILITIES). Takes `vlan_sx`.
    pub fn refresh_vlans(&self) {
        vlan::refresh(self);
    }
}

/// What most cards do with either command: switch what they can, as requested.
pub(super) fn switch(ifp: &Ifnet, r: &mut Ioctl<'_>) -> Result {
    let asked = if r.command() == SIOCSIFCAPNV {
        // SAFETY: `Ioctl::new` was promised this structure for SIOCSIFCAPNV, which is the callee's while it
        // runs.
        let data = unsafe { &*r.data().cast::<CapabilitiesRequest>() };
        u64::from(data.first) | u64::from(data.second) << 32
    } else {
        u64::from(r.argument::<InterfaceRequest>()?.capabilities()) | ifp.enabled() & !FIRST
    };
    let Couplings { together, needs, .. } = couplings(ifp);
    let toggled = {
        let mut offloads = lock(&ifp.offloads);
        let mut toggled = (asked ^ offloads.enabled) & offloads.capabilities & !NETMAP;
        if toggled & together != 0 {
            toggled |= together & offloads.capabilities;
        }
        let before = offloads.enabled;
        offloads.enabled ^= toggled;
        for (off, without) in needs {
            if offloads.enabled & without == 0 {
                offloads.enabled &= !off;
            }
        }
        before ^ offloads.enabled
    };
    if toggled != 0 {
        restart(ifp);
    }
    // As all drivers do (VLAN_CAPABILITIES)
    if ifp.has_vlans.load(Ordering::Relaxed) {
        ifp.refresh_vlans();
    }
    Ok(())
}

/// Stops a card and starts it again.
pub(super) fn restart(ifp: &Ifnet) {
    let Some(couplings) = lock(&ifp.coupled).couplings else { return };
    if ifp.flags() & iff::UP != 0 && ifp.is_running() {
        lock(&ifp.coupled).restarts += 1;
        start(ifp);
        if couplings.keeps_link {
            return;
        }
        let link = ifp.link_state();
        ifp.change_link_state(LinkState::Down);
        if couplings.is_late {
            return;
        }
        if link == LinkState::Up {
            link_up(ifp);
        }
        ifp.change_link_state(link);
    } else {
        start(ifp);
    }
}

/// Starts a card.
pub(super) fn start(ifp: &Ifnet) {
    let Some(couplings) = lock(&ifp.coupled).couplings else { return };
    if let Some((mtu, off)) = couplings.above_mtu
        && ifp.mtu() > mtu
    {
        lock(&ifp.offloads).enabled &= !off;
    }
    if couplings.is_late {
        ifp.change_link_state(LinkState::Down);
    }
}

/// What a card does by itself; nothing unless it was coupled.
pub(super) fn couplings(ifp: &Ifnet) -> Couplings {
    lock(&ifp.coupled).couplings.unwrap_or_default()
}

/// A card looks at the flags of its interface.
pub(super) fn look_at_flags(ifp: &Ifnet) {
    let mut coupled = lock(&ifp.coupled);
    let own = coupled.couplings.map_or(0, |couplings| couplings.own_flags);
    if (ifp.flags() ^ coupled.flags) & own != 0 {
        ifp.change_flags(own, 0);
    }
    coupled.flags = ifp.flags();
}

/// Whether the card's hardware lets a frame to this address from the wire in: it may filter groups.
pub(super) fn lets_in(ifp: &Ifnet, to: &[u8]) -> bool {
    let Some(room) = couplings(ifp).groups else { return true };
    let is_group = to.first().is_some_and(|first| first & 1 != 0) && to != [0xff; 6];
    if !is_group || ifp.flags() & (iff::PROMISC | iff::ALLMULTI) != 0 {
        return true;
    }
    let groups = multicast::groups(ifp);
    groups.len() > room || groups.iter().any(|group| group.as_bytes() == to)
}

/// A card's link comes up. What it takes off takes one more restart.
pub(super) fn link_up(ifp: &Ifnet) {
    let off = lock(&ifp.coupled).couplings.map_or(0, |couplings| couplings.at_link_up);
    let off = off & lock(&ifp.offloads).enabled;
    if off != 0 {
        lock(&ifp.offloads).enabled &= !off;
        lock(&ifp.coupled).restarts += 1;
    }
}

/// What the stack checks before it passes SIOCSIFCAP to the driver.
pub(super) fn check(ifp: &Ifnet, argument: &InterfaceRequest) -> Result {
    privilege::check()?;
    if u64::from(argument.capabilities()) & !ifp.offloads().capabilities != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// Passes a user's SIOCSIFCAPNV to the driver in the kernel's form, with the capabilities of `argument`.
pub(super) fn with_driver_data(
    argument: &InterfaceRequest,
    driver: impl FnOnce(*mut u8) -> Result,
) -> Result {
    let asked = argument.all_capabilities();
    let (first, second) = (asked as u32, (asked >> 32) as u32);
    let mut data = CapabilitiesRequest { first, second, list: 0 };
    driver((&raw mut data).cast())
}
