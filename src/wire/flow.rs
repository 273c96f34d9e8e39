//! A frame's flow: what distinguishes it from the frames of other conversations.
//!
//! It differs from C lagg's in two ways. Tags inside the frame are found where they are (F-30). IPv6 flows
//! are told apart by their ports, as IPv4's are, and by the flow label only if there are none (RFC 6438).

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, big_endian, little_endian,
};

/// The layers that can tell flows apart, as bits: the numbers of `lagghash` (lagg(4)).
pub mod layers {
    /// Ethernet addresses and VLANs.
    pub const L2: u32 = 1;
    /// IP addresses.
    pub const L3: u32 = 2;
    /// Transport ports.
    pub const L4: u32 = 4;
    /// All of them.
    pub const ALL: u32 = 7;
    /// Both directions of a conversation are one flow. This is no number of `lagghash`.
    pub const SYMMETRIC: u32 = 8;
    /// Flows are measured, so no frame is usual. This says nothing of the flow, and is no number of
    /// `lagghash`.
    pub const MEASURED: u32 = 16;
}

/// The bytes of a frame, in however many pieces.
pub trait Bytes {
    /// The first contiguous bytes.
    fn head(&self) -> &[u8];

    /// The first bytes, as many as there are and as fit in `room`.
    fn gather<'a>(&'a self, room: &'a mut [u8]) -> &'a [u8];
}

impl Bytes for [u8] {
    #[inline]
    fn head(&self) -> &[u8] {
        self
    }

    fn gather<'a>(&'a self, _: &'a mut [u8]) -> &'a [u8] {
        self
    }
}

/// A frame's flow, in words for a hash. A word is zero if the frame has no such layer, or the layer does
/// not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flow {
    /// The Ethernet addresses and the VLANs.
    pub link: [u64; 2],
    /// The IP addresses, source and destination.
    pub addresses: Addresses,
    /// The transport's ports, source and destination; the flow label of IPv6 without ports.
    pub ports: u32,
}

/// IP addresses, source and destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Addresses {
    /// IPv4's; 0 if there are none.
    V4(u64),
    /// IPv6's.
    V6([u64; 4]),
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Ethernet {
    link: Link,
    kind: big_endian::U16,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Link {
    addresses: little_endian::U64,
    more_addresses: little_endian::U32,
}

/// What follows a tag's kind (802.1Q 9.3): the rest of the tag, and the kind of what follows it.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Behind {
    control: big_endian::U16,
    kind: big_endian::U16,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
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

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Ipv6 {
    version: u8,
    label: [u8; 3],
    length: [u8; 2],
    next: u8,
    hops: u8,
    addresses: [little_endian::U64; 4],
}

/// The beginning of each IPv6 extension header.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Extension {
    next: u8,
    length: u8,
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

/// The tags inside a frame that the parser skips, at most.
const MAX_TAGS: usize = 2;

/// The extension headers that the parser skips, at most. By RFC 8200 4.1 a packet has no more, unless it
/// hides something.
const MAX_EXTENSIONS: usize = 8;

/// How far into a frame the parser looks: farther than any legitimate chain of headers.
const LOOKED_AT: usize = 160;

/// IPv4's more-fragments flag and fragment offset: any of them makes the packet a fragment.
const FRAGMENT: u16 = 0x3fff;

impl Flow {
    /// No flow at all: a frame that is too short for Ethernet.
    const NONE: Flow = Flow { link: [0; 2], addresses: Addresses::V4(0), ports: 0 };

    /// The flow of a frame with `tag` outside its bytes, by these [`layers`]. The two directions of a
    /// conversation are two flows, unless [`layers::SYMMETRIC`] is among them.
    ///
    /// A VLAN is the same in the frame or outside it, and its priority does not count. All fragments of a
    /// packet have one flow, so the ports of the first fragment are not used, nor are ports after more than
    /// 160 bytes of headers. IPv6's flow label replaces them there (F-48): the ends of a tunnel set it by
    /// the packet inside.
    #[inline(always)]
    pub fn of(frame: &(impl Bytes + ?Sized), tag: Option<u16>, layers: u32) -> Flow {
        let whole = Self::whole(frame.head(), tag, layers, false);
        whole.unwrap_or_else(|| Self::of_pieces(frame, tag, layers))
    }

    /// [`Flow::of`] a frame that begins with `head`, which is all of it or not. None if some of its headers are
    /// not in `head`.
    #[inline(always)]
    pub fn whole(head: &[u8], tag: Option<u16>, layers: u32, is_all: bool) -> Option<Flow> {
        let mut headers = Headers::of(head);
        let flow = headers.flow(tag, layers);
        (is_all || headers.complete()).then_some(flow)
    }

    /// [`Flow::of`] a frame whose headers are not all in the first piece, or are cut off.
    #[cold]
    #[inline(never)]
    fn of_pieces(frame: &(impl Bytes + ?Sized), tag: Option<u16>, layers: u32) -> Flow {
        let mut room = [0; LOOKED_AT];
        Headers::of(frame.gather(&mut room)).flow(tag, layers)
    }
}

/// Whether a frame of this kind has a tag.
#[inline]
fn is_tag(kind: u16) -> bool {
    matches!(kind, KIND_CUSTOMER_TAG | KIND_SERVICE_TAG)
}

/// Whether a transport's header begins with its ports.
#[inline]
fn has_ports(protocol: u8) -> bool {
    matches!(protocol, TCP | UDP | SCTP)
}

/// The beginning of a frame, and whether the parser wanted bytes after its end.
struct Headers<'a> {
    bytes: &'a [u8],
    ends_early: bool,
}

