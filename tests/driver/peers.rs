//! What hosts and switches are told when another port is in service.

use std::net::IpAddr;

use lagg_rs::kpi::host::testing::Events;
use lagg_rs::kpi::host::{self, Event, IpState, Vnet, set_ip};
use lagg_rs::kpi::ioctl::proto;
use lagg_rs::kpi::{Defaults, LinkState, iff};

use crate::lab::{Card, Lagg, PROTOCOLS, addr, card, flags, ib, ib_lagg, lab, lagg_of, mac, pass};

/// How often an interface was announced since the last call.
pub fn told(events: &Events) -> usize {
    host::settle();
    events.take().iter().filter(|event| **event == Event::Announced).count()
}

/// A lagg with two cards, whose own address is announced already.
pub fn announced(cards: &[&Card]) -> Lagg {
    let lagg = lagg_of(cards);
    pass(10_000);
    cards.iter().for_each(|card| drop(card.nic.take_sent()));
    lagg
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The frames that a card has sent for this IP address.
fn for_ip(card: &Card, ip: &str) -> Vec<Vec<u8>> {
    let octets = match self::ip(ip) {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let names = |frame: &Vec<u8>| frame.windows(octets.len()).any(|bytes| bytes == octets);
    card.nic.take_sent().into_iter().filter(names).collect()
}

#[test]
fn peers_are_told_once_when_failover_sends_on_another_port() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = announced(&[&a, &b]);
        set_ip(&lagg.ifp, ip("192.0.2.1"), IpState::Ready);
        let events = Events::of(&lagg.ifp);
        a.link(LinkState::Down);
        assert_eq!(events.take().iter().filter(|it| **it == Event::GroupsReported).count(), 1);
        assert_eq!(for_ip(&b, "192.0.2.1").len(), 1);
        assert_eq!(a.sent(), 0);
        pass(600_000);
        assert_eq!(told(&events), 0);
        a.link(LinkState::Up);
        assert_eq!(told(&events), 1, "the primary is back");
        assert_eq!(for_ip(&a, "192.0.2.1").len(), 1);
        b.link(LinkState::Down);
        b.link(LinkState::Up);
        assert_eq!(told(&events), 0, "it did not send");
        flags("em1", 0).unwrap();
        assert_eq!(told(&events), 1, "a port that is taken down");
        flags("em1", iff::UP).unwrap();
        assert_eq!(told(&events), 1);
        lagg.remove("em1").unwrap();
        assert!(told(&events) >= 1, "a port that leaves");
        assert!(!for_ip(&b, "192.0.2.1").is_empty());
    });
}

#[test]
fn peers_are_told_so_often_and_so_far_apart() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = announced(&[&a, &b]);
        lagg.set("notify_peers", "3").unwrap();
        lagg.set("notify_interval", "500").unwrap();
        let events = Events::of(&lagg.ifp);
        a.link(LinkState::Down);
        assert_eq!(told(&events), 1);
        for expected in [0, 1, 0, 1, 0, 0, 0] {
            pass(if expected == 0 { 499 } else { 1 });
            assert_eq!(told(&events), expected);
        }
        pass(600_000);
        assert_eq!(told(&events), 0);
    });
}

/// With the greatest number, and the shortest interval.
#[test]
fn peers_are_told_255_times_at_most() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = announced(&[&a, &b]);
        lagg.set("notify_peers", "255").unwrap();
        lagg.set("notify_interval", "10").unwrap();
        let events = Events::of(&lagg.ifp);
        a.link(LinkState::Down);
        assert_eq!(told(&events), 1);
        for _ in 0..254 {
            pass(9);
            assert_eq!(told(&events), 0);
            pass(1);
            assert_eq!(told(&events), 1);
        }
        pass(1_000);
        assert_eq!(told(&events), 0);
    });
}

#[test]
fn with_notify_peers_0_nothing_is_told() {
    lab(|| {
        Vnet::current().set_defaults(Defaults { notify_peers: 0, ..Defaults::USUAL });
        let (a, b) = (card(1), card(2));
        let lagg = announced(&[&a, &b]);
        set_ip(&lagg.ifp, ip("192.0.2.1"), IpState::Ready);
        let events = Events::of(&lagg.ifp);
        for _ in 0..2 {
            a.link(LinkState::Down);
            pass(10_000);
            a.link(LinkState::Up);
            pass(10_000);
        }
        assert_eq!(told(&events), 0);
        assert_eq!((a.sent(), b.sent()), (0, 0));
        lagg.set("notify_peers", "1").unwrap();
        pass(10_000);
        assert_eq!(told(&events), 0, "nothing has changed");
    });
}

