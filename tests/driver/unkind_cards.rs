//! Cards whose capabilities depend on each other, on the MTU or on the link. They restart when they are
//! asked, and answer something else. They are asked once (F-34).

use lagg_rs::kpi::host::{self, Couplings};
use lagg_rs::kpi::ioctl::{SIOCSIFCAP, proto};
use lagg_rs::kpi::{Errno, LinkAddr, LinkState};

use crate::lab::{Card, Lagg, lab, lagg_of};
use crate::offloads::{able, set};

const RXCSUM: u64 = 1;
const TXCSUM: u64 = 1 << 1;
const TSO: u64 = 1 << 8;
const RXCSUM_IPV6: u64 = 1 << 21;

/// em(4): iflib switches both of the receiver's checksums or neither.
fn em(n: u8) -> Card {
    coupled(
        able(n, RXCSUM | RXCSUM_IPV6 | TXCSUM | TSO),
        Couplings { together: RXCSUM | RXCSUM_IPV6, ..Couplings::default() },
    )
}

/// em(4) on a link of 100 Mb/s: it takes TSO off.
fn slow_em(n: u8) -> Card {
    let off = Couplings { at_link_up: TSO, together: RXCSUM | RXCSUM_IPV6, ..Couplings::default() };
    coupled(able(n, RXCSUM | RXCSUM_IPV6 | TXCSUM | TSO), off)
}

/// re(4): no checksums and no TSO above its own largest frame.
fn re(n: u8) -> Card {
    let above_mtu = Some((1500, RXCSUM | TXCSUM | TSO));
    coupled(able(n, RXCSUM | TXCSUM | TSO), Couplings { above_mtu, ..Couplings::default() })
}

fn coupled(card: Card, couplings: Couplings) -> Card {
    host::couple(&card.ifp, couplings);
    card
}

pub fn enabled(cards: &[&Card]) -> Vec<u64> {
    cards.iter().map(|card| card.ifp.enabled()).collect()
}

pub fn restarts(cards: &[&Card]) -> Vec<u64> {
    host::settle();
    cards.iter().map(|card| host::restarts(&card.ifp)).collect()
}

/// What a lagg in use goes through.
pub fn live(lagg: &Lagg, cards: &[&Card]) {
    for n in 0..10 {
        host::set_promisc(&lagg.ifp, true).unwrap();
        host::settle();
        host::set_promisc(&lagg.ifp, false).unwrap();
        host::join_group(&lagg.ifp, &LinkAddr::Ethernet([1, 0, 0x5e, 0, 0, n])).unwrap();
        let vlan = host::vlan_create(&lagg.ifp, 10 + u16::from(n), "vlan9").unwrap();
        host::settle();
        vlan.detach();
        host::settle();
    }
    for card in cards {
        card.link(LinkState::Down);
        card.link(LinkState::Up);
    }
}

/// Has a lagg of them settle, and live; they rest.
fn rest(cards: &[&Card], mtu: u32) -> Lagg {
    let lagg = lagg_of(cards);
    lagg.set_mtu(mtu).unwrap();
    for protocol in [proto::FAILOVER, proto::LACP] {
        lagg.set_protocol(protocol).unwrap();
        let settled = restarts(cards);
        let have = enabled(cards);
        live(&lagg, cards);
        // A card that takes something off at link up does so once, by itself.
        assert_eq!(restarts(cards), settled, "{protocol}");
        assert_eq!(enabled(cards), have, "{protocol}");
        let all = have.iter().fold(u64::MAX, |all, have| all & have);
        assert_eq!(lagg.ifp.enabled(), all, "{protocol}");
    }
    lagg
}

#[test]
fn f34_capabilities_that_depend_on_each_other_are_asked_for_once() {
    lab(|| {
        let (em, re) = (em(1), re(2));
        let lagg = rest(&[&em, &re], 1500);
        assert_eq!(restarts(&[&em, &re]), [1, 1]);
        assert_eq!(lagg.ifp.enabled(), TXCSUM | TSO);
        // When the other has left, they come back.
        lagg.remove("em2").unwrap();
        assert_eq!(enabled(&[&em]), [RXCSUM | RXCSUM_IPV6 | TXCSUM | TSO]);
        // What it answered before is known: it is not asked for that again.
        let before = restarts(&[&em]);
        lagg.add("em2").unwrap();
        assert_eq!(restarts(&[&em]), [before[0] + 1]);
        assert_eq!(enabled(&[&em, &re]), [TXCSUM | TSO; 2]);
    });
}

#[test]
fn f34_capabilities_that_depend_on_the_mtu_are_asked_for_once() {
    lab(|| {
        let (a, b) = (re(1), re(2));
        let lagg = rest(&[&a, &b], 9000);
        assert_eq!(lagg.ifp.enabled(), 0);
        lagg.set_mtu(1500).unwrap();
        assert_eq!(lagg.ifp.enabled(), RXCSUM | TXCSUM | TSO, "with the MTU they come back");
    });
}

#[test]
fn f34_capabilities_that_depend_on_the_link_are_asked_for_once() {
    lab(|| {
        let (a, b) = (slow_em(1), re(2));
        let lagg = lagg_of(&[&a, &b]);
        // It comes with TSO, which goes with the first link.
        a.link(LinkState::Down);
        a.link(LinkState::Up);
        drop(lagg);
        rest(&[&a, &b], 1500);
    });
}

/// A driver that fails is asked once more, in case it lacked memory, and not again.
#[test]
fn f34_a_port_that_refuses_is_asked_twice() {
    lab(|| {
        let (a, b) = (able(1, RXCSUM | TXCSUM), able(2, TXCSUM));
        a.nic.refuse_all(SIOCSIFCAP, Errno::EIO);
        let lagg = lagg_of(&[&a, &b]);
        live(&lagg, &[&a, &b]);
        let asked = a.nic.take_ioctls().iter().filter(|command| **command == SIOCSIFCAP).count();
        assert_eq!(asked, 2);
    });
}

/// What a driver takes off by itself the lagg does not offer any more; what another port has of it is
/// its own affair.
#[test]
fn f34_what_a_driver_takes_off_the_lagg_does_not_offer() {
    lab(|| {
        let (a, b) = (em(1), em(2));
        let lagg = lagg_of(&[&a, &b]);
        host::couple(&a.ifp, Couplings { at_link_up: TSO, ..Couplings::default() });
        a.link(LinkState::Down);
        a.link(LinkState::Up);
        assert_eq!(lagg.ifp.enabled() & TSO, 0);
        assert_eq!(enabled(&[&a, &b]).iter().map(|e| e & TSO).collect::<Vec<_>>(), [0, TSO]);
    });
}

/// An administrator's own request asks again, all ports and a single one.
#[test]
fn f34_an_administrator_asks_again() {
    lab(|| {
        let (a, b) = (em(1), em(2));
        let lagg = lagg_of(&[&a, &b]);
        let all = RXCSUM | RXCSUM_IPV6 | TXCSUM | TSO;
        for to in [TXCSUM, all, RXCSUM | RXCSUM_IPV6, all] {
            set(&lagg.name, to).unwrap();
            assert_eq!(enabled(&[&a, &b]), [to; 2]);
            assert_eq!(lagg.ifp.enabled(), to);
        }
        set("em1", TXCSUM).unwrap();
        assert_eq!((enabled(&[&a, &b]), lagg.ifp.enabled()), (vec![TXCSUM; 2], TXCSUM));
        set("em1", all).unwrap();
        assert_eq!((enabled(&[&a, &b]), lagg.ifp.enabled()), (vec![all; 2], all));
    });
}
