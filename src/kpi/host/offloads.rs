//! What an interface's hardware does for the stack (SIOCSIFCAP, SIOCSIFCAPNV), and what real cards make of
//! being asked.

use core::sync::atomic::Ordering;

use super::witness::lock;
use super::{privilege, vlan};
use crate::kpi::ioctl::{InterfaceRequest, Ioctl, SIOCSIFCAPNV};
use crate::kpi::offloads::capability::NETMAP;
use crate::kpi::requests::CapabilitiesRequest;
use crate::kpi::{Errno, Ifnet, LinkState, Offloads, Result, iff};

/// Capabilities that SIOCSIFCAP knows.
const FIRST: u64 = 0xffff_ffff;

/// How the capabilities of a card hang together. Such a card restarts when one of them is really
/// switched, or its MTU: its link goes down and comes up again.
#[derive(Clone, Copy, Default, Debug)]
pub struct Couplings {
    /// What changes one of these changes all of them that the card has, as iflib's RXCSUM and
    /// RXCSUM_IPV6.
    pub together: u64,
    /// Above this MTU the card takes these off whenever it starts, as re(4) does.
    pub above_mtu: Option<(u32, u64)>,
    /// The card takes these off whenever its link comes up, as em(4) does with TSO at 100 Mb/s.
    pub at_link_up: u64,
    /// Its link, lost by a restart, comes back later, when the test says so. IFF_UP restarts it too.
    pub is_late: bool,
}

/// What a coupled card has.
#[derive(Default)]
pub(super) struct Coupled {
    couplings: Option<Couplings>,
    restarts: u64,
}

/// Makes `ifp` a card whose capabilities hang together.
pub fn couple(ifp: &Ifnet, couplings: Couplings) {
    lock(&ifp.coupled).couplings = Some(couplings);
}

/// How often the capabilities of `ifp` were read.
pub fn offload_looks(ifp: &Ifnet) -> u64 {
    ifp.offload_looks.load(Ordering::Relaxed)
}

/// How often a card that was coupled has restarted.
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

/// What most cards do with either command: what they can do is switched as it is asked.
pub(super) fn switch(ifp: &Ifnet, r: &mut Ioctl<'_>) -> Result {
    let asked = if r.command() == SIOCSIFCAPNV {
        // SAFETY: `Ioctl::new` was promised this structure for SIOCSIFCAPNV, which is the callee's while it
        // runs.
        let data = unsafe { &*r.data().cast::<CapabilitiesRequest>() };
        u64::from(data.first) | u64::from(data.second) << 32
    } else {
        u64::from(r.argument::<InterfaceRequest>()?.capabilities()) | ifp.enabled() & !FIRST
    };
    let couplings = lock(&ifp.coupled).couplings;
    let toggled = {
        let mut offloads = lock(&ifp.offloads);
        let mut toggled = (asked ^ offloads.enabled) & offloads.capabilities & !NETMAP;
        let together = couplings.map_or(0, |couplings| couplings.together);
        if toggled & together != 0 {
            toggled |= together & offloads.capabilities;
        }
        offloads.enabled ^= toggled;
        toggled
    };
    if toggled != 0 {
        restart(ifp);
    }
    Ok(())
}

/// A card stops and starts again, for its capabilities or its MTU have changed.
pub(super) fn restart(ifp: &Ifnet) {
    let Some(couplings) = lock(&ifp.coupled).couplings else { return };
    if ifp.flags() & iff::UP != 0 && ifp.is_running() {
        lock(&ifp.coupled).restarts += 1;
        start(ifp);
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

/// A card starts.
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

/// A card's link comes up. What it takes off takes one more restart.
pub(super) fn link_up(ifp: &Ifnet) {
    let off = lock(&ifp.coupled).couplings.map_or(0, |couplings| couplings.at_link_up);
    let off = off & lock(&ifp.offloads).enabled;
    if off != 0 {
        lock(&ifp.offloads).enabled &= !off;
        lock(&ifp.coupled).restarts += 1;
    }
}

/// What the stack looks at before it lets the driver have SIOCSIFCAP.
pub(super) fn check(ifp: &Ifnet, argument: &InterfaceRequest) -> Result {
    privilege::check()?;
    if u64::from(argument.capabilities()) & !ifp.offloads().capabilities != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// A user's SIOCSIFCAPNV as a driver gets it: the capabilities are in the same words of `argument`.
pub(super) fn with_driver_data(
    argument: &InterfaceRequest,
    driver: impl FnOnce(*mut u8) -> Result,
) -> Result {
    let asked = argument.all_capabilities();
    let (first, second) = (asked as u32, (asked >> 32) as u32);
    let mut data = CapabilitiesRequest { first, second, list: 0 };
    driver((&raw mut data).cast())
}
