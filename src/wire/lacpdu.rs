//! The LACPDU (802.1AX-2008 5.4.2; in 802.1AX-2014, 6.4.2.3).

use core::fmt;

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, big_endian::U16};

use super::MacAddr;
use super::slow::{FRAME, Header, MULTICAST, Malformed, Subtype};

bitflags! {
    /// The state of an actor, or of a partner, as LACPDUs carry it (5.4.2.2 m).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct StateBits: u8 {
        /// It sends LACPDUs whatever its partner does (active mode).
        const ACTIVITY = 0x01;
        /// It wants LACPDUs every second: the short timeout.
        const TIMEOUT = 0x02;
        /// The link can be aggregated; else it is an individual one.
        const AGGREGATION = 0x04;
        /// The link is in the right aggregation.
        const SYNC = 0x08;
        /// Incoming frames are collected.
        const COLLECTING = 0x10;
        /// Outgoing frames are distributed.
        const DISTRIBUTING = 0x20;
        /// It uses the configured partner, because it has received no LACPDU.
        const DEFAULTED = 0x40;
        /// Its partner has timed out.
        const EXPIRED = 0x80;
    }
}

/// One side of a link, as LACPDUs carry it. In host byte order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Info {
    /// The system's priority; the lower, the better.
    pub system_priority: u16,
    /// The system's address.
    pub system: MacAddr,
    /// Its key: links of the same key can be aggregated.
    pub key: u16,
    /// The port's priority; the lower, the better.
    pub port_priority: u16,
    /// The port's number.
    pub port: u16,
    /// Its state.
    pub state: StateBits,
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.system;
        write!(f, "{:04X},{a:02X}-{b:02X}-{c:02X}-{d:02X}-{e:02X}-{g:02X}", self.system_priority)?;
        let state = self.state.bits();
        write!(f, ",{:04X},{:04X},{:04X},{state:02X}", self.key, self.port_priority, self.port)
    }
}

impl Info {
    /// Whether both are the same side of the same link, whatever their states.
    pub fn is_same_port(&self, other: &Info) -> bool {
        Info { state: StateBits::empty(), ..*self } == Info { state: StateBits::empty(), ..*other }
    }
}

/// The contents of a LACPDU.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lacpdu {
    /// Its sender.
    pub actor: Info,
    /// The other side, as the sender has recorded it.
    pub partner: Info,
}

/// The version of LACP that this driver implements.
pub const VERSION: u8 = 1;

const TERMINATOR: u8 = 0;
const ACTOR: u8 = 1;
const PARTNER: u8 = 2;
const COLLECTOR: u8 = 3;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Tlv {
    kind: u8,
    /// Includes these two octets.
    length: u8,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Side {
    tlv: Tlv,
    system_priority: U16,
    system: MacAddr,
    key: U16,
    port_priority: U16,
    port: U16,
    state: u8,
    reserved: [u8; 3],
}

/// A view of bytes, of which nothing has been checked.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Frame {
    header: Header,
    actor: Side,
    partner: Side,
    /// Nothing is read from here on, because what follows depends on the version.
    collector: Tlv,
    max_delay: U16,
    reserved: [u8; 12],
    terminator: Tlv,
    more_reserved: [u8; 50],
}

static_assertions::assert_eq_size!(Frame, [u8; FRAME]);

impl Side {
    fn new(kind: u8, info: &Info) -> Self {
        Side {
            tlv: Tlv { kind, length: size_of::<Side>() as u8 },
            system_priority: U16::new(info.system_priority),
            system: info.system,
            key: U16::new(info.key),
            port_priority: U16::new(info.port_priority),
            port: U16::new(info.port),
            state: info.state.bits(),
            reserved: [0; 3],
        }
    }

    fn info(&self) -> Info {
        Info {
            system_priority: self.system_priority.get(),
            system: self.system,
            key: self.key.get(),
            port_priority: self.port_priority.get(),
            port: self.port.get(),
            state: StateBits::from_bits_retain(self.state),
        }
    }
}

impl Lacpdu {
    /// Reads a frame whose [`Subtype`] is LACP. The version, the TLVs' types and reserved octets are not
    /// checked (5.4.12), nor is anything after actor and partner, because it is not used (F-61).
    ///
    /// # Errors
    /// Why the frame is dropped.
    pub fn parse(frame: &[u8]) -> Result<Self, Malformed> {
        let (frame, _) = Frame::ref_from_prefix(frame).map_err(|_| Malformed::Short)?;
        if frame.header.destination != MULTICAST {
            return Err(Malformed::Destination);
        }
        if [frame.actor.tlv.length, frame.partner.tlv.length] != [size_of::<Side>() as u8; 2] {
            return Err(Malformed::Length);
        }
        Ok(Lacpdu { actor: frame.actor.info(), partner: frame.partner.info() })
    }

