//! Multicast groups and promiscuous mode: the ports follow the lagg.

use lagg_rs::kpi::host::testing::Events;
use lagg_rs::kpi::host::{self, Event};
use lagg_rs::kpi::ioctl::{SIOCADDMULTI, SIOCDELMULTI, SIOCSIFFLAGS, proto};
use lagg_rs::kpi::{Errno, LinkAddr, iff};
use lagg_rs::wire::slow;

use crate::lab::{Card, Lagg, card, lab, lagg_of};

fn group(n: u8) -> LinkAddr {
    LinkAddr::Ethernet([1, 0, 0x5e, 0, 0, n])
}

fn join(lagg: &Lagg, n: u8) {
    host::join_group(&lagg.ifp, &group(n)).unwrap();
    host::settle();
}

fn promisc(card: &Card) -> bool {
    card.ifp.flags() & iff::PROMISC != 0
}

#[test]
fn ports_are_in_the_laggs_groups() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        join(&lagg, 1);
        join(&lagg, 2);
        assert_eq!(host::groups(&a.ifp), [group(1), group(2)]);
        lagg.add("em2").unwrap();
        assert_eq!(host::groups(&b.ifp), [group(1), group(2)]);
        host::leave_group(&lagg.ifp, &group(1));
        host::settle();
        assert_eq!(host::groups(&a.ifp), [group(2)]);
        lagg.remove("em2").unwrap();
        assert_eq!(host::groups(&b.ifp), [] as [LinkAddr; 0]);
    });
}

#[test]
fn what_a_port_is_in_by_itself_it_keeps() {
    lab(|| {
        let a = card(1);
        host::join_group(&a.ifp, &group(1)).unwrap();
        let lagg = lagg_of(&[&a]);
        join(&lagg, 1);
        lagg.remove("em1").unwrap();
        assert_eq!(host::groups(&a.ifp), [group(1)]);
    });
}

/// For example, a lagg on a VLAN of this one is in that group.
#[test]
fn a_user_of_the_slow_protocols_group_on_a_lagg_keeps_it() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let slow = slow::MULTICAST.into();
        host::join_group(&lagg.ifp, &slow).unwrap();
        host::settle();
        for proto in [proto::ROUNDROBIN, proto::LACP, proto::FAILOVER] {
            lagg.set_protocol(proto).unwrap();
            assert_eq!(host::groups(&a.ifp), [slow], "{proto}");
        }
    });
}

#[test]
fn the_slow_protocols_group_is_left_when_neither_lacp_nor_the_lagg_is_in_it() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let slow = slow::MULTICAST.into();
        lagg.set_protocol(proto::LACP).unwrap();
        host::join_group(&lagg.ifp, &slow).unwrap();
        host::settle();
        host::leave_group(&lagg.ifp, &slow);
        host::settle();
        assert_eq!(host::groups(&a.ifp), [slow]);
        lagg.set_protocol(proto::FAILOVER).unwrap();
        assert_eq!(host::groups(&a.ifp), [] as [LinkAddr; 0]);
    });
}

#[test]
fn modes_reach_the_ports_and_leave_them_again() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        host::set_promisc(&lagg.ifp, true).unwrap();
        host::set_allmulti(&lagg.ifp, true).unwrap();
        host::settle();
        lagg.add("em2").unwrap();
        let modes = iff::PROMISC | iff::ALLMULTI;
        assert_eq!([&a, &b].map(|card| card.ifp.flags() & modes), [modes; 2]);
        lagg.remove("em2").unwrap();
        assert_eq!(b.ifp.flags() & modes, 0);
        // Something else requests the mode on the port too.
        host::set_promisc(&a.ifp, true).unwrap();
        host::set_promisc(&lagg.ifp, false).unwrap();
        host::settle();
        assert!(promisc(&a));
        host::set_promisc(&a.ifp, false).unwrap();
        assert!(!promisc(&a));
    });
}

#[test]
fn a_mode_that_a_port_refused_is_tried_again() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        a.nic.refuse(SIOCSIFFLAGS, 1, Errno::EIO);
        host::set_promisc(&lagg.ifp, true).unwrap();
        host::settle();
        assert!(!promisc(&a));
        join(&lagg, 1);
        assert!(promisc(&a));
    });
}

/// "Unclean" is logged for a port whose modes are released a moment later.
#[test]
fn f08_a_port_that_leaves_in_promiscuous_mode_causes_no_message() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        host::set_promisc(&lagg.ifp, true).unwrap();
        host::settle();
        let events = Events::of(&lagg.ifp);
        lagg.remove("em1").unwrap();
        assert!(!promisc(&a));
        assert!(!events.take().iter().any(|event| matches!(event, Event::Log(_))));
    });
}

/// The records of a departing port's groups are lost.
#[test]
fn f09_a_departing_ports_groups_are_forgotten() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        join(&lagg, 1);
        let nic = b.nic.clone();
        nic.take_ioctls();
        b.ifp.detach();
        assert!(!nic.take_ioctls().contains(&SIOCDELMULTI), "the stack has purged them");
        assert_eq!(host::groups(&a.ifp), [group(1)]);
    });
}

/// Each change of one group leaves all groups and joins them again. A failure is silent, and permanent.
#[test]
fn f32_a_change_of_one_group_is_one_change() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        (1..=20).for_each(|n| join(&lagg, n));
        a.nic.take_ioctls();
        join(&lagg, 21);
        assert_eq!(a.nic.take_ioctls(), [SIOCADDMULTI]);
        host::leave_group(&lagg.ifp, &group(7));
        host::settle();
        assert_eq!(a.nic.take_ioctls(), [SIOCDELMULTI]);
        assert_eq!(host::groups(&a.ifp).len(), 20);
    });
}
