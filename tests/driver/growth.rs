//! The cost of a change does not grow with the number of other ports, groups and VLANs (F-65).

use std::sync::{Arc, Mutex};

use lagg_rs::kpi::host::testing::Events;
use lagg_rs::kpi::host::{self, Attached, Event, Nic};
use lagg_rs::kpi::ioctl::{SIOCADDMULTI, SIOCDELMULTI, proto};
use lagg_rs::kpi::{Epoch, Errno, IfType, Ifnet, Ioctl, LinkAddr, Mbuf};

use crate::lab::{Card, Lagg, PROTOCOLS, lab, lagg, lagg_of, mac};
use crate::offloads::able;

/// How often the cards' drivers were called since the last time.
fn calls(cards: &[Card]) -> usize {
    host::settle();
    cards.iter().map(|card| card.nic.take_ioctls().len()).sum()
}

/// A port that joins or leaves causes calls of its own driver only.
#[test]
fn f65_ports_that_join_and_leave_cost_the_others_nothing() {
    for protocol in PROTOCOLS {
        lab(|| {
            let cards: Vec<_> = (1..=32).map(|n| able(n, 3)).collect();
            let lagg = lagg_of(&[&cards[0]]);
            lagg.set_protocol(protocol).unwrap();
            host::join_group(&lagg.ifp, &LinkAddr::Ethernet([1, 0, 0x5e, 0, 0, 1])).unwrap();
            let vlan = host::vlan_create(&lagg.ifp, 5, "vlan5").unwrap();
            host::settle();
            calls(&cards);
            let mut joins = Vec::new();
            for (n, card) in cards.iter().enumerate().skip(1) {
                lagg.add(&card.name()).unwrap();
                // lacp asks the others for their media, so that ports that come up together are found
                // together.
                let own = card.nic.take_ioctls().len();
                let others = calls(&cards);
                assert!(others == 0 || protocol == proto::LACP && others <= n + 1, "{others}");
                joins.push(own);
            }
            assert!(joins.iter().all(|calls| *calls == joins[0]), "{protocol}: {joins:?}");
            let refreshes = host::vlan_refreshes(&lagg.ifp);
            let mut leaves = Vec::new();
            for card in &cards[1..] {
                lagg.remove(&card.name()).unwrap();
                leaves.push(card.nic.take_ioctls().len());
                let others = calls(&cards);
                assert!(others == 0 || protocol == proto::LACP, "{protocol}: {others}");
            }
            assert!(leaves.iter().all(|calls| *calls == leaves[0]), "{protocol}: {leaves:?}");
            assert_eq!(host::vlan_refreshes(&lagg.ifp), refreshes);
            vlan.detach();
        });
    }
}

/// Ports that agree are looked at once when another one comes or goes, to see that they still agree.
#[test]
fn f65_ports_that_agree_are_looked_at_once() {
    lab(|| {
        let cards: Vec<_> = (1..=8).map(|n| able(n, 3)).collect();
        let (last, others) = cards.split_last().unwrap();
        let lagg = lagg_of(&others.iter().collect::<Vec<_>>());
        host::settle();
        let looks = || others.iter().map(|card| host::offload_looks(&card.ifp)).sum::<u64>();
        for request in [Lagg::add, Lagg::remove] {
            let before = looks();
            request(&lagg, &last.name()).unwrap();
            host::settle();
            assert_eq!(looks() - before, 7);
        }
    });
}

/// The stack looks an interface up by comparing all names. A join does so twice: to find the interface, and
/// to see that it is still there when it is claimed.
#[test]
fn f65_a_joiner_is_looked_up_twice() {
    lab(|| {
        let (card, lagg) = (able(1, 3), lagg());
        let before = host::lookups(&card.ifp);
        lagg.add(&card.name()).unwrap();
        assert_eq!(host::lookups(&card.ifp) - before, 2);
    });
}

/// Each port is told of a VLAN once, and the other VLANs are not touched.
#[test]
fn f65_vlans_that_come_and_go_cost_the_others_nothing() {
    lab(|| {
        let cards: Vec<_> = (1..=4).map(|n| able(n, 3)).collect();
        let lagg = lagg_of(&cards.iter().collect::<Vec<_>>());
        let events: Vec<_> = cards.iter().map(|card| Events::of(&card.ifp)).collect();
        let refreshes = host::vlan_refreshes(&lagg.ifp);
        calls(&cards);
        let vlan = |n| host::vlan_create(&lagg.ifp, n, &format!("vlan{n}")).unwrap();
        let vlans: Vec<_> = (1..=200).map(vlan).collect();
        host::settle();
        vlans.into_iter().for_each(Attached::detach);
        host::settle();
        assert_eq!((calls(&cards), host::vlan_refreshes(&lagg.ifp)), (0, refreshes));
        for events in events {
            let told = events.take();
            let vlans = told.iter().filter(|event| matches!(event, Event::Vlan(..))).count();
            assert_eq!(vlans, told.len());
            assert!(vlans <= 400, "{vlans}");
        }
    });
}

/// A card that records its groups at each change.
#[derive(Default)]
struct Member(Mutex<Vec<Vec<LinkAddr>>>);

impl Nic for Member {
    fn transmit(&self, _: &Ifnet, _: Mbuf, _: &Epoch) -> Result<(), Errno> {
        Ok(())
    }

    fn ioctl(&self, ifp: &Ifnet, r: &mut Ioctl<'_>) -> Result<(), Errno> {
        if matches!(r.command(), SIOCADDMULTI | SIOCDELMULTI) {
            self.0.lock().unwrap().push(host::groups(ifp));
        }
        host::default_ioctl(ifp, r)
    }
}

/// The stack searches its list of groups from the one that was joined last.
#[test]
fn f65_groups_are_left_in_the_reverse_order() {
    lab(|| {
        let nic = Arc::new(Member::default());
        let card = host::attach("em1", IfType::Ethernet, mac(1), 1500, 0, nic.clone());
        let group = |n| LinkAddr::Ethernet([1, 0, 0x5e, 0, 0, n]);
        let lagg = lagg();
        for n in [5, 2] {
            host::join_group(&lagg.ifp, &group(n)).unwrap();
        }
        lagg.add("em1").unwrap();
        for n in [9, 1, 7, 3] {
            host::join_group(&lagg.ifp, &group(n)).unwrap();
            host::settle();
        }
        host::leave_group(&lagg.ifp, &group(7));
        host::settle();
        lagg.remove("em1").unwrap();
        let changes = std::mem::take(&mut *nic.0.lock().unwrap());
        let (joins, leaves) = (changes.windows(2).take(5), changes.windows(2).skip(6));
        let only_in = |a: &[LinkAddr], b: &[LinkAddr]| {
            a.iter().find(|group| !b.contains(group)).copied().unwrap()
        };
        let mut order = vec![changes[0][0]];
        order.extend(joins.map(|change| only_in(&change[1], &change[0])));
        order.retain(|joined| *joined != group(7));
        order.reverse();
        let left: Vec<_> = leaves.map(|change| only_in(&change[0], &change[1])).collect();
        assert_eq!(left, order);
        drop(card);
    });
}
