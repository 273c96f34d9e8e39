//! The record of a port, for each protocol.

use lagg_rs::kpi::LinkState::{self, Down, Unknown, Up};
use lagg_rs::kpi::host::{self, ifioctl};
use lagg_rs::kpi::ioctl::port::{ACTIVE, MASTER};
use lagg_rs::kpi::ioctl::{LacpInfo, PortRequest, SIOCGLAGGPORT, proto};
use zerocopy::{FromBytes, IntoBytes};

use crate::lab::{Card, Lagg, card, flags, lab, lagg, lagg_of, name, text};

/// The flags of all ports in the order of their index. The record must be the same whether the lagg is
/// asked for all, the lagg for one, or the port itself, except that SIOCGLAGGPORT does not fill in lacp's
/// part.
fn records(lagg: &Lagg) -> Vec<u32> {
    let all = lagg.get(32 * 72).unwrap().1;
    for record in &all {
        assert_eq!(record.ifname.as_bytes(), lagg.ifp.name().as_bytes());
        assert_eq!(record.prio, 0);
        assert_eq!(record.psc, LacpInfo::default());
        let port = text(&record.portname);
        for asked in [&lagg.name, &port] {
            let garbage = PortRequest::read_from_bytes(&[0xa5; 72]).unwrap();
            let mut one = PortRequest { portname: name(&port), ..garbage };
            ifioctl(asked, SIOCGLAGGPORT, &mut one).unwrap();
            assert_eq!(one.as_bytes()[..32], record.as_bytes()[..32], "both names");
            assert_eq!((one.prio, one.flags), (0, record.flags), "{port}, asked of {asked}");
            assert_eq!(one.psc, garbage.psc);
        }
    }
    all.iter().map(|record| record.flags).collect()
}

fn set(card: &Card, link: LinkState, up: u32) {
    card.link(link);
    flags(&card.name(), up).unwrap();
    host::settle();
}

/// The place of the port that sends: the primary, which was added first, or the first that is active.
fn link_active(primary: usize, active: &[bool]) -> Option<usize> {
    let is_active = |place: &usize| active.get(*place) == Some(&true);
    Some(primary).filter(is_active).or_else(|| (0..active.len()).find(is_active))
}

#[test]
fn failover_has_a_master_and_one_that_is_active() {
    for primary in 0..4 {
        lab(|| {
            let cards: Vec<_> = (1..=4).map(card).collect();
            let lagg = lagg();
            lagg.add(&cards[primary].name()).unwrap();
            for (place, card) in cards.iter().enumerate() {
                if place != primary {
                    lagg.add(&card.name()).unwrap();
                }
            }
            for up in 0..16_u32 {
                let active: Vec<_> = (0..4).map(|place| up >> place & 1 != 0).collect();
                for (card, &active) in cards.iter().zip(&active) {
                    card.link(if active { Up } else { Down });
                }
                let stands_in = link_active(primary, &active);
                let expected = (0..4).map(|place| {
                    let master = if place == primary { MASTER } else { 0 };
                    master | if Some(place) == stands_in { ACTIVE } else { 0 }
                });
                assert_eq!(records(&lagg), expected.collect::<Vec<_>>(), "{up:04b}");
            }
        });
    }
}

#[test]
fn failovers_active_port_is_up_by_link_and_by_flag() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        for (link, up) in [(Unknown, 1), (Down, 1), (Up, 0), (Unknown, 0), (Down, 0)] {
            set(&a, link, up);
            assert_eq!(records(&lagg), [MASTER, ACTIVE], "{link:?} {up}");
            set(&a, Up, 1);
            assert_eq!(records(&lagg), [MASTER | ACTIVE, 0]);
        }
    });
}

#[test]
fn the_master_is_the_first_to_join_of_those_that_are_there() {
    lab(|| {
        let _cards: Vec<_> = (1..=3).map(card).collect();
        let lagg = lagg();
        for port in ["em2", "em3", "em1"] {
            lagg.add(port).unwrap();
        }
        assert_eq!(records(&lagg), [0, MASTER | ACTIVE, 0]);
        lagg.remove("em2").unwrap();
        assert_eq!(records(&lagg), [0, MASTER | ACTIVE]);
        lagg.add("em2").unwrap();
        assert_eq!(records(&lagg), [0, 0, MASTER | ACTIVE]);
    });
}

#[test]
fn roundrobin_loadbalance_and_broadcast_use_all_that_are_up() {
    for protocol in [proto::ROUNDROBIN, proto::LOADBALANCE, proto::BROADCAST] {
        lab(|| {
            let (a, b, c) = (card(1), card(2), card(3));
            let lagg = lagg_of(&[&a, &b, &c]);
            lagg.set_protocol(protocol).unwrap();
            assert_eq!(records(&lagg), [ACTIVE; 3]);
            for (link, up) in [(Unknown, 1), (Down, 1), (Up, 0), (Unknown, 0), (Down, 0)] {
                set(&a, link, up);
                assert_eq!(records(&lagg), [0, ACTIVE, ACTIVE], "{link:?} {up}");
                set(&c, link, up);
                assert_eq!(records(&lagg), [0, ACTIVE, 0]);
                set(&a, Up, 1);
                set(&c, Up, 1);
            }
            // The same ports under failover.
            lagg.set_protocol(proto::FAILOVER).unwrap();
            assert_eq!(records(&lagg), [MASTER | ACTIVE, 0, 0]);
        });
    }
}

#[test]
fn none_uses_no_port() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        lagg.set_protocol(proto::NONE).unwrap();
        assert_eq!(records(&lagg), [0, 0]);
        a.link(Down);
        assert_eq!(records(&lagg), [0, 0]);
    });
}
