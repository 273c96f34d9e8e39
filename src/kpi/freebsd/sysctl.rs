//! `net.link.lagg.stats.<if_index>` (`kmod/module.c` declares it).

use core::ffi::{c_int, c_uint};
use core::fmt::{self, Write};
use core::ptr::NonNull;

use super::bindings as c;
use super::ifnet::{Ifnet, IfnetRef};
use super::misc::Line;
use crate::Module;
use crate::kpi::gate::Inside;
use crate::kpi::{Driver, Errno};

/// Adds the sysctl of a lagg. Sleeps.
pub(super) fn add_stats(lagg: &Ifnet) {
    // SAFETY: the name is a string, which the kernel copies.
    unsafe { c::lagg_rs_stats_add(name(lagg).as_ptr(), lagg.index()) };
}

/// Removes it, and waits until nobody reads it. Sleeps.
pub(super) fn remove_stats(lagg: &Ifnet) {
    // SAFETY: the name is a string.
    unsafe { c::lagg_rs_stats_remove(name(lagg).as_ptr()) };
}

fn name(lagg: &Ifnet) -> Line<11> {
    let mut name = Line::new();
    // A number has ten digits at most.
    let _ = write!(name, "{}", lagg.index());
    name
}

/// Writes what the lagg of this index has dropped. Sleeps.
///
/// ENOENT: the current vnet has no such lagg.
///
/// # Safety
/// `to` is a buffer that the callee may write to.
#[unsafe(no_mangle)]
unsafe extern "C" fn lagg_rs_stats(index: c_uint, to: NonNull<c::sbuf>) -> c_int {
    let _inside = Inside::enter();
    match IfnetRef::by_index(index).and_then(|ifp| ifp.lagg_softc()) {
        Some(softc) => {
            // INVARIANT: by contract. The buffer keeps an error until its caller asks for it.
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
        // SAFETY: by the invariant; the text is that long.
        match unsafe { c::sbuf_bcat(self.0.as_ptr(), s.as_ptr().cast(), s.len()) } {
            0 => Ok(()),
            _ => Err(fmt::Error),
        }
    }
}
