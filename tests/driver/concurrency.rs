//! Packets on several threads while everything about the lagg changes.

use std::sync::atomic::Ordering::{self, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;

use lagg_rs::kpi::host;
use lagg_rs::kpi::host::testing::TestNic;
use lagg_rs::kpi::ioctl::proto;
use lagg_rs::kpi::{Counter, Errno, LinkState, Mbuf};

use crate::lab::{Card, PROTOCOLS, card, flags, frame, lab, lagg, lagg_of, mac, spawn};

fn counting_card(n: u8) -> Card {
    let nic = TestNic::counting();
    let ifp = nic.attach(&format!("em{n}"), mac(n));
    flags(&format!("em{n}"), 1).unwrap();
    host::set_link(&ifp, LinkState::Up);
    Card { nic, ifp }
}

/// The protocols that send a packet once.
const SENDING_ONCE: [u32; 4] =
    [proto::FAILOVER, proto::NONE, proto::ROUNDROBIN, proto::LOADBALANCE];

/// Two senders and two receivers; ports come and go down to none, the protocol changes, links flap.
/// Each packet is sent or refused, and each is counted.
#[test]
fn packets_flow_while_ports_and_protocols_change() {
    const ROUNDS: usize = 300;
    lab(|| {
        let cards: Vec<_> = (1..=3).map(counting_card).collect();
        let lagg = lagg_of(&cards.iter().collect::<Vec<_>>());
        let received = AtomicU64::new(0);
        let received: &'static AtomicU64 = Box::leak(Box::new(received));
        host::set_input(&lagg.ifp, |_| {
            received.fetch_add(1, Ordering::Relaxed);
        });
        let done = AtomicBool::new(false);
        let (tried, sent) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for _ in 0..2 {
                spawn(scope, || {
                    while !done.load(Ordering::Relaxed) {
                        tried.fetch_add(1, Ordering::Relaxed);
                        match lagg.send(&frame(0)) {
                            Ok(()) => sent.fetch_add(1, Ordering::Relaxed),
                            Err(Errno::ENXIO | Errno::ENETDOWN | Errno::ENOENT) => 0,
                            Err(other) => panic!("{other:?}"),
                        };
                    }
                });
                spawn(scope, || {
                    for card in cards.iter().cycle() {
                        host::receive(&card.ifp, Mbuf::from_bytes(&frame(0)));
                        if done.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                });
            }
            for round in 0..ROUNDS {
                let names: Vec<_> = cards.iter().map(Card::name).collect();
                names.iter().for_each(|name| lagg.remove(name).unwrap());
                lagg.set_protocol(SENDING_ONCE[round % SENDING_ONCE.len()]).unwrap();
                names.iter().for_each(|name| lagg.add(name).unwrap());
                let state = [LinkState::Down, LinkState::Up][round % 2];
                host::set_link(&cards[round % 3].ifp, state);
            }
            done.store(true, Ordering::Relaxed);
        });
        let by_cards: u64 = cards.iter().map(|card| card.nic.sent()).sum();
        assert_eq!(by_cards, sent.load(Ordering::Relaxed));
        assert_eq!(
            tried.load(Ordering::Relaxed) - by_cards,
            lagg.ifp.counter(Counter::Oerrors),
            "what was not sent was counted"
        );
        assert!(by_cards > 0 && received.load(Ordering::Relaxed) > 0);
    });
}

