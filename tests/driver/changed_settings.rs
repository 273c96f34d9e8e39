//! Settings that are changed while what they govern is under way.

use lagg_rs::kpi::host::testing::Events;
use lagg_rs::kpi::host::{self, Vnet};
use lagg_rs::kpi::ioctl::{OptionsRequest, opt, proto};
use lagg_rs::kpi::{LinkState, Mbuf};

use crate::lab::{Card, Lagg, card, lab, lagg_of, pass};
use crate::pair::flow;
use crate::peers::{announced, told};
use crate::rebalance::{heavy, loadbalance, ports};

fn use_flowid(lagg: &Lagg) {
    let request = OptionsRequest { opts: opt::USE_FLOWID, ..OptionsRequest::default() };
    lagg.set_options(request).unwrap();
}

/// Whether a packet's id alone decides on its port.
fn goes_by_id(lagg: &Lagg, cards: &[Card]) -> bool {
    let port = |n| {
        let mut m = Mbuf::from_bytes(&flow(n));
        m.set_flow(Some(0));
        host::transmit(&lagg.ifp, m).unwrap();
        cards.iter().position(|card| card.sent() == 1).expect("it was sent")
    };
    (0..64).all(|n| port(n) == port(0))
}

#[test]
fn a_shorter_rebalance_does_not_wait_for_the_longer_one() {
    lab(|| {
        let (cards, lagg) = loadbalance();
        lagg.set("rebalance", "3600").unwrap();
        pass(10);
        lagg.set("rebalance", "1").unwrap();
        pass(10);
        let before = ports(&lagg, &cards);
        heavy(&lagg, &before);
        cards.iter().for_each(|card| _ = card.sent());
        pass(1000);
        assert_ne!(ports(&lagg, &cards), before);
    });
}

#[test]
fn options_of_the_hash_take_effect_while_flows_are_measured() {
    lab(|| {
        let (cards, lagg) = loadbalance();
        lagg.set("rebalance", "3600").unwrap();
        pass(10);
        assert!(!goes_by_id(&lagg, &cards));
        use_flowid(&lagg);
        assert!(goes_by_id(&lagg, &cards));
        lagg.set("hash_symmetric", "1").unwrap();
        assert!(!goes_by_id(&lagg, &cards));
        lagg.set("hash_symmetric", "0").unwrap();
        assert!(goes_by_id(&lagg, &cards));
    });
}

#[test]
fn a_primary_that_is_no_port_recalls_no_other() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        lagg.set("primary_reselect", "failure").unwrap();
        a.link(LinkState::Down);
        assert_eq!(lagg.setting("active").unwrap(), "em2");
        lagg.set("primary", "em9").unwrap();
        a.link(LinkState::Up);
        pass(10);
        assert_eq!(lagg.setting("active").unwrap(), "em2", "it has not failed");
    });
}

/// It may get the slot of one that has left.
#[test]
fn a_port_that_joins_a_lagg_that_is_down_waits_for_up_delay() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        let lagg = lagg_of(&[&a, &b]);
        lagg.set_protocol(proto::ROUNDROBIN).unwrap();
        lagg.set("up_delay", "5000").unwrap();
        pass(10);
        lagg.down();
        pass(10);
        lagg.remove("em2").unwrap();
        lagg.add("em3").unwrap();
        lagg.up();
        pass(10);
        a.sent();
        c.sent();
        (0..100).for_each(|n| lagg.send(&flow(n)).unwrap());
        assert_eq!((a.sent(), c.sent()), (100, 0));
    });
}

/// The protocol task must not run again and again for it.
#[test]
fn a_lagg_that_is_down_waits_for_no_delay() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        lagg.set("up_delay", "3000").unwrap();
        pass(10);
        lagg.add("em2").unwrap();
        pass(300);
        lagg.down();
        pass(5000);
        pass(5000);
        assert_eq!(Vnet::current().next_callout(), None);
        drop(b);
    });
}

/// Packets are sent, so switches must know where.
#[test]
fn peers_are_told_of_a_failover_below_min_links() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = announced(&[&a, &b]);
        lagg.set("min_links", "2").unwrap();
        pass(10);
        let events = Events::of(&lagg.ifp);
        a.link(LinkState::Down);
        pass(5000);
        assert_eq!(told(&events), 1);
    });
}

#[test]
fn a_shorter_notify_interval_does_not_wait_for_the_longer_one() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = announced(&[&a, &b]);
        lagg.set("notify_peers", "4").unwrap();
        lagg.set("notify_interval", "60000").unwrap();
        let events = Events::of(&lagg.ifp);
        a.link(LinkState::Down);
        pass(2000);
        assert_eq!(told(&events), 1);
        lagg.set("notify_interval", "10").unwrap();
        for _ in 0..10 {
            pass(10);
        }
        assert_eq!(told(&events), 3);
        drop(b);
    });
}
