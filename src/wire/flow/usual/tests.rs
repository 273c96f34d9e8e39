//! What few instructions find is what [`Flow::of`] finds.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use super::super::layers::ALL;
use super::super::tests::{ethernet, frames, ipv4, ipv6};
use super::*;

/// Some hash of all that a flow has.
#[derive(Clone, Copy)]
struct Any;

fn mix(what: impl std::hash::Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(what)
}

impl Hash for Any {
    fn link(self, link: [u64; 2]) -> u64 {
        mix(link)
    }

    fn flow(self, link: u64, addresses: Addresses, ports: u32) -> u32 {
        let addresses = match addresses {
            Addresses::V4(pair) => vec![pair],
            Addresses::V6(words) => words.to_vec(),
        };
        mix((link, addresses, ports)) as u32
    }
}

/// The hash by the slow way.
fn expected(frame: &[u8], tag: Option<u16>, layers: u32) -> u32 {
    let flow = Flow::of(frame, tag, layers);
    Any.flow(Any.link(flow.link), flow.addresses, flow.ports)
}

/// Why the frame is unusual, if it is, and the hash by its own way.
fn by_kind(
    head: &[u8],
    tag: Option<u16>,
    layers: u32,
    is_all: bool,
) -> (Option<Unusual>, Option<u32>) {
    let (vlans, masks) = (Vlans::of(tag), Masks::of(layers));
    let hash = Masked(Any, &masks);
    let unusual = match Flow::usual(head, vlans, hash) {
        Ok(hash) => return (None, Some(hash)),
        Err(unusual) => unusual,
    };
    let found = match unusual {
        Unusual::Portless => Flow::portless(head, vlans, hash),
        Unusual::Options => Flow::with_options(head, vlans, hash),
        Unusual::Ipv6 => Flow::ipv6(head, vlans, hash),
        Unusual::Tag => Flow::tagged(head, vlans, hash),
        Unusual::Foreign => Flow::foreign(head, vlans, hash),
        Unusual::Short => Flow::short(head, vlans, || is_all, hash),
    };
    (Some(unusual), found)
}

fn near(head: &[u8], tag: Option<u16>, layers: u32, is_all: bool) -> Option<u32> {
    let masks = Masks::of(layers);
    Flow::near(head, Vlans::of(tag), || is_all, Masked(Any, &masks))
}

/// Each way finds the hash or nothing, of the whole frame and of its first piece.
fn check(frame: &[u8], tag: Option<u16>, layers: u32) {
    let hash = Some(expected(frame, tag, layers));
    let is = |found: Option<u32>| found.is_none() || found == hash;
    assert!(is(near(frame, tag, layers, true)), "{layers}, {tag:?}: {frame:x?}");
    for length in 0..frame.len().min(70) {
        let short = &frame[..length];
        let hash = Some(expected(short, tag, layers));
        let found = [by_kind(short, tag, layers, true).1, near(short, tag, layers, true)];
        assert!(
            found.into_iter().flatten().all(|found| Some(found) == hash),
            "{length}: {frame:x?}"
        );
    }
    for first in (0..=frame.len()).filter(|first| *first < 100 || *first == frame.len()) {
        let head = &frame[..first];
        let (_, found) = by_kind(head, tag, layers, false);
        assert!(is(found), "{layers}, {tag:?}, {first}: {frame:x?}");
        assert!(is(near(head, tag, layers, false)), "{layers}, {tag:?}, {first}: {frame:x?}");
    }
}

#[test]
fn the_usual_flow_is_the_flow() {
    for frame in frames() {
        for tag in [None, Some(5), Some(0xffff)] {
            (0..=ALL).for_each(|layers| check(&frame, tag, layers));
        }
    }
}

