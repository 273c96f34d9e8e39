//! VLANs on a lagg together with its ports' own VLANs, and modes that VLANs request.

use lagg_rs::kpi::host::testing::Events;
use lagg_rs::kpi::host::{self, Attached, Event};
use lagg_rs::kpi::ioctl::SIOCSIFFLAGS;
use lagg_rs::kpi::{Ifnet, iff};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::lab::{Card, card, flags, frame, lab, lagg, lagg_of};

/// A card whose hardware filters VLANs.
fn filtering(n: u8) -> Card {
    let card = card(n);
    host::filter_vlans(&card.ifp);
    card
}

fn vlan(parent: &Ifnet, id: u16, name: &str) -> (Attached, Arc<AtomicUsize>) {
    let vlan = host::vlan_create(parent, id, name).unwrap();
    flags(name, iff::UP).unwrap();
    let heard = Arc::new(AtomicUsize::new(0));
    let counts = heard.clone();
    host::set_input(&vlan, move |_| {
        counts.fetch_add(1, Ordering::Relaxed);
    });
    (vlan, heard)
}

/// How many frames the VLAN receives if one arrives on the card.
fn receives(card: &Card, id: u16, heard: &AtomicUsize) -> usize {
    host::settle();
    let mut tagged = frame(0);
    tagged.splice(12..12, [0x81, 0, (id >> 8) as u8, id as u8]);
    let before = heard.load(Ordering::Relaxed);
    card.receive(&tagged);
    heard.load(Ordering::Relaxed) - before
}

/// Filters do not count how many VLANs want an id.
#[test]
fn f36_a_port_that_leaves_keeps_the_ids_of_its_own_vlans() {
    lab(|| {
        let a = filtering(1);
        let (own, of_own) = vlan(&a.ifp, 5, "vlan5");
        assert_eq!(receives(&a, 5, &of_own), 1);
        let lagg = lagg_of(&[&a]);
        let (laggs, of_laggs) = vlan(&lagg.ifp, 5, "laggs5");
        let (other, of_other) = vlan(&lagg.ifp, 6, "laggs6");
        assert_eq!((receives(&a, 5, &of_laggs), receives(&a, 6, &of_other)), (1, 1));
        lagg.remove("em1").unwrap();
        assert_eq!(receives(&a, 5, &of_own), 1);
        // Once more, with the lagg's VLANs configured first.
        lagg.add("em1").unwrap();
        lagg.remove("em1").unwrap();
        assert_eq!((receives(&a, 5, &of_own), receives(&a, 6, &of_own)), (1, 0));
        [own, laggs, other].into_iter().for_each(Attached::detach);
    });
}

#[test]
fn f36_the_laggs_vlan_goes_while_the_port_has_its_own() {
    lab(|| {
        let a = filtering(1);
        let (own, of_own) = vlan(&a.ifp, 5, "vlan5");
        let lagg = lagg_of(&[&a]);
        let (laggs, _) = vlan(&lagg.ifp, 5, "laggs5");
        host::settle();
        laggs.detach();
        host::settle();
        lagg.remove("em1").unwrap();
        assert_eq!(receives(&a, 5, &of_own), 1);
        own.detach();
    });
}

/// The reverse: the port's own VLANs go while the lagg has their ids, one or many.
#[test]
fn f36_the_ports_own_vlans_go_while_the_lagg_has_its_own() {
    lab(|| {
        let a = filtering(1);
        let own: Vec<_> =
            (1..=10).map(|id| vlan(&a.ifp, 60 + id, &format!("vlan{id}")).0).collect();
        let lagg = lagg_of(&[&a]);
        let laggs: Vec<_> =
            (1..=10).map(|id| vlan(&lagg.ifp, 60 + id, &format!("laggs{id}"))).collect();
        host::settle();
        let mut own = own.into_iter();
        own.next().unwrap().detach();
        assert_eq!(receives(&a, 61, &laggs[0].1), 1);
        own.for_each(Attached::detach);
        for (id, (_, heard)) in (61..).zip(&laggs) {
            assert_eq!(receives(&a, id, heard), 1, "{id}");
        }
        laggs.into_iter().for_each(|(vlan, _)| vlan.detach());
    });
}

/// A VLAN that goes with its lagg undoes what it has requested of the lagg.
#[test]
fn f38_a_promiscuous_vlan_goes_with_its_lagg_without_a_message() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let vlan = host::vlan_create(&lagg.ifp, 5, "vlan5").unwrap();
        host::set_promisc(&vlan, true).unwrap();
        host::set_allmulti(&vlan, true).unwrap();
        host::settle();
        let events = Events::of(&vlan);
        lagg.destroy();
        let said = events.take();
        assert!(!said.iter().any(|event| matches!(event, Event::Log(_))), "{said:?}");
        assert_eq!(a.ifp.flags() & (iff::PROMISC | iff::ALLMULTI), 0);
        vlan.detach();
    });
}

/// vlan(4) takes modes back from the parent with its lock held, which a parent that is a VLAN wants too.
#[test]
fn d36_a_vlan_on_a_vlan_is_destroyed_while_its_lagg_is_promiscuous() {
    lab(|| {
        let a = card(1);
        let outer = host::vlan_create(&a.ifp, 8, "vlan8").unwrap();
        let inner = host::vlan_create(&outer, 9, "vlan9").unwrap();
        let lagg = lagg();
        lagg.add("vlan9").unwrap();
        lagg.up();
        host::set_promisc(&lagg.ifp, true).unwrap();
        host::set_allmulti(&lagg.ifp, true).unwrap();
        host::settle();
        let modes = iff::PROMISC | iff::ALLMULTI;
        assert_eq!(a.ifp.flags() & modes, modes, "through both VLANs");
        inner.detach();
        assert_eq!(lagg.ports(), [""; 0]);
        assert_eq!(a.ifp.flags() & modes, 0);
        outer.detach();
    });
}

/// IPv6 sets IFF_ALLMULTI without telling the driver.
#[test]
fn f39_down_is_done_when_it_returns_after_all_groups_were_joined() {
    lab(|| {
        let (a, other) = (card(1), card(2));
        let (lagg, slow) = (lagg_of(&[&a]), lagg());
        slow.add("em2").unwrap();
        slow.up();
        host::settle();
        // The configuration task is busy with another lagg's driver.
        let blocked = other.nic.block(SIOCSIFFLAGS);
        host::set_promisc(&slow.ifp, true).unwrap();
        blocked.wait();
        host::join_all_groups(&lagg.ifp);
        lagg.down();
        assert_eq!(a.ifp.flags() & iff::UP, 0);
        lagg.up();
        assert_eq!(a.ifp.flags() & iff::UP, iff::UP);
        blocked.release();
        host::settle();
        assert_eq!(a.ifp.flags() & iff::ALLMULTI, iff::ALLMULTI);
    });
}
