//! Laggs and ports in other vnets than the one in which they were created, and in different ones.

use lagg_rs::kpi::host::testing::Events;
use lagg_rs::kpi::host::{self, Event, IpState, Vnet};
use lagg_rs::kpi::ioctl::{SIOCSLAGGDELPORT, SIOCSLAGGPORT, proto};
use lagg_rs::kpi::{Errno, Ifnet, Offloads, iff};

use crate::lab::{
    Card, Lagg, card, ether, everything, flags, lab, lagg, lagg_of, mac, mtu, pass, port_request,
    refused, text,
};

/// The interface's attributes, without its flags.
pub fn nature(card: &Card) -> String {
    let ifp = &card.ifp;
    let modes = ifp.flags() & (iff::PROMISC | iff::ALLMULTI);
    let offloads = ifp.offloads();
    format!("{:?} {:x?} {} {modes:x} {offloads:x?}", ifp.if_type(), ifp.lladdr(), ifp.mtu())
}

/// Moves it, and brings it up there.
pub fn move_up(ifp: &Ifnet, to: &Vnet) {
    host::vmove(ifp, to).unwrap();
    to.enter(|| {
        flags(&text(&ifp.name()), iff::UP).unwrap();
    });
    host::settle();
}

/// The stack takes it down when it moves, and purges its groups, of which the driver is told.
#[test]
fn a_lagg_that_has_moved_comes_up_again() {
    lab(|| {
        let (a, jail) = (card(1), Vnet::new());
        let lagg = lagg_of(&[&a]);
        let vlan = host::vlan_create(&lagg.ifp, 7, "vlan7").unwrap();
        host::vmove(&lagg.ifp, &jail).unwrap();
        host::settle();
        assert!(!lagg.ifp.is_running() && a.ifp.flags() & iff::UP == 0, "the VLAN is no more");
        jail.enter(|| {
            for _ in 0..2 {
                lagg.up();
                assert!(lagg.ifp.is_running() && a.ifp.flags() & iff::UP != 0);
                lagg.down();
                assert!(!lagg.ifp.is_running() && a.ifp.flags() & iff::UP == 0);
            }
        });
        drop(vlan);
    });
}

/// The stack takes it down, and does not report an address that it gets afterwards.
#[test]
fn a_lagg_that_has_moved_gives_its_ports_its_new_address() {
    lab(|| {
        let (a, jail) = (card(1), Vnet::new());
        let lagg = lagg_of(&[&a]);
        host::vmove(&lagg.ifp, &jail).unwrap();
        jail.enter(|| {
            ether(&lagg.name, mac(7)).unwrap();
            lagg.up();
        });
        assert_eq!(a.ifp.lladdr(), mac(7));
    });
}

/// C lagg looks for the lagg in a list of the vnet to which it has moved.
#[test]
fn d18_a_lagg_that_has_moved_can_be_destroyed() {
    lab(|| {
        let (home, jail) = (Vnet::current(), Vnet::new());
        let (a, b) = (card(1), card(2));
        let before = [nature(&a), nature(&b)];
        // With other laggs in both vnets, and back again.
        let (stays, inside) = (lagg(), jail.enter(lagg));
        host::clone_create("lagg7", None).unwrap();
        let moves = Lagg { name: "lagg7".into(), ifp: home.interface("lagg7").unwrap() };
        moves.add("em1").unwrap();
        moves.add("em2").unwrap();
        move_up(&moves.ifp, &jail);
        jail.enter(|| assert_eq!(moves.ports(), ["em1", "em2"], "they stay its ports"));
        assert!(a.ifp.vnet() == home && b.ifp.vnet() == home);
        move_up(&moves.ifp, &home);
        move_up(&moves.ifp, &jail);
        jail.enter(|| moves.destroy());
        assert_eq!([nature(&a), nature(&b)], before);
        stays.add("em1").unwrap();
        assert_eq!(inside.ifp.vnet().interfaces().len(), 1);
        // The unit is free at home.
        assert_eq!(host::clone_create("lagg7", None).unwrap(), "lagg7");
        host::clone_destroy("lagg7").unwrap();
    });
}

