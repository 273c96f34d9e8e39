//! The leaves of `net.link.lagg.iface.<name>`: what the kernel calls when they are read or written.

use core::ffi::{CStr, c_int, c_void};
use core::fmt::{self, Write};

use super::bindings as c;
use super::ifnet::IfnetRef;
use super::leaves::Whose;
use crate::kpi::errno::to_c;
use crate::kpi::gate::Inside;
use crate::kpi::{
    Boxed, Driver, Errno, Holds, LONGEST, LONGEST_STATE, Module, Name, Ref, Result, Shows,
    priv_check_lagg,
};

/// Reads a leaf of a lagg, by its place among [`Driver::LEAVES`], or of a port, by its place among
/// [`Driver::PORT_LEAVES`]. Sleeps.
///
/// ENOENT: the current vnet has no lagg of that name, or that has no such port, or the leaf has nothing to say
/// now; ENXIO: the module is being unloaded; EFAULT.
///
/// # Safety
/// The kernel calls it with one of those leaves and its own request, in the caller's vnet.
pub(super) unsafe extern "C" fn read_leaf(
    oid: *mut c::sysctl_oid,
    _: *mut c_void,
    place: i64,
    request: *mut c::sysctl_req,
) -> c_int {
    // SAFETY: the kernel calls this with a leaf of ours and its own request.
    to_c(unsafe { leaf(oid, place as usize, request) })
}

/// # Safety
/// As for [`read_leaf`].
unsafe fn leaf(oid: *mut c::sysctl_oid, place: usize, request: *mut c::sysctl_req) -> Result {
    let _inside = Inside::try_enter()?;
    // SAFETY: the leaf is there while its handler runs.
    let Whose { lagg, port } = unsafe { whose(oid) };
    let leaves = if port.is_some() { Module::PORT_LEAVES } else { Module::LEAVES };
    let shows = leaves.get(place).ok_or(Errno::ENOENT)?.shows;
    let mut text = [0; LONGEST_STATE];
    {
        // Nothing may keep a lagg while user memory is waited for below.
        let (softc, to) = (lagg_named(&lagg)?, &mut Cursor(&mut text));
        match port {
            None => Module::leaf(&softc, place, to)?,
            Some(port) => Module::port_leaf(&softc, &port, place, to)?,
        }
    }
    let mut number = string(&text[..])?.parse::<u64>().unwrap_or(0);
    // SAFETY: the kernel's own leaf and request. The number has the size that the type of the leaf says. The text
    // is as long as said, and ends in a NUL.
    Errno::check(unsafe {
        match shows {
            Shows::Number | Shows::Reason => {
                c::sysctl_handle_64(oid, (&raw mut number).cast(), 0, request)
            }
            Shows::Text | Shows::Nodes => {
                let len = LONGEST_STATE as i64;
                c::sysctl_handle_string(oid, text.as_mut_ptr().cast(), len, request)
            }
        }
    })
}

/// Whose leaf it is. The kernel takes a leaf's argument for an offset in the vnet, so what handlers get of it is
/// not what the leaf has.
///
/// # Safety
/// `oid` is a leaf below a lagg's node, and there while this runs.
unsafe fn whose(oid: *mut c::sysctl_oid) -> Whose {
    // SAFETY: the leaf is there, and with it the block that it is in. Nothing changes the names in that.
    unsafe { *(*oid).oid_arg1.cast() }
}

/// The lagg of that name in the current vnet.
fn lagg_named(name: &Name) -> Result<Ref<<Module as Driver>::Softc>> {
    IfnetRef::by_name(name).and_then(|ifp| ifp.lagg_softc()).ok_or(Errno::ENOENT)
}

/// Reads and writes a setting, by its place among [`Driver::SETTINGS`]. Sleeps.
///
/// ENOENT: the current vnet has no lagg of that name; ENXIO: the module is being unloaded; EFAULT; the errors
/// of [`Driver::set_setting`].
///
/// # Safety
/// The kernel calls it with one of those leaves and its own request, in the caller's vnet.
pub(super) unsafe extern "C" fn read_setting(
    oid: *mut c::sysctl_oid,
    _: *mut c_void,
    place: i64,
    request: *mut c::sysctl_req,
) -> c_int {
    // SAFETY: the kernel calls this with a leaf and its own request.
    to_c(unsafe { setting(oid, place as usize, request) })
}

/// # Safety
/// As for [`read_setting`].
unsafe fn setting(oid: *mut c::sysctl_oid, place: usize, request: *mut c::sysctl_req) -> Result {
    let _inside = Inside::try_enter()?;
    // SAFETY: the leaf is there while its handler runs.
    let lagg = || lagg_named(&unsafe { whose(oid) }.lagg);
    let mut text = Boxed::<[u8; LONGEST]>::try_zeroed()?;
    // Looked up once more before it is changed: nothing may keep a lagg while user memory is waited for.
    Module::setting(&lagg()?, place, &mut Cursor(&mut text[..]))?;
    let holds = Module::SETTINGS.get(place).ok_or(Errno::EINVAL)?.holds;
    let mut number = string(&text[..])?.parse::<u32>().unwrap_or(0);
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
    Module::set_setting(&lagg()?, place, string(&text[..])?)
}

/// The text up to its NUL.
///
/// # Errors
/// EINVAL: it is not UTF-8.
fn string(text: &[u8]) -> Result<&str> {
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
