//! The settings `rebalance` and `hash_symmetric`: which flows go where.

use lagg_rs::kpi::host;
use lagg_rs::kpi::ioctl::{hash, opt, proto};
use lagg_rs::lacp::marker;

use crate::lab::{Card, Lagg, card, lab, lagg_of, pass};
use crate::lacp::{is_marker, option};
use crate::pair::{flow, pair};

pub const FLOWS: u16 = 300;

/// The port on which a frame goes.
fn port(lagg: &Lagg, cards: &[Card], frame: &[u8]) -> usize {
    lagg.send(frame).unwrap();
    cards.iter().position(|card| card.sent() == 1).expect("it was sent")
}

/// The port of each flow.
pub fn ports(lagg: &Lagg, cards: &[Card]) -> Vec<usize> {
    (0..FLOWS).map(|n| port(lagg, cards, &flow(n))).collect()
}

/// Four cards in a loadbalance lagg.
pub fn loadbalance() -> (Vec<Card>, Lagg) {
    let cards: Vec<_> = (1..=4).map(card).collect();
    let lagg = lagg_of(&cards.iter().collect::<Vec<_>>());
    lagg.set_protocol(proto::LOADBALANCE).unwrap();
    (cards, lagg)
}

/// Sends 80 times more of each third flow that was on the first port.
pub fn heavy(lagg: &Lagg, before: &[usize]) -> Vec<u16> {
    let first = (0..FLOWS).filter(|n| before[usize::from(*n)] == 0);
    let heavy: Vec<_> = first.step_by(3).collect();
    for n in &heavy {
        (0..80).for_each(|_| lagg.send(&long(*n)).unwrap());
    }
    heavy
}

/// A long frame of a flow.
fn long(n: u16) -> Vec<u8> {
    let mut frame = flow(n);
    frame.resize(1514, 0);
    frame
}

#[test]
fn what_ports_carry_is_evened_out() {
    lab(|| {
        let (cards, lagg) = loadbalance();
        lagg.set("rebalance", "10").unwrap();
        host::settle();
        let before = ports(&lagg, &cards);
        let heavy = heavy(&lagg, &before);
        cards.iter().for_each(|card| _ = card.sent());
        pass(10_000);
        let after = ports(&lagg, &cards);
        for place in 0..4 {
            let carried = heavy.iter().filter(|n| after[usize::from(**n)] == place).count();
            let even = heavy.len() / 4;
            assert!((even - 1..=even + 2).contains(&carried), "{place}: {carried} of {heavy:?}");
        }
        let moved = (0..before.len()).filter(|n| before[*n] != after[*n]);
        // With them goes what shares their buckets.
        assert!(moved.clone().count() <= 2 * heavy.len());
        assert!(moved.clone().all(|n| before[n] == 0), "only what was on the first port");
        // In the next interval nothing moves: nothing was carried.
        pass(10_000);
        pass(10_000);
        assert_eq!(ports(&lagg, &cards), after);
        // They stay when it is turned off.
        lagg.set("rebalance", "0").unwrap();
        host::settle();
        assert_eq!(ports(&lagg, &cards), after);
    });
}

#[test]
fn without_it_no_flow_moves() {
    lab(|| {
        let (cards, lagg) = loadbalance();
        let before = ports(&lagg, &cards);
        heavy(&lagg, &before);
        cards.iter().for_each(|card| _ = card.sent());
        pass(3_600_000);
        assert_eq!(ports(&lagg, &cards), before);
    });
}

/// Beginning to measure and ending it is no other hash, for which all flows would wait.
#[test]
fn flows_that_lacp_moves_wait_for_their_marker_and_no_others() {
    lab(|| {
        let mut pair = pair(2);
        let before = pair.send(FLOWS);
        pair.lost = is_marker;
        pair.left.set("rebalance", "5").unwrap();
        pair.exchange();
        assert_eq!(pair.send(FLOWS), before, "none waits");
        for n in (0..FLOWS).filter(|n| before[usize::from(*n)] == Some(0)).step_by(4) {
            (0..40).for_each(|_| pair.left.send(&long(n)).unwrap());
        }
        pair.wires.iter().for_each(|(a, _)| drop(a.nic.take_sent()));
        pair.pass(5_000);
        let waiting = pair.send(FLOWS);
        let waits = |n: &usize| waiting[*n].is_none();
        let count = (0..before.len()).filter(waits).count();
        assert!((1..=64).contains(&count), "{count} wait");
        pair.pass(marker::TIMEOUT);
        let after = pair.send(FLOWS);
        for n in 0..before.len() {
            assert_eq!(after[n] != before[n], waits(&n), "flow {n}");
        }
        pair.left.set("rebalance", "0").unwrap();
        pair.exchange();
        assert_eq!(pair.send(FLOWS), after);
    });
}

/// Without a partner there is nothing to spread or to measure.
#[test]
fn no_plan_is_made_for_it_while_no_port_distributes() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        lagg.set_protocol(proto::LACP).unwrap();
        lagg.set("rebalance", "1").unwrap();
        pass(200_000);
        let plan = lagg.softc().plan_ref();
        (0..5).for_each(|_| pass(1_000));
        assert!(plan.is(&lagg.softc().plan_ref()));
    });
}

/// Each frame and its answer, by each set of layers.
#[test]
fn both_directions_of_a_flow_go_one_way_if_that_is_set() {
    lab(|| {
        let (cards, lagg) = loadbalance();
        let answer = |n| {
            let mut frame = flow(n);
            frame[..12].rotate_left(6);
            frame[26..34].rotate_left(4);
            frame[34..38].rotate_left(2);
            frame
        };
        let same = || {
            let is_same =
                |n: &u16| port(&lagg, &cards, &flow(*n)) == port(&lagg, &cards, &answer(*n));
            (0..FLOWS).filter(is_same).count()
        };
        for layers in [hash::MASK, hash::L3 | hash::L4, hash::L4] {
            lagg.set_hash(layers).unwrap();
            lagg.set("hash_symmetric", "0").unwrap();
            assert!(same() < 150, "{}", same());
            lagg.set("hash_symmetric", "1").unwrap();
            assert_eq!(same(), usize::from(FLOWS));
            let places = ports(&lagg, &cards);
            assert!(
                (0..4).all(|place| places.iter().filter(|there| **there == place).count() > 30)
            );
        }
        // An id says nothing of the other direction.
        lagg.set_options(option(opt::USE_FLOWID)).unwrap();
        assert_eq!(same(), usize::from(FLOWS));
        lagg.set("rebalance", "1").unwrap();
        host::settle();
        assert_eq!(same(), usize::from(FLOWS));
    });
}
