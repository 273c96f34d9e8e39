//! A request to a port's driver may take the port down for a moment. The port must stay in service (F-56).

use std::thread;

use lagg_rs::kpi::LinkState;
use lagg_rs::kpi::host::testing::Events;
use lagg_rs::kpi::host::{self, Attached, Couplings, Event, Vnet};
use lagg_rs::kpi::ioctl::{SIOCSIFCAP, SIOCSIFFLAGS, SIOCSIFMTU, proto};
use lagg_rs::wire::lacpdu::Lacpdu;

use crate::lab::{Card, ether, flags, lab, lagg_of, mac, name, spawn, until};
use crate::offloads::{able, set};
use crate::pair::{Pair, pair};

type Ask = fn(&Pair);

/// Requests of the lagg to all ports of the left side except the first.
const OURS: [(usize, Ask); 4] = [
    (SIOCSIFFLAGS, |pair| pair.left.remove("em1").unwrap()),
    (SIOCSIFFLAGS, |pair| ether(&pair.left.name, mac(77)).unwrap()),
    (SIOCSIFMTU, |pair| pair.left.set_mtu(9000).unwrap()),
    (SIOCSIFCAP, |pair| set(&pair.left.name, 1).unwrap()),
];

/// A pair whose cards on the left side restart at every request, and have their link back later.
fn late_pair() -> Pair {
    let pair = pair(3);
    for (card, _) in &pair.wires {
        let mut can = card.ifp.offloads();
        can.capabilities |= 3;
        card.ifp.store_offloads(&can);
    }
    // So that the lagg offers a capability.
    set("em1", 0).unwrap();
    for (card, _) in &pair.wires {
        host::couple(&card.ifp, Couplings { is_late: true, ..Couplings::default() });
    }
    host::settle();
    pair
}

/// How many of the second and third port the left side has in service. Nothing else may have been sent to
/// the partner.
#[track_caller]
fn in_service(pair: &Pair, ports: usize) {
    let records = pair.records(&pair.left);
    let others = records.iter().filter(|it| it.portname != name("em1"));
    assert_eq!(others.filter(|it| it.flags == 0x1c).count(), ports);
    for (card, _) in &pair.wires[1..] {
        for frame in card.nic.take_sent() {
            assert!(Lacpdu::parse(&frame).is_err(), "the partner is told");
        }
    }
}

/// No LACPDUs pass meanwhile by which the ports could have come back.
#[test]
fn f56_ports_that_get_another_address_stay_in_service() {
    lab(|| {
        for (_, ask) in &OURS[..2] {
            let pair = pair(3);
            ask(&pair);
            host::settle();
            in_service(&pair, 2);
            pair.pass(5_000);
            assert!(pair.distributing(&pair.left) >= 2);
        }
    });
}

/// em2's driver handles a request, with the port down, and has taken `ms` milliseconds so far: the port is in
/// service. Then its link is `after` that.
fn is_in_service_meanwhile(pair: &Pair, (command, ask): (usize, Ask), ms: u64, after: LinkState) {
    let em2 = &pair.wires[1].0;
    let blocked = em2.nic.block(command);
    thread::scope(|scope| {
        let vnet = Vnet::current();
        spawn(scope, move || ask(pair));
        blocked.wait();
        vnet.advance_to(vnet.uptime_ms() + ms);
        host::set_link(&em2.ifp, LinkState::Down);
        // When the protocol task has handled this, it has also handled the left side.
        host::set_link(&pair.wires[0].1.ifp, LinkState::Down);
        until("the other side", || pair.distributing(&pair.right) == 2);
        in_service(pair, 2);
        host::set_link(&em2.ifp, after);
        blocked.release();
    });
}

#[test]
fn f56_a_port_is_in_service_while_its_driver_has_another_address() {
    lab(|| {
        for ours in OURS {
            is_in_service_meanwhile(&late_pair(), ours, 0, LinkState::Up);
        }
    });
}

/// Nor does it matter how long its driver takes.
#[test]
fn f69_a_slow_driver_does_not_lose_its_ports_place() {
    lab(|| {
        for ours in OURS {
            let pair = late_pair();
            is_in_service_meanwhile(&pair, ours, 5_000, LinkState::Down);
            // What is still down then has a second more.
            host::settle();
            pair.wires[2].0.link(LinkState::Up);
            pair.pass(999);
            let others = pair.distributing(&pair.left);
            pair.pass(1);
            assert!(pair.distributing(&pair.left) < others);
        }
    });
}

/// A port whose own request is long done leaves when its link goes, whatever other drivers are at.
#[test]
fn f69_a_slow_driver_keeps_no_other_port_in_its_place() {
    lab(|| {
        let pair = pair(3);
        let blocked = pair.wires[1].0.nic.block(SIOCSIFMTU);
        thread::scope(|scope| {
            let vnet = Vnet::current();
            spawn(scope, || pair.left.set_mtu(9000).unwrap());
            blocked.wait();
            vnet.advance_to(vnet.uptime_ms() + 1_000);
            host::set_link(&pair.wires[0].0.ifp, LinkState::Down);
            until("em1 to leave", || {
                let records = pair.records(&pair.left);
                records.iter().any(|it| it.portname == name("em1") && it.flags != 0x1c)
            });
            blocked.release();
        });
    });
}

