//! `net.link.lagg.stats.<if_index>` (`kmod/module.c` declares it).

use core::ffi::{c_int, c_uint};
use core::fmt::{self, Write};
use core::ptr::NonNull;

use super::bindings as c;
use super::ifnet::{Ifnet, IfnetRef};
use super::misc::Line;
use crate::kpi::errno::to_c;
use crate::kpi::gate::{self, Inside};
use crate::kpi::{Driver, Errno, Module};

/// Adds the sysctl of a lagg, unless one with its index is still there. Sleeps.
pub(super) fn add_stats(lagg: &Ifnet) {
    let mut name = Line::<11>::new();
    // A number has ten digits at most.
    let _ = write!(name, "{}", lagg.index());
    // SAFETY: the caller may sleep. The name is a string that ends in a NUL, which the kernel copies.
    unsafe { c::lagg_rs_stats_add(name.as_ptr(), lagg.index()) };
}

/// Removes all of them. The module is closed, so they have no readers. Sleeps.
pub(super) fn remove_stats() {
    // SAFETY: the caller may sleep; the kernel waits for readers, and the closed module lets no more in.
    // Once: there are none to be removed a second time.
    unsafe { c::lagg_rs_stats_remove() };
}

/// A reader enters, and keeps the module loaded until [`lagg_rs_leave`].
///
/// ENXIO: the module is being unloaded.
#[unsafe(no_mangle)]
extern "C" fn lagg_rs_enter() -> c_int {
    to_c(Inside::try_enter().map(Inside::stay))
}

/// The reader has its answer.
#[unsafe(no_mangle)]
extern "C" fn lagg_rs_leave() {
    gate::leave();
}

/// Writes the statistics of the lagg with this index. Sleeps.
///
/// ENOENT: the current vnet has no such lagg.
///
/// # Safety
/// `to` is a buffer that the callee may write to.
#[unsafe(no_mangle)]
unsafe extern "C" fn lagg_rs_stats(index: c_uint, to: NonNull<c::sbuf>) -> c_int {
    match IfnetRef::by_index(index).and_then(|ifp| ifp.lagg_softc()) {
        Some(softc) => {
            // INVARIANT: the kernel passes a buffer that may be written to. It keeps an error until its
            // caller asks for it.
            let _ = Module::stats(&softc, &mut Sbuf(to));
            0
        }
        None => Errno::ENOENT.number(),
    }
}

/// A buffer (sbuf(9)).
///
/// # Invariants
/// It may be written to.
struct Sbuf(NonNull<c::sbuf>);

impl Write for Sbuf {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        // SAFETY: by the invariant the buffer may be written to. The text is that long, and is copied.
        match unsafe { c::sbuf_bcat(self.0.as_ptr(), s.as_ptr().cast(), s.len()) } {
            0 => Ok(()),
            _ => Err(fmt::Error),
        }
    }
}
