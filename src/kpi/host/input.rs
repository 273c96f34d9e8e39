//! How the stack receives packets and passes them on (`net/if_ethersubr.c`, `net/if_infiniband.c`).

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::{module, offloads, vlan};
use crate::kpi::driver::Module;
use crate::kpi::{Counter, Epoch, IfType, Ifnet, Mbuf, Result, epoch, iff};

/// Passes the frames that `ifp` receives for itself to `sink`, in an epoch section.
pub fn set_input(ifp: &Ifnet, sink: impl Fn(Mbuf) + Send + Sync + 'static) {
    *ifp.input.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(sink));
}

/// Gives `ifp` to netmap(4) in emulated mode: `sink` gets the frames that it receives, instead of the stack
/// (nm_os_catch_rx).
pub fn netmap_register(ifp: &Ifnet, sink: impl Fn(Mbuf) + Send + Sync + 'static) {
    *ifp.netmap.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(sink));
    ifp.has_netmap.store(true, Ordering::Relaxed);
}

/// Gives `ifp` back to the stack.
pub fn netmap_unregister(ifp: &Ifnet) {
    ifp.has_netmap.store(false, Ordering::Relaxed);
    *ifp.netmap.write().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Receives a frame on `ifp`, from the wire (`if_input`).
#[inline]
pub fn receive(ifp: &Ifnet, mut m: Mbuf) {
    epoch::section(|epoch| {
        ifp.count(Counter::Ipackets, 1);
        m.set_receiver(ifp);
        if !ifp.filters.load(Ordering::Relaxed) || lets_in(ifp, &m) {
            ifp.input(m, epoch);
        }
    });
}

/// Whether a card that filters in hardware lets a frame from the wire in.
fn lets_in(ifp: &Ifnet, m: &Mbuf) -> bool {
    let to = m.first().get(..6).unwrap_or_default();
    vlan::lets_in(ifp, m) && offloads::lets_in(ifp, to)
}

/// Sends a packet on `ifp` (`if_transmit`), in a section of its own.
///
/// # Errors
/// What its driver returned.
#[inline]
pub fn transmit(ifp: &Ifnet, m: Mbuf) -> Result {
    epoch::section(|epoch| ifp.transmit(m, epoch))
}

/// Sends a packet to an address of `family` on `ifp` (`if_output`), in a section of its own.
///
/// # Errors
/// ENETDOWN on a lagg's port for most families, or what its driver returned.
pub fn output(ifp: &Ifnet, family: u8, m: Mbuf) -> Result {
    epoch::section(|epoch| ifp.output(family, m, epoch))
}

/// netmap's `if_input`.
pub(super) fn netmap(ifp: &Ifnet, m: Mbuf) {
    let sink = ifp.netmap.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(sink) = &*sink {
        ifp.in_vnet(|| sink(m));
    }
}

/// The stack's `if_input` (ether_input, infiniband_input).
pub(super) fn input(ifp: &Ifnet, mut m: Mbuf, epoch: &Epoch) {
    if ifp.is_infiniband() {
        return infiniband_input(ifp, m, epoch);
    }
    if ifp.flags() & iff::UP == 0 {
        return;
    }
    let Some(&first) = m.first().first().filter(|_| m.first().len() >= 14) else {
        ifp.count(Counter::Ierrors, 1);
        return;
    };
    m.set_receiver(ifp);
    ifp.in_vnet(|| {
        if first & 1 != 0 {
            ifp.count(Counter::Imcasts, 1);
        }
        ifp.bpf_tap(&m);
        ifp.count(Counter::Ibytes, m.len() as u64);
        if ifp.flags() & iff::MONITOR != 0 {
            return;
        }
        if ifp.if_type() == IfType::LaggPort {
            assert!(module::is_loaded(), "lagg_input_ethernet_p is NULL, and {ifp:?} a port");
            let Some(port) = ifp.lagg.load(epoch) else { return };
            let Some(accepted) = Module::input(ifp, port, m, epoch) else { return };
            // SAFETY: it was set above, in this section, or since by the driver, which has a reference to its
            // lagg.
            let ifp = unsafe { accepted.receiver(epoch) };
            demultiplex(ifp, accepted, epoch);
        } else {
            demultiplex(ifp, m, epoch);
        }
    });
}

/// infiniband_input. The driver counts its bytes.
fn infiniband_input(ifp: &Ifnet, mut m: Mbuf, epoch: &Epoch) {
    if ifp.flags() & iff::UP == 0 || m.first().len() < 24 {
        ifp.count(Counter::Ierrors, 1);
        return;
    }
    m.set_receiver(ifp);
    ifp.in_vnet(|| {
        if m.first()[4] == 0xff {
            ifp.count(Counter::Imcasts, 1);
        }
        ifp.infiniband_bpf_tap(&m);
        if ifp.flags() & iff::MONITOR != 0 {
            return;
        }
        if ifp.if_type() != IfType::InfinibandLaggPort {
            demultiplex(ifp, m, epoch);
            return;
        }
        assert!(module::is_loaded(), "lagg_input_infiniband_p is NULL, and {ifp:?} a port");
        let Some(port) = ifp.lagg.load(epoch) else { return };
        let Some(accepted) = Module::input(ifp, port, m, epoch) else { return };
        // SAFETY: it was set above, in this section, or since by the driver, which has a reference to its lagg.
        let ifp = unsafe { accepted.receiver(epoch) };
        demultiplex(ifp, accepted, epoch);
    });
}

fn demultiplex(ifp: &Ifnet, m: Mbuf, epoch: &Epoch) {
    let Some(m) = vlan::input(ifp, m, epoch) else { return };
    let sink = ifp.input.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(sink) = &*sink {
        sink(m);
    }
}
