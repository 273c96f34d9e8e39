//! Tests of the parser, with frames written by hand and random ones.

use super::layers::{ALL, L2, L3, L4, SYMMETRIC};
use super::*;

const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
const PORTS: [u8; 8] = [0x30, 0x39, 0, 80, 1, 2, 3, 4];

/// A frame cut into pieces.
struct Pieces<'a>(Vec<&'a [u8]>);

impl Bytes for Pieces<'_> {
    fn head(&self) -> &[u8] {
        self.0.first().copied().unwrap_or_default()
    }

    fn gather<'a>(&'a self, room: &'a mut [u8]) -> &'a [u8] {
        let bytes = self.0.concat();
        let (room, _) = room.split_at_mut(bytes.len().min(room.len()));
        room.copy_from_slice(&bytes[..room.len()]);
        room
    }
}

pub fn ethernet(tags: &[(u16, u16)], kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = MACS.to_vec();
    for (kind, control) in tags {
        frame.extend(kind.to_be_bytes());
        frame.extend(control.to_be_bytes());
    }
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame
}

/// IPv4 with `words` words of options.
pub fn ipv4(words: u8, fragment: u16, protocol: u8) -> Vec<u8> {
    let [f0, f1] = fragment.to_be_bytes();
    let mut packet = vec![0x45 + words, 0, 0, 60, 0, 7, f0, f1, 64, protocol, 0xab, 0xcd];
    packet.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    packet.resize(20 + 4 * usize::from(words), 1);
    packet.extend(PORTS);
    packet
}

/// IPv6 with these extension headers: kind, its length field, bytes.
pub fn ipv6(extensions: &[(u8, u8, usize)], protocol: u8) -> Vec<u8> {
    let next = |at: usize| extensions.get(at).map_or(protocol, |extension| extension.0);
    let mut packet = vec![0x60, 1, 2, 3, 0, 40, next(0), 64];
    packet.extend((0..32).map(|byte| byte + 0x20));
    for (at, &(_, length, bytes)) in extensions.iter().enumerate() {
        packet.extend([next(at + 1), length]);
        packet.resize(packet.len() + bytes - 2, 0xee);
    }
    packet.extend(PORTS);
    packet
}

fn of(frame: &[u8]) -> Flow {
    Flow::of(frame, None, ALL)
}

fn v4(frame: &[u8]) -> (Addresses, u32) {
    let Flow { addresses, ports, .. } = of(frame);
    (addresses, ports)
}

const V4: Addresses = Addresses::V4(u64::from_le_bytes([10, 0, 0, 1, 10, 0, 0, 2]));
const PORT_WORD: u32 = u32::from_le_bytes([0x30, 0x39, 0, 80]);

/// The flow label of [`ipv6`]'s packets.
const LABEL: u32 = u32::from_le_bytes([1, 2, 3, 0]);

fn v6() -> Addresses {
    let word = |from: u8| u64::from_le_bytes(std::array::from_fn(|at| from + at as u8));
    Addresses::V6([word(0x20), word(0x28), word(0x30), word(0x38)])
}

/// A frame for each path through the parser.
pub fn frames() -> Vec<Vec<u8>> {
    let (c, s) = (KIND_CUSTOMER_TAG, KIND_SERVICE_TAG);
    let mut frames = vec![
        ethernet(&[], 0x0806, &[0; 28]),
        ethernet(&[], 46, &[0xaa; 46]),
        ethernet(&[(c, 5)], KIND_IPV4, &ipv4(0, 0, TCP)),
        ethernet(&[(s, 5), (c, 6)], KIND_IPV4, &ipv4(10, 0, UDP)),
        ethernet(&[(c, 1), (c, 2), (c, 3)], KIND_IPV4, &ipv4(0, 0, TCP)),
        ethernet(&[(s, 7), (c, 8)], KIND_IPV6, &ipv6(&[(0, 0, 8), (44, 0, 8)], TCP)),
        ethernet(&[(c, 9)], KIND_IPV6, &ipv6(&[], UDP)),
        ethernet(&[], KIND_IPV4, &[0x44; 40]),
        ethernet(&[], KIND_IPV4, &[0x65; 40]),
        ethernet(&[], KIND_IPV6, &[0x45; 80]),
    ];
    for protocol in [1, TCP, UDP, 50, SCTP] {
        for fragment in [0, 0x4000, 0x2000, 0x2003, 3] {
            frames.push(ethernet(&[], KIND_IPV4, &ipv4(0, fragment, protocol)));
            frames.push(ethernet(&[], KIND_IPV4, &ipv4(protocol % 11, fragment, protocol)));
        }
        frames.push(ethernet(&[], KIND_IPV6, &ipv6(&[], protocol)));
        let extensions = [(0, 1, 16), (60, 0, 8), (43, 2, 24), (51, 4, 24), (60, 0, 8)];
        frames.push(ethernet(&[], KIND_IPV6, &ipv6(&extensions, protocol)));
        frames.push(ethernet(&[], KIND_IPV6, &ipv6(&[(60, 0, 8); 8], protocol)));
        frames.push(ethernet(&[], KIND_IPV6, &ipv6(&[(60, 0, 8); 9], protocol)));
    }
    frames
}