/// Also if it is set to 0 while peers are told again and again.
#[test]
fn telling_ends_when_notify_peers_is_0() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = announced(&[&a, &b]);
        lagg.set("notify_peers", "100").unwrap();
        let events = Events::of(&lagg.ifp);
        a.link(LinkState::Down);
        pass(1_000);
        assert_eq!(told(&events), 2);
        lagg.set("notify_peers", "0").unwrap();
        pass(100_000);
        assert_eq!(told(&events), 0);
    });
}

#[test]
fn a_second_failover_begins_anew() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = announced(&[&a, &b]);
        lagg.set("notify_peers", "3").unwrap();
        let events = Events::of(&lagg.ifp);
        a.link(LinkState::Down);
        pass(1_500);
        assert_eq!(told(&events), 2);
        a.link(LinkState::Up);
        assert_eq!(told(&events), 1);
        pass(999);
        assert_eq!(told(&events), 0);
        pass(1);
        assert_eq!(told(&events), 1);
        pass(10_000);
        assert_eq!(told(&events), 1);
    });
}

/// What could not be heard is told when it can.
#[test]
fn nothing_is_told_while_no_host_can_hear_it() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = announced(&[&a, &b]);
        lagg.set("notify_peers", "2").unwrap();
        let events = Events::of(&lagg.ifp);
        a.link(LinkState::Down);
        assert_eq!(told(&events), 1);
        b.link(LinkState::Down);
        pass(10_000);
        assert_eq!(told(&events), 0, "no port is active");
        b.link(LinkState::Up);
        assert_eq!(told(&events), 1);
        pass(10_000);
        assert_eq!(told(&events), 1);
        lagg.down();
        a.link(LinkState::Up);
        pass(10_000);
        assert_eq!(told(&events), 0, "the lagg is down");
        lagg.up();
        assert_eq!(told(&events), 1, "another port than when it went down");
    });
}

#[test]
fn a_lagg_can_be_destroyed_meanwhile() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = announced(&[&a, &b]);
        lagg.set("notify_peers", "255").unwrap();
        let events = Events::of(&lagg.ifp);
        a.link(LinkState::Down);
        pass(1_000);
        assert_eq!(told(&events), 2);
        lagg.destroy();
        pass(600_000);
        assert_eq!(told(&events), 0);
        assert_eq!((a.sent(), b.sent()), (0, 0));
    });
}

#[test]
fn addresses_that_are_not_in_use_are_not_announced() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = announced(&[&a, &b]);
        set_ip(&lagg.ifp, ip("2001:db8::1"), IpState::Ready);
        let states = [IpState::Tentative, IpState::Duplicated, IpState::Detached, IpState::Anycast];
        for (n, state) in (2..).zip(states) {
            set_ip(&lagg.ifp, ip(&format!("2001:db8::{n}")), state);
        }
        a.link(LinkState::Down);
        let sent = b.nic.take_sent();
        assert_eq!(sent.len(), 1);
        assert_eq!((&sent[0][6..12], &sent[0][12..14]), (&mac(1)[..], &[0x86, 0xdd][..]));
        assert_eq!(sent[0][58] & 0x20, 0x20, "it overrides what hosts have");
    });
}

/// Switches learn the lagg's address on all ports, or on an aggregation of them.
#[test]
fn other_protocols_tell_nothing() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = announced(&[&a, &b]);
        let is_other = |protocol: &u32| ![proto::FAILOVER, proto::LACP].contains(protocol);
        for protocol in PROTOCOLS.into_iter().filter(is_other) {
            lagg.set_protocol(protocol).unwrap();
            pass(10_000);
            let events = Events::of(&lagg.ifp);
            for card in [&a, &b] {
                card.link(LinkState::Down);
                pass(1_000);
                card.link(LinkState::Up);
                pass(1_000);
            }
            assert_eq!(told(&events), 0, "protocol {protocol}");
        }
    });
}

/// The address of InfiniBand changes with the port. That is announced with the change, and again.
#[test]
fn infiniband_is_announced_too() {
    lab(|| {
        let (a, _b) = (ib(1), ib(2));
        let lagg = ib_lagg();
        lagg.add("ib1").unwrap();
        lagg.add("ib2").unwrap();
        lagg.up();
        pass(10_000);
        lagg.set("notify_peers", "2").unwrap();
        lagg.set("notify_interval", "100").unwrap();
        let events = Events::of(&lagg.ifp);
        a.link(LinkState::Down);
        assert_eq!(lagg.ifp.lladdr(), addr(2));
        assert_eq!(told(&events), 1);
        pass(100);
        assert_eq!(told(&events), 1);
        pass(10_000);
        assert_eq!(told(&events), 0);
    });
}
