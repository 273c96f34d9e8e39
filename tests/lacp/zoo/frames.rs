//! LACPDUs as systems of other versions send them.

use lagg_rs::wire::MacAddr;
use lagg_rs::wire::lacpdu::Lacpdu;
use lagg_rs::wire::slow::FRAME;

/// What is in them, but for what version 1 has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Version {
    /// Nothing.
    One,
    /// The algorithm and the digests by which conversations are distributed.
    Two,
    /// And which conversations those are: a long LACPDU.
    Long,
}

/// Types and lengths of version 2's TLVs (802.1AX-2014, 6.4.2.4), those of long LACPDUs last.
const TLVS: [(u8, u8); 7] = [(4, 6), (5, 20), (10, 18), (6, 131), (7, 130), (8, 130), (9, 130)];

/// Octets up to the TLVs of version 2.
const COMMON: usize = 72;

pub fn emit(pdu: &Lacpdu, source: MacAddr, version: Version) -> Vec<u8> {
    let mut frame = pdu.emit(source).to_vec();
    let tlvs = match version {
        Version::One => return frame,
        Version::Two => &TLVS[..3],
        Version::Long => &TLVS[..],
    };
    frame[15] = 2;
    frame.truncate(COMMON);
    for &(kind, length) in tlvs {
        frame.extend([kind, length]);
        frame.resize(frame.len() + usize::from(length) - 2, 0x5a);
    }
    frame.resize(FRAME.max(frame.len() + 2), 0);
    frame
}
