//! What an interface's hardware does for the stack (SIOCSIFCAP, SIOCSIFCAPNV).

use super::super::ioctl::{InterfaceRequest, Ioctl, SIOCSIFCAP, SIOCSIFCAPNV};
use super::super::offloads::capability::NETMAP;
use super::super::{Errno, Ifnet, Offloads, Result};
use super::methods::PortMethods;
use super::witness::lock;
use super::{privilege, vlan};

/// The interface takes SIOCSIFCAPNV (IFCAP_NV).
const NV: u64 = 1 << 17;
/// Capabilities that SIOCSIFCAP knows.
const FIRST: u64 = 0xffff_ffff;

impl Ifnet {
    /// What it can do, and what it is told to do.
    pub fn offloads(&self) -> Offloads {
        let mut offloads = *lock(&self.offloads);
        if self.has_netmap() {
            offloads.enabled |= NETMAP;
        }
        offloads
    }

    /// What it is told to do alone.
    pub fn enabled(&self) -> u64 {
        self.offloads().enabled
    }

    /// Stores what it can do, and does nothing else: for a lagg's own interface, and for cards. Whether
    /// netmap(4) has it (IFCAP_NETMAP) stays as it is.
    pub fn store_offloads(&self, offloads: &Offloads) {
        *lock(&self.offloads) = Offloads { enabled: offloads.enabled & !NETMAP, ..*offloads };
    }

    /// Has the VLANs on it follow what it can do (VLAN_CAPABILITIES).
    pub fn refresh_vlans(&self) {
        vlan::refresh(self);
    }
}

impl PortMethods {
    /// Asks the driver to have these capabilities enabled, and no others. Sleeps.
    ///
    /// # Errors
    /// What the driver returned; EINVAL if it has no ioctl.
    pub fn enable(&self, ifp: &Ifnet, enabled: u64) -> Result {
        let mut argument = InterfaceRequest { name: ifp.name(), ..InterfaceRequest::default() };
        put(&mut argument, enabled);
        let command = if ifp.offloads().capabilities & NV != 0 { SIOCSIFCAPNV } else { SIOCSIFCAP };
        // SAFETY: both commands carry this argument, which is ours for the call.
        let mut request = unsafe { Ioctl::new(command, (&raw mut argument).cast()) };
        self.forward(ifp, &mut request)
    }
}

/// Writes capabilities where both commands have them; the second word is SIOCSIFCAPNV's.
fn put(argument: &mut InterfaceRequest, enabled: u64) {
    argument.mtu = (enabled & FIRST) as u32;
    argument.rest[0] = (enabled >> 32) as u32;
}

/// What most cards do with either command: what they can do is switched as it is asked.
pub(super) fn switch(ifp: &Ifnet, r: &mut Ioctl<'_>) -> Result {
    let command = r.command();
    let argument = r.argument::<InterfaceRequest>()?;
    let (first, second) = (u64::from(argument.mtu), u64::from(argument.rest[0]) << 32);
    let mut offloads = lock(&ifp.offloads);
    let asked =
        if command == SIOCSIFCAPNV { first | second } else { first | offloads.enabled & !FIRST };
    offloads.enabled = asked & offloads.capabilities & !NETMAP;
    Ok(())
}

/// What the stack looks at before it lets the driver have SIOCSIFCAP.
pub(super) fn check(ifp: &Ifnet, argument: &InterfaceRequest) -> Result {
    privilege::check()?;
    if u64::from(argument.mtu) & !ifp.offloads().capabilities != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(())
}
