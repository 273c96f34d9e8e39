//! A frame's flow: what tells it from other conversations' frames (spec B.12).
//!
//! Not C lagg's in two things: tags inside the frame are found where they are (F-30), and IPv6 counts
//! by its ports, as IPv4 does, not by its flow label.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, big_endian, little_endian};

use crate::kpi::ioctl::hash;

/// The bytes of a frame, in however many pieces.
pub trait Bytes {
    /// The first contiguous bytes.
    fn head(&self) -> &[u8];

    /// Copies `to.len()` bytes from `offset`; false if the frame is shorter.
    fn copy(&self, offset: usize, to: &mut [u8]) -> bool;
}

impl Bytes for [u8] {
    #[inline]
    fn head(&self) -> &[u8] {
        self
    }

    fn copy(&self, offset: usize, to: &mut [u8]) -> bool {
        let Some(from) = self.get(offset..).and_then(|rest| rest.get(..to.len())) else {
            return false;
        };
        to.copy_from_slice(from);
        true
    }
}

/// What a frame's layers say of its flow, in words for a hash. Zero: nothing, or not asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flow {
    /// The Ethernet addresses and the VLANs.
    pub link: [u64; 2],
    /// The IP addresses, source and destination.
    pub addresses: Addresses,
    /// The transport's ports, source and destination.
    pub ports: u32,
}

/// IP addresses, source and destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Addresses {
    /// IPv4's; 0: none.
    V4(u64),
    /// IPv6's.
    V6([u64; 4]),
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Ethernet {
    addresses: little_endian::U64,
    more_addresses: little_endian::U32,
    kind: big_endian::U16,
}

/// What follows the kind of a tagged frame (802.1Q 9.3).
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Tag {
    control: big_endian::U16,
    kind: big_endian::U16,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Ipv4 {
    version_and_length: u8,
    service: u8,
    length_and_id: [u8; 4],
    fragment: big_endian::U16,
    hops: u8,
    protocol: u8,
    checksum: [u8; 2],
    addresses: little_endian::U64,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Ipv6 {
    version: u8,
    label_and_length: [u8; 5],
    next: u8,
    hops: u8,
    addresses: [little_endian::U64; 4],
}

/// How each of IPv6's extension headers begins.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Extension {
    next: u8,
    length: u8,
}

/// How most frames begin.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Usual {
    ethernet: Ethernet,
    ip: Ipv4,
    ports: little_endian::U32,
}

static_assertions::assert_eq_size!(Ethernet, [u8; 14]);
static_assertions::assert_eq_size!(Ipv4, [u8; 20]);
static_assertions::assert_eq_size!(Ipv6, [u8; 40]);

const KIND_IPV4: u16 = 0x0800;
const KIND_IPV6: u16 = 0x86dd;
const KIND_CUSTOMER_TAG: u16 = 0x8100;
const KIND_SERVICE_TAG: u16 = 0x88a8;

const HOP_BY_HOP: u8 = 0;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ROUTING: u8 = 43;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const SCTP: u8 = 132;

/// Tags inside a frame that are looked behind.
const MAX_TAGS: usize = 2;

/// Extension headers that are looked behind: RFC 8200 4.1 has no more in a packet, save for ones
/// that would hide what follows them.
const MAX_EXTENSIONS: usize = 8;

/// IPv4's more-fragments flag and fragment offset: any of them makes the packet a fragment.
const FRAGMENT: u16 = 0x3fff;

impl Flow {
    /// No flow at all: a frame that is too short for Ethernet.
    const NONE: Flow = Flow { link: [0; 2], addresses: Addresses::V4(0), ports: 0 };

    /// The flow of a frame with `tag` beside it, by these layers ([`hash`]). Directional: the two
    /// ways of a conversation are two flows.
    ///
    /// A VLAN is the same in the frame or beside it, and its priority does not count. All fragments
    /// of a packet have one flow: ports are found in none, not even in the first.
    #[inline]
    pub fn of(frame: &(impl Bytes + ?Sized), tag: Option<u16>, layers: u32) -> Flow {
        let mut flow = Flow::NONE;
        let Some(ethernet) = read::<Ethernet>(frame, 0) else { return flow };
        let mut kind = ethernet.kind.get();
        let mut offset = size_of::<Ethernet>();
        let mut vlans = tag.map_or(0, vlan);
        for _ in 0..MAX_TAGS {
            if !matches!(kind, KIND_CUSTOMER_TAG | KIND_SERVICE_TAG) {
                break;
            }
            let Some(tag) = read::<Tag>(frame, offset) else { break };
            vlans = vlans << 12 | vlan(tag.control.get());
            kind = tag.kind.get();
            offset += size_of::<Tag>();
        }
        if layers & hash::L2 != 0 {
            flow.link = ethernet.link(vlans);
        }
        if layers & (hash::L3 | hash::L4) != 0 {
            match kind {
                KIND_IPV4 => flow.ipv4(frame, offset, layers),
                KIND_IPV6 => flow.ipv6(frame, offset, layers),
                _ => {}
            }
        }
        flow
    }

