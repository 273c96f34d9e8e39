//! Packets on their way through an interface.

use std::sync::atomic::Ordering;

use super::Ifnet;
use crate::kpi::host::{capture, input, witness};
use crate::kpi::{Epoch, Mbuf, Result};

impl Ifnet {
    /// Receives a packet that names this interface as its receiver (`if_input`), in the interface's vnet.
    #[inline]
    pub fn input(&self, m: Mbuf, epoch: &Epoch) {
        assert_eq!(m.receiver_index(), self.index, "{self:?}: a packet of another's");
        if self.has_netmap() {
            input::netmap(self, m);
        } else {
            input::input(self, m, epoch);
        }
    }

    /// Whether netmap(4) has opened it, so that its `if_input` is netmap's.
    #[inline]
    pub fn has_netmap(&self) -> bool {
        self.has_netmap.load(Ordering::Relaxed)
    }

    /// Hands a packet to its driver.
    ///
    /// # Errors
    /// What the driver returned; the packet is consumed.
    #[inline]
    pub fn transmit(&self, m: Mbuf, epoch: &Epoch) -> Result {
        let _nested = witness::nest("if_transmit");
        self.kind.transmit(self, m, epoch)
    }

    /// Sets whether packets that this lagg sends are checked for loops, which its ports allow if they are
    /// VLANs. If netmap(4) has replaced the method, packets do not recurse, and netmap restores the method
    /// that it replaced.
    pub fn guard(&self, on: bool) {
        self.guarded.store(on, Ordering::Release);
    }

    /// Whether bpf(4) has a reader on the interface.
    #[inline]
    pub fn has_listeners(&self) -> bool {
        debug_assert!(self.has_bpf.load(Ordering::Relaxed), "bpf does not know {self:?} yet");
        self.has_taps.load(Ordering::Relaxed)
    }

    /// Shows a packet to the listeners of bpf(4) on the interface.
    #[inline]
    pub fn bpf_tap(&self, m: &Mbuf) {
        if self.has_listeners() {
            capture::tap(self, m);
        }
    }

    /// The same on an InfiniBand interface.
    ///
    /// Listeners see an Ethernet header.
    #[inline]
    pub fn infiniband_bpf_tap(&self, m: &Mbuf) {
        if self.has_listeners() {
            capture::infiniband_tap(self, m);
        }
    }
}
