//! The flows of most frames, which few instructions find.

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned, big_endian, little_endian};

use super::{
    AUTHENTICATION, Addresses, DESTINATION, Flow, HOP_BY_HOP, Ipv4, Ipv6, KIND_IPV4, KIND_IPV6,
    Link, ROUTING, Tag, has_ports, is_tag, layers, vlan,
};

/// The beginning of most frames.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Usual<Ip, const TAGS: usize> {
    link: Link,
    tags: [Tag; TAGS],
    kind: big_endian::U16,
    ip: Ip,
    ports: little_endian::U32,
}

impl Flow {
    /// [`Flow::of`] by all layers, for the common case: IPv4 without options, with `TAGS` tags inside, and with
    /// or without `PORTS` of a transport. None if it is another kind of frame, or `head` is too short.
    #[inline(always)]
    pub fn usual_ipv4<const TAGS: usize, const PORTS: bool>(
        head: &[u8],
        tag: Option<u16>,
    ) -> Option<Flow> {
        let (frame, _) = Usual::<Ipv4, TAGS>::ref_from_prefix(head).ok()?;
        let is_usual = frame.tags.iter().all(|tag| is_tag(tag.kind.get()))
            && frame.kind.get() == KIND_IPV4
            && frame.ip.version_and_length == 0x45
            && frame.ip.has_ports() == PORTS;
        is_usual.then(|| Flow {
            link: frame.link(tag),
            addresses: Addresses::V4(frame.ip.addresses.get()),
            ports: if PORTS { frame.ports.get() } else { 0 },
        })
    }

    /// The same for IPv6 without extension headers.
    #[inline(always)]
    pub fn usual_ipv6<const TAGS: usize, const PORTS: bool>(
        head: &[u8],
        tag: Option<u16>,
    ) -> Option<Flow> {
        let (frame, _) = Usual::<Ipv6, TAGS>::ref_from_prefix(head).ok()?;
        let is_usual = frame.tags.iter().all(|tag| is_tag(tag.kind.get()))
            && frame.kind.get() == KIND_IPV6
            && frame.ip.version >> 4 == 6
            && if PORTS { has_ports(frame.ip.next) } else { is_last(frame.ip.next) };
        is_usual.then(|| Flow {
            link: frame.link(tag),
            addresses: Addresses::V6(frame.ip.addresses.map(little_endian::U64::get)),
            ports: if PORTS { frame.ports.get() } else { frame.ip.label() },
        })
    }

    /// The same flow by fewer [`layers`], of which [`layers::SYMMETRIC`] is none.
    #[inline(always)]
    pub fn only(self, layers: u32) -> Flow {
        let counts = |layer| layers & layer != 0;
        Flow {
            link: if counts(layers::L2) { self.link } else { [0; 2] },
            addresses: if counts(layers::L3) { self.addresses } else { Addresses::V4(0) },
            ports: if counts(layers::L4) { self.ports } else { 0 },
        }
    }
}

impl<Ip, const TAGS: usize> Usual<Ip, TAGS> {
    #[inline(always)]
    fn link(&self, tag: Option<u16>) -> [u64; 2] {
        let first = tag.map_or(0, vlan);
        let vlans =
            self.tags.iter().fold(first, |vlans, tag| vlans << 12 | vlan(tag.control.get()));
        self.link.words(vlans)
    }
}

/// Whether a header of this kind ends IPv6's chain, and has no ports: none of those that the parser skips.
#[inline]
fn is_last(next: u8) -> bool {
    !matches!(next, HOP_BY_HOP | ROUTING | DESTINATION | AUTHENTICATION) && !has_ports(next)
}