/// However it is cut.
#[test]
fn nothing_counts_behind_what_is_looked_at() {
    for bytes in [96, 104, 112] {
        let extension = (60, bytes / 8 - 1, bytes.into());
        let frame = ethernet(&[], KIND_IPV6, &ipv6(&[extension], UDP));
        let end = 14 + 40 + usize::from(bytes) + 4;
        let ports = if end <= LOOKED_AT { PORT_WORD } else { LABEL };
        assert_eq!(v4(&frame), (v6(), ports));
        let (head, tail) = frame.split_at(100);
        assert_eq!(Flow::of(&Pieces(vec![head, tail]), None, ALL), of(&frame));
    }
}

#[test]
fn ipv4_by_addresses_and_ports() {
    for protocol in [TCP, UDP, SCTP] {
        for options in 0..=10 {
            let frame = ethernet(&[], KIND_IPV4, &ipv4(options, 0x4000, protocol));
            assert_eq!(v4(&frame), (V4, PORT_WORD));
        }
    }
    assert_eq!(v4(&ethernet(&[], KIND_IPV4, &ipv4(0, 0, 1))), (V4, 0));
    assert_eq!(v4(&ethernet(&[], 0x0806, &ipv4(0, 0, TCP))), (Addresses::V4(0), 0));
}

#[test]
fn fragments_by_addresses_and_label() {
    for fragment in [0x2000, 0x6000, 0x2001, 1, 0x1fff] {
        assert_eq!(v4(&ethernet(&[], KIND_IPV4, &ipv4(0, fragment, UDP))), (V4, 0));
    }
    assert_eq!(v4(&ethernet(&[], KIND_IPV6, &ipv6(&[(44, 0, 8)], UDP))), (v6(), LABEL));
    let behind = [(0, 0, 8), (44, 0, 8)];
    assert_eq!(v4(&ethernet(&[], KIND_IPV6, &ipv6(&behind, UDP))), (v6(), LABEL));
}

#[test]
fn ipv6_behind_extension_headers() {
    let extensions = [(0, 1, 16), (60, 0, 8), (43, 2, 24), (51, 4, 24), (60, 0, 8)];
    for count in 0..=extensions.len() {
        for protocol in [TCP, UDP, SCTP] {
            let frame = ethernet(&[], KIND_IPV6, &ipv6(&extensions[..count], protocol));
            assert_eq!(v4(&frame), (v6(), PORT_WORD));
        }
    }
    let many = |count| ethernet(&[], KIND_IPV6, &ipv6(&vec![(60, 0, 8); count], TCP));
    assert_eq!(v4(&many(MAX_EXTENSIONS)), (v6(), PORT_WORD));
    assert_eq!(v4(&many(MAX_EXTENSIONS + 1)), (v6(), LABEL));
}

