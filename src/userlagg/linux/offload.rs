//! Work that a sender on this host, or a card that joins segments, has left to the hardware: checksums, and
//! segmenting what is too long for the link.

/// `struct virtio_net_hdr`: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset.
pub const VNET_HEADER: usize = 10;
const NEEDS_CSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
/// The same where the sender says that it has reduced its window.
const GSO_TCPV4_ECN: u8 = GSO_TCPV4 | 0x80;
const GSO_TCPV6_ECN: u8 = GSO_TCPV6 | 0x80;

const IPV4_HEADER: usize = 20;
const TCP_HEADER: usize = 20;
/// Where a TCP header has its length and its flags, and of those the ones that are not for every segment.
const TCP_LENGTH: usize = 12;
const TCP_FLAGS: usize = 13;
const FIN_PSH: u8 = 0x09;
const CWR: u8 = 0x80;
const IPV6_HEADER: usize = 40;

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
    frame: &[u8],
    each: &mut impl FnMut(&[u8]),
) -> Option<()> {
    let mut network = ETHERNET;
    while matches!(frame.get(network - 2..network)?, [0x81, 0x00] | [0x88, 0xa8]) {
        network += TAG;
    }
    let ipv6 = frame.get(network)? >> 4 == 6;
    // The length of the headers that Linux gives is only a hint.
    let (transport, checksum) = match (gso_type, ipv6) {
        (GSO_UDP_L4, _) => (8, 6),
        (GSO_TCPV4 | GSO_TCPV4_ECN, false) | (GSO_TCPV6 | GSO_TCPV6_ECN, true) => {
            let length = usize::from(*frame.get(csum_start + TCP_LENGTH)? >> 4) * 4;
            (Some(length).filter(|length| *length >= TCP_HEADER)?, 16)
        }
        _ => return None,
    };
    let udp = gso_type == GSO_UDP_L4;
    let ip_header = csum_start.checked_sub(network)?;
    if ip_header < if ipv6 { IPV6_HEADER } else { IPV4_HEADER } {
        return None;
    }
    // So the lengths of what it is split into fit too.
    let _: u16 = frame.len().checked_sub(network)?.try_into().ok()?;
    let whole = frame.len().checked_sub(csum_start)? as u16;
    let (headers, payload) = frame.split_at_checked(csum_start + transport)?;
    let chunks = payload.chunks(Some(usize::from(gso_size)).filter(|size| *size != 0)?);
    let last = chunks.len().checked_sub(1)?;
    for (i, chunk) in chunks.enumerate() {
        let mut segment = [headers, chunk].concat();
        let (lower, upper) = segment.split_at_mut(csum_start);
        let length = upper.len() as u16;
        let ip = &mut lower[network..];
        if ipv6 {
            let length = length + (ip_header - IPV6_HEADER) as u16;
            ip[4..6].copy_from_slice(&length.to_be_bytes());
        } else {
            ip[2..4].copy_from_slice(&(length + ip_header as u16).to_be_bytes());
            let id = u16::from_be_bytes([ip[4], ip[5]]).wrapping_add(i as u16);
            ip[4..6].copy_from_slice(&id.to_be_bytes());
            ip[10..12].fill(0);
            let sum = !internet_sum(ip);
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        if udp {
            upper[4..6].copy_from_slice(&length.to_be_bytes());
        } else {
            let sequence = u32::from_be_bytes([upper[4], upper[5], upper[6], upper[7]]);
            let sequence = sequence.wrapping_add(i as u32 * u32::from(gso_size));
            upper[4..8].copy_from_slice(&sequence.to_be_bytes());
            if i != last {
                upper[TCP_FLAGS] &= !FIN_PSH;
            }
            if i != 0 {
                upper[TCP_FLAGS] &= !CWR;
            }
        }
        // The pseudo-header's sum has the whole length in it.
        let field = [upper[checksum], upper[checksum + 1]];
        let sum = internet_sum(&[field, (!whole).to_be_bytes(), length.to_be_bytes()].concat());
        upper[checksum..checksum + 2].copy_from_slice(&sum.to_be_bytes());
        complete_checksum(csum_start, checksum, &mut segment);
        each(&segment);
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
        // Linux leaves the pseudo-header's sum there.
        let pseudo = internet_sum(&[&ip[12..], &[0, 6], &270u16.to_be_bytes()].concat());
        frame[54..56].copy_from_slice(&pseudo.to_be_bytes());

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

    /// Two datagrams of IPv6 and UDP, behind an extension header.
    #[test]
    fn datagrams() {
        let mut frame = vec![0; ETHERNET];
        frame[12..].copy_from_slice(&[0x86, 0xdd]);
        let mut ip = [0; IPV6_HEADER + 8];
        ip[0] = 0x60;
        ip[8..40].fill(0x20);
        ip[40] = 17;
        frame.extend(ip);
        let udp: [u8; 8] = [0x10, 0x00, 0x20, 0x00, 0, 158, 0, 0];
        frame.extend(udp);
        frame.extend([0x55; 150]);
        let pseudo = [&ip[8..40], &[0, 17, 0, 158]].concat();
        let start = ETHERNET + ip.len();
        frame[start + 6..start + 8].copy_from_slice(&internet_sum(&pseudo).to_be_bytes());

        let frames = completed(&header((GSO_UDP_L4, 100), (start as u16, 6)), &mut frame, 0);
        let lengths: Vec<usize> = frames.iter().map(Vec::len).collect();
        assert_eq!(lengths, [start + 108, start + 58]);
        for segment in frames {
            let udp = &segment[start..];
            let length = (udp.len() as u16).to_be_bytes();
            assert_eq!(segment[ETHERNET + 4..][..2], (udp.len() as u16 + 8).to_be_bytes());
            assert_eq!(udp[4..6], length);
            let pseudo = [&ip[8..40], &[0, 17], &length, udp].concat();
            assert_eq!(internet_sum(&pseudo), 0xffff);
        }
    }

    /// The window was reduced once, so one segment says so. What is not segmented is sent whole.
    #[test]
    fn flags() {
        let mut frame = vec![0; ETHERNET + IPV4_HEADER + TCP_HEADER + 30];
        frame[ETHERNET] = 0x45;
        frame[34 + TCP_LENGTH] = 5 << 4;
        frame[34 + TCP_FLAGS] = CWR | FIN_PSH | 0x10;
        let gso = |kind| header((kind, 10), (34, 16));
        let frames = completed(&gso(GSO_TCPV4_ECN), &mut frame.clone(), 0);
        let flags: Vec<u8> = frames.iter().map(|frame| frame[34 + TCP_FLAGS]).collect();
        assert_eq!(flags, [CWR | 0x10, 0x10, FIN_PSH | 0x10]);
        for kind in [GSO_TCPV6, GSO_UDP_L4 | 0x80, 2] {
            assert_eq!(completed(&gso(kind), &mut frame.clone(), 0).len(), 1);
        }
    }
}
