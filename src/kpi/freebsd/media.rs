//! Media status (ifmedia(4)).

use core::ffi::c_int;

use super::bindings as c;
use super::ifnet::Ifnet;
use super::memory::Pinned;
use crate::kpi::{Driver, Errno, Ioctl, Module, Result, epoch};

/// The one medium of a lagg.
const AUTO: c_int = (c::IFM_ETHER | c::IFM_AUTO) as c_int;

/// The speed of a medium in bits per second; 0 if unknown.
pub(in crate::kpi) fn media_baudrate(media: u32) -> u64 {
    // SAFETY: it looks the word up in a table, and finds nothing for one that is no medium.
    unsafe { c::ifmedia_baudrate(media as c_int) }
}

/// A lagg's media: only Ethernet autoselect. The status is active if the lagg's link is up.
///
/// # Invariants
/// Initialised, with the one entry as its current one.
pub struct Media(Pinned<c::ifmedia>);

// SAFETY: what the one entry lets an ioctl change are words that say the same before and after.
unsafe impl Send for Media {}
// SAFETY: ioctls from several threads write those words alone, each to what it is already.
unsafe impl Sync for Media {}

impl Media {
    /// May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        // SAFETY: the three functions make an ifmedia of zeros in its final place, with an entry that is
        // there when it is set.
        let media = unsafe {
            Pinned::try_new(|place| {
                c::ifmedia_init(place, 0, Some(change), Some(status));
                c::ifmedia_add(place, AUTO, 0, core::ptr::null_mut());
                c::ifmedia_set(place, AUTO);
            })?
        };
        // INVARIANT: initialised just now, with that entry as its current one.
        Ok(Media(media))
    }

    /// SIOCSIFMEDIA, SIOCGIFMEDIA and SIOCGIFXMEDIA on the lagg's interface.
    ///
    /// # Errors
    /// ENXIO for another medium; EFAULT; EINVAL for another command.
    pub fn ioctl(&self, ifp: &Ifnet, request: &mut Ioctl<'_>) -> Result {
        let (command, data) = (request.command() as u64, request.data().cast());
        // SAFETY: by the invariant it is initialised. `Ioctl::new` was promised that the data are what the
        // kernel hands over with the command.
        Errno::check(unsafe { c::ifmedia_ioctl(ifp.as_ptr(), data, self.0.get(), command) })
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        // SAFETY: by the invariant it is initialised, and so its list of entries is there to be freed, once.
        unsafe { c::ifmedia_removeall(self.0.get()) };
    }
}

/// There is nothing to change.
unsafe extern "C" fn change(_: *mut c::ifnet) -> c_int {
    0
}

/// # Safety
/// The kernel calls it through `ifmedia_ioctl`, with a lagg's interface and its own request.
unsafe extern "C" fn status(ifp: *mut c::ifnet, request: *mut c::ifmediareq) {
    // SAFETY: `ifmedia_ioctl` passes on the interface that it was called with, which is there until it returns.
    let ifp = unsafe { Ifnet::from_ptr(ifp) };
    // SAFETY: it is a lagg: the media that have this function are called with their own lagg's interface.
    let softc = unsafe { ifp.softc_slot() };
    let active = epoch::section(|epoch| {
        softc.load(epoch).is_some_and(|softc| Module::media_active(softc, epoch))
    });
    let status = if active { c::IFM_AVALID | c::IFM_ACTIVE } else { c::IFM_AVALID };
    // SAFETY: `ifmedia_ioctl` passes a request of its own, the callee's while it runs.
    unsafe {
        (*request).ifm_status = status as c_int;
        (*request).ifm_active = AUTO;
    }
}