#[test]
fn each_kind_has_its_way() {
    let by_kind = |frame: &[u8]| by_kind(frame, None, ALL, true);
    let tags = [(KIND_SERVICE_TAG, 5), (KIND_CUSTOMER_TAG, 6)];
    for protocol in [1, TCP, UDP, 50, SCTP] {
        let is_usual = [TCP, UDP].contains(&protocol);
        for fragment in [0, 0x4000, 0x2000, 3] {
            let is_whole = fragment & FRAGMENT == 0;
            let frame = ethernet(&[], KIND_IPV4, &ipv4(0, fragment, protocol));
            let (unusual, found) = by_kind(&frame);
            let portless = (!is_usual || !is_whole).then_some(Unusual::Portless);
            assert_eq!(unusual, portless, "{protocol}, {fragment}");
            assert_eq!(found.is_some(), protocol != SCTP || !is_whole);
            for words in 1..=10 {
                let frame = ethernet(&[], KIND_IPV4, &ipv4(words, fragment, protocol));
                assert_eq!(by_kind(&frame).0, Some(Unusual::Options));
                assert!(by_kind(&frame).1.is_some(), "{protocol}, {fragment}, {words}");
                // The ports end with the fourth byte of the transport's header.
                let end = 14 + 20 + 4 * usize::from(words) + 4;
                let needs = if is_whole && (is_usual || protocol == SCTP) { end } else { 38 };
                for length in 38..end {
                    assert_eq!(by_kind(&frame[..length]).1.is_some(), length >= needs);
                }
                for length in 14..34 {
                    assert_eq!(by_kind(&frame[..length]).0, Some(Unusual::Short));
                    assert!(by_kind(&frame[..length]).1.is_some(), "{length}");
                }
            }
        }
        let frame = ethernet(&[], KIND_IPV6, &ipv6(&[], protocol));
        assert_eq!(by_kind(&frame).0, Some(Unusual::Ipv6));
        assert!(by_kind(&frame).1.is_some(), "{protocol}");
        let behind = ethernet(&[], KIND_IPV6, &ipv6(&[(60, 0, 8)], protocol));
        assert_eq!(by_kind(&behind), (Some(Unusual::Ipv6), None));
        for tags in [&tags[..1], &tags] {
            let four = ethernet(tags, KIND_IPV4, &ipv4(0, 0, protocol));
            assert_eq!(by_kind(&four).0, Some(Unusual::Tag));
            assert_eq!(by_kind(&four).1.is_some(), is_usual);
            let six = ethernet(tags, KIND_IPV6, &ipv6(&[], protocol));
            assert_eq!(by_kind(&six).0, Some(Unusual::Tag));
            assert_eq!(by_kind(&six).1.is_some(), tags.len() == 1);
        }
    }
    for kind in [0x0806, 0x8847, 0x8864] {
        let (unusual, found) = by_kind(&ethernet(&[], kind, &[1; 60]));
        assert_eq!((unusual, found.is_some()), (Some(Unusual::Foreign), true));
    }
    assert_eq!(by_kind(&[0; 37]), (Some(Unusual::Short), None));
    assert_eq!(by_kind(&[0; 13]), (Some(Unusual::Short), None));
    for (kind, packet) in [(KIND_IPV4, ipv4(3, 0, UDP)), (KIND_IPV6, ipv6(&[], UDP))] {
        for tags in (0..=tags.len()).map(|count| &tags[..count]) {
            let frame = ethernet(tags, kind, &packet);
            let end = frame.len() - 4;
            assert!(near(&frame[..end], None, ALL, false).is_some());
            assert!(near(&frame[..end - 1], None, ALL, false).is_none(), "the ports are cut");
            assert!(near(&frame[..end - 1], None, ALL, true).is_some());
        }
    }
}

/// Frames with a wrong byte anywhere.
#[test]
fn no_byte_makes_the_ways_differ() {
    for frame in frames() {
        for at in 12..frame.len().min(70) {
            for byte in [0, 1, 5, 6, 17, 44, 60, 0x44, 0x46, 0x4f, 0x55, 0x60, 132, 255] {
                let mut other = frame.clone();
                other[at] = byte;
                let hash = Some(expected(&other, None, ALL));
                let is = |found: Option<u32>| found.is_none() || found == hash;
                assert!(is(by_kind(&other, None, ALL, true).1), "{at}: {other:x?}");
                assert!(is(near(&other, None, ALL, true)), "{at}: {other:x?}");
            }
        }
    }
}
