//! The Marker PDU (802.1AX-2008 5.5.4; in 802.1AX-2014, 6.5.3).

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    big_endian::{U16, U32},
};

use super::MacAddr;
use super::slow::{FRAME, Header, MULTICAST, Malformed, Subtype};

/// Whether a marker asks or answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Marker Information: to be answered when all frames before it are delivered.
    Information,
    /// Marker Response.
    Response,
}

impl Kind {
    const INFORMATION: u8 = 1;
    const RESPONSE: u8 = 2;
}

/// Identifies the requester and its transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Marker {
    /// The asking port's number.
    pub port: u16,
    /// The asking system's address.
    pub system: MacAddr,
    /// The transaction's number.
    pub transaction: u32,
}

/// A Marker PDU as it was received.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Frame {
    header: Header,
    kind: u8,
    length: u8,
    port: U16,
    system: MacAddr,
    transaction: U32,
    pad: [u8; 2],
    terminator: u8,
    terminator_length: u8,
    reserved: [u8; 90],
}

static_assertions::assert_eq_size!(Frame, [u8; FRAME]);

const VERSION: u8 = 1;
/// The length of the marker's TLV, including its own two octets.
const LENGTH: u8 = 16;

impl Frame {
    /// Reads a frame whose [`Subtype`] is Marker. The version, reserved octets and the terminator are not
    /// checked (5.5.4.1).
    ///
    /// # Errors
    /// Why the frame is dropped.
    pub fn parse(frame: &[u8]) -> Result<(&Self, Kind), Malformed> {
        let (frame, _) = Frame::ref_from_prefix(frame).map_err(|_| Malformed::Short)?;
        if frame.header.destination != MULTICAST {
            return Err(Malformed::Destination);
        }
        if frame.length != LENGTH {
            return Err(Malformed::Length);
        }
        match frame.kind {
            Kind::INFORMATION => Ok((frame, Kind::Information)),
            Kind::RESPONSE => Ok((frame, Kind::Response)),
            _ => Err(Malformed::Kind),
        }
    }

    /// The requester and its transaction.
    pub fn marker(&self) -> Marker {
        Marker { port: self.port.get(), system: self.system, transaction: self.transaction.get() }
    }

    /// The response to it, from a port whose own address is `source`; all else is copied (5.5.4.2).
    pub fn response(&self, source: MacAddr) -> [u8; FRAME] {
        let header = Header { destination: MULTICAST, source, ..self.header };
        zerocopy::transmute!(Frame { header, kind: Kind::RESPONSE, ..*self })
    }
}

impl Marker {
    /// The frame of the marker, from a port whose own address is `source`.
    pub fn emit(&self, source: MacAddr) -> [u8; FRAME] {
        zerocopy::transmute!(Frame {
            header: Header::new(source, Subtype::MARKER, VERSION),
            kind: Kind::INFORMATION,
            length: LENGTH,
            port: U16::new(self.port),
            system: self.system,
            transaction: U32::new(self.transaction),
            pad: [0; 2],
            terminator: 0,
            terminator_length: 0,
            reserved: [0; 90],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::slow::padded;

    const MARKER: Marker =
        Marker { port: 0x0102, system: [2, 3, 4, 5, 6, 7], transaction: 0x0807_0605 };
    const OURS: MacAddr = [2, 0, 0, 0, 0, 1];
    const THEIRS: MacAddr = [2, 0, 0, 0, 0, 9];

    #[rustfmt::skip]
    const BYTES: [u8; 34] = [
        0x01, 0x80, 0xc2, 0x00, 0x00, 0x02, 2, 0, 0, 0, 0, 1, 0x88, 0x09, 2, 1,
        1, 16, 0x01, 0x02, 2, 3, 4, 5, 6, 7, 0x08, 0x07, 0x06, 0x05, 0, 0,
        0, 0,
    ];

    fn frame() -> [u8; FRAME] {
        padded(&BYTES)
    }

    #[test]
    fn is_what_the_standard_draws_byte_for_byte() {
        assert_eq!(MARKER.emit(OURS), frame());
        let (marker, kind) =
            Frame::parse(&MARKER.emit(OURS)).map(|(f, k)| (f.marker(), k)).unwrap();
        assert_eq!((marker, kind), (MARKER, Kind::Information));
        assert_eq!(Subtype::of(&frame()), Some(Subtype::Marker));
    }

    #[test]
    fn a_response_changes_its_kind_and_its_source_and_nothing_else() {
        let mut asked = frame();
        asked[30..32].copy_from_slice(&[0xaa, 0xbb]);
        asked[34..].fill(0xcc);
        asked[15] = 7;
        let mut wanted = asked;
        wanted[16] = 2;
        wanted[6..12].copy_from_slice(&THEIRS);
        let answered = Frame::parse(&asked).unwrap().0.response(THEIRS);
        assert_eq!(answered, wanted);
        let (answer, kind) = Frame::parse(&answered).unwrap();
        assert_eq!((answer.marker(), kind), (MARKER, Kind::Response));
    }

    #[test]
    fn what_is_malformed_is_told_apart() {
        let with = |place: usize, octet| {
            let mut frame = frame();
            frame[place] = octet;
            Frame::parse(&frame).map(|(_, kind)| kind)
        };
        assert_eq!(Frame::parse(&frame()[..FRAME - 1]).err(), Some(Malformed::Short));
        assert_eq!(with(0, 0), Err(Malformed::Destination));
        for octet in [0, 15, 17, 255] {
            assert_eq!(with(17, octet), Err(Malformed::Length), "{octet}");
        }
        assert_eq!(with(16, 0), Err(Malformed::Kind));
        assert_eq!(with(16, 3), Err(Malformed::Kind));
        for place in [15, 30, 31, 32, 33, 34, 123] {
            assert_eq!(with(place, 9), Ok(Kind::Information), "octet {place}");
        }
    }

    #[test]
    fn no_length_makes_it_panic() {
        let mut bytes = [0xff; 1514];
        bytes[..BYTES.len()].copy_from_slice(&BYTES);
        for length in 0..=bytes.len() {
            assert_eq!(Frame::parse(&bytes[..length]).is_err(), length < FRAME);
        }
    }
}