/// GRE, IP in IP, ESP and fragments between two hosts are as many flows as they have flow labels. The
/// traffic class, which routers change, does not count. If there are ports, they count and the label does
/// not.
#[test]
fn f48_without_ports_the_flow_label_counts() {
    let with = |extensions: &[_], protocol, first: u8, second: u8, third: u8| {
        let mut frame = ethernet(&[], KIND_IPV6, &ipv6(extensions, protocol));
        frame[14..18].copy_from_slice(&[0x60 | first >> 4, first << 4 | second, third, 9]);
        frame
    };
    let none: &[(u8, u8, usize)] = &[];
    for (extensions, protocol) in
        [(none, 47), (none, 4), (none, 41), (none, 50), (none, 58), (&[(44, 0, 8)], UDP)]
    {
        let with = |class, second, third| with(extensions, protocol, class, second, third);
        let flow = of(&with(0, 0, 7));
        assert_eq!((flow.addresses, flow.ports), (v6(), u32::from_le_bytes([0, 7, 9, 0])));
        assert_ne!(flow, of(&with(0, 0, 8)));
        assert_ne!(flow, of(&with(0, 15, 7)));
        assert_eq!(flow, of(&with(0xff, 0, 7)), "the traffic class counts");
        assert_eq!(Flow::of(&with(0, 0, 7)[..], None, L2 | L3).ports, 0);
    }
    for protocol in [TCP, UDP, SCTP] {
        let flow = of(&with(none, protocol, 0, 0, 7));
        assert_eq!(flow.ports, PORT_WORD);
        assert_eq!(flow, of(&with(none, protocol, 0xff, 15, 8)));
    }
    // Ports that are cut off do not count.
    let frame = ethernet(&[], KIND_IPV6, &ipv6(&[], UDP));
    assert_eq!(v4(&frame[..14 + 40 + 3]), (v6(), LABEL));
}

/// F-30: C lagg finds neither.
#[test]
fn vlans_inside_the_frame_and_beside_it() {
    let packet = ipv4(0, 0, TCP);
    let tagged =
        |tags: &[_], beside| Flow::of(&ethernet(tags, KIND_IPV4, &packet)[..], beside, ALL);
    let (c, s) = (KIND_CUSTOMER_TAG, KIND_SERVICE_TAG);
    let plain = tagged(&[], None);
    let five = tagged(&[(c, 5)], None);
    assert_eq!((five.addresses, five.ports), (plain.addresses, plain.ports));
    assert_ne!(five.link, plain.link);
    assert_ne!(five.link, tagged(&[(c, 6)], None).link);
    assert_eq!(five, tagged(&[], Some(5)));
    assert_eq!(five, tagged(&[(c, 0xe005)], None), "the priority counts");
    assert_eq!(five, tagged(&[], Some(0xf005)), "the priority counts");
    let two = tagged(&[(s, 5), (c, 6)], None);
    assert_eq!(two, tagged(&[(c, 6)], Some(5)));
    assert_eq!((two.addresses, two.ports), (V4, PORT_WORD));
    assert_ne!(two, tagged(&[(s, 6), (c, 5)], None));
    let three = tagged(&[(s, 5), (c, 6)], Some(0x800));
    assert_eq!((three.addresses, three.ports), (V4, PORT_WORD));
    assert_ne!(three.link, two.link);
    assert_eq!(tagged(&[(c, 5), (c, 5), (c, 5)], None).addresses, Addresses::V4(0));
}

#[test]
fn by_the_layers_that_are_asked_for() {
    let four = ethernet(&[(KIND_CUSTOMER_TAG, 5)], KIND_IPV4, &ipv4(3, 0, UDP));
    let six = ethernet(&[(KIND_CUSTOMER_TAG, 5)], KIND_IPV6, &ipv6(&[(0, 0, 8)], UDP));
    for frame in [four, six] {
        let all = of(&frame);
        for layers in 0..=ALL {
            let flow = Flow::of(&frame[..], None, layers);
            let asked = |layer| layers & layer != 0;
            assert_eq!(flow.link, if asked(L2) { all.link } else { [0; 2] });
            let addresses = if asked(L3) { all.addresses } else { Addresses::V4(0) };
            assert_eq!(flow.addresses, addresses);
            assert_eq!(flow.ports, if asked(L4) { all.ports } else { 0 });
        }
    }
}

/// The frame of the other direction: destination and source swapped in each layer.
fn back(frame: &[u8], ip: usize) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[..12].rotate_left(6);
    let (from, to) = if frame[ip] >> 4 == 4 { (12, 20) } else { (8, 40) };
    frame[ip + from..ip + to].rotate_left((to - from) / 2);
    let ports = frame.len() - PORTS.len();
    frame[ports..ports + 4].rotate_left(2);
    frame
}

