//! ifmedia(4), with the one entry that a lagg has.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::super::ioctl::{InterfaceRequest, Name, SIOCGIFMEDIA, SIOCGIFXMEDIA, SIOCSIFMEDIA};
use super::super::{Driver, Errno, Ifnet, Ioctl, Result, epoch};
use super::memory;

/// IFM_ETHER with the subtype IFM_AUTO.
pub const IFM_ETHER_AUTO: u32 = 0x20;
/// Types and subtypes of media, without options.
const IFM_KIND: u32 = 0xe0 | 0x1f;
/// The status is valid.
pub const IFM_AVALID: u32 = 1;
/// The interface is on a working network.
pub const IFM_ACTIVE: u32 = 2;

/// `struct ifmediareq`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MediaRequest {
    /// The interface.
    pub name: Name,
    /// The media that is set.
    pub current: u32,
    /// Options that do not matter.
    pub mask: u32,
    /// `IFM_AVALID`, `IFM_ACTIVE`.
    pub status: u32,
    /// The media in use.
    pub active: u32,
    /// Room for this many media at `list`; returned: how many there are.
    pub count: i32,
    /// Padding.
    pub pad: u32,
    /// Where in the caller's memory they go.
    pub list: u64,
}

static_assertions::assert_eq_size!(MediaRequest, [u8; 48]);

/// The media of a lagg.
pub struct Media(());

impl Media {
    /// The one entry IFM_ETHER with IFM_AUTO, set.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        memory::may_fail()?;
        Ok(Media(()))
    }

    /// SIOCSIFMEDIA, SIOCGIFMEDIA, SIOCGIFXMEDIA on `ifp`, a lagg.
    ///
    /// # Errors
    /// ENXIO for media that it does not have; EINVAL for another command.
    pub fn ioctl(&self, ifp: &Ifnet, r: &mut Ioctl<'_>) -> Result {
        match r.command() {
            SIOCSIFMEDIA => {
                // SAFETY: SIOCSIFMEDIA comes with a `struct ifreq`.
                let request = unsafe { &*r.data().cast::<InterfaceRequest>() };
                let known = request.mtu & IFM_KIND == IFM_ETHER_AUTO;
                if known { Ok(()) } else { Err(Errno::ENXIO) }
            }
            SIOCGIFMEDIA | SIOCGIFXMEDIA => {
                // SAFETY: both come with a `struct ifmediareq`, ours alone.
                Self::get(ifp, unsafe { &mut *r.data().cast::<MediaRequest>() })
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn get(ifp: &Ifnet, request: &mut MediaRequest) -> Result {
        if request.count < 0 {
            return Err(Errno::EINVAL);
        }
        request.current = IFM_ETHER_AUTO;
        request.active = IFM_ETHER_AUTO;
        request.mask = 0;
        let active = epoch::section(|epoch| {
            ifp.softc.load(epoch).is_some_and(|softc| crate::Module::media_active(softc, epoch))
        });
        request.status = IFM_AVALID | if active { IFM_ACTIVE } else { 0 };
        if request.count > 0 {
            memory::copyout(&IFM_ETHER_AUTO.to_ne_bytes(), request.list)?;
        }
        request.count = 1;
        Ok(())
    }
}