/// A lagg is recognised in any vnet: it cannot be a port, and no VLAN on it can be its port.
#[test]
fn d18_laggs_that_have_moved_cannot_be_stacked() {
    lab(|| {
        let jail = Vnet::new();
        let (one, other) = (lagg(), jail.enter(|| host::clone_create("lagg9", None).unwrap()));
        host::vmove(&one.ifp, &jail).unwrap();
        jail.enter(|| {
            assert_eq!(one.add("lagg9"), Err(Errno::EINVAL));
            let reverse = port_request("lagg9", SIOCSLAGGPORT, &one.name).map(drop);
            assert_eq!(reverse, Err(Errno::EINVAL));
            host::clone_destroy(&other).unwrap();
        });
    });
}

/// A jail ends. Interfaces in it go home, laggs made in it are destroyed wherever they are, and no port
/// keeps anything of a lagg.
#[test]
fn d18_a_jail_ends_with_laggs_of_both_vnets_inside() {
    for protocol in [proto::FAILOVER, proto::LACP] {
        lab(|| {
            let (home, jail) = (Vnet::current(), Vnet::new());
            let cards: [Card; 4] = [1, 2, 3, 4].map(card);
            let before = cards.each_ref().map(nature);
            // Ports that are at home, of a lagg in the jail.
            let ours = lagg_of(&[&cards[0]]);
            ours.set_protocol(protocol).unwrap();
            host::set_promisc(&ours.ifp, true).unwrap();
            host::settle();
            move_up(&ours.ifp, &jail);
            // A lagg of the jail with a port of ours, and a lagg that has moved here with a port that has
            // not.
            for card in &cards[1..3] {
                move_up(&card.ifp, &jail);
            }
            let theirs = jail.enter(|| {
                let theirs = Lagg {
                    name: host::clone_create("lagg5", None).unwrap(),
                    ifp: jail.interface("lagg5").unwrap(),
                };
                theirs.add("em2").unwrap();
                theirs.set_protocol(protocol).unwrap();
                theirs.up();
                host::clone_create("lagg6", None).unwrap();
                theirs
            });
            let abroad = Lagg { name: "lagg6".into(), ifp: jail.interface("lagg6").unwrap() };
            jail.enter(|| abroad.add("em3").unwrap());
            move_up(&abroad.ifp, &home);
            abroad.add("em4").unwrap();
            jail.destroy();
            assert!(jail.interfaces().is_empty());
            assert!(home.interface("lagg5").is_none() && home.interface("lagg6").is_none());
            drop((theirs, abroad));
            assert_eq!(
                ours.ports(),
                ["em1"],
                "a lagg that was a guest in the jail is home with its port"
            );
            ours.destroy();
            assert_eq!(cards.each_ref().map(nature), before);
            assert!(cards.iter().all(|card| card.ifp.vnet() == home));
        });
    }
}

/// The protocols of a vnet that ends go before its laggs.
#[test]
fn d37_a_lagg_tells_no_peers_once_its_vnet_ends() {
    lab(|| {
        let jail = Vnet::current();
        let first = lagg();
        let cards = [card(1), card(2)];
        let tells = lagg_of(&cards.each_ref());
        host::set_ip(&tells.ifp, [192, 0, 2, 1].into(), IpState::Ready);
        tells.set("notify_peers", "255").unwrap();
        tells.set("notify_interval", "10").unwrap();
        tells.set("active", "em2").unwrap();
        let events = Events::of(&tells.ifp);
        let announced = || events.take().iter().filter(|it| **it == Event::Announced).count();
        pass(100);
        assert!(announced() >= 10, "peers are told for 2.5 seconds");
        // While the first lagg is destroyed, time passes for the second.
        host::listen(&first.ifp, |_, event| {
            if *event == Event::Departure {
                pass(100);
            }
        });
        jail.destroy();
        assert_eq!(announced(), 0);
    });
}

