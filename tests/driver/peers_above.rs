//! What is told on the interfaces that stand on a lagg, of LACP's aggregators, and of addresses that were made
//! in silence.

use std::net::IpAddr;

use lagg_rs::kpi::host::testing::Events;
use lagg_rs::kpi::host::{self, Event, IpState, Vnet, ip_state, set_ip};
use lagg_rs::kpi::ioctl::proto;
use lagg_rs::kpi::{Ifnet, LinkState, iff};
use lagg_rs::lacp::mux::AGGREGATE_WAIT;

use crate::lab::{card, flags, lab, lagg, mac, pass};
use crate::pair::pair;
use crate::peers::{announced, ip, told};

/// The VLAN `id` of an interface, up, with an address.
fn vlan_of(ifp: &Ifnet, id: u16, address: &str) -> host::Attached {
    let name = format!("vlan{id}");
    let vlan = host::vlan_create(ifp, id, &name).unwrap();
    flags(&name, iff::UP).unwrap();
    set_ip(&vlan, ip(address), IpState::Ready);
    host::settle();
    vlan
}

#[test]
fn what_stands_on_the_lagg_is_announced_too() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = announced(&[&a, &b]);
        let vlan = vlan_of(&lagg.ifp, 5, "192.0.2.5");
        let inner = vlan_of(&vlan, 6, "192.0.2.6");
        let down = vlan_of(&lagg.ifp, 7, "192.0.2.7");
        flags("vlan7", 0).unwrap();
        let bridge = host::bridge_create("bridge0").unwrap();
        flags("bridge0", iff::UP).unwrap();
        host::bridge_add(&bridge, &inner);
        host::bridge_add(&bridge, &lagg.ifp);
        let on_bridge = vlan_of(&bridge, 8, "192.0.2.8");
        let (outer_events, down_events) = (Events::of(&vlan), Events::of(&down));
        let (bridge_events, top_events) = (Events::of(&bridge), Events::of(&on_bridge));
        let inner_events = Events::of(&inner);
        a.link(LinkState::Down);
        assert_eq!(told(&outer_events), 1);
        assert_eq!(told(&inner_events), 1);
        assert_eq!(told(&down_events), 0);
        assert_eq!(told(&bridge_events), 1, "once, though two ways lead to it");
        assert_eq!(told(&top_events), 1);
        let sent = b.nic.take_sent();
        for ip in [[192, 0, 2, 5], [192, 0, 2, 6]] {
            let asks = |frame: &&Vec<u8>| frame[28..32] == ip && frame[38..42] == ip;
            assert_eq!(sent.iter().filter(asks).count(), 1);
        }
        [on_bridge, bridge, inner, down, vlan].into_iter().for_each(host::Attached::detach);
    });
}

/// A lagg on a VLAN of a lagg keeps its port, but the path to it has changed.
#[test]
fn a_lagg_on_a_vlan_of_the_lagg_is_announced_too() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let beneath = announced(&[&a, &b]);
        let vlan = host::vlan_create(&beneath.ifp, 5, "vlan5").unwrap();
        let above = lagg();
        above.add("vlan5").unwrap();
        above.up();
        pass(10_000);
        let events = Events::of(&above.ifp);
        a.link(LinkState::Down);
        assert_eq!(told(&events), 1);
        above.destroy();
        vlan.detach();
    });
}

/// A VLAN in another vnet is announced there.
#[test]
fn a_vlan_in_another_vnet_is_announced_too() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = announced(&[&a, &b]);
        let vlan = host::vlan_create(&lagg.ifp, 5, "vlan5").unwrap();
        let jail = Vnet::new();
        host::vmove(&vlan, &jail).unwrap();
        vlan.up();
        let events = Events::of(&vlan);
        host::listen(&vlan, move |_, event| {
            assert!(*event != Event::Announced || Vnet::current() == jail);
        });
        a.link(LinkState::Down);
        assert_eq!(told(&events), 1);
        jail.enter(|| vlan.detach());
        drop(b);
    });
}

