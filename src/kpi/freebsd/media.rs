//! Media status (ifmedia(4)).

use core::ffi::c_int;

use super::bindings as c;
use super::ifnet::Ifnet;
use super::memory::Pinned;
use crate::Module;
use crate::kpi::{Driver, Errno, Ioctl, Result, epoch};

/// The one medium of a lagg.
const AUTO: c_int = (c::IFM_ETHER | c::IFM_AUTO) as c_int;

/// A lagg's media: Ethernet autoselect alone. Its status is active if the lagg's is.
///
/// # Invariants
/// Initialised, with the one entry as its current one.
pub struct Media(Pinned<c::ifmedia>);

// SAFETY: what the one entry lets an ioctl change are words that say the same before and after.
unsafe impl Send for Media {}
// SAFETY: as above.
unsafe impl Sync for Media {}

impl Media {
    /// May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        // SAFETY: made in its final place.
        let media = unsafe {
            Pinned::try_new(|place| {
                c::ifmedia_init(place, 0, Some(change), Some(status));
                c::ifmedia_add(place, AUTO, 0, core::ptr::null_mut());
                c::ifmedia_set(place, AUTO);
            })?
        };
        // INVARIANT: as just done.
        Ok(Media(media))
    }

    /// SIOCSIFMEDIA, SIOCGIFMEDIA and SIOCGIFXMEDIA on the lagg's interface.
    ///
    /// # Errors
    /// ENXIO for another medium; EFAULT; EINVAL for another command.
    pub fn ioctl(&self, ifp: &Ifnet, request: &mut Ioctl<'_>) -> Result {
        let (command, data) = (request.command() as u64, request.data().cast());
        // SAFETY: initialised; the request is what the kernel has handed over.
        Errno::check(unsafe { c::ifmedia_ioctl(ifp.as_ptr(), data, self.0.get(), command) })
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        // SAFETY: initialised, and not used again.
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
    // SAFETY: the interface is there: it was given to `ifmedia_ioctl`.
    let ifp = unsafe { Ifnet::from_ptr(ifp) };
    // SAFETY: it is a lagg's.
    let softc = unsafe { ifp.softc_slot() };
    let active = epoch::section(|epoch| {
        softc.shared(epoch).is_some_and(|softc| Module::media_active(softc, epoch))
    });
    let status = if active { c::IFM_AVALID | c::IFM_ACTIVE } else { c::IFM_AVALID };
    // SAFETY: the kernel's request, ours for the call.
    unsafe {
        (*request).ifm_status = status as c_int;
        (*request).ifm_active = AUTO;
    }
}
