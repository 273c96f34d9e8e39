//! `net.link.lagg.stats.<if_index>`, and the leaves of `net.link.lagg.iface.<name>` (`kmod/module.c` declares both).

use core::ffi::{CStr, c_int, c_uint, c_void};
use core::fmt::{self, Write};
use core::ptr::NonNull;

use super::bindings as c;
use super::ifnet::{Ifnet, IfnetRef};
use super::misc::Line;
use super::names;
use crate::kpi::errno::to_c;
use crate::kpi::gate::{self, Inside};
use crate::kpi::{Boxed, Driver, Errno, Holds, LONGEST, Module, Ref, Result, priv_check_lagg};

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

/// Reads and writes a leaf of `net.link.lagg.iface.<name>`; `place` is that of its setting. Sleeps.
///
/// ENOENT: the current vnet has no lagg of that name; ENXIO: the module is being unloaded; EFAULT; the errors
/// of [`Driver::set_setting`].
///
/// # Safety
/// The kernel calls it with one of those leaves and its own request, in the caller's vnet.
#[unsafe(no_mangle)]
unsafe extern "C" fn lagg_rs_setting(
    oid: *mut c::sysctl_oid,
    _: *mut c_void,
    place: i64,
    request: *mut c::sysctl_req,
) -> c_int {
    // SAFETY: the kernel calls this with a leaf and its own request.
    to_c(unsafe { setting(oid, place as usize, request) })
}

/// # Safety
/// As for [`lagg_rs_setting`].
unsafe fn setting(oid: *mut c::sysctl_oid, place: usize, request: *mut c::sysctl_req) -> Result {
    let _inside = Inside::try_enter()?;
    // SAFETY: the leaf, and with it all nodes above it, is there while its handler runs.
    let node = unsafe { c::lagg_rs_iface_of(oid) };
    let lagg = || -> Result<Ref<<Module as Driver>::Softc>> {
        let name = names::name_of(node).ok_or(Errno::ENOENT)?;
        IfnetRef::by_name(&name).and_then(|ifp| ifp.lagg_softc()).ok_or(Errno::ENOENT)
    };
    let mut text = Boxed::<[u8; LONGEST]>::try_zeroed()?;
    // Looked up once more before it is changed: nothing may keep a lagg while user memory is waited for.
    Module::setting(&lagg()?, place, &mut Cursor(&mut text[..]))?;
    let holds = Module::SETTINGS.get(place).ok_or(Errno::EINVAL)?.holds;
    let mut number = string(&text)?.parse::<u32>().unwrap_or(0);
    // SAFETY: the kernel's own leaf and request. The number has the size that the type of the leaf says. The text
    // is as long as said, and ends in a NUL; the kernel leaves one in it.
    Errno::check(unsafe {
        match holds {
            Holds::Number => c::sysctl_handle_32(oid, (&raw mut number).cast(), 0, request),
            Holds::Text => {
                c::sysctl_handle_string(oid, text.as_mut_ptr().cast(), LONGEST as i64, request)
            }
        }
    })?;
    // SAFETY: the request is the kernel's own, which is there while its handler runs.
    if unsafe { (*request).newptr }.is_null() {
        return Ok(());
    }
    priv_check_lagg()?;
    if holds == Holds::Number {
        text.fill(0);
        let _ = write!(Cursor(&mut text[..]), "{number}");
    }
    Module::set_setting(&lagg()?, place, string(&text)?)
}

/// The text up to its NUL.
///
/// # Errors
/// EINVAL: it is not UTF-8.
fn string(text: &[u8; LONGEST]) -> Result<&str> {
    let text = CStr::from_bytes_until_nul(text).map_err(|_| Errno::EINVAL)?;
    text.to_str().map_err(|_| Errno::EINVAL)
}

/// Writes text to memory that is zeroed, and leaves a NUL.
struct Cursor<'a>(&'a mut [u8]);

impl Write for Cursor<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let room = core::mem::take(&mut self.0);
        let (to, rest) = room.split_at_mut_checked(s.len()).ok_or(fmt::Error)?;
        to.copy_from_slice(s.as_bytes());
        self.0 = rest;
        if self.0.is_empty() { Err(fmt::Error) } else { Ok(()) }
    }
}
