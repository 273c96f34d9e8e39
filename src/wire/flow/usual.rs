//! The flows of most frames, which few instructions find.

use core::hint::cold_path;

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned, big_endian, little_endian};

use super::{
    AUTHENTICATION, Addresses, Behind, DESTINATION, Ethernet, FRAGMENT, Flow, HOP_BY_HOP, Ipv6,
    KIND_CUSTOMER_TAG, KIND_IPV4, KIND_IPV6, KIND_SERVICE_TAG, Link, MAX_TAGS, ROUTING, SCTP, TCP,
    UDP, Vlans, has_ports, is_tag, layers,
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

/// A tag (802.1Q 9.3).
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Tag {
    kind: big_endian::U16,
    control: big_endian::U16,
}

/// Why a frame is not usual.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unusual {
    /// It is IPv4 without options, but a fragment, or carries neither TCP nor UDP.
    Portless,
    /// It is IPv4 with options.
    Options,
    /// It is IPv6.
    Ipv6,
    /// A tag is inside.
    Tag,
    /// It is something else.
    Foreign,
    /// It is short.
    Short,
}

/// IPv4's header, of which one word says what follows it.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct UsualIpv4 {
    version_and_length: u8,
    service: u8,
    length_and_id: [u8; 4],
    /// Fragment, hops, protocol.
    kind: little_endian::U32,
    checksum: [u8; 2],
    addresses: little_endian::U64,
}

static_assertions::assert_eq_size!(UsualIpv4, super::Ipv4);

/// The layers by which flows are told apart, as masks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Masks {
    link: u64,
    addresses: u64,
    ports: u32,
}

impl Masks {
    /// All layers.
    pub const ALL: &Masks = &Masks::of(layers::ALL);

    /// Those of these [`layers`].
    pub const fn of(layers: u32) -> Self {
        const fn mask(layers: u32, layer: u32) -> u64 {
            if layers & layer == 0 { 0 } else { u64::MAX }
        }
        Masks {
            link: mask(layers, layers::L2),
            addresses: mask(layers, layers::L3),
            ports: mask(layers, layers::L4) as u32,
        }
    }
}

impl Flow {
    /// The hash of [`Flow::of`] for the common case: TCP or UDP over IPv4 without options, not fragmented. `vlans` are
    /// those of the tag outside.
    ///
    /// # Errors
    /// Why it is another case, of which the functions below have one each.
    #[inline(always)]
    pub fn usual(head: &[u8], vlans: Vlans, hash: impl Hash) -> Result<u32, Unusual> {
        let Ok((frame, _)) = Usual::<UsualIpv4, 0>::ref_from_prefix(head) else {
            return Err(Unusual::Short);
        };
        if frame.kind.get() != KIND_IPV4 {
            cold_path();
            // As it lies in the frame, which saves turning it.
            let is = |kind: u16| frame.kind.get().to_be() == kind.to_be();
            if is(KIND_IPV6) {
                return Err(Unusual::Ipv6);
            }
            // So that the most frequent one is compared first.
            cold_path();
            let has_tag = is(KIND_CUSTOMER_TAG) || is(KIND_SERVICE_TAG);
            return Err(if has_tag { Unusual::Tag } else { Unusual::Foreign });
        }
        if frame.ip.version_and_length != 0x45 {
            return Err(Unusual::Options);
        }
        if !matches!(frame.ip.kind(), IS_TCP | IS_UDP) {
            return Err(Unusual::Portless);
        }
        Ok(frame.hash(vlans, hash, frame.ports.get()))
    }

    /// The same for [`Unusual::Portless`]. None if there are ports all the same, or the frame is short.
    #[inline(always)]
    pub fn portless(head: &[u8], vlans: Vlans, hash: impl Hash) -> Option<u32> {
        let (frame, _) = Usual::<UsualIpv4, 0>::ref_from_prefix(head).ok()?;
        (frame.ip.kind() != IS_SCTP).then(|| frame.hash(vlans, hash, 0))
    }

    /// The same for [`Unusual::Options`]. None if it is short or malformed.
    #[inline(always)]
    pub fn with_options(head: &[u8], vlans: Vlans, hash: impl Hash) -> Option<u32> {
        let (frame, after) = Usual::<UsualIpv4, 0>::ref_from_prefix(head).ok()?;
        // In words, of which the last ends the ports if there is one.
        let more = usize::from(frame.ip.version_and_length.checked_sub(0x46)?);
        if more > 9 {
            return None;
        }
        let ports = match frame.ip.kind() {
            IS_TCP | IS_UDP | IS_SCTP => ports_at(after, more * 4)?,
            _ => 0,
        };
        Some(frame.hash(vlans, hash, ports))
    }

