//! bpf(4): captures the frames that pass an interface.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::sync::Mutex;
use super::witness::lock;
use crate::kpi::{Ifnet, IfnetRef, Mbuf};

#[derive(Default)]
pub(super) struct Tap {
    count: AtomicUsize,
    frames: Mutex<Vec<Vec<u8>>>,
}

/// The frames that have passed an interface since the capture began. It ends when this is dropped.
pub struct Capture {
    ifp: IfnetRef,
    tap: Arc<Tap>,
}

/// Begins to capture the frames that pass `ifp`.
pub fn capture(ifp: &Ifnet) -> Capture {
    let tap = Arc::new(Tap::default());
    lock(&ifp.taps).push(tap.clone());
    ifp.has_taps.store(true, Ordering::Relaxed);
    Capture { ifp: ifp.to_ref(), tap }
}

impl Capture {
    /// The number of frames that have passed.
    pub fn count(&self) -> usize {
        self.tap.count.load(Ordering::Relaxed)
    }

    /// The frames that have passed since the last call.
    pub fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut lock(&self.tap.frames))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let mut taps = lock(&self.ifp.taps);
        taps.retain(|tap| !Arc::ptr_eq(tap, &self.tap));
        self.ifp.has_taps.store(!taps.is_empty(), Ordering::Relaxed);
    }
}

#[cold]
pub(super) fn tap(ifp: &Ifnet, m: &Mbuf) {
    pass(ifp, &m.to_bytes());
}

/// Shows an Ethernet header instead of the InfiniBand one: part of the destination's GID, no source.
#[cold]
pub(super) fn infiniband_tap(ifp: &Ifnet, m: &Mbuf) {
    let frame = m.to_bytes();
    let Some((header, rest)) = frame.split_at_checked(24) else { return };
    pass(ifp, &[&header[4..10], &[0; 6], &header[20..22], rest].concat());
}

fn pass(ifp: &Ifnet, frame: &[u8]) {
    for tap in lock(&ifp.taps).iter() {
        tap.count.fetch_add(1, Ordering::Relaxed);
        lock(&tap.frames).push(frame.to_vec());
    }
}
