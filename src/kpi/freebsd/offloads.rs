//! What an interface's hardware does for the stack (if_capabilities, if_capenable and so on).

use core::sync::atomic::{AtomicI32, Ordering};

use super::bindings as c;
use super::ifnet::{Ifnet, field, scalar};
use crate::kpi::Offloads;

/// Two words of the kernel's as one.
fn both(first: i32, second: i32) -> u64 {
    u64::from(first as u32) | u64::from(second as u32) << 32
}

/// The kernel's first and second word.
fn words(both: u64) -> (i32, i32) {
    (both as u32 as i32, (both >> 32) as u32 as i32)
}

impl Ifnet {
    /// What it can do, and what is enabled.
    pub fn offloads(&self) -> Offloads {
        let mut tso = c::ifnet_hw_tsomax { tsomaxbytes: 0, tsomaxsegcount: 0, tsomaxsegsize: 0 };
        // SAFETY: the ifnet is there; its limits are compared with those in a place of ours, which is written.
        unsafe { c::if_hw_tsomax_common(self.as_ptr(), &mut tso) };
        Offloads {
            capabilities: both(
                scalar!(if_getcapabilities, self),
                scalar!(if_getcapabilities2, self),
            ),
            enabled: self.enabled(),
            // The accessor cuts it to an int.
            // SAFETY: an aligned word of an ifnet that is there for as long as `self`.
            hwassist: unsafe { field!(self, if_hwassist).read_volatile() },
            tso: [tso.tsomaxbytes, tso.tsomaxsegcount, tso.tsomaxsegsize],
        }
    }

    /// Only what is enabled.
    pub fn enabled(&self) -> u64 {
        both(scalar!(if_getcapenable, self), scalar!(if_getcapenable2, self))
    }

    /// Stores what it can do and what is enabled, except IFCAP_NETMAP, and does nothing else. For a lagg's
    /// own interface, by one thread at a time.
    pub fn store_offloads(&self, offloads: &Offloads) {
        let (can, can2) = words(offloads.capabilities);
        let (enabled, enabled2) = words(offloads.enabled);
        let [tsomaxbytes, tsomaxsegcount, tsomaxsegsize] = offloads.tso;
        let mut tso = c::ifnet_hw_tsomax { tsomaxbytes, tsomaxsegcount, tsomaxsegsize };
        // netmap(4) may change its bit at the same time.
        const NETMAP: i32 = c::IFCAP_NETMAP as i32;
        let keep = |now: i32| Some(enabled & !NETMAP | now & NETMAP);
        let _ = self.first_enabled().fetch_update(Ordering::Relaxed, Ordering::Relaxed, keep);
        scalar!(if_setcapabilities, self, can);
        scalar!(if_setcapabilities2, self, can2);
        scalar!(if_setcapenable2, self, enabled2);
        // SAFETY: the ifnet is there. The word, the limits, which are copied, and the time of the last change
        // are its driver's to write, by one thread at a time: this is a lagg's own interface.
        unsafe {
            field!(self, if_hwassist).write_volatile(offloads.hwassist);
            c::if_hw_tsomax_update(self.as_ptr(), &mut tso);
            c::if_setlastchange(self.as_ptr());
        }
    }

    /// Whether netmap(4) has opened it, so that its `if_input` is netmap's.
    #[inline(always)]
    pub fn has_netmap(&self) -> bool {
        c::LAGG_RS_NETMAP != 0
            // SAFETY: an aligned word of an ifnet that is there for as long as `self`.
            && unsafe { (field!(self, if_capenable)).read_volatile() } & c::IFCAP_NETMAP as i32 != 0
    }

    /// The first word of what is enabled.
    #[inline(always)]
    fn first_enabled(&self) -> &AtomicI32 {
        // SAFETY: an aligned word of an ifnet that is there for as long as `self`. netmap(4), which writes it
        // too, writes it as a whole.
        unsafe { AtomicI32::from_ptr(field!(self, if_capenable)) }
    }
}
