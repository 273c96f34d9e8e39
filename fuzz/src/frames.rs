//! Frames, cut into chains of mbufs, as the flow parser and the hash read them.

use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use lagg_rs::kpi::Mbuf;
use lagg_rs::kpi::ioctl::hash;
use lagg_rs::policy::buckets::{Homes, Table};
use lagg_rs::policy::flows::Flows;
use lagg_rs::policy::hash::Key;
use lagg_rs::slots::SlotSet;
use lagg_rs::wire::flow::{Addresses, Flow, Hash, Masks, Unusual, Vlans};
use lagg_rs::wire::slow::{self, Subtype};
use zerocopy::FromZeros;

/// Flows over three ports.
static FLOWS: LazyLock<Flows<&'static Table>> = LazyLock::new(|| {
    const PORTS: SlotSet = SlotSet::from_bits(1 << 2 | 1 << 5 | 1 << 31);
    let (mut table, mut homes) = (Box::new(Table::new_zeroed()), Homes::new_zeroed());
    table.rebuild(&mut homes, PORTS, PORTS);
    let table = Box::leak(table);
    Flows { key: Key::new([7; 24]), table, layers: 0, flowid_shift: None }
});

/// The hash that is found for the kind of frame, if there is one.
fn by_kind(head: &[u8], vlans: Vlans, is_all: bool, hash: impl Hash) -> Option<u32> {
    match Flow::usual(head, vlans, hash) {
        Ok(hash) => Some(hash),
        Err(Unusual::Portless) => Flow::portless(head, vlans, hash),
        Err(Unusual::Options) => Flow::with_options(head, vlans, hash),
        Err(Unusual::Ipv6) => Flow::ipv6(head, vlans, hash),
        Err(Unusual::Tag) => Flow::tagged(head, vlans, hash),
        Err(Unusual::Foreign) => Flow::foreign(head, vlans, hash),
        Err(Unusual::Short) => Flow::short(head, vlans, || is_all, hash),
    }
}

/// One frame.
pub fn run(data: &[u8]) {
    // An error means that the input has ended.
    let _ = frame(&mut Unstructured::new(data));
}

fn frame(u: &mut Unstructured<'_>) -> Result<()> {
    let layers = if u.arbitrary()? { hash::MASK } else { u.int_in_range(0..=hash::MASK)? };
    let tag: Option<u16> = u.arbitrary()?;
    let id: Option<u32> = u.arbitrary()?;
    let flowid_shift = if u.arbitrary()? { Some(u.int_in_range(0..=31)?) } else { None };
    let cuts: [u8; 4] = u.arbitrary()?;
    let bytes = u.bytes(u.len())?;

    let mut segments = Vec::new();
    let mut rest = bytes;
    for cut in cuts {
        let (segment, more) = rest.split_at(usize::from(cut).min(rest.len()));
        segments.push(segment);
        rest = more;
    }
    segments.push(rest);
    let mut m = Mbuf::from_segments(segments);
    m.set_vlan_tag(tag);
    m.set_flow(id);
    assert_eq!(m.len(), bytes.len());

    let whole = Flow::of(bytes, tag, layers);
    assert_eq!(Flow::of(&m, tag, layers), whole, "otherwise in one piece");

    // The result for a layer does not depend on the other layers.
    let all = Flow::of(bytes, tag, hash::MASK);
    let nothing = Flow { link: [0; 2], addresses: Addresses::V4(0), ports: 0 };
    let has = |layer| layers & layer != 0;
    let expected = Flow {
        link: if has(hash::L2) { all.link } else { nothing.link },
        addresses: if has(hash::L3) { all.addresses } else { nothing.addresses },
        ports: if has(hash::L4) { all.ports } else { nothing.ports },
    };
    assert_eq!(whole, expected);

    // The fast path gives the same port, if it gives one.
    let flows = Flows { layers: layers as u8, flowid_shift, ..FLOWS.clone() };
    let expected = match (id, flowid_shift) {
        (Some(id), Some(shift)) => id >> shift,
        _ => flows.key.hash(&whole),
    };
    assert_eq!(flows.hash(&m), expected);
    let slot = flows.table.slot(expected);
    assert!([2, 5, 31].contains(&slot.number()));
    if id.is_none() || flowid_shift.is_none() {
        let (head, vlans, masks) = (m.first(), Vlans::of(tag), Masks::of(layers));
        let is_all = head.len() == m.len();
        let found = [
            by_kind(head, vlans, is_all, flows.by(&masks)),
            Flow::near(head, vlans, || is_all, flows.by(&masks)),
        ];
        assert!(found.into_iter().flatten().all(|quick| quick == expected));
    }

    if Subtype::of(bytes).is_some() {
        assert!(slow::is_slow(bytes));
    }
    Ok(())
}
