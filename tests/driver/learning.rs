//! A switch that learns addresses and has no LACP: where it sends what is for a lagg.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lagg_rs::kpi::host::testing::Events;
use lagg_rs::kpi::host::{self, IpState, set_ip};
use lagg_rs::kpi::ioctl::proto;
use lagg_rs::kpi::{LinkState, iff};
use lagg_rs::wire::{MacAddr, slow};

use crate::lab::{Card, Lagg, card, flags, lab, lagg, pass, pass_with};
use crate::pair::{flow, pair};
use crate::peers::{ip, told};

/// The port on which it has last received a frame from an address, and how often that has changed.
#[derive(Default)]
struct Switch {
    table: BTreeMap<MacAddr, usize>,
    moves: usize,
}

impl Switch {
    /// Takes what the cards have sent: first what was sent on the port in service, so that the others are the last to
    /// be learned.
    fn learn(&mut self, cards: &[Card], in_service: usize) {
        host::settle();
        let others = (0..cards.len()).filter(|place| *place != in_service);
        for place in [in_service].into_iter().chain(others) {
            for frame in cards[place].nic.take_sent() {
                let before = self.table.insert(slow::source(&frame), place);
                self.moves += usize::from(before.is_some_and(|before| before != place));
            }
        }
    }
}

/// A lagg of three cards without a partner; one is in service after ten seconds.
fn alone() -> (Lagg, Vec<Card>) {
    let cards: Vec<_> = (1..=3).map(card).collect();
    let lagg = lagg();
    lagg.set_protocol(proto::LACP).unwrap();
    lagg.set("lacp.fallback", "single").unwrap();
    lagg.set("lacp.fallback_delay", "10").unwrap();
    for card in &cards {
        lagg.add(&card.name()).unwrap();
    }
    lagg.up();
    (lagg, cards)
}

/// LACPDUs come from the ports' own addresses, one of which the lagg has.
#[test]
fn f79_a_switch_learns_the_laggs_address_only_on_the_port_in_service() {
    lab(|| {
        let (lagg, cards) = alone();
        lagg.set("port_priority", "em2:1 em3:2").unwrap();
        let switch = RefCell::new(Switch::default());
        pass_with(12_000, || switch.borrow_mut().learn(&cards, 1));
        assert_eq!(lagg.ifp.link_state(), LinkState::Up);
        let own = lagg.ifp.lladdr().ethernet();
        let mut frame = flow(1);
        frame[6..12].copy_from_slice(&own);
        for in_service in [1, 2, 1] {
            lagg.send(&frame).unwrap();
            switch.borrow_mut().learn(&cards, in_service);
            switch.borrow_mut().moves = 0;
            pass_with(200_000, || {
                switch.borrow_mut().learn(&cards, in_service);
                assert_eq!(switch.borrow().table.get(&own), Some(&in_service));
            });
            // No address is seen on two ports in turn, which switches would report.
            assert!(switch.borrow().moves <= 2);
            // One that is taken down says farewell.
            flags("em1", 0).unwrap();
            switch.borrow_mut().learn(&cards, in_service);
            assert_eq!(switch.borrow().table.get(&own), Some(&in_service));
            flags("em1", iff::UP).unwrap();
            cards[1].link(if in_service == 1 { LinkState::Down } else { LinkState::Up });
            // One that comes back waits for a partner for a while.
            pass_with(5_000, || switch.borrow_mut().learn(&cards, 3 - in_service));
        }
    });
}

/// Also where another port had been in service, with or without a partner.
#[test]
fn peers_are_told_when_a_port_comes_into_service_without_a_partner() {
    lab(|| {
        let (lagg, cards) = alone();
        set_ip(&lagg.ifp, ip("192.0.2.1"), IpState::Ready);
        let events = Events::of(&lagg.ifp);
        pass(9_000);
        assert_eq!(told(&events), 0);
        pass(3_000);
        assert!(told(&events) > 0);
        pass(60_000);
        events.take();
        for (place, state) in [(0, LinkState::Down), (0, LinkState::Up)] {
            cards[place].link(state);
            // A port without a partner waits for one for a while.
            pass(4_000);
            assert_eq!(told(&events), 1);
        }
        drop((lagg, cards, events));
        let pair = pair(2);
        pair.left.set("lacp.fallback", "single").unwrap();
        let events = Events::of(&pair.left.ifp);
        for (_, card) in &pair.wires {
            card.link(LinkState::Up);
        }
        pair.right.set_protocol(proto::NONE).unwrap();
        for (_, card) in &pair.wires {
            card.nic.take_sent();
        }
        events.take();
        pass(200_000);
        assert_eq!(pair.left.ifp.link_state(), LinkState::Up);
        assert!(told(&events) > 0);
    });
}