    /// [`Flow::of`] by all layers, where that is quick: for TCP, UDP and SCTP over IPv4 without options, in
    /// one piece and not tagged inside. None: it is another frame.
    #[inline(always)]
    pub fn usual(head: &[u8], tag: Option<u16>) -> Option<Flow> {
        let (frame, _) = Usual::ref_from_prefix(head).ok()?;
        let is_usual = frame.ethernet.kind.get() == KIND_IPV4
            && frame.ip.version_and_length == 0x45
            && frame.ip.fragment.get() & FRAGMENT == 0
            && matches!(frame.ip.protocol, TCP | UDP | SCTP);
        is_usual.then(|| Flow {
            link: frame.ethernet.link(tag.map_or(0, vlan)),
            addresses: Addresses::V4(frame.ip.addresses.get()),
            ports: frame.ports.get(),
        })
    }

    #[inline]
    fn ipv4(&mut self, frame: &(impl Bytes + ?Sized), offset: usize, layers: u32) {
        let Some(header) = read::<Ipv4>(frame, offset) else { return };
        let length = usize::from(header.version_and_length & 15) * 4;
        if header.version_and_length >> 4 != 4 || length < size_of::<Ipv4>() {
            return;
        }
        if layers & hash::L3 != 0 {
            self.addresses = Addresses::V4(header.addresses.get());
        }
        if header.fragment.get() & FRAGMENT == 0 {
            self.transport(frame, offset + length, layers, header.protocol);
        }
    }

    #[inline]
    fn ipv6(&mut self, frame: &(impl Bytes + ?Sized), offset: usize, layers: u32) {
        let Some(header) = read::<Ipv6>(frame, offset) else { return };
        if header.version >> 4 != 6 {
            return;
        }
        if layers & hash::L3 != 0 {
            self.addresses = Addresses::V6(header.addresses.map(little_endian::U64::get));
        }
        let mut next = header.next;
        let mut offset = offset + size_of::<Ipv6>();
        for _ in 0..=MAX_EXTENSIONS {
            // A fragment header ends it too: no ports.
            let (unit, first_units) = match next {
                HOP_BY_HOP | ROUTING | DESTINATION => (8, 1),
                // RFC 4302 2.2
                AUTHENTICATION => (4, 2),
                _ => return self.transport(frame, offset, layers, next),
            };
            let Some(extension) = read::<Extension>(frame, offset) else { return };
            next = extension.next;
            offset += (usize::from(extension.length) + first_units) * unit;
        }
    }

    #[inline]
    fn transport(
        &mut self,
        frame: &(impl Bytes + ?Sized),
        offset: usize,
        layers: u32,
        protocol: u8,
    ) {
        if layers & hash::L4 != 0 && matches!(protocol, TCP | UDP | SCTP) {
            self.ports = read::<little_endian::U32>(frame, offset).map_or(0, |ports| ports.get());
        }
    }
}

impl Ethernet {
    /// The addresses, with the frame's VLANs.
    #[inline]
    fn link(&self, vlans: u64) -> [u64; 2] {
        let more = u64::from(self.more_addresses.get());
        // Three VLANs have 36 bits: nothing is shifted out.
        [self.addresses.get(), more ^ vlans.rotate_left(32)]
    }
}

/// The VLAN that a tag names.
#[inline]
fn vlan(tag: u16) -> u64 {
    u64::from(tag & 0xfff)
}

/// The header at `offset`, if the frame has all of it.
#[inline]
fn read<T: FromBytes + IntoBytes>(frame: &(impl Bytes + ?Sized), offset: usize) -> Option<T> {
    match frame.head().get(offset..).map(T::read_from_prefix) {
        Some(Ok((header, _))) => Some(header),
        _ => gather(frame, offset),
    }
}

