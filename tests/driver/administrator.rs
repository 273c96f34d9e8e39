//! What an administrator does to a lagg and its ports, and what the lagg then reports.

use std::thread;

use lagg_rs::kpi::host::testing::Events;
use lagg_rs::kpi::host::{self, Event, IFM_ACTIVE, IFM_AVALID, MediaRequest, ifioctl};
use lagg_rs::kpi::ioctl::{SIOCGIFMEDIA, SIOCSIFFLAGS, proto};
use lagg_rs::kpi::{Errno, LinkState, iff};

use crate::lab::{
    Card, Lagg, PROTOCOLS, card, flags, ib, ib_lagg, lab, lagg, lagg_of, mac, pass, spawn,
};
use crate::pair::{pair, strangers};

/// Whether `lagg` reports that its link is up. Link state and media status must agree.
#[track_caller]
fn says_up(lagg: &Lagg) -> bool {
    host::settle();
    let up = lagg.ifp.link_state() == LinkState::Up;
    let mut request = MediaRequest::default();
    ifioctl(&lagg.name, SIOCGIFMEDIA, &mut request).unwrap();
    assert_eq!(request.status, if up { IFM_AVALID | IFM_ACTIVE } else { IFM_AVALID });
    up
}

/// The link states that were reported.
fn links(events: &Events) -> Vec<LinkState> {
    host::settle();
    let links = events.take().into_iter().filter_map(|event| match event {
        Event::Link(state) => Some(state),
        _ => None,
    });
    links.collect()
}

fn is_up(card: &Card) -> bool {
    card.ifp.flags() & iff::UP != 0
}

/// carp(4), for example, uses the link state to leave MASTER to a machine that can send.
#[test]
fn f44_ports_that_are_down_keep_no_link_up() {
    for protocol in PROTOCOLS.into_iter().filter(|protocol| *protocol != proto::LACP) {
        lab(|| {
            let (a, b) = (card(1), card(2));
            let lagg = lagg_of(&[&a, &b]);
            lagg.set_protocol(protocol).unwrap();
            assert!(says_up(&lagg));
            flags("em1", 0).unwrap();
            assert!(says_up(&lagg));
            flags("em2", 0).unwrap();
            assert_eq!(b.ifp.link_state(), LinkState::Up);
            assert!(!says_up(&lagg));
            // An address brings an interface up without a SIOCSIFFLAGS.
            host::set_address(&b.ifp).unwrap();
            assert!(says_up(&lagg));
        });
    }
    lab(|| {
        let a = ib(1);
        let lagg = ib_lagg();
        lagg.add("ib1").unwrap();
        lagg.up();
        host::settle();
        assert_eq!(lagg.ifp.link_state(), LinkState::Up);
        flags("ib1", 0).unwrap();
        host::settle();
        assert_eq!((a.ifp.link_state(), lagg.ifp.link_state()), (LinkState::Up, LinkState::Down));
    });
}

/// A lagg takes its ports down and up to give them another address. Its link must not fail.
#[test]
fn f44_another_address_takes_no_link_down() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        let events = Events::of(&lagg.ifp);
        let blocked = b.nic.block(SIOCSIFFLAGS);
        thread::scope(|scope| {
            let remover = spawn(scope, || lagg.remove("em1"));
            blocked.wait();
            assert!(!is_up(&b));
            assert_eq!(links(&events), []);
            blocked.release();
            remover.join().unwrap().unwrap();
        });
        let blocked = b.nic.block(SIOCSIFFLAGS);
        thread::scope(|scope| {
            let administrator = spawn(scope, || crate::lab::ether(&lagg.name, mac(9)));
            blocked.wait();
            assert!(!is_up(&b));
            assert_eq!(links(&events), []);
            blocked.release();
            administrator.join().unwrap().unwrap();
        });
        assert_eq!(b.ifp.lladdr(), mac(9));
        assert_eq!(links(&events), []);
        assert!(says_up(&lagg));
    });
}

/// However long the drivers take, and however soon the lagg is up again.
#[test]
fn f74_a_lagg_that_is_down_keeps_no_link_up() {
    for protocol in PROTOCOLS.into_iter().filter(|protocol| *protocol != proto::LACP) {
        lab(|| {
            let (a, b) = (card(1), card(2));
            let lagg = lagg_of(&[&a, &b]);
            lagg.set_protocol(protocol).unwrap();
            let events = Events::of(&lagg.ifp);
            lagg.down();
            pass(999);
            assert!(says_up(&lagg));
            lagg.up();
            pass(2_000);
            assert_eq!(links(&events), []);
            lagg.down();
            pass(1_000);
            assert_eq!([a.ifp.link_state(), b.ifp.link_state()], [LinkState::Up; 2]);
            assert!(!says_up(&lagg));
            lagg.up();
            assert!(says_up(&lagg));
            assert_eq!(links(&events), [LinkState::Down, LinkState::Up]);
            let blocked = b.nic.block(SIOCSIFFLAGS);
            thread::scope(|scope| {
                let administrator = spawn(scope, || crate::lab::ether(&lagg.name, mac(9)));
                blocked.wait();
                pass(5_000);
                blocked.release();
                administrator.join().unwrap().unwrap();
            });
            assert_eq!(links(&events), []);
            assert!(says_up(&lagg));
        });
    }
}

