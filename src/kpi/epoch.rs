//! The network epoch: its sections, and what may not be done in one.

use core::cell::Cell;
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

/// What may run in a section of the epoch: something that has no [`MaySleep`] with it.
#[diagnostic::on_unimplemented(
    message = "this may sleep, and nothing sleeps in a section of the network epoch",
    label = "this has a `MaySleep` with it, or something else that is not `Send`",
    note = "take the lock before the section, and keep it through it if need be"
)]
pub trait CannotSleep {}

#[diagnostic::do_not_recommend]
impl<F: Send> CannotSleep for F {}

/// Proof that the caller may sleep, shown to take a sleepable lock. Not `Sync`: by that a section knows it,
/// and does not let it in.
pub struct MaySleep(Cell<()>);

impl MaySleep {
    /// For a request: the kernel makes none where nothing may sleep.
    pub(super) const fn request() -> Self {
        MaySleep(Cell::new(()))
    }
}

/// Runs `f` in a section of the network epoch (epoch(9), NET_EPOCH_ENTER). `f` must not sleep.
/// Sections nest.
pub fn section<R>(f: impl for<'e> FnOnce(&'e Epoch) -> R + CannotSleep) -> R {
    enter(f)
}

/// As [`section`], for what in kpi has pointers with it.
pub(super) fn enter<R>(f: impl for<'e> FnOnce(&'e Epoch) -> R) -> R {
    backend::section(|| {
        // SAFETY: the backend calls this in a section, and the value ends before it.
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