/// By carp(4), from their own link-level address, where it is the master.
#[test]
fn f75_addresses_of_carp_are_not_announced_with_the_laggs_own() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = announced(&[&a, &b]);
        let vlan = vlan_of(&lagg.ifp, 5, "192.0.2.5");
        set_ip(&lagg.ifp, ip("192.0.2.100"), IpState::Carp(7, false));
        set_ip(&vlan, ip("192.0.2.101"), IpState::Carp(8, true));
        lagg.set("notify_peers", "3").unwrap();
        a.link(LinkState::Down);
        (0..5).for_each(|_| pass(1_000));
        let sent = b.nic.take_sent();
        let from = |mac: [u8; 6]| sent.iter().filter(|frame| frame[6..12] == mac).count();
        assert_eq!(from([0, 0, 0x5e, 0, 1, 7]), 0);
        assert_eq!(from([0, 0, 0x5e, 0, 1, 8]), 1, "after that carp(4) repeats it by itself");
        assert_eq!(from(mac(1)), 3, "the VLAN's other address");
        vlan.detach();
    });
}

/// Not while the aggregator is the same: its switch knows what the ports of the aggregation are.
#[test]
fn peers_are_told_when_another_aggregator_of_lacp_is_in_service() {
    lab(|| {
        let pair = pair(3);
        let other = lagg();
        other.set_protocol(proto::LACP).unwrap();
        pair.right.remove("em103").unwrap();
        other.add("em103").unwrap();
        other.up();
        for _ in 0..10 {
            pair.pass(AGGREGATE_WAIT);
        }
        assert_eq!(pair.distributing(&pair.left), 2);
        let events = Events::of(&pair.left.ifp);
        pair.link(0, LinkState::Down);
        pair.pass(AGGREGATE_WAIT);
        assert_eq!(pair.distributing(&pair.left), 1);
        assert_eq!(told(&events), 0);
        pair.link(1, LinkState::Down);
        for _ in 0..10 {
            pair.pass(AGGREGATE_WAIT);
        }
        assert_eq!(pair.distributing(&pair.left), 1);
        assert_eq!(told(&events), 1);
        other.destroy();
    });
}

/// IPv6 asks whether an address is a duplicate, and takes silence for a no.
#[test]
fn addresses_that_were_made_in_silence_are_detected_again() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = announced(&[&a, &b]);
        let detected = |events: &Events| {
            host::settle();
            let detects = |event: Event| match event {
                Event::Detecting(ip) => Some(ip),
                _ => None,
            };
            events.take().into_iter().filter_map(detects).collect::<Vec<_>>()
        };
        set_ip(&lagg.ifp, ip("2001:db8::1"), IpState::Ready);
        pass(10_000);
        let events = Events::of(&lagg.ifp);
        a.link(LinkState::Down);
        assert_eq!(detected(&events), [] as [IpAddr; 0], "the other port sends");
        b.link(LinkState::Down);
        pass(10_000);
        let vlan = vlan_of(&lagg.ifp, 5, "2001:db8:5::1");
        let vlan_events = Events::of(&vlan);
        set_ip(&lagg.ifp, ip("2001:db8::2"), IpState::Ready);
        set_ip(&lagg.ifp, ip("2001:db8::3"), IpState::Duplicated);
        set_ip(&lagg.ifp, ip("192.0.2.1"), IpState::Ready);
        pass(10_000);
        b.link(LinkState::Up);
        assert_eq!(detected(&events), [ip("2001:db8::2")], "the other was there before");
        assert_eq!(detected(&vlan_events), [ip("2001:db8:5::1")]);
        assert_eq!(ip_state(&lagg.ifp, ip("2001:db8::2")), Some(IpState::Tentative));
        set_ip(&lagg.ifp, ip("2001:db8::2"), IpState::Ready);
        b.link(LinkState::Down);
        b.link(LinkState::Up);
        assert_eq!(detected(&events), [] as [IpAddr; 0], "once");
        lagg.down();
        host::settle();
        pass(10_000);
        lagg.up();
        let all = [ip("2001:db8::1"), ip("2001:db8::2")];
        assert_eq!(detected(&events), all, "IPv6 asks about all when an interface comes up");
        vlan.detach();
    });
}
