//! Packets with send tags.

use lagg_rs::kpi::host::{self, SendTag};
use lagg_rs::kpi::ioctl::proto;
use lagg_rs::kpi::{Counter, Errno, LinkState, Mbuf, Result, TagType};

use crate::lab::{Card, Lagg, frame, lab, lagg_of};
use crate::send_tags::{tag_for, tagging_card, use_flowid};

/// Sends a packet with this tag.
fn send(lagg: &Lagg, tag: &SendTag) -> Result {
    let mut m = Mbuf::from_bytes(&frame(1));
    m.set_tag(tag.clone());
    host::transmit(&lagg.ifp, m)
}

/// The lagg's counters of packets that were not sent.
fn counted(lagg: &Lagg) -> (u64, Vec<(String, String)>) {
    (lagg.ifp.counter(Counter::Oerrors), lagg.leaves(|name| name.contains("dropped")))
}

/// Sends a packet whose tag is not of the port on which it would go. It is freed, and counted nowhere.
#[track_caller]
fn refused(lagg: &Lagg, tag: &SendTag, cards: &[&Card]) {
    let (before, references) = (counted(lagg), tag.references());
    assert_eq!(send(lagg, tag), Err(Errno::EAGAIN));
    assert_eq!((counted(lagg), tag.references()), (before, references));
    assert!(cards.iter().all(|card| card.sent() == 0));
}

#[test]
fn a_packet_is_sent_with_the_ports_own_tag() {
    lab(|| {
        let (a, b) = (tagging_card(1), tagging_card(2));
        let lagg = lagg_of(&[&a, &b]);
        for kind in TagType::ALL.into_iter().filter(|kind| *kind != TagType::TlsRx) {
            let tag = tag_for(&lagg.ifp, kind, 7).unwrap();
            send(&lagg, &tag).unwrap();
            assert_eq!((a.nic.take_tagged(), a.nic.take_sent()), (vec![kind], vec![frame(1)]));
            assert_eq!((tag.references(), tag.inner().unwrap().references()), (1, 1));
            a.nic.refuse_transmit(Some(Errno::ENOBUFS));
            assert_eq!(send(&lagg, &tag), Err(Errno::ENOBUFS));
            assert_eq!((tag.references(), tag.inner().unwrap().references()), (1, 1));
            a.nic.refuse_transmit(None);
        }
        lagg.send(&frame(2)).unwrap();
        assert_eq!((a.nic.take_tagged(), a.sent()), (vec![], 1), "and one without a tag as it is");
    });
}

#[test]
fn the_owner_gets_an_error_when_packets_go_to_another_port() {
    lab(|| {
        let (a, b) = (tagging_card(1), tagging_card(2));
        let lagg = lagg_of(&[&a, &b]);
        let tag = tag_for(&lagg.ifp, TagType::Tls, 7).unwrap();
        a.link(LinkState::Down);
        refused(&lagg, &tag, &[&a, &b]);
        // The owner asks for another tag.
        let second = tag_for(&lagg.ifp, TagType::Tls, 7).unwrap();
        send(&lagg, &second).unwrap();
        assert_eq!(b.nic.take_tagged(), [TagType::Tls]);
        b.sent();
        a.link(LinkState::Up);
        refused(&lagg, &second, &[&a, &b]);
        send(&lagg, &tag).unwrap();
        assert_eq!(
            a.nic.take_tagged(),
            [TagType::Tls],
            "the port is back, and the tag still its own"
        );
        a.sent();
        lagg.remove("em1").unwrap();
        refused(&lagg, &tag, &[&a, &b]);
        lagg.add("em1").unwrap();
        send(&lagg, &second).unwrap();
        b.sent();
        lagg.remove("em1").unwrap();
        lagg.remove("em2").unwrap();
        assert_eq!(send(&lagg, &tag), Err(Errno::ENXIO), "as without a tag");
    });
}

/// A tag from one protocol's time, under all the others.
#[test]
fn a_tag_of_another_protocol_is_for_its_own_port_alone() {
    lab(|| {
        let (a, b) = (tagging_card(1), tagging_card(2));
        let lagg = lagg_of(&[&a, &b]);
        let tag = tag_for(&lagg.ifp, TagType::RateLimit, 7).unwrap();
        lagg.set_protocol(proto::ROUNDROBIN).unwrap();
        host::settle();
        let turns: Vec<_> = (0..6).map(|_| send(&lagg, &tag)).collect();
        assert_eq!(turns.iter().filter(|turn| **turn == Ok(())).count(), 3);
        assert_eq!(turns.iter().filter(|turn| **turn == Err(Errno::EAGAIN)).count(), 3);
        assert_eq!((a.sent(), b.sent()), (3, 0), "one port's turns");
        a.nic.take_tagged();
        // Copies would be sent without what the tag does: a TLS record in the clear.
        lagg.set_protocol(proto::BROADCAST).unwrap();
        refused(&lagg, &tag, &[&a, &b]);
        lagg.remove("em2").unwrap();
        refused(&lagg, &tag, &[&a, &b]);
        lagg.add("em2").unwrap();
        lagg.set_protocol(proto::NONE).unwrap();
        assert_eq!(send(&lagg, &tag), Err(Errno::ENETDOWN));
        lagg.set_protocol(proto::LACP).unwrap();
        assert_eq!(send(&lagg, &tag), Err(Errno::ENETDOWN), "no partner");
        lagg.set_protocol(proto::LOADBALANCE).unwrap();
        use_flowid(&lagg, 0);
        host::settle();
        for flow_id in 0..16 {
            let of_flow = tag_for(&lagg.ifp, TagType::RateLimit, flow_id).unwrap();
            let own = of_flow.inner().unwrap().ifp().same(&a.ifp);
            let mut m = Mbuf::from_bytes(&frame(1));
            m.set_flow(Some(flow_id));
            m.set_tag(tag.clone());
            let sent = host::transmit(&lagg.ifp, m);
            assert_eq!(sent, if own { Ok(()) } else { Err(Errno::EAGAIN) });
        }
        assert_eq!((tag.references(), b.nic.take_tagged()), (1, vec![]));
    });
}

/// A bridge sends a member's packets on other members.
#[test]
fn tags_of_others_are_known_as_such() {
    lab(|| {
        let (a, b) = (tagging_card(1), tagging_card(2));
        let (lagg0, lagg1) = (lagg_of(&[&a]), lagg_of(&[&b]));
        let of_other_lagg = tag_for(&lagg1.ifp, TagType::Tls, 7).unwrap();
        refused(&lagg0, &of_other_lagg, &[&a, &b]);
        for card in [&a, &b] {
            let of_card = tag_for(&card.ifp, TagType::Tls, 7).unwrap();
            refused(&lagg0, &of_card, &[&a, &b]);
        }
        // The tag's port is this lagg's now.
        lagg1.remove("em2").unwrap();
        lagg0.remove("em1").unwrap();
        lagg0.add("em2").unwrap();
        host::settle();
        send(&lagg0, &of_other_lagg).unwrap();
        assert_eq!((b.nic.take_tagged(), b.sent()), (vec![TagType::Tls], 1));
    });
}
