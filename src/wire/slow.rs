//! Slow protocols: frames for the other end of one link, which bridges do not forward (802.1AX-2008 Annex
//! 5A; IEEE 802.3 Annex 57A).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, big_endian::U16};

use super::MacAddr;

/// The destination of slow protocols' frames.
pub const MULTICAST: MacAddr = [0x01, 0x80, 0xc2, 0x00, 0x00, 0x02];

/// Their EtherType.
pub const ETHERTYPE: u16 = 0x8809;

/// Octets of a LACPDU's frame, and of a Marker PDU's, without the checksum.
pub const FRAME: usize = 124;

/// The header of a slow protocol's frame.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct Header {
    /// The destination, [`MULTICAST`].
    pub destination: MacAddr,
    /// The source: the port's own address.
    pub source: MacAddr,
    /// [`ETHERTYPE`].
    pub ethertype: U16,
    /// Which of the slow protocols it is.
    pub subtype: u8,
    /// The protocol's version.
    pub version: u8,
}

impl Header {
    /// Of a frame from `source`.
    pub fn new(source: MacAddr, subtype: u8, version: u8) -> Self {
        Header { destination: MULTICAST, source, ethertype: U16::new(ETHERTYPE), subtype, version }
    }
}

/// A slow protocol that lagg implements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subtype {
    /// LACP.
    Lacp,
    /// The Marker protocol.
    Marker,
}

/// Whether a frame is of a slow protocol, by the 14 octets of its Ethernet header.
#[inline]
pub fn is_slow(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&ETHERTYPE.to_be_bytes())
}

/// The Ethernet source of a frame. Zeros if the frame is shorter.
pub fn source(frame: &[u8]) -> MacAddr {
    frame.get(6..12).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default()
}

/// Changes the Ethernet source of a frame.
pub fn set_source(frame: &mut [u8; FRAME], source: MacAddr) {
    if let Some(place) = frame.get_mut(6..12) {
        place.copy_from_slice(&source);
    }
}

impl Subtype {
    /// LACP's number.
    pub const LACP: u8 = 1;
    /// The Marker protocol's number.
    pub const MARKER: u8 = 2;

    /// Where a slow protocol's frame has its number.
    pub const OFFSET: usize = core::mem::offset_of!(Header, subtype);

    /// Which of them a frame is. None for other slow protocols (OAM, ESMC), and for other frames.
    pub fn of(frame: &[u8]) -> Option<Self> {
        frame
            .get(Self::OFFSET)
            .filter(|_| is_slow(frame))
            .and_then(|number| Self::numbered(*number))
    }

    /// The protocol with this number.
    pub fn numbered(number: u8) -> Option<Self> {
        match number {
            Self::LACP => Some(Subtype::Lacp),
            Self::MARKER => Some(Subtype::Marker),
            _ => None,
        }
    }
}

/// Why a PDU is invalid (802.1AX-2008 5.4.12, 5.5.4.1: what a receiver may validate). It is dropped and
/// counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// Shorter than its fields.
    Short,
    /// Not for the slow protocols' address.
    Destination,
    /// A TLV's length is not that of the required TLV, or exceeds the frame.
    Length,
    /// A Marker PDU that is neither information nor response.
    Kind,
}

impl Malformed {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Malformed; 4] =
        [Malformed::Short, Malformed::Destination, Malformed::Length, Malformed::Kind];
}

/// A frame of a test that begins with these octets.
#[cfg(test)]
pub(super) fn padded(octets: &[u8]) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    frame[..octets.len()].copy_from_slice(octets);
    frame
}
