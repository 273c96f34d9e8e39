//! Frames of slow protocols: how they are recognised, and how many of them wait.

use lagg_rs::kpi::host;
use lagg_rs::kpi::{Inbox, Mbuf};
use lagg_rs::lacp::marker::ANSWERS;
use lagg_rs::wire::lacpdu::{Info, Lacpdu};
use lagg_rs::wire::marker::Marker;

use crate::lab::{Card, lab, mac};
use crate::lacp::is_marker;
use crate::pair::{Pair, pair};

/// The number in a leaf of the left lagg.
fn value(pair: &Pair, leaf: &str) -> u64 {
    pair.left.count(leaf)
}

/// A LACPDU of a partner whose port has this number.
fn lacpdu(port: u16) -> Lacpdu {
    Lacpdu { actor: Info { system: mac(9), port, ..Info::default() }, partner: Info::default() }
}

fn marker() -> Vec<u8> {
    Marker { port: 5, system: mac(9), transaction: 77 }.emit(mac(9)).to_vec()
}

/// The number of the partner's port that the left lagg has recorded for its port `place`.
fn partner(pair: &Pair, place: usize) -> u16 {
    pair.records(&pair.left)[place].psc.partner_portno
}

fn receive<const N: usize>(card: &Card, pieces: [&[u8]; N]) {
    host::receive(&card.ifp, Mbuf::from_segments(pieces));
    host::settle();
}

/// The first piece has only the Ethernet header, one byte more, or many more.
#[test]
fn f49_f61_slow_frames_are_recognised_in_any_pieces() {
    lab(|| {
        let pair = pair(1);
        let card = &pair.wires[0].0;
        let mut long = lacpdu(0).emit(mac(9)).to_vec();
        // The contents are another version's.
        long[15] = 2;
        long[56..].fill(0xff);
        long.resize(1514, 0xff);
        for first in 14..=130 {
            long[30..32].copy_from_slice(&u16::to_be_bytes(first));
            let (head, rest) = long.split_at(first.into());
            let (middle, tail) = rest.split_at(3);
            receive(card, [head, middle, tail]);
            assert_eq!(partner(&pair, 0), first, "a LACPDU, {first} bytes in the first piece");
        }
        assert_eq!(value(&pair, "port.em1.lacp.illegal.length"), 0);
        card.nic.take_sent();
        let marker = marker();
        let (head, tail) = marker.split_at(14);
        receive(card, [head, tail]);
        let sent = card.nic.take_sent();
        assert_eq!(sent.iter().filter(|frame| is_marker(frame)).count(), 1);
        // Frames of other slow protocols are usual frames, and so is one that ends before its subtype.
        for frame in [&[&marker[..14], &[10]].concat(), &marker[..14]] {
            let before = value(&pair, "port.em1.lacp.unknown");
            let (head, tail) = frame.split_at(14);
            receive(card, [head, tail]);
            assert_eq!(value(&pair, "port.em1.lacp.unknown"), before + 1);
        }
    });
}

/// A flood of markers on a port takes no room from another port, nor from LACPDUs on the same one.
#[test]
fn f55_a_flood_on_a_port_does_not_affect_the_others() {
    const FLOOD: u64 = 20_000;
    lab(|| {
        let pair = pair(2);
        pair.pass(1_000);
        let first = value(&pair, "port.em1.lacp.markers_in");
        let [em1, em2] = [0, 1].map(|n| &pair.wires[n].0);
        let marker = marker();
        for n in 0..FLOOD {
            em1.receive(&marker);
            if n % 1_000 == 0 {
                for (card, place) in [(em1, 0), (em2, 1)] {
                    let before = value(&pair, "port.em2.lacp.pdus_in");
                    card.receive(&lacpdu(n as u16 + 1).emit(mac(9)));
                    host::settle();
                    assert_eq!(partner(&pair, place), n as u16 + 1);
                    assert_eq!(value(&pair, "port.em2.lacp.pdus_in"), before + place as u64);
                }
            }
        }
        host::settle();
        let em1 = |leaf: &str| value(&pair, &format!("port.em1.{leaf}"));
        let taken = em1("lacp.markers_in") - first;
        assert_eq!(em1("lacp.responses_out") - first, ANSWERS.into());
        assert_eq!(em1("lacp.markers_unanswered") + u64::from(ANSWERS), taken);
        assert_eq!(taken + em1("dropped.no_room"), FLOOD);
        assert_eq!(value(&pair, "port.em2.dropped.no_room"), 0);
    });
}

/// It replaces an older one of the same port.
#[test]
fn f55_the_newest_lacpdu_is_kept() {
    let inbox = Inbox::new();
    for last in 0..50 {
        let put = (0..=last).map(|n| inbox.put(Mbuf::from_bytes(&[n]), u64::from(n) + 100));
        let (freed, mut taken) = (put.sum::<u32>(), Vec::new());
        inbox.take(|m, number| taken.push((m.into_vec(), number)));
        assert!(taken.len() <= Inbox::LIMIT as usize);
        let kept = (freed as u8..=last).map(|n| (vec![n], u64::from(n) + 100));
        assert!(!taken.is_empty() && taken.into_iter().eq(kept), "the last ones, in order");
    }
    lab(|| {
        let pair = pair(2);
        let em1 = |leaf: &str| value(&pair, &format!("port.em1.{leaf}"));
        let before = em1("lacp.pdus_in");
        for port in 1..=5_000 {
            pair.wires[0].0.receive(&lacpdu(port).emit(mac(9)));
        }
        host::settle();
        assert_eq!(partner(&pair, 0), 5_000);
        assert_eq!(em1("lacp.pdus_in") - before + em1("dropped.no_room"), 5_000);
    });
}