    /// The same for [`Unusual::Ipv6`]. None if there are extension headers, or it is short or malformed.
    #[inline(always)]
    pub fn ipv6(head: &[u8], vlans: Vlans, hash: impl Hash) -> Option<u32> {
        let (frame, _) = Usual::<Ipv6, 0>::ref_from_prefix(head).ok()?;
        frame.hash(vlans, hash)
    }

    /// The same for [`Unusual::Tag`], if what follows one or two tags is usual, or IPv6. None if it is not.
    #[inline(always)]
    pub fn tagged(head: &[u8], vlans: Vlans, hash: impl Hash) -> Option<u32> {
        let (frame, _) = Usual::<UsualIpv4, 1>::ref_from_prefix(head).ok()?;
        if frame.kind.get() == KIND_IPV4 {
            return frame.is_usual().then(|| frame.hash(vlans, hash, frame.ports.get()));
        }
        cold_path();
        if frame.kind.get() == KIND_IPV6 {
            let (frame, _) = Usual::<Ipv6, 1>::ref_from_prefix(head).ok()?;
            return frame.hash(vlans, hash);
        }
        let is_two = is_tag(frame.kind.get());
        let (frame, _) = Usual::<UsualIpv4, 2>::ref_from_prefix(head).ok()?;
        let is_usual = is_two && frame.kind.get() == KIND_IPV4 && frame.is_usual();
        is_usual.then(|| frame.hash(vlans, hash, frame.ports.get()))
    }

    /// The same for [`Unusual::Short`], if the frame has no more than `head` of what counts. `is_all`: it has no more
    /// than `head` at all.
    #[inline(always)]
    pub fn short(
        head: &[u8],
        vlans: Vlans,
        is_all: impl Fn() -> bool,
        hash: impl Hash,
    ) -> Option<u32> {
        let (ethernet, rest) = Ethernet::ref_from_prefix(head).ok()?;
        let kind = ethernet.kind.get();
        if is_tag(kind) || rest.len() >= size_of::<UsualIpv4>() || !is_all() {
            return None;
        }
        Some(hash.flow(hash.link(ethernet.link.words(vlans)), Addresses::V4(0), 0))
    }

    /// The same for [`Unusual::Foreign`]. None if it is short.
    #[inline(always)]
    pub fn foreign(head: &[u8], vlans: Vlans, hash: impl Hash) -> Option<u32> {
        let (ethernet, _) = Ethernet::ref_from_prefix(head).ok()?;
        Some(hash.flow(hash.link(ethernet.link.words(vlans)), Addresses::V4(0), 0))
    }

    /// The hash of [`Flow::of`] most frames: those without extension headers of IPv6. None if the frame has some, or
    /// what counts of its headers is not in `head`, which is all of it or not.
    #[inline(always)]
    pub fn near(
        head: &[u8],
        mut vlans: Vlans,
        is_all: impl Fn() -> bool,
        hash: impl Hash,
    ) -> Option<u32> {
        let (ethernet, mut rest) = Ethernet::ref_from_prefix(head).ok()?;
        let mut kind = ethernet.kind;
        for _ in 0..MAX_TAGS {
            if !is_tag(kind.get()) {
                break;
            }
            let (behind, after) = Behind::ref_from_prefix(rest).ok()?;
            vlans = vlans.and(behind.control.get());
            (kind, rest) = (behind.kind, after);
        }
        // First, so that the rest needs fewer registers.
        let link = hash.link(ethernet.link.words(vlans));
        let (addresses, ports) = match kind.get() {
            KIND_IPV4 => match UsualIpv4::ref_from_prefix(rest) {
                Ok((ip, after)) => ip.near(after, is_all)?,
                Err(_) if is_all() => (0, 0),
                Err(_) => return None,
            },
            KIND_IPV6 => match Ipv6::ref_from_prefix(rest) {
                Ok((ip, after)) if ip.version >> 4 == 6 => {
                    let ports = ip.near(after, is_all)?;
                    return Some(hash.flow(link, ip.addresses(), ports));
                }
                Err(_) if !is_all() => return None,
                _ => (0, 0),
            },
            _ => (0, 0),
        };
        Some(hash.flow(link, Addresses::V4(addresses), ports))
    }
}

/// What hashes a flow in two steps, of which the first is of its link.
pub trait Hash: Copy {
    /// The link.
    fn link(self, link: [u64; 2]) -> u64;

    /// The whole flow; `link` is what the first step returned.
    fn flow(self, link: u64, addresses: Addresses, ports: u32) -> u32;
}