impl<'a> Headers<'a> {
    #[inline(always)]
    fn of(bytes: &'a [u8]) -> Self {
        Headers { bytes: bytes.get(..LOOKED_AT).unwrap_or(bytes), ends_early: false }
    }

    /// Whether more bytes would make no difference.
    #[inline(always)]
    fn complete(&self) -> bool {
        !self.ends_early || self.bytes.len() == LOOKED_AT
    }

    /// The header at `offset`, if all of it is there.
    #[inline(always)]
    fn read<T: FromBytes + KnownLayout + Immutable + Unaligned>(
        &mut self,
        offset: usize,
    ) -> Option<&'a T> {
        match self.bytes.get(offset..).map(T::ref_from_prefix) {
            Some(Ok((header, _))) => Some(header),
            _ => {
                self.ends_early = true;
                None
            }
        }
    }

    #[inline(always)]
    fn flow(&mut self, tag: Option<u16>, layers: u32) -> Flow {
        let mut flow = Flow::NONE;
        let Some(ethernet) = self.read::<Ethernet>(0) else { return flow };
        let mut kind = ethernet.kind.get();
        let mut offset = size_of::<Ethernet>();
        let mut vlans = Vlans::of(tag);
        for _ in 0..MAX_TAGS {
            if !is_tag(kind) {
                break;
            }
            let Some(behind) = self.read::<Behind>(offset) else { break };
            // F-30: a tag inside the frame
            vlans = vlans.and(behind.control.get());
            kind = behind.kind.get();
            offset += size_of::<Behind>();
        }
        let symmetric = layers & layers::SYMMETRIC != 0;
        if layers & layers::L2 != 0 {
            let link = if symmetric { &ethernet.link.sorted() } else { &ethernet.link };
            flow.link = link.words(vlans);
        }
        if layers & (layers::L3 | layers::L4) != 0 {
            match kind {
                KIND_IPV4 => self.ipv4(&mut flow, offset, layers),
                KIND_IPV6 => self.ipv6(&mut flow, offset, layers),
                _ => {}
            }
        }
        if symmetric {
            flow.sort();
        }
        flow
    }

    #[inline(always)]
    fn ipv4(&mut self, flow: &mut Flow, offset: usize, layers: u32) {
        let Some(header) = self.read::<Ipv4>(offset) else { return };
        let length = usize::from(header.version_and_length & 15) * 4;
        if header.version_and_length >> 4 != 4 || length < size_of::<Ipv4>() {
            return;
        }
        if layers & layers::L3 != 0 {
            flow.addresses = Addresses::V4(header.addresses.get());
        }
        if header.fragment.get() & FRAGMENT == 0 {
            self.transport(flow, offset + length, layers, header.protocol);
        }
    }

    #[inline(always)]
    fn ipv6(&mut self, flow: &mut Flow, offset: usize, layers: u32) {
        let Some(header) = self.read::<Ipv6>(offset) else { return };
        if header.version >> 4 != 6 {
            return;
        }
        if layers & layers::L3 != 0 {
            flow.addresses = header.addresses();
        }
        // Each direction has a label of its own.
        if layers & (layers::L4 | layers::SYMMETRIC) == layers::L4 {
            flow.ports = header.label();
        }
        let mut next = header.next;
        let mut offset = offset + size_of::<Ipv6>();
        for _ in 0..=MAX_EXTENSIONS {
            // A fragment header ends the chain too: no ports.
            let (unit, first_units) = match next {
                HOP_BY_HOP | ROUTING | DESTINATION => (8, 1),
                // RFC 4302 2.2
                AUTHENTICATION => (4, 2),
                _ => return self.transport(flow, offset, layers, next),
            };
            let Some(extension) = self.read::<Extension>(offset) else { return };
            next = extension.next;
            offset += (usize::from(extension.length) + first_units) * unit;
        }
    }

    #[inline(always)]
    fn transport(&mut self, flow: &mut Flow, offset: usize, layers: u32, protocol: u8) {
        if layers & layers::L4 != 0
            && has_ports(protocol)
            && let Some(ports) = self.read::<little_endian::U32>(offset)
        {
            flow.ports = ports.get();
        }
    }
}

impl Ipv6 {
    /// The addresses.
    #[inline(always)]
    fn addresses(&self) -> Addresses {
        Addresses::V6(self.addresses.map(little_endian::U64::get))
    }

    /// The flow label.
    #[inline(always)]
    fn label(&self) -> u32 {
        let [first, second, third] = self.label;
        // The rest of the first byte belongs to the traffic class.
        u32::from_le_bytes([first & 0x0f, second, third, 0])
    }
}

impl Link {
    /// The addresses, with the frame's VLANs.
    #[inline]
    fn words(&self, vlans: Vlans) -> [u64; 2] {
        let more = u64::from(self.more_addresses.get());
        [self.addresses.get(), more ^ vlans.0]
    }
}

/// The VLANs of a frame, from the outermost. Three have 36 bits, the last one's from the 33rd on, beside the addresses.
#[derive(Clone, Copy)]
pub struct Vlans(u64);

impl Vlans {
    /// None.
    pub const NONE: Vlans = Vlans(0);

    /// That of a tag outside the frame's bytes.
    #[inline(always)]
    pub fn of(tag: Option<u16>) -> Self {
        tag.map_or(Vlans::NONE, |tag| Vlans::NONE.and(tag))
    }

    /// These and that of a tag inside.
    #[inline(always)]
    fn and(self, tag: u16) -> Self {
        Vlans(self.0.rotate_left(12) | u64::from(tag & 0xfff) << 32)
    }
}

mod symmetric;
mod usual;

pub use usual::{Hash, Masked, Masks, Unusual};

#[cfg(test)]
mod tests;