/// The card reports late that its link is gone, and a while later that it is back.
#[test]
fn f56_a_card_that_restarts_late_stays_in_service() {
    lab(|| {
        for (_, ask) in OURS {
            let pair = late_pair();
            ask(&pair);
            host::settle();
            in_service(&pair, 2);
            assert_eq!(pair.wires[1].0.ifp.link_state(), LinkState::Down);
            pair.pass(600);
            for (card, _) in &pair.wires {
                card.link(LinkState::Up);
            }
            in_service(&pair, 2);
            for _ in 0..3_000 {
                pair.pass(1);
                assert!(pair.distributing(&pair.left) >= 2);
                assert!(pair.distributing(&pair.right) >= 2);
            }
        }
    });
}

/// The partner's card may see it, and take its own end out of service.
#[test]
fn f56_a_restart_that_the_partner_sees_is_over_when_the_link_is_back() {
    lab(|| {
        for (_, ask) in OURS {
            let pair = late_pair();
            ask(&pair);
            for (_, card) in &pair.wires {
                card.link(LinkState::Down);
            }
            assert_eq!(pair.distributing(&pair.right), 0);
            pair.pass(600);
            for n in 0..3 {
                pair.link(n, LinkState::Up);
            }
            pair.pass(1_000);
            assert!(pair.distributing(&pair.left) >= 2);
            assert_eq!(pair.distributing(&pair.left), pair.distributing(&pair.right));
        }
    });
}

/// A link that stays down is out of service a second later, and a port that is taken down at once.
#[test]
fn f56_a_link_that_stays_down_is_down() {
    lab(|| {
        for (_, ask) in OURS {
            let pair = late_pair();
            ask(&pair);
            host::settle();
            pair.wires[2].0.link(LinkState::Up);
            in_service(&pair, 2);
            pair.pass(999);
            assert_eq!(
                pair.distributing(&pair.left),
                2 + usize::from(pair.left.ports().len() == 3)
            );
            pair.pass(1);
            assert_eq!(pair.distributing(&pair.left), 1);
        }
        let pair = late_pair();
        (OURS[0].1)(&pair);
        flags("em2", 0).unwrap();
        host::settle();
        assert_eq!(pair.distributing(&pair.left), 1);
    });
}

/// Nor does the lagg's own link go down, whatever the protocol is.
#[test]
fn f56_a_lagg_stays_up_while_its_ports_restart() {
    lab(|| {
        for protocol in [proto::FAILOVER, proto::LOADBALANCE] {
            let cards: Vec<Card> = (1..=2).map(|n| able(n, 3)).collect();
            for card in &cards {
                host::couple(&card.ifp, Couplings { is_late: true, ..Couplings::default() });
            }
            let lagg = lagg_of(&cards.iter().collect::<Vec<_>>());
            lagg.set_protocol(protocol).unwrap();
            cards.iter().for_each(|card| card.link(LinkState::Up));
            let events = Events::of(&lagg.ifp);
            let link = || {
                host::settle();
                let events = events.take();
                events.into_iter().filter(|it| matches!(it, Event::Link(_))).collect::<Vec<_>>()
            };
            lagg.set_mtu(9000).unwrap();
            assert_eq!(link(), []);
            cards.iter().for_each(|card| card.link(LinkState::Up));
            ether(&lagg.name, mac(77)).unwrap();
            assert_eq!(link(), []);
            Vnet::current().advance_to(Vnet::current().uptime_ms() + 1_000);
            assert_eq!(link(), [Event::Link(LinkState::Down)]);
        }
    });
}

/// A card that restarts for each VLAN, as ice(4) does: a VLAN on the lagg takes no port out of service.
#[test]
fn f68_ports_that_restart_for_a_vlan_stay_in_service() {
    lab(|| {
        let pair = pair(3);
        let restarts = Couplings { is_late: true, at_vlans: true, ..Couplings::default() };
        for (card, _) in &pair.wires {
            host::couple(&card.ifp, restarts);
        }
        let links_up = || {
            pair.pass(600);
            pair.wires.iter().for_each(|(card, _)| card.link(LinkState::Up));
        };
        let add = || {
            let vlan = host::vlan_create(&pair.left.ifp, 10, "vlan10").unwrap();
            host::settle();
            in_service(&pair, 2);
            vlan
        };
        let take = |vlan: Attached| {
            vlan.detach();
            host::settle();
            in_service(&pair, 2);
        };
        let vlan = add();
        links_up();
        take(vlan);
        links_up();
        // A second one before they have come back from the first.
        take(add());
        links_up();
        pair.pass(5_000);
        assert_eq!((pair.distributing(&pair.left), pair.distributing(&pair.right)), (3, 3));
    });
}