#[test]
fn f43_media_status_and_link_state_agree() {
    for protocol in PROTOCOLS {
        lab(|| {
            let (a, b) = (card(1), card(2));
            let lagg = lagg();
            lagg.set_protocol(protocol).unwrap();
            assert!(!says_up(&lagg));
            lagg.add("em1").unwrap();
            lagg.add("em2").unwrap();
            says_up(&lagg);
            lagg.up();
            assert_eq!(says_up(&lagg), protocol != proto::LACP);
            a.link(LinkState::Down);
            says_up(&lagg);
            b.link(LinkState::Down);
            assert!(!says_up(&lagg));
            b.link(LinkState::Up);
            says_up(&lagg);
            lagg.down();
            says_up(&lagg);
        });
    }
    lab(|| {
        let strangers = strangers(2);
        assert!(!says_up(&strangers.left), "active ports, and no partner");
    });
    lab(|| {
        let pair = pair(2);
        assert!(says_up(&pair.left));
        pair.link(0, LinkState::Down);
        assert!(says_up(&pair.left));
        pair.link(1, LinkState::Down);
        assert!(!says_up(&pair.left));
    });
}

#[test]
fn f41_a_port_that_joins_a_lagg_that_is_up_is_brought_up() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        flags("em2", 0).unwrap();
        flags("em3", 0).unwrap();
        let lagg = lagg_of(&[&a]);
        b.nic.take_ioctls();
        lagg.add("em2").unwrap();
        assert!(is_up(&b));
        assert!(b.nic.take_ioctls().contains(&SIOCSIFFLAGS), "its driver knows");
        // A port that an administrator has taken down stays down.
        flags("em2", 0).unwrap();
        lagg.up();
        host::settle();
        assert!(!is_up(&b));
        lagg.down();
        lagg.add("em3").unwrap();
        assert!(!is_up(&c), "this lagg is down");
        lagg.up();
        assert!(is_up(&a) && is_up(&b) && is_up(&c));
    });
}

#[test]
fn f41_a_failed_join_leaves_a_port_down() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        flags("em2", 0).unwrap();
        let lagg = lagg_of(&[&a]);
        lagg.set_mtu(9000).unwrap();
        b.nic.refuse(lagg_rs::kpi::ioctl::SIOCSIFMTU, 1, Errno::EIO);
        crate::lab::refused(Errno::EIO, || lagg.add("em2"));
        crate::lab::without_memory(|| lagg.add("em2"));
    });
}

/// A port that is brought up when it joins takes part in LACP at once.
#[test]
fn f41_it_takes_part_in_lacp_at_once() {
    lab(|| {
        let pair = strangers(2);
        flags("em2", 0).unwrap();
        pair.left.remove("em2").unwrap();
        pair.left.add("em2").unwrap();
        pair.pass(lagg_rs::lacp::mux::AGGREGATE_WAIT);
        assert_eq!(pair.distributing(&pair.left), 2);
    });
}

#[test]
fn f46_the_speed_of_failover_is_that_of_the_port_that_sends() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        b.ifp.set_baudrate(10_000_000_000);
        let lagg = lagg_of(&[&a, &b]);
        assert_eq!(lagg.ifp.baudrate(), 1_000_000_000);
        a.link(LinkState::Down);
        assert_eq!(lagg.ifp.baudrate(), 10_000_000_000);
        b.link(LinkState::Down);
        assert_eq!(lagg.ifp.baudrate(), 0, "no port sends");
        b.link(LinkState::Up);
        flags("em2", 0).unwrap();
        a.link(LinkState::Up);
        assert_eq!(lagg.ifp.baudrate(), 1_000_000_000);
    });
}

#[test]
fn f50_the_link_state_of_a_lagg_that_never_had_a_port_is_unknown() {
    lab(|| {
        let a = card(1);
        let lagg = lagg();
        let events = Events::of(&lagg.ifp);
        lagg.up();
        lagg.set_protocol(proto::LACP).unwrap();
        lagg.set_protocol(proto::FAILOVER).unwrap();
        lagg.down();
        lagg.up();
        assert_eq!(links(&events), []);
        assert_eq!(lagg.ifp.link_state(), LinkState::Unknown);
        lagg.add("em1").unwrap();
        assert_eq!(links(&events), [LinkState::Up]);
        lagg.remove("em1").unwrap();
        assert_eq!(links(&events), [LinkState::Down]);
        drop(a);
    });
}

#[test]
fn f50_the_message_about_ipv6_names_the_lagg() {
    lab(|| {
        let a = card(1);
        host::set_ipv6(&a.ifp, true);
        let lagg = lagg();
        let events = Events::of(&lagg.ifp);
        lagg.add("em1").unwrap();
        let line = "IPv6 addresses on em1 have been removed before adding it as a member to prevent IPv6 address scope violation";
        assert!(events.take().contains(&Event::Log(line.into())));
    });
}