    /// The frame that carries it, from a port whose own address is `source`.
    pub fn emit(&self, source: MacAddr) -> [u8; FRAME] {
        zerocopy::transmute!(Frame {
            header: Header::new(source, Subtype::LACP, VERSION),
            actor: Side::new(ACTOR, &self.actor),
            partner: Side::new(PARTNER, &self.partner),
            collector: Tlv { kind: COLLECTOR, length: 16 },
            max_delay: U16::ZERO,
            reserved: [0; 12],
            terminator: Tlv { kind: TERMINATOR, length: 0 },
            more_reserved: [0; 50],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::slow::padded;

    fn pdu() -> Lacpdu {
        Lacpdu {
            actor: Info {
                system_priority: 0x8000,
                system: [0x02, 0x11, 0x22, 0x33, 0x44, 0x55],
                key: 0x016b,
                port_priority: 0x8001,
                port: 0x0203,
                state: StateBits::ACTIVITY | StateBits::AGGREGATION | StateBits::SYNC,
            },
            partner: Info {
                system_priority: 0xffff,
                system: [0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5],
                key: 0xbbcc,
                port_priority: 0xddee,
                port: 0x1234,
                state: StateBits::DEFAULTED | StateBits::EXPIRED,
            },
        }
    }

    #[rustfmt::skip]
    const BYTES: [u8; 74] = [
        0x01, 0x80, 0xc2, 0x00, 0x00, 0x02, 0x02, 0x99, 0x99, 0x99, 0x99, 0x01, 0x88, 0x09, 1, 1,
        1, 20, 0x80, 0x00, 0x02, 0x11, 0x22, 0x33, 0x44, 0x55, 0x01, 0x6b, 0x80, 0x01, 0x02, 0x03,
        0x0d, 0, 0, 0,
        2, 20, 0xff, 0xff, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xbb, 0xcc, 0xdd, 0xee, 0x12, 0x34,
        0xc0, 0, 0, 0,
        3, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0,
    ];

    fn frame() -> [u8; FRAME] {
        padded(&BYTES)
    }

    #[test]
    fn is_what_the_standard_draws_byte_for_byte() {
        assert_eq!(pdu().emit([0x02, 0x99, 0x99, 0x99, 0x99, 0x01]), frame());
        assert_eq!(Lacpdu::parse(&frame()), Ok(pdu()));
        assert_eq!(Subtype::of(&frame()), Some(Subtype::Lacp));
    }

    /// Of any version, and whatever is in reserved octets, the collector, the terminator or a higher
    /// version's TLVs, and whatever lengths they claim.
    #[test]
    fn f61_what_is_not_used_is_not_looked_at() {
        for version in [0, 1, 2, 255] {
            let unused = [16, 33, 34, 35, 36, 53, 54, 55].into_iter().chain(56..FRAME);
            for place in unused {
                for octet in [0, 1, 17, 0xa5, 0xff] {
                    let mut frame = frame();
                    (frame[15], frame[place]) = (version, octet);
                    assert_eq!(Lacpdu::parse(&frame), Ok(pdu()), "octet {place}: {octet}");
                }
            }
        }
        let mut long = [0xff; 1514];
        long[..56].copy_from_slice(&BYTES[..56]);
        assert_eq!(Lacpdu::parse(&long), Ok(pdu()));
    }

    #[test]
    fn what_is_malformed_is_told_apart() {
        assert_eq!(Lacpdu::parse(&frame()[..FRAME - 1]), Err(Malformed::Short));
        for place in [17, 37] {
            for wrong in [1, 19, 21, 255] {
                let mut frame = frame();
                frame[place] = wrong;
                assert_eq!(Lacpdu::parse(&frame), Err(Malformed::Length), "octet {place}");
            }
        }
        for place in 0..6 {
            let mut frame = frame();
            frame[place] ^= 1;
            assert_eq!(Lacpdu::parse(&frame), Err(Malformed::Destination));
        }
    }

    #[test]
    fn no_length_makes_it_panic() {
        let mut bytes = [0; 1514];
        for version in [0, 1, 2, 255] {
            bytes[..BYTES.len()].copy_from_slice(&BYTES);
            bytes[15] = version;
            for fill in [0, 1, 2, 0xff] {
                bytes[72..].fill(fill);
                for length in 0..=bytes.len() {
                    let parsed = Lacpdu::parse(&bytes[..length]);
                    assert_eq!(parsed == Err(Malformed::Short), length < FRAME);
                    let _ = Subtype::of(&bytes[..length]);
                }
            }
        }
    }
}
