//! The network epoch.

use core::marker::PhantomData;

use super::backend;

/// Proof that the caller is in a section of the network epoch. What is read under `&'e Epoch` may
/// be used for `'e` and no longer.
pub struct Epoch(PhantomData<*mut ()>);

impl Epoch {
    /// # Safety
    /// The thread is in a section of the network epoch for as long as the value lives.
    pub(super) const unsafe fn assume() -> Self {
        Epoch(PhantomData)
    }
}

/// Runs `f` in a section of the network epoch (epoch(9), NET_EPOCH_ENTER). `f` must not sleep: packets
/// everywhere wait for the end of the section. Sections nest.
pub fn section<R>(f: impl for<'e> FnOnce(&'e Epoch) -> R) -> R {
    backend::section(|| {
        // SAFETY: the backend calls this in a section, and the value is dropped before the section ends.
        let epoch = unsafe { Epoch::assume() };
        f(&epoch)
    })
}

/// Waits until every section that is open now has ended (NET_EPOCH_WAIT). Sleeps.
pub fn wait() {
    backend::epoch_wait();
}

/// Waits until every object whose grace period has begun is freed (NET_EPOCH_DRAIN_CALLBACKS).
/// Sleeps.
pub fn drain() {
    backend::epoch_drain();
}