/// A million packets through every number of ports, 0 to 32 and back, with every protocol: two senders, two
/// receivers, and one that configures. Each packet is sent or refused, and each is counted.
#[test]
fn a_million_packets_through_all_counts_of_ports() {
    const PACKETS: u64 = 1_000_000;
    lab(|| {
        let cards: Vec<_> = (1..=32).map(counting_card).collect();
        let lagg = lagg_of(&[]);
        let (sent, refused, received) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let packets = || sent.load(Relaxed) + refused.load(Relaxed) + received.load(Relaxed);
        let done = AtomicBool::new(false);
        let mut rounds = 0;
        thread::scope(|scope| {
            for _ in 0..2 {
                spawn(scope, || {
                    while !done.load(Relaxed) {
                        match lagg.send(&frame(0)) {
                            Ok(()) => sent.fetch_add(1, Relaxed),
                            Err(_) => refused.fetch_add(1, Relaxed),
                        };
                    }
                });
                spawn(scope, || {
                    for card in cards.iter().cycle().take_while(|_| !done.load(Relaxed)) {
                        host::receive(&card.ifp, Mbuf::from_bytes(&frame(0)));
                        received.fetch_add(1, Relaxed);
                    }
                });
            }
            while rounds == 0 || packets() < PACKETS {
                for protocol in PROTOCOLS {
                    lagg.set_protocol(protocol).unwrap();
                    cards.iter().for_each(|card| lagg.add(&card.name()).unwrap());
                    assert_eq!(lagg.ports().len(), 32);
                    cards.iter().for_each(|card| lagg.remove(&card.name()).unwrap());
                }
                rounds += 1;
            }
            done.store(true, Relaxed);
        });
        // The cards have sent more if a broadcast has failed after some copies, and with LACPDUs.
        assert!(cards.iter().map(|card| card.nic.sent()).sum::<u64>() >= sent.load(Relaxed));
        // A card that is down for a moment, while it gets another address, also counts LACPDUs that it
        // refuses.
        assert!(lagg.ifp.counter(Counter::Oerrors) >= refused.load(Relaxed));
        assert!(sent.load(Relaxed) > 0 && refused.load(Relaxed) > 0);
    });
}

/// The same through all protocols, in an order that has every switch from one to another.
#[test]
fn every_protocol_follows_every_other_under_traffic() {
    lab(|| {
        let cards: Vec<_> = (1..=3).map(counting_card).collect();
        let lagg = lagg_of(&cards.iter().collect::<Vec<_>>());
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                spawn(scope, || {
                    while !done.load(Ordering::Relaxed) {
                        let _ = lagg.send(&frame(0));
                        host::receive(&cards[1].ifp, Mbuf::from_bytes(&frame(0)));
                    }
                });
            }
            for from in PROTOCOLS {
                for to in PROTOCOLS {
                    lagg.set_protocol(from).unwrap();
                    lagg.set_protocol(to).unwrap();
                    lagg.remove("em3").unwrap();
                    lagg.add("em3").unwrap();
                    assert_eq!(lagg.get(0).unwrap().0.proto, to);
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(cards.iter().all(|card| card.nic.sent() > 0));
    });
}

/// Laggs are created and destroyed while their ports' links flap and other threads read.
#[test]
fn laggs_come_and_go_under_link_events_and_readers() {
    const ROUNDS: usize = 100;
    lab(|| {
        let (a, b) = (card(1), card(2));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            spawn(scope, || {
                for state in [LinkState::Down, LinkState::Up].into_iter().cycle() {
                    host::set_link(&a.ifp, state);
                    host::set_link(&b.ifp, state);
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    thread::yield_now();
                }
            });
            spawn(scope, || {
                while !done.load(Ordering::Relaxed) {
                    if let Some(ifp) = host::Vnet::current().interface("lagg0") {
                        let lagg = std::mem::ManuallyDrop::new(crate::lab::Lagg {
                            name: "lagg0".to_owned(),
                            ifp,
                        });
                        let _ = lagg.get(2304);
                        let _ = lagg.options();
                        let _ = lagg.port("em1");
                    }
                }
            });
            for _ in 0..ROUNDS {
                let lagg = lagg();
                lagg.add("em1").unwrap();
                lagg.add("em2").unwrap();
                lagg.up();
                lagg.destroy();
            }
            done.store(true, Ordering::Relaxed);
        });
        host::settle();
        assert!(a.ifp.lagg_port().is_none() && b.ifp.lagg_port().is_none());
    });
}
