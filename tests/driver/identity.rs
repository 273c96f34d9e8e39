//! A lagg's system identifier in LACP is taken once, and kept (F-56).

use lagg_rs::kpi::ioctl::proto;
use lagg_rs::lacp::mux::AGGREGATE_WAIT;

use crate::lab::{card, ether, lab, mac};
use crate::pair::{Pair, flow, pair, strangers};

/// The left side's system, as the right side has recorded it on all ports.
fn known(pair: &Pair) -> [u8; 6] {
    let records = pair.records(&pair.right);
    let first = records[0].psc.partner_mac;
    assert!(records.iter().all(|record| record.psc.partner_mac == first || record.flags == 0));
    first
}

/// At any time either side has ports in service, and no packet is refused.
#[test]
fn f56_the_primary_leaves_and_the_others_stay_in_service() {
    lab(|| {
        let pair = pair(3);
        let before = pair.right.get(0).unwrap().0.psc.partner_mac;
        pair.left.remove("em1").unwrap();
        for _ in 0..5_000 {
            pair.pass(1);
            assert_eq!(pair.distributing(&pair.left), 2);
            assert!(pair.distributing(&pair.right) >= 2);
            pair.left.send(&flow(7)).unwrap();
            pair.wires.iter().for_each(|(a, _)| drop(a.nic.take_sent()));
        }
        // The lagg has the next port's address.
        let other = pair.wires[1].0.ifp.lladdr().ethernet();
        assert_eq!(pair.left.ifp.lladdr(), other);
        assert_eq!(pair.right.get(0).unwrap().0.psc.partner_mac, before);
        assert_eq!(pair.left.get(0).unwrap().0.psc.actor_mac, before);
        // Nor does a port that comes back change it.
        pair.left.add("em1").unwrap();
        pair.pass(AGGREGATE_WAIT);
        assert_eq!(pair.distributing(&pair.left), 3);
        assert_eq!(known(&pair), before);
    });
}

#[test]
fn f56_a_new_address_is_not_a_new_system() {
    lab(|| {
        let pair = pair(2);
        let before = known(&pair);
        ether(&pair.left.name, mac(77)).unwrap();
        for _ in 0..100 {
            pair.pass(1);
            assert_eq!((pair.distributing(&pair.left), pair.distributing(&pair.right)), (2, 2));
        }
        assert_eq!(pair.left.ifp.lladdr(), mac(77));
        assert_eq!(known(&pair), before);
    });
}

/// The identifier is the address that the lagg has when the first port joins, if it has been given one. It
/// is taken anew when LACP starts again.
#[test]
fn f26_f56_the_identifier_is_the_address_when_lacp_begins() {
    lab(|| {
        let pair = strangers(2);
        pair.left.set_protocol(proto::NONE).unwrap();
        ether(&pair.left.name, mac(77)).unwrap();
        pair.left.set_protocol(proto::LACP).unwrap();
        pair.pass(AGGREGATE_WAIT + 2_000);
        assert_eq!((pair.distributing(&pair.left), known(&pair)), (2, mac(77)));
        // It is kept without ports too, because LACP has not ended.
        pair.left.remove("em1").unwrap();
        pair.left.remove("em2").unwrap();
        pair.left.add("em2").unwrap();
        pair.pass(AGGREGATE_WAIT + 2_000);
        assert_eq!(pair.distributing(&pair.left), 1);
        assert_eq!(pair.right.get(0).unwrap().0.psc.partner_mac, mac(77));
    });
}

/// The port whose address is a lagg's identifier leaves, and becomes the first port of the other side. Both
/// laggs have one identifier then, until the one without the port takes another.
#[test]
fn f66_two_laggs_do_not_stay_one_system() {
    lab(|| {
        let lent = card(50);
        let mut pair = strangers(0);
        pair.left.add(&lent.name()).unwrap();
        pair.left.remove(&lent.name()).unwrap();
        pair.right.add(&lent.name()).unwrap();
        pair.wires = [1, 2].map(|n| (card(n), card(100 + n))).into();
        for (a, b) in &pair.wires {
            pair.left.add(&a.name()).unwrap();
            pair.right.add(&b.name()).unwrap();
        }
        pair.pass(AGGREGATE_WAIT + 2_000);
        assert_eq!((pair.distributing(&pair.left), pair.distributing(&pair.right)), (2, 2));
        let [left, right] = [&pair.left, &pair.right].map(|it| it.get(0).unwrap().0.psc);
        assert_eq!((left.actor_mac, left.partner_mac), (mac(1), mac(50)));
        assert_eq!((right.actor_mac, right.partner_mac), (mac(50), mac(1)));
    });
}
