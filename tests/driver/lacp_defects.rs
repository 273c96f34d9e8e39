//! Defects of C lagg's LACP in the driver: races and memory. Those of its machines are in tests/lacp.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lagg_rs::kpi::host::{self, Vnet};
use lagg_rs::kpi::ioctl::proto;
use lagg_rs::kpi::{Errno, IfType, LinkState, Mbuf};
use lagg_rs::wire::lacpdu::{Info, Lacpdu, StateBits};
use lagg_rs::wire::marker::Marker;
use lagg_rs::wire::slow::{MULTICAST, Subtype};

use crate::lab::{
    Card, Lagg, card, flags, frame, lab, lagg, lagg_of, spawn, until, without_memory,
};

/// A LACPDU of a partner that agrees to everything, for a port.
fn agreeable(lagg: &Lagg, port: u8) -> Vec<u8> {
    let state = StateBits::ACTIVITY
        | StateBits::AGGREGATION
        | StateBits::SYNC
        | StateBits::COLLECTING
        | StateBits::DISTRIBUTING;
    let actor = Info { system: [2, 9, 9, 9, 9, 9], port: port.into(), state, ..Info::default() };
    let record = lagg.port(&format!("em{port}")).map(|record| record.psc).unwrap_or_default();
    let partner = Info {
        system_priority: record.actor_prio,
        system: record.actor_mac,
        key: record.actor_key,
        port_priority: record.actor_portprio,
        port: record.actor_portno,
        state: StateBits::from_bits_retain(record.actor_state),
    };
    Lacpdu { actor, partner }.emit([2, 9, 9, 9, 9, port]).to_vec()
}

fn marker() -> Vec<u8> {
    Marker { port: 1, system: [2; 6], transaction: 1 }.emit([2; 6]).to_vec()
}

/// Runs `change` repeatedly while PDUs and packets are received on the cards, and packets are sent.
fn under_traffic(lagg: &Lagg, cards: &[&Card], rounds: usize, mut change: impl FnMut(usize)) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for card in cards {
            let port = card.name()[2..].parse().unwrap();
            let done = &done;
            spawn(scope, move || {
                while !done.load(Ordering::Relaxed) {
                    for bytes in [agreeable(lagg, port), marker(), frame(0)] {
                        host::receive(&card.ifp, Mbuf::from_bytes(&bytes));
                    }
                    let _ = lagg.send(&frame(1));
                    card.nic.take_sent();
                }
            });
        }
        (0..rounds).for_each(&mut change);
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn d02_the_protocol_changes_under_pdus() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        under_traffic(&lagg, &[&a, &b], 100, |_| {
            lagg.set_protocol(proto::LACP).unwrap();
            lagg.set_protocol(proto::LOADBALANCE).unwrap();
        });
    });
}

#[test]
fn d03_d04_ports_leave_and_join_under_pdus() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        lagg.set_protocol(proto::LACP).unwrap();
        under_traffic(&lagg, &[&a, &b], 100, |round| {
            let port = ["em1", "em2"][round % 2];
            lagg.remove(port).unwrap();
            lagg.add(port).unwrap();
        });
        lagg.remove("em1").unwrap();
        lagg.remove("em2").unwrap();
        assert_eq!(lagg.send(&frame(0)), Err(Errno::ENXIO));
    });
}

/// The active aggregator goes and comes under traffic, while another thread queries it all the time.
#[test]
fn d07_d08_the_active_aggregator_changes_under_packets_and_readers() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        lagg.set_protocol(proto::LACP).unwrap();
        let is_active = || {
            let (all, records) = lagg.get(2 * 72).unwrap();
            assert_eq!(records.len(), 2);
            all.psc.partner_mac == [2, 9, 9, 9, 9, 9]
        };
        under_traffic(&lagg, &[&a, &b], 201, |round| {
            let vnet = Vnet::current();
            vnet.advance_to(vnet.uptime_ms() + 2_000);
            let state = if round % 4 == 3 { LinkState::Down } else { LinkState::Up };
            a.link(state);
            b.link(state);
            is_active();
            if round == 200 {
                until("an active aggregator", || {
                    vnet.advance_to(vnet.uptime_ms() + 100);
                    is_active()
                });
            }
        });
    });
}

/// PDUs are sent through a VLAN, which requires its sender to be in the epoch.
#[test]
fn d20_lacp_over_vlans() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let vlan = |name, card: &Card| {
            let vlan = host::vlan_create(&card.ifp, 7, name).unwrap();
            flags(name, 1).unwrap();
            vlan
        };
        let _vlans = [vlan("vlan1", &a), vlan("vlan2", &b)];
        let lagg = lagg();
        lagg.set_protocol(proto::LACP).unwrap();
        lagg.add("vlan1").unwrap();
        lagg.add("vlan2").unwrap();
        lagg.up();
        host::settle();
        for card in [&a, &b] {
            assert_eq!(card.ifp.if_type(), IfType::Ethernet);
            let sent = card.nic.take_sent();
            assert!(sent.iter().any(|frame| Subtype::of(frame) == Some(Subtype::Lacp)));
            assert!(host::groups(&card.ifp).contains(&MULTICAST.into()));
        }
    });
}

/// A port is in the group of the slow protocols before it is in the plan. An interface that cannot join the
/// group does not become a port, and stays as it was.
#[test]
fn d21_a_port_that_cannot_receive_lacp_does_not_join() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        lagg.set_protocol(proto::LACP).unwrap();
        let mut refused = 0;
        for n in 1.. {
            host::fail_allocation(n);
            let joined = lagg.add("em2");
            let all_came = host::fail_allocation(0) != 0;
            let is_port = lagg.ports().len() == 2;
            assert_eq!(joined.is_ok(), is_port);
            assert_eq!(host::groups(&b.ifp).contains(&MULTICAST.into()), is_port);
            if all_came {
                break;
            }
            refused += usize::from(joined.is_err());
            if is_port {
                lagg.remove("em2").unwrap();
            }
        }
        assert!(refused > 3, "{refused}");
        // The same holds for a lagg that is switched to lacp.
        lagg.set_protocol(proto::FAILOVER).unwrap();
        assert!(!host::groups(&a.ifp).contains(&MULTICAST.into()));
        without_memory(|| lagg.set_protocol(proto::BROADCAST));
    });
}
