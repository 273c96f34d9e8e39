//! Work that a sender on this host, or a card that joins segments, has left to the hardware: checksums, and
//! segmenting what is too long for the link.

use tun_rs::{VirtioNetHdr, gso_split};

/// `struct virtio_net_hdr`: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset.
pub const VNET_HEADER: usize = 10;
const NEEDS_CSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_UDP_L4: u8 = 5;

const ETHERNET: usize = 14;
const TAG: usize = 4;

/// Passes the frames that go on the wire for `frame` to `each`. `inserted` bytes were inserted after the
/// header was made.
pub fn complete(
    header: &[u8; VNET_HEADER],
    frame: &mut [u8],
    inserted: usize,
    mut each: impl FnMut(&[u8]),
) {
    let field = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let (flags, gso_type, gso_size) = (header[0], header[1], field(4));
    let csum_start = usize::from(field(6)) + inserted;
    if flags & NEEDS_CSUM == 0 {
        return each(frame);
    }
    if gso_type != GSO_NONE && segment(gso_type, gso_size, csum_start, frame, &mut each).is_some() {
        return;
    }
    complete_checksum(csum_start, field(8).into(), frame);
    each(frame);
}

/// The segments of a frame; none if it cannot be segmented.
fn segment(
    gso_type: u8,
    gso_size: u16,
    csum_start: usize,
    frame: &mut [u8],
    each: &mut impl FnMut(&[u8]),
) -> Option<()> {
    let mut network = ETHERNET;
    while matches!(frame.get(network - 2..network)?, [0x81, 0x00] | [0x88, 0xa8]) {
        network += TAG;
    }
    // The length in the header is only a hint.
    let (transport, csum_offset) = match gso_type {
        GSO_UDP_L4 => (8, 6),
        _ => (usize::from(*frame.get(csum_start + 12)? >> 4) * 4, 16),
    };
    let (link, packet) = frame.split_at_mut_checked(network)?;
    let headers = csum_start.checked_sub(network)? + transport;
    let payload = packet.len().checked_sub(headers).filter(|payload| *payload != 0)?;
    let count = payload.div_ceil(usize::from(gso_size).max(1));
    let mut segments = vec![vec![0; network + headers + usize::from(gso_size)]; count];
    let mut sizes = vec![0; count];
    let header = VirtioNetHdr {
        flags: NEEDS_CSUM,
        gso_type,
        hdr_len: headers.try_into().ok()?,
        gso_size,
        csum_start: (csum_start - network).try_into().ok()?,
        csum_offset,
    };
    let ipv6 = packet.first()? >> 4 == 6;
    gso_split(packet, header, &mut segments, &mut sizes, network, ipv6).ok()?;
    for (segment, size) in segments.iter_mut().zip(sizes) {
        segment[..network].copy_from_slice(link);
        each(&segment[..network + size]);
    }
    Some(())
}

/// Fills in a checksum.
fn complete_checksum(start: usize, offset: usize, frame: &mut [u8]) {
    let Some(summed) = frame.get_mut(start..) else { return };
    // The field holds the sum over the pseudo-header.
    let sum = !internet_sum(summed);
    if let Some(field) = summed.get_mut(offset..offset + 2) {
        // 0 would mean that there is no checksum.
        field.copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
    }
}

/// The one's complement sum of RFC 1071.
fn internet_sum(bytes: &[u8]) -> u16 {
    let mut words = bytes.chunks_exact(2);
    let mut sum: u64 = words.by_ref().map(|w| u64::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    if let [last] = words.remainder() {
        sum += u64::from(*last) << 8;
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(gso: (u8, u16), csum: (u16, u16)) -> [u8; VNET_HEADER] {
        let mut header = [0; VNET_HEADER];
        header[0] = NEEDS_CSUM;
        header[1] = gso.0;
        header[4..6].copy_from_slice(&gso.1.to_ne_bytes());
        header[6..8].copy_from_slice(&csum.0.to_ne_bytes());
        header[8..10].copy_from_slice(&csum.1.to_ne_bytes());
        header
    }

    fn completed(header: &[u8; VNET_HEADER], frame: &mut [u8], inserted: usize) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        complete(header, frame, inserted, |frame| frames.push(frame.to_vec()));
        frames
    }

    /// Two bytes of another layer, and an odd number of bytes to be summed.
    #[test]
    fn checksum() {
        let mut frame = [0xaa, 0xaa, 0x00, 0x01, 0xf2, 0x03, 0x00, 0x00, 0xf6, 0xf7, 0x80];
        let frames = completed(&header((0, 0), (2, 4)), &mut frame, 0);
        assert_eq!(frames[0][6..8], (!0x68fd_u16).to_be_bytes());
        assert_eq!(internet_sum(&frames[0][2..]), 0xffff);
    }

    /// No header makes it panic or lose the frame.
    #[test]
    fn nonsense() {
        for gso_type in 0..=0xff {
            for size in [0, 1, 3, 1448, 0xffff] {
                for start in [0, 13, 14, 19, 20, 34, 0xffff] {
                    for length in [0, 1, 14, 20, 54, 60] {
                        let mut frame = vec![0x81; length];
                        let header = header((gso_type, size), (start, 16));
                        let frames = completed(&header, &mut frame, 4);
                        assert!(!frames.is_empty());
                    }
                }
            }
        }
    }

    /// Three segments of IPv4 and TCP behind a VLAN tag.
    #[test]
    fn segments() {
        let mut frame = vec![0; ETHERNET + TAG];
        frame[12..14].copy_from_slice(&[0x81, 0x00]);
        frame[16..18].copy_from_slice(&[0x08, 0x00]);
        let mut ip = [0; 20];
        ip[0] = 0x45;
        ip[9] = 6;
        ip[12..].copy_from_slice(&[192, 0, 2, 1, 192, 0, 2, 2]);
        frame.extend(ip);
        let mut tcp = [0; 20];
        tcp[7] = 100;
        tcp[12] = 5 << 4;
        tcp[13] = 0x18;
        frame.extend(tcp);
        frame.extend((0..250).map(|i| i as u8));

        let frames = completed(&header((1, 100), (34, 16)), &mut frame, TAG);
        let lengths: Vec<usize> = frames.iter().map(Vec::len).collect();
        assert_eq!(lengths, [158, 158, 108]);
        for (i, segment) in frames.iter().enumerate() {
            assert_eq!(segment[..18], frame[..18]);
            let ip = &segment[18..38];
            assert_eq!(usize::from(u16::from_be_bytes([ip[2], ip[3]])), segment.len() - 18);
            assert_eq!(internet_sum(ip), 0xffff);
            let tcp = &segment[38..];
            assert_eq!(u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]), 100 * (i as u32 + 1));
            assert_eq!(tcp[13], if i == 2 { 0x18 } else { 0x10 });
            assert_eq!(tcp[20], 100 * i as u8);
            let pseudo = [&ip[12..], &[0, 6], &(tcp.len() as u16).to_be_bytes(), tcp].concat();
            assert_eq!(internet_sum(&pseudo), 0xffff);
        }
    }
}