/// A hash by fewer layers.
#[derive(Clone, Copy)]
pub struct Masked<'a, H>(pub H, pub &'a Masks);

impl<H: Hash> Hash for Masked<'_, H> {
    #[inline(always)]
    fn link(self, [addresses, more]: [u64; 2]) -> u64 {
        self.0.link([addresses & self.1.link, more & self.1.link])
    }

    #[inline(always)]
    fn flow(self, link: u64, addresses: Addresses, ports: u32) -> u32 {
        let addresses = match addresses {
            Addresses::V4(pair) => Addresses::V4(pair & self.1.addresses),
            // Those that do not count are no more than IPv4's.
            Addresses::V6(_) if self.1.addresses == 0 => Addresses::V4(0),
            addresses => addresses,
        };
        self.0.flow(link, addresses, ports & self.1.ports)
    }
}

/// Fragment and protocol, as [`UsualIpv4`] has them.
const KIND: u32 = FRAGMENT.swap_bytes() as u32 | 0xff << 24;
const IS_TCP: u32 = (TCP as u32) << 24;
const IS_UDP: u32 = (UDP as u32) << 24;
const IS_SCTP: u32 = (SCTP as u32) << 24;

impl UsualIpv4 {
    /// What follows the header: no fragment of a protocol is the same as a whole one.
    #[inline(always)]
    fn kind(&self) -> u32 {
        self.kind.get() & KIND
    }

    /// Addresses and ports, of which there may be none.
    #[inline(always)]
    fn near(&self, after: &[u8], is_all: impl Fn() -> bool) -> Option<(u64, u32)> {
        let options = self.version_and_length.wrapping_sub(0x45);
        if options > 10 {
            return Some((0, 0));
        }
        let addresses = self.addresses.get();
        if !matches!(self.kind(), IS_TCP | IS_UDP | IS_SCTP) {
            return Some((addresses, 0));
        }
        match ports_at(after, usize::from(options) * 4) {
            Some(ports) => Some((addresses, ports)),
            None => is_all().then_some((addresses, 0)),
        }
    }
}

impl<Ip, const TAGS: usize> Usual<Ip, TAGS> {
    #[inline(always)]
    fn link(&self, vlans: Vlans) -> [u64; 2] {
        let add = |vlans: Vlans, tag: &Tag| vlans.and(tag.control.get());
        self.link.words(self.tags.iter().fold(vlans, add))
    }
}

impl<const TAGS: usize> Usual<UsualIpv4, TAGS> {
    /// Whether it is TCP or UDP, without options and not fragmented.
    #[inline(always)]
    fn is_usual(&self) -> bool {
        self.ip.version_and_length == 0x45 && matches!(self.ip.kind(), IS_TCP | IS_UDP)
    }

    /// The hash of its flow, with these ports.
    #[inline(always)]
    fn hash(&self, vlans: Vlans, hash: impl Hash, ports: u32) -> u32 {
        let link = hash.link(self.link(vlans));
        hash.flow(link, Addresses::V4(self.ip.addresses.get()), ports)
    }
}

impl<const TAGS: usize> Usual<Ipv6, TAGS> {
    /// The hash of its flow; none if there are extension headers, or it is malformed.
    #[inline(always)]
    fn hash(&self, vlans: Vlans, hash: impl Hash) -> Option<u32> {
        if self.ip.version >> 4 != 6 {
            return None;
        }
        let ports = if matches!(self.ip.next, TCP | UDP) {
            self.ports.get()
        } else {
            // Apart, so that most need fewer comparisons.
            cold_path();
            match self.ip.next {
                HOP_BY_HOP | ROUTING | DESTINATION | AUTHENTICATION => return None,
                SCTP => self.ports.get(),
                _ => self.ip.label(),
            }
        };
        Some(hash.flow(hash.link(self.link(vlans)), self.ip.addresses(), ports))
    }
}

impl Ipv6 {
    /// The ports, or the flow label.
    #[inline(always)]
    fn near(&self, after: &[u8], is_all: impl Fn() -> bool) -> Option<u32> {
        if has_ports(self.next) {
            return ports_at(after, 0).or_else(|| is_all().then(|| self.label()));
        }
        match self.next {
            HOP_BY_HOP | ROUTING | DESTINATION | AUTHENTICATION => None,
            _ => Some(self.label()),
        }
    }
}

/// A transport's ports, if they are all there.
#[inline(always)]
fn ports_at(rest: &[u8], offset: usize) -> Option<u32> {
    let (ports, _) = little_endian::U32::ref_from_prefix(rest.get(offset..)?).ok()?;
    Some(ports.get())
}

#[cfg(test)]
mod tests;
