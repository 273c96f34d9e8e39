//! What an interface's hardware does for the stack (SIOCSIFCAP, SIOCSIFCAPNV).

use core::sync::atomic::{AtomicI32, Ordering};

use zerocopy::FromZeros;

use super::bindings as c;
use super::ifnet::{Ifnet, call, field};
use super::port::PortMethods;
use crate::kpi::ioctl::{InterfaceRequest, SIOCSIFCAP, SIOCSIFCAPNV};
use crate::kpi::{Ioctl, Offloads, Result};

/// Two words of the kernel's as one.
fn both(first: i32, second: i32) -> u64 {
    u64::from(first as u32) | u64::from(second as u32) << 32
}

/// The kernel's first and second word.
fn words(both: u64) -> (i32, i32) {
    (both as u32 as i32, (both >> 32) as u32 as i32)
}

impl Ifnet {
    /// What it can do, and what it is told to do.
    pub fn offloads(&self) -> Offloads {
        let ifp = self.as_ptr();
        let mut tso = c::ifnet_hw_tsomax { tsomaxbytes: 0, tsomaxsegcount: 0, tsomaxsegsize: 0 };
        // SAFETY: the ifnet is there; the words are read one by one, as the kernel's own readers do,
        // and the limits into a place of ours.
        unsafe {
            c::if_hw_tsomax_common(ifp, &mut tso);
            Offloads {
                capabilities: both(c::if_getcapabilities(ifp), c::if_getcapabilities2(ifp)),
                enabled: self.enabled(),
                // The accessor cuts it to an int.
                hwassist: field!(self, if_hwassist).read_volatile(),
                tso: [tso.tsomaxbytes, tso.tsomaxsegcount, tso.tsomaxsegsize],
            }
        }
    }

    /// What it is told to do alone.
    pub fn enabled(&self) -> u64 {
        both(call!(if_getcapenable, self), call!(if_getcapenable2, self))
    }

    /// Stores what it can do, and does nothing else: for a lagg's own interface, by one thread at a
    /// time. Whether netmap(4) has it (IFCAP_NETMAP) stays as it is.
    pub fn store_offloads(&self, offloads: &Offloads) {
        let ifp = self.as_ptr();
        let (can, can2) = words(offloads.capabilities);
        let (enabled, enabled2) = words(offloads.enabled);
        let [tsomaxbytes, tsomaxsegcount, tsomaxsegsize] = offloads.tso;
        let mut tso = c::ifnet_hw_tsomax { tsomaxbytes, tsomaxsegcount, tsomaxsegsize };
        // netmap comes and goes meanwhile.
        const NETMAP: i32 = c::IFCAP_NETMAP as i32;
        let keep = |now: i32| Some(enabled & !NETMAP | now & NETMAP);
        let _ = self.first_enabled().fetch_update(Ordering::Relaxed, Ordering::Relaxed, keep);
        // SAFETY: the ifnet is there, and these words are the driver's to write.
        unsafe {
            c::if_setcapabilities(ifp, can);
            c::if_setcapabilities2(ifp, can2);
            c::if_setcapenable2(ifp, enabled2);
            field!(self, if_hwassist).write_volatile(offloads.hwassist);
            c::if_hw_tsomax_update(ifp, &mut tso);
            c::if_setlastchange(ifp);
        }
    }

    /// Whether netmap(4) has it: its `if_input` is netmap's then.
    #[inline(always)]
    pub fn has_netmap(&self) -> bool {
        c::LAGG_RS_NETMAP != 0
            // SAFETY: aligned, and there for as long as `self`.
            && unsafe { (field!(self, if_capenable)).read_volatile() } & c::IFCAP_NETMAP as i32 != 0
    }

    /// What it is told to do: the first word.
    #[inline(always)]
    fn first_enabled(&self) -> &AtomicI32 {
        // SAFETY: aligned, and there for as long as `self`.
        unsafe { AtomicI32::from_ptr(field!(self, if_capenable)) }
    }

    /// Has the VLANs on it follow what it can do (VLAN_CAPABILITIES). Takes `vlan_sx`.
    pub fn refresh_vlans(&self) {
        // SAFETY: the ifnet is there.
        unsafe { c::lagg_rs_vlan_capabilities(self.as_ptr()) };
    }
}

impl PortMethods {
    /// Asks the driver to have these capabilities enabled, and no others. May sleep.
    ///
    /// # Errors
    /// What the driver returned; EINVAL if it has no ioctl.
    pub fn enable(&self, ifp: &Ifnet, enabled: u64) -> Result {
        let (reqcap, reqcap2) = words(enabled);
        if ifp.offloads().capabilities & u64::from(c::IFCAP_NV) != 0 {
            let mut data =
                c::siocsifcapnv_driver_data { reqcap, reqcap2, nvcap: core::ptr::null_mut() };
            // SAFETY: what the command carries inside the kernel, ours for the call.
            let mut request = unsafe { Ioctl::new(SIOCSIFCAPNV, (&raw mut data).cast()) };
            return self.forward(ifp, &mut request);
        }
        let mut argument = InterfaceRequest::new_zeroed();
        argument.name = ifp.name();
        argument.mtu = reqcap as u32;
        // SAFETY: the command takes an ifreq, which this is, and it is ours for the call.
        let mut request = unsafe { Ioctl::new(SIOCSIFCAP, (&raw mut argument).cast()) };
        self.forward(ifp, &mut request)
    }
}
