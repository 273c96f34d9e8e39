//! ifmedia(4), with the one entry that a lagg has.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::super::ioctl::{InterfaceRequest, SIOCGIFMEDIA, SIOCGIFXMEDIA, SIOCSIFMEDIA};
use super::super::{
    Driver, Errno, Ifnet, Ioctl, Module, Name, PortMedia, PortMethods, Result, epoch,
};
use super::memory;

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
/// Half duplex.
pub const IFM_HDX: u32 = 0x20_0000;
/// The type Ethernet.
pub const IFM_ETHER: u32 = 0x20;
/// IFM_ETHER with a subtype that says nothing.
const IFM_UNKNOWN: u32 = IFM_ETHER | 25;
/// Bits of a type.
const IFM_NMASK: u32 = 0xe0;

/// Subtypes of Ethernet, one for each speed in bits a second. Those beyond the first 31 have more bits
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

impl PortMethods {
    /// The media in use on `ifp`, whose methods these are; none if it does not say. Sleeps.
    pub fn media(&self, ifp: &Ifnet) -> Option<PortMedia> {
        let active = [SIOCGIFXMEDIA, SIOCGIFMEDIA].into_iter().find_map(|command| {
            let mut argument = MediaRequest::default();
            // SAFETY: a driver gets a `struct ifmediareq` with both commands, and this one outlives the
            // request.
            let mut request = unsafe { Ioctl::new(command, (&raw mut argument).cast()) };
            self.forward(ifp, &mut request).ok().map(|()| argument.active)
        })?;
        let speed = SPEEDS.iter().find(|(subtype, _)| *subtype == active & IFM_TMASK);
        Some(PortMedia {
            ethernet: active & IFM_NMASK == IFM_ETHER,
            half_duplex: active & IFM_HDX != 0,
            baudrate: speed.map_or(0, |(_, speed)| *speed),
        })
    }
}

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
