//! VLANs on the lagg, of which its ports are told.

use lagg_rs::kpi::host::testing::Events;
use lagg_rs::kpi::host::{self, Event};

use crate::lab::{card, lab, lagg_of};

fn told(events: &Events) -> Vec<(u16, bool)> {
    host::settle();
    let vlan = |event| if let Event::Vlan(id, on) = event { Some((id, on)) } else { None };
    events.take().into_iter().filter_map(vlan).collect()
}

/// In C lagg, VLANs that exist before a port joins are not announced to it, nor withdrawn when it leaves.
#[test]
fn f14_a_port_is_told_of_vlans_that_were_there_before_it() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let (of_a, of_b) = (Events::of(&a.ifp), Events::of(&b.ifp));
        let lagg = lagg_of(&[&a]);
        let first = host::vlan_create(&lagg.ifp, 1, "vlan1").unwrap();
        let last = host::vlan_create(&lagg.ifp, 4094, "vlan4094").unwrap();
        let mut both = told(&of_a);
        both.sort();
        assert_eq!(both, [(1, true), (4094, true)]);
        lagg.add("em2").unwrap();
        assert_eq!(told(&of_b), [(1, true), (4094, true)]);
        first.detach();
        assert_eq!((told(&of_a), told(&of_b)), (vec![(1, false)], vec![(1, false)]));
        lagg.remove("em1").unwrap();
        assert_eq!(told(&of_a), [(4094, false)]);
        // A port that has left is not told of a VLAN that goes.
        last.detach();
        assert_eq!((told(&of_a), told(&of_b)), (vec![], vec![(4094, false)]));
    });
}

/// Ids at all kinds of places in the words of a set.
#[test]
fn ports_are_told_of_each_of_many_vlans() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let (of_a, of_b) = (Events::of(&a.ifp), Events::of(&b.ifp));
        let lagg = lagg_of(&[&a]);
        let ids = [1, 2, 62, 63, 64, 65, 127, 128, 2048, 4031, 4032, 4094];
        let vlan = |id| host::vlan_create(&lagg.ifp, id, &format!("vlan{id}")).unwrap();
        let vlans = ids.map(vlan);
        let mut in_order = told(&of_a);
        in_order.sort();
        assert_eq!(in_order, ids.map(|id| (id, true)));
        lagg.add("em2").unwrap();
        assert_eq!(told(&of_b), ids.map(|id| (id, true)));
        lagg.remove("em2").unwrap();
        assert_eq!(told(&of_b), ids.map(|id| (id, false)));
        vlans.into_iter().for_each(host::Attached::detach);
        let mut in_order = told(&of_a);
        in_order.sort();
        assert_eq!(in_order, ids.map(|id| (id, false)));
    });
}

#[test]
fn a_vlan_that_comes_and_goes_at_once_leaves_no_trace() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let events = Events::of(&a.ifp);
        for _ in 0..50 {
            host::vlan_create(&lagg.ifp, 7, "vlan7").unwrap().detach();
        }
        assert_ne!(told(&events).last(), Some(&(7, true)));
        lagg.remove("em1").unwrap();
        assert!(!told(&events).contains(&(7, true)));
    });
}