#[test]
fn both_directions_are_one_flow_if_that_is_asked_for() {
    let tags = [(0x8100, 5), (0x88a8, 6)];
    for tags in (0..=tags.len()).map(|n| &tags[..n]) {
        for (kind, packet) in [(KIND_IPV4, ipv4(0, 0, UDP)), (KIND_IPV6, ipv6(&[], UDP))] {
            let there = ethernet(tags, kind, &packet);
            let back = back(&there, 14 + 4 * tags.len());
            for layers in 1..=ALL {
                let flow = |frame: &[u8], layers| Flow::of(frame, Some(7), layers);
                assert_ne!(flow(&there, layers), flow(&back, layers), "{layers}");
                let symmetric = layers | SYMMETRIC;
                assert_eq!(flow(&there, symmetric), flow(&back, symmetric), "{layers}");
                let mut other = there.clone();
                // Another address counts still: the last byte of each layer's first.
                let at = match layers {
                    L4 => there.len() - PORTS.len(),
                    L3 => 14 + 4 * tags.len() + if kind == KIND_IPV4 { 12 } else { 8 },
                    _ => continue,
                };
                other[at] ^= 1;
                assert_ne!(flow(&there, symmetric), flow(&other, symmetric), "{layers}");
            }
        }
    }
}

/// The labels of the two directions differ.
#[test]
fn a_flow_label_is_not_of_both_directions() {
    let mut there = ethernet(&[], KIND_IPV6, &ipv6(&[], 50));
    let before = Flow::of(&there[..], None, ALL | SYMMETRIC);
    there[17] ^= 1;
    assert_eq!(Flow::of(&there[..], None, ALL | SYMMETRIC), before);
    assert_ne!(Flow::of(&there[..], None, ALL).ports, 0);
}

#[test]
fn each_byte_that_counts() {
    let frame = ethernet(&[], KIND_IPV4, &ipv4(0, 0, TCP));
    for at in (0..12).chain(26..38) {
        let mut other = frame.clone();
        other[at] ^= 1;
        assert_ne!(of(&other), of(&frame), "byte {at}");
    }
    for at in [15, 16, 17, 18, 19, 22, 24, 25, 38, 41] {
        let mut other = frame.clone();
        other[at] ^= 1;
        assert_eq!(of(&other), of(&frame), "byte {at}");
    }
}

#[test]
fn the_same_however_it_is_cut() {
    for frame in frames() {
        let whole = of(&frame);
        let bytes = Pieces(frame.chunks(1).collect());
        assert_eq!(Flow::of(&bytes, None, ALL), whole);
        for first in 0..=frame.len() {
            let (head, rest) = frame.split_at(first);
            for second in 0..=rest.len() {
                let (middle, tail) = rest.split_at(second);
                let pieces = Pieces(vec![head, middle, tail]);
                assert_eq!(Flow::of(&pieces, None, ALL), whole, "{first}, {second}");
            }
        }
    }
}

#[test]
fn too_short_for_what_it_says() {
    let known = |flow: Flow, whole: Flow| {
        assert!(flow.link == whole.link || flow.link == [0; 2]);
        assert!(flow.addresses == whole.addresses || flow.addresses == Addresses::V4(0));
        assert!(flow.ports == whole.ports || [0, LABEL].contains(&flow.ports));
    };
    for frame in frames() {
        // Without L2, because a VLAN that is cut off does not change the Ethernet addresses.
        let by = |frame: &[u8]| Flow::of(frame, None, L3 | L4);
        let whole = by(&frame);
        for length in 0..frame.len() {
            let short = &frame[..length];
            known(by(short), whole);
            let (head, tail) = short.split_at(length / 2);
            assert_eq!(Flow::of(&Pieces(vec![head, tail]), None, L3 | L4), by(short));
        }
    }
    assert_eq!(of(&MACS), Flow::NONE);
}

#[test]
fn no_bytes_make_it_panic() {
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (state >> 33) as usize
    };
    let frames = frames();
    let small = [0, 1, 4, 6, 17, 43, 44, 51, 60, 132, 255];
    for length in 0..=1514 {
        for _ in 0..8 {
            let mut frame = frames[random() % frames.len()].clone();
            frame.resize_with(length, || small[random() % small.len()]);
            for _ in 0..random() % 8 {
                if let Some(byte) = frame.get_mut(random() % 128) {
                    *byte = if random() % 2 == 0 { random() as u8 } else { small[random() % 11] };
                }
            }
            let tag = (random() % 2 == 0).then(|| random() as u16);
            let layers = random() as u32 & ALL;
            let whole = Flow::of(&frame[..], tag, layers);
            let (head, tail) = frame.split_at(random() % (length + 1));
            let (middle, tail) = tail.split_at(random() % (tail.len() + 1));
            assert_eq!(Flow::of(&Pieces(vec![head, middle, tail]), tag, layers), whole);
        }
    }
}
