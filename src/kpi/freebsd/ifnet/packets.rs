//! Packets on their way through an interface.

use core::sync::atomic::{AtomicPtr, Ordering};

use super::{Ifnet, c};
use crate::kpi::freebsd::hooks;
use crate::kpi::{Epoch, Errno, Mbuf, Result};

impl Ifnet {
    /// Hands a packet to its driver.
    ///
    /// # Errors
    /// What the driver returned; the packet is consumed.
    #[inline(always)]
    pub fn transmit(&self, m: Mbuf, _: &Epoch) -> Result {
        // SAFETY: an aligned pointer in an ifnet that is there for as long as `self`.
        let method = unsafe { (field!(self, if_transmit)).read_volatile() };
        // SAFETY: the kernel gives one to each interface that it attaches, and whatever replaces it is a
        // method too.
        let transmit = unsafe { method.unwrap_unchecked() };
        // SAFETY: the interface's own method, in a section of the epoch as the argument proves. It consumes the
        // packet, which `into_ptr` has given up, whatever it returns.
        Errno::check(unsafe { transmit(self.as_ptr(), m.into_ptr()) })
    }

    /// Receives a packet that names this interface as its receiver (`if_input`), in the interface's vnet.
    #[cold]
    pub fn input(&self, m: Mbuf, _: &Epoch) {
        // SAFETY: in a section of the epoch, as the argument proves, and in the interface's vnet. The packet
        // has a header that names the interface, and is the callee's now: `into_ptr` has given it up.
        self.in_vnet(|| unsafe { c::if_input(self.as_ptr(), m.into_ptr()) });
    }

    /// Whether bpf(4) has a reader on the interface.
    #[inline(always)]
    pub fn has_listeners(&self) -> bool {
        // SAFETY: an aligned pointer in an ifnet that is there for as long as `self`. bpf(4) has one for every
        // attached interface, and frees it a grace period after the interface has another. The pointer in it is
        // aligned too.
        unsafe {
            let bpf = (field!(self, if_bpf)).read_volatile().cast::<c::bpf_if_ext>();
            !(&raw const (*bpf).bif_dlist.clh_first).read_volatile().is_null()
        }
    }

    /// Shows a packet to the listeners of bpf(4) on the interface.
    #[inline(always)]
    pub fn bpf_tap(&self, m: &Mbuf) {
        // SAFETY: packets come in the epoch, in which what bpf(4) has for the interface is not freed. The
        // packet is read and stays ours.
        unsafe { c::ether_bpf_mtap_if(self.as_ptr(), m.as_ptr()) };
    }

    /// The same on an InfiniBand interface.
    #[inline(always)]
    pub fn infiniband_bpf_tap(&self, m: &Mbuf) {
        // SAFETY: packets come in the epoch, in which what bpf(4) has for the interface is not freed. The
        // packet is trimmed and put right again on the way, which its owner alone may have done, as `m` is
        // for this one thread.
        unsafe { c::infiniband_bpf_mtap(self.as_ptr(), m.as_ptr()) };
    }

    /// Sets whether packets that this lagg sends are checked for loops, which its ports allow if they are
    /// VLANs. If netmap(4) has replaced the method, packets do not recurse, and netmap restores the method
    /// that it replaced.
    pub fn guard(&self, on: bool) {
        let usual = hooks::lagg_rs_transmit as *mut ();
        let guarded = hooks::lagg_rs_transmit_guarded as *mut ();
        let (from, to) = if on { (usual, guarded) } else { (guarded, usual) };
        // SAFETY: an aligned pointer in an ifnet that is there for as long as `self`. netmap(4), which writes
        // it too, writes it as a whole.
        let place = unsafe { AtomicPtr::from_ptr((field!(self, if_transmit)).cast::<*mut ()>()) };
        let _ = place.compare_exchange(from, to, Ordering::Release, Ordering::Relaxed);
    }
}