/// In C lagg a port arrives in its new vnet with the lagg's address and MTU, fewer capabilities, and
/// promiscuous.
#[test]
fn f10_a_port_that_moves_away_is_what_it_was() {
    lab(|| {
        let (home, jail) = (Vnet::current(), Vnet::new());
        let (a, b) = (card(1), card(2));
        mtu("em1", 4000).unwrap();
        b.ifp.store_offloads(&Offloads { capabilities: 7, enabled: 5, ..Default::default() });
        let before = nature(&b);
        let lagg = lagg_of(&[&a, &b]);
        host::set_promisc(&lagg.ifp, true).unwrap();
        host::set_allmulti(&lagg.ifp, true).unwrap();
        host::join_group(&lagg.ifp, &[1, 0, 0x5e, 0, 0, 9].into()).unwrap();
        host::settle();
        assert!(host::groups(&b.ifp).contains(&[1, 0, 0x5e, 0, 0, 9].into()));
        assert_eq!(
            (b.ifp.mtu(), b.ifp.lladdr(), b.ifp.offloads().enabled),
            (4000, mac(1).into(), 0)
        );
        assert!(b.ifp.flags() & iff::PROMISC != 0);
        host::vmove(&b.ifp, &jail).unwrap();
        assert_eq!(nature(&b), before);
        assert!(host::groups(&b.ifp).is_empty());
        assert_eq!(lagg.ports(), ["em1"]);
        // It belongs to no lagg there, and the lagg's name does not exist.
        jail.enter(|| {
            assert_eq!(lagg.add("em2"), Err(Errno::ENXIO));
            flags("em2", iff::UP).unwrap();
            mtu("em2", 2000).unwrap();
            ether("em2", mac(22)).unwrap();
            mtu("em2", 1500).unwrap();
            ether("em2", mac(2)).unwrap();
        });
        assert_eq!(lagg.remove("em2"), Err(Errno::EINVAL), "it is not here");
        // And back.
        move_up(&b.ifp, &home);
        lagg.add("em2").unwrap();
        assert_eq!((b.ifp.mtu(), b.ifp.lladdr()), (4000, mac(1).into()));
        // When the primary leaves, the lagg takes the other port's own address.
        host::vmove(&a.ifp, &jail).unwrap();
        assert_eq!([a.ifp.lladdr(), lagg.ifp.lladdr(), b.ifp.lladdr()], [mac(1), mac(2), mac(2)]);
        host::vmove(&a.ifp, &home).unwrap();
        host::leave_group(&lagg.ifp, &[1, 0, 0x5e, 0, 0, 9].into());
        host::set_allmulti(&lagg.ifp, false).unwrap();
        host::set_promisc(&lagg.ifp, false).unwrap();
    });
}

/// A port whose lagg has moved away gets its own settings back when it moves, or when its jail ends.
#[test]
fn f10_ports_leave_a_lagg_of_another_vnet() {
    lab(|| {
        let (home, jail, other) = (Vnet::current(), Vnet::new(), Vnet::new());
        let (a, b) = (card(1), card(2));
        let before = [nature(&a), nature(&b)];
        move_up(&b.ifp, &other);
        let lagg = lagg_of(&[&a]);
        move_up(&lagg.ifp, &other);
        other.enter(|| lagg.add("em2").unwrap());
        host::set_promisc(&lagg.ifp, true).unwrap();
        host::settle();
        move_up(&lagg.ifp, &jail);
        jail.enter(|| {
            assert_eq!(lagg.ports(), ["em1", "em2"]);
            lagg.set_mtu(3000).unwrap();
            assert_eq!((a.ifp.mtu(), b.ifp.mtu()), (3000, 3000));
            assert_eq!(lagg.remove("em2"), Err(Errno::EINVAL), "by a name of another vnet");
        });
        other.destroy();
        assert!(b.ifp.vnet() == home);
        jail.enter(|| assert_eq!(lagg.ports(), ["em1"]));
        host::vmove(&a.ifp, &jail).unwrap();
        host::vmove(&a.ifp, &home).unwrap();
        assert_eq!([nature(&a), nature(&b)], before);
        jail.enter(|| {
            assert!(lagg.ports().is_empty());
            lagg.destroy();
        });
    });
}

/// Without PRIV_NET_LAGG a user changes nothing.
#[test]
fn without_privilege_nothing_is_changed() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        let options = lagg.options().unwrap();
        host::set_privileged(false);
        refused(Errno::EPERM, || lagg.add("em2"));
        refused(Errno::EPERM, || lagg.remove("em1"));
        refused(Errno::EPERM, || lagg.set_protocol(proto::NONE));
        refused(Errno::EPERM, || lagg.set_hash(1));
        refused(Errno::EPERM, || lagg.set_options(options));
        refused(Errno::EPERM, || port_request(&lagg.name, SIOCSLAGGDELPORT, "nosuch0"));
        refused(Errno::EPERM, || host::clone_create("lagg", None));
        refused(Errno::EPERM, || host::clone_destroy(&lagg.name));
        assert!(everything().len() > 2, "all can be asked for");
        host::set_privileged(true);
        drop(b);
    });
}
