//! ifmedia(4), with the one entry that a lagg has.

use super::memory;
use crate::kpi::ioctl::{InterfaceRequest, SIOCGIFMEDIA, SIOCGIFXMEDIA, SIOCSIFMEDIA};
use crate::kpi::requests::{IFM_ETHER, MediaRequest};
use crate::kpi::{Driver, Errno, Ifnet, Ioctl, Module, Result, epoch};

/// IFM_ETHER with the subtype IFM_AUTO.
pub const IFM_ETHER_AUTO: u32 = 0x20;
/// Types and subtypes of media, without options.
const IFM_KIND: u32 = 0xe0 | 0x1f;
/// The status is valid.
pub const IFM_AVALID: u32 = 1;
/// The interface is on a working network.
pub const IFM_ACTIVE: u32 = 2;

/// Full duplex.
pub const IFM_FDX: u32 = 0x10_0000;
/// IFM_ETHER with a subtype without a speed.
const IFM_UNKNOWN: u32 = IFM_ETHER | 25;

/// Subtypes of Ethernet, one for each speed in bits per second. Those from 32 on have their high bits
/// elsewhere (IFM_ETHER_SUBTYPE).
const SPEEDS: [(u32, u64); 13] = [
    (3, 10_000_000),
    (6, 100_000_000),
    (16, 1_000_000_000),
    (extended(37), 2_500_000_000),
    (extended(38), 5_000_000_000),
    (26, 10_000_000_000),
    (extended(35), 20_000_000_000),
    (extended(53), 25_000_000_000),
    (27, 40_000_000_000),
    (extended(56), 50_000_000_000),
    (extended(47), 100_000_000_000),
    (extended(103), 200_000_000_000),
    (extended(113), 400_000_000_000),
];

/// Bits of a subtype.
const IFM_TMASK: u32 = extended(0xff);

const fn extended(subtype: u32) -> u32 {
    subtype & 0x1f | (subtype & !0x1f) << 6
}

/// The media of an Ethernet card of this speed, full duplex.
pub fn media_of(bits_per_second: u64) -> u32 {
    let known = SPEEDS.iter().find(|(_, speed)| *speed == bits_per_second);
    IFM_FDX | known.map_or(IFM_UNKNOWN, |(subtype, _)| IFM_ETHER | subtype)
}

/// The speed of a medium in bits per second; 0 if unknown.
pub(in crate::kpi) fn media_baudrate(media: u32) -> u64 {
    let speed = SPEEDS.iter().find(|(subtype, _)| *subtype == media & IFM_TMASK);
    speed.map_or(0, |(_, speed)| *speed)
}

/// The media of a lagg.
pub struct Media(());

impl Media {
    /// May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        memory::may_fail()?;
        Ok(Media(()))
    }

    /// SIOCSIFMEDIA, SIOCGIFMEDIA and SIOCGIFXMEDIA on the lagg's interface.
    ///
    /// # Errors
    /// ENXIO for another medium; EFAULT; EINVAL for another command.
    pub fn ioctl(&self, ifp: &Ifnet, r: &mut Ioctl<'_>) -> Result {
        match r.command() {
            SIOCSIFMEDIA => {
                // SAFETY: `Ioctl::new` was promised a `struct ifreq` for this command, which is the callee's
                // while it runs.
                let request = unsafe { &*r.data().cast::<InterfaceRequest>() };
                let known = request.media() & IFM_KIND == IFM_ETHER_AUTO;
                if known { Ok(()) } else { Err(Errno::ENXIO) }
            }
            SIOCGIFMEDIA | SIOCGIFXMEDIA => {
                // SAFETY: `Ioctl::new` was promised a `struct ifmediareq` for both commands, which is the
                // callee's while it runs.
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
            ifp.softc.load(epoch).is_some_and(|softc| Module::media_active(softc, epoch))
        });
        request.status = IFM_AVALID | if active { IFM_ACTIVE } else { 0 };
        if request.count > 0 {
            memory::copyout(&IFM_ETHER_AUTO.to_ne_bytes(), request.list)?;
        }
        request.count = 1;
        Ok(())
    }
}
