//! Models of real cards, in all pairs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lagg_rs::kpi::LinkState;
use lagg_rs::kpi::host;
use lagg_rs::kpi::host::testing::{MODELS, Model};
use lagg_rs::kpi::ioctl::proto;

use crate::lab::{Card, attributes, lab, lagg_of, modelled, pass};
use crate::unkind_cards::{enabled, restarts};

/// Runs `f` for each pair of models, in a vnet of its own.
fn pairs(f: impl Fn(&[&Model; 2], &[&Card; 2])) {
    for (n, a) in MODELS.iter().enumerate() {
        for b in &MODELS[n..] {
            println!("{} and {}", a.name, b.name);
            lab(|| {
                let (one, two) = (modelled(1, a), modelled(2, b));
                f(&[a, b], &[&one, &two]);
            });
        }
    }
}

/// Brings all links up. Those that are late come up after a second.
fn links_up(cards: &[&Card]) {
    for _ in 0..2 {
        cards.iter().for_each(|card| card.link(LinkState::Up));
        pass(1_000);
    }
}

/// Usual events of a lagg restart only cards whose driver must restart, and change nothing of them.
#[test]
fn f34_every_pair_of_cards_rests() {
    pairs(|models, cards| {
        let lagg = lagg_of(cards);
        links_up(cards);
        let (settled, have) = (restarts(cards), enabled(cards));
        for _ in 0..3 {
            host::set_promisc(&lagg.ifp, true).unwrap();
            host::settle();
            host::set_promisc(&lagg.ifp, false).unwrap();
            links_up(cards);
            let vlan = host::vlan_create(&lagg.ifp, 10, "vlan10").unwrap();
            host::settle();
            vlan.detach();
            links_up(cards);
        }
        assert_eq!(enabled(cards), have);
        assert_eq!(lagg.ifp.enabled(), have[0] & have[1]);
        for ((now, before), model) in restarts(cards).into_iter().zip(settled).zip(models) {
            // One restart for each VLAN that comes, and for each that goes.
            assert_eq!(
                now - before,
                if model.couplings.at_vlans { 6 } else { 0 },
                "{}",
                model.name
            );
        }
    });
}

/// The largest MTU that both accept. One that a card refuses changes nothing.
#[test]
fn every_pair_of_cards_has_the_mtu_that_both_take() {
    pairs(|models, cards| {
        let lagg = lagg_of(cards);
        let most = models[0].max_mtu().min(models[1].max_mtu());
        for mtu in [most, 1500, most] {
            lagg.set_mtu(mtu).unwrap();
            links_up(cards);
            assert_eq!([&*cards[0].ifp, &*cards[1].ifp, &*lagg.ifp].map(|ifp| ifp.mtu()), [mtu; 3]);
            assert_eq!(lagg.ifp.enabled(), enabled(cards)[0] & enabled(cards)[1]);
        }
        assert!(lagg.set_mtu(most + 1).is_err());
        assert_eq!([&*cards[0].ifp, &*cards[1].ifp, &*lagg.ifp].map(|ifp| ifp.mtu()), [most; 3]);
    });
}

/// Ports get back what they had.
#[test]
fn every_card_is_what_it_was() {
    pairs(|models, cards| {
        let what = |card: &Card| {
            let mut attributes = attributes(&card.ifp);
            attributes.retain(|(name, _)| {
                ["type", "mtu", "address", "offloads", "membership", "methods"].contains(name)
            });
            attributes
        };
        let before = cards.map(what);
        let lagg = lagg_of(cards);
        links_up(cards);
        let _ = lagg.set_mtu(models[0].max_mtu().min(models[1].max_mtu()));
        host::set_promisc(&lagg.ifp, true).unwrap();
        links_up(cards);
        host::set_promisc(&lagg.ifp, false).unwrap();
        lagg.remove("em1").unwrap();
        lagg.destroy();
        links_up(cards);
        for ((before, card), model) in before.iter().zip(cards).zip(models) {
            assert_eq!(&what(card), before, "{}", model.name);
        }
    });
}

/// Their filters admit the lagg's groups, also if they have room for fewer.
#[test]
fn every_card_lets_the_laggs_groups_in() {
    pairs(|models, cards| {
        let lagg = lagg_of(cards);
        lagg.set_protocol(proto::LOADBALANCE).unwrap();
        let heard = Arc::new(AtomicUsize::new(0));
        let counts = heard.clone();
        host::set_input(&lagg.ifp, move |_| {
            counts.fetch_add(1, Ordering::Relaxed);
        });
        let group = |n: u8| [1, 0, 0x5e, 0, 0, n];
        let hears = |card: &Card, n| {
            let before = heard.load(Ordering::Relaxed);
            card.receive(&[&group(n)[..], &[0; 54]].concat());
            heard.load(Ordering::Relaxed) - before
        };
        for (few, many) in [(0, 2), (2, 40)] {
            for n in few..many {
                host::join_group(&lagg.ifp, &group(n).into()).unwrap();
            }
            links_up(cards);
            for card in cards {
                assert_eq!([hears(card, 0), hears(card, many - 1)], [1, 1]);
            }
        }
        (0..40).for_each(|n| host::leave_group(&lagg.ifp, &group(n).into()));
        links_up(cards);
        for (card, model) in cards.iter().zip(models) {
            assert_eq!(hears(card, 0), usize::from(model.couplings.groups.is_none()));
        }
    });
}