/// [`read`] of a header that is not all in the first piece.
#[cold]
fn gather<T: FromBytes + IntoBytes>(frame: &(impl Bytes + ?Sized), offset: usize) -> Option<T> {
    let mut header = T::new_zeroed();
    frame.copy(offset, header.as_mut_bytes()).then_some(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kpi::ioctl::hash::{L2, L3, L4};

    const ALL: u32 = hash::MASK;
    const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    const PORTS: [u8; 8] = [0x30, 0x39, 0, 80, 1, 2, 3, 4];

    /// A frame cut into pieces.
    struct Pieces<'a>(Vec<&'a [u8]>);

    impl Bytes for Pieces<'_> {
        fn head(&self) -> &[u8] {
            self.0.first().copied().unwrap_or_default()
        }

        fn copy(&self, offset: usize, to: &mut [u8]) -> bool {
            self.0.concat()[..].copy(offset, to)
        }
    }

    fn ethernet(tags: &[(u16, u16)], kind: u16, payload: &[u8]) -> Vec<u8> {
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
    fn ipv4(words: u8, fragment: u16, protocol: u8) -> Vec<u8> {
        let [f0, f1] = fragment.to_be_bytes();
        let mut packet = vec![0x45 + words, 0, 0, 60, 0, 7, f0, f1, 64, protocol, 0xab, 0xcd];
        packet.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        packet.resize(20 + 4 * usize::from(words), 1);
        packet.extend(PORTS);
        packet
    }

    /// IPv6 with these extension headers: kind, its length field, bytes.
    fn ipv6(extensions: &[(u8, u8, usize)], protocol: u8) -> Vec<u8> {
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

    fn v6() -> Addresses {
        let word = |from: u8| u64::from_le_bytes(std::array::from_fn(|at| from + at as u8));
        Addresses::V6([word(0x20), word(0x28), word(0x30), word(0x38)])
    }

    /// One of each way through the parser.
    fn frames() -> Vec<Vec<u8>> {
        let (c, s) = (KIND_CUSTOMER_TAG, KIND_SERVICE_TAG);
        let mut frames = vec![
            ethernet(&[], 0x0806, &[0; 28]),
            ethernet(&[], 46, &[0xaa; 46]),
            ethernet(&[(c, 5)], KIND_IPV4, &ipv4(0, 0, TCP)),
            ethernet(&[(s, 5), (c, 6)], KIND_IPV4, &ipv4(10, 0, UDP)),
            ethernet(&[(c, 1), (c, 2), (c, 3)], KIND_IPV4, &ipv4(0, 0, TCP)),
            ethernet(&[(s, 7), (c, 8)], KIND_IPV6, &ipv6(&[(0, 0, 8), (44, 0, 8)], TCP)),
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

    #[test]
    fn the_usual_flow_is_the_flow() {
        let mut usual = 0;
        for frame in frames() {
            for tag in [None, Some(5)] {
                let whole = Flow::of(&frame[..], tag, ALL);
                assert!(Flow::usual(&frame, tag).is_none_or(|flow| flow == whole), "{frame:x?}");
                usual += u32::from(Flow::usual(&frame, tag).is_some());
            }
        }
        assert_eq!(
            usual, 16,
            "TCP, UDP, and SCTP twice; may be fragmented or not; a tag beside or not"
        );
        let frame = ethernet(&[], KIND_IPV4, &ipv4(0, 0x4000, UDP));
        assert!((0..38).all(|length| Flow::usual(&frame[..length], None).is_none()));
        assert!(Flow::usual(&frame[..38], None).is_some());
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
    fn fragments_by_addresses_alone() {
        for fragment in [0x2000, 0x6000, 0x2001, 1, 0x1fff] {
            assert_eq!(v4(&ethernet(&[], KIND_IPV4, &ipv4(0, fragment, UDP))), (V4, 0));
        }
        assert_eq!(v4(&ethernet(&[], KIND_IPV6, &ipv6(&[(44, 0, 8)], UDP))), (v6(), 0));
        let behind = [(0, 0, 8), (44, 0, 8)];
        assert_eq!(v4(&ethernet(&[], KIND_IPV6, &ipv6(&behind, UDP))), (v6(), 0));
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
        assert_eq!(v4(&many(MAX_EXTENSIONS + 1)), (v6(), 0));
        assert_eq!(v4(&ethernet(&[], KIND_IPV6, &ipv6(&[], 50))), (v6(), 0));
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
            assert!(flow.ports == whole.ports || flow.ports == 0);
        };
        for frame in frames() {
            // Without L2: a VLAN that is cut off leaves the addresses as they are.
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
                        *byte =
                            if random() % 2 == 0 { random() as u8 } else { small[random() % 11] };
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
}
