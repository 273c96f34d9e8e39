//! Creating and destroying, joining and leaving, MTU, address, up and down, link state.

use lagg_rs::kpi::host::testing::{Events, SET_LLADDR, TestNic};
use lagg_rs::kpi::host::{self, Event, Vnet};
use lagg_rs::kpi::ioctl::SIOCSIFFLAGS;
use lagg_rs::kpi::{Errno, IfType, LinkState, iff};

use crate::lab::{card, ether, flags, lab, lagg, lagg_of, mac, mtu};

#[test]
fn a_new_lagg_has_nothing() {
    lab(|| {
        let lagg = lagg();
        assert_eq!(lagg.name, "lagg0");
        assert_eq!(lagg.ifp.mtu(), 1500);
        assert_eq!(lagg.ifp.lladdr(), [0; 6]);
        assert_eq!(lagg.ifp.link_state(), LinkState::Unknown);
        assert_eq!(lagg.ports(), Vec::<String>::new());
        lagg.destroy();
        assert!(Vnet::current().interface("lagg0").is_none());
    });
}

#[test]
fn the_first_port_gives_its_mtu_and_address() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        mtu(&a.name(), 4000).unwrap();
        let lagg = lagg();
        let events = Events::of(&lagg.ifp);
        lagg.add("em1").unwrap();
        assert_eq!((lagg.ifp.mtu(), lagg.ifp.lladdr()), (4000, mac(1).into()));
        let told = events.take();
        assert!(told.contains(&Event::Lladdr(mac(1).into())), "{told:?}");
        assert!(told.contains(&Event::Mtu(4000)), "{told:?}");

        lagg.add("em2").unwrap();
        assert_eq!((b.ifp.mtu(), b.ifp.lladdr()), (4000, mac(1).into()));
        assert_eq!(a.ifp.if_type(), IfType::LaggPort);
        assert_eq!(b.ifp.if_type(), IfType::LaggPort);
    });
}

/// The fuzzers cannot check this, because they may change the parent's address meanwhile.
#[test]
fn a_vlan_gets_its_address_back() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let vlan = host::vlan_create(&b.ifp, 3, "vlan3").unwrap();
        let lagg = lagg_of(&[&a]);
        lagg.add("vlan3").unwrap();
        assert_eq!((vlan.lladdr(), b.ifp.lladdr()), (mac(1).into(), mac(2).into()));
        lagg.remove("vlan3").unwrap();
        host::settle();
        assert_eq!((vlan.lladdr(), b.ifp.lladdr()), (mac(2).into(), mac(2).into()));
    });
}

#[test]
fn ports_are_in_the_order_of_their_index() {
    lab(|| {
        let (_a, _b, _c) = (card(1), card(2), card(3));
        let lagg = lagg();
        for port in ["em3", "em1", "em2"] {
            lagg.add(port).unwrap();
        }
        assert_eq!(lagg.ports(), ["em1", "em2", "em3"]);
    });
}

#[test]
fn joining_returns_why_it_refuses() {
    lab(|| {
        let (_a, _b) = (card(1), card(2));
        let (lagg0, lagg1) = (lagg(), lagg());
        lagg0.add("em1").unwrap();
        assert_eq!(lagg0.add(""), Err(Errno::EINVAL));
        assert_eq!(lagg0.add("em9"), Err(Errno::EINVAL));
        assert_eq!(lagg0.add("lagg0"), Err(Errno::EINVAL));
        assert_eq!(lagg0.add("lagg1"), Err(Errno::EINVAL));
        assert_eq!(lagg0.add("em1"), Err(Errno::EEXIST));
        assert_eq!(lagg1.add("em1"), Err(Errno::EBUSY));
        let nic = TestNic::new();
        let other = host::attach("gif0", IfType::Other(0xf0), [0; 6], 1280, 0, nic);
        assert_eq!(lagg0.add("gif0"), Err(Errno::EPROTONOSUPPORT));
        assert_eq!(other.if_type(), IfType::Other(0xf0));
        assert_eq!(lagg0.ports(), ["em1"]);
        assert_eq!(lagg1.ports(), Vec::<String>::new());
    });
}

#[test]
fn there_is_room_for_32_ports() {
    lab(|| {
        let cards: Vec<_> = (0..33).map(card).collect();
        let lagg = lagg();
        for card in &cards[..32] {
            lagg.add(&card.name()).unwrap();
        }
        assert_eq!(lagg.add("em32"), Err(Errno::ENOSPC));
        assert_eq!(cards[32].ifp.if_type(), IfType::Ethernet);
        lagg.remove("em7").unwrap();
        lagg.add("em32").unwrap();
        assert_eq!(lagg.ports().len(), 32);
    });
}

#[test]
fn a_port_that_keeps_its_address_joins_all_the_same() {
    lab(|| {
        let (_a, b) = (card(1), card(2));
        let lagg = lagg();
        lagg.add("em1").unwrap();
        b.nic.refuse_all(SET_LLADDR, Errno::ENODEV);
        lagg.add("em2").unwrap();
        assert_eq!(b.ifp.lladdr(), mac(2));
        assert_eq!(lagg.ports(), ["em1", "em2"]);
    });
}

#[test]
fn no_memory_leaves_everything_as_it_was() {
    lab(|| {
        let (_a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&_a]);
        for n in 1.. {
            host::fail_allocation(n);
            let joined = lagg.add("em2");
            if host::fail_allocation(0) != 0 {
                joined.unwrap();
                assert!(n > 2, "joining allocates");
                break;
            }
            assert_eq!(joined, Err(Errno::ENOMEM));
            assert_eq!((b.ifp.mtu(), b.ifp.lladdr()), (1500, mac(2).into()));
            assert!(b.ifp.lagg_port().is_none());
            assert_eq!(lagg.ports(), ["em1"]);
        }
        for n in 1.. {
            host::fail_allocation(n);
            let made = host::clone_create("lagg7", None);
            if host::fail_allocation(0) != 0 {
                made.unwrap();
                host::clone_destroy("lagg7").unwrap();
                break;
            }
            assert_eq!(made, Err(Errno::ENOMEM));
            assert!(Vnet::current().interface("lagg7").is_none());
        }
    });
}

#[test]
fn a_port_that_leaves_is_what_it_was() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        mtu("em1", 4000).unwrap();
        let lagg = lagg_of(&[&a, &b, &c]);
        assert_eq!(lagg.remove("em9"), Err(Errno::EINVAL));
        lagg.remove("em2").unwrap();
        assert_eq!((b.ifp.mtu(), b.ifp.lladdr()), (1500, mac(2).into()));
        assert_eq!(b.ifp.if_type(), IfType::Ethernet);
        assert!(b.ifp.lagg_port().is_none());
        assert_eq!(lagg.remove("em2"), Err(Errno::ENOENT));
        mtu("em2", 2000).unwrap();
        assert_eq!(lagg.ports(), ["em1", "em3"]);
    });
}

#[test]
fn when_the_first_port_leaves_the_lowest_gives_its_address() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        let lagg = lagg();
        for port in ["em2", "em3", "em1"] {
            lagg.add(port).unwrap();
        }
        host::settle();
        let events = Events::of(&lagg.ifp);
        lagg.remove("em2").unwrap();
        assert_eq!(events.take().first(), Some(&Event::Lladdr(mac(1).into())));
        assert_eq!([a.ifp.lladdr(), b.ifp.lladdr(), c.ifp.lladdr()], [mac(1), mac(2), mac(1)]);
        assert_eq!(lagg.ifp.lladdr(), mac(1));
        assert_eq!(
            lagg.port("em3").unwrap().flags & 1,
            1,
            "the primary is the first that is there"
        );
        lagg.remove("em1").unwrap();
        lagg.remove("em3").unwrap();
        assert_eq!(lagg.ifp.lladdr(), [0; 6]);
        assert_eq!(c.ifp.lladdr(), mac(3));
    });
}

#[test]
fn a_departing_port_is_taken_out() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        a.ifp.detach();
        assert_eq!(lagg.ports(), ["em2"]);
        assert_eq!(lagg.ifp.lladdr(), mac(2));
        assert_eq!(b.ifp.lladdr(), mac(2));
    });
}

#[test]
fn a_renamed_port_stays() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        host::rename(&a.ifp, "wan0").unwrap();
        assert_eq!(lagg.ports(), ["wan0"]);
        lagg.remove("wan0").unwrap();
    });
}

#[test]
fn a_lagg_can_be_destroyed_in_another_vnet() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let jail = Vnet::new();
        host::vmove(&lagg.ifp, &jail).unwrap();
        jail.enter(|| lagg.destroy());
        assert_eq!(a.ifp.if_type(), IfType::Ethernet);
        assert!(a.ifp.lagg_port().is_none());
    });
}

#[test]
fn up_and_down_reach_the_ports() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        flags("em1", 0).unwrap();
        flags("em2", 0).unwrap();
        let lagg = lagg();
        lagg.add("em1").unwrap();
        lagg.add("em2").unwrap();
        assert_eq!(
            a.ifp.flags() & iff::UP,
            0,
            "joining a lagg that is down does not bring a port up"
        );
        lagg.up();
        assert!(lagg.ifp.is_running());
        assert!(a.ifp.flags() & b.ifp.flags() & iff::UP != 0);
        assert!(a.nic.take_ioctls().contains(&SIOCSIFFLAGS));
        lagg.down();
        assert!(!lagg.ifp.is_running());
        assert_eq!((a.ifp.flags() | b.ifp.flags()) & iff::UP, 0);
        lagg.up();
        assert!(a.ifp.flags() & b.ifp.flags() & iff::UP != 0);
    });
}

#[test]
fn an_address_brings_the_lagg_up() {
    lab(|| {
        let a = card(1);
        let lagg = lagg();
        lagg.add("em1").unwrap();
        host::set_address(&lagg.ifp).unwrap();
        assert!(lagg.ifp.is_running());
        assert!(a.ifp.flags() & iff::UP != 0);
    });
}

/// SIOCSIFADDR sets IFF_UP itself, so later requests find a lagg that is up.
#[test]
fn a_down_takes_down_what_an_address_brought_up() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg();
        lagg.add("em1").unwrap();
        lagg.add("em2").unwrap();
        for _ in 0..2 {
            host::set_address(&lagg.ifp).unwrap();
            assert!(lagg.ifp.is_running() && lagg.ifp.flags() & iff::UP != 0);
            lagg.down();
            assert!(!lagg.ifp.is_running());
            assert_eq!((a.ifp.flags() | b.ifp.flags()) & iff::UP, 0);
        }
        host::set_address(&lagg.ifp).unwrap();
        ether(&lagg.name, mac(9)).unwrap();
        assert_eq!([a.ifp.lladdr(), b.ifp.lladdr()], [mac(9), mac(9)]);
        // A change of mode in between does not hide that.
        host::set_promisc(&lagg.ifp, true).unwrap();
        lagg.down();
        assert!(!lagg.ifp.is_running());
    });
}

#[test]
fn ether_reaches_the_ports() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        ether(&lagg.name, mac(42)).unwrap();
        for ifp in [&*lagg.ifp, &*a.ifp, &*b.ifp] {
            assert_eq!(ifp.lladdr(), mac(42));
            assert!(ifp.flags() & iff::UP != 0);
        }
        lagg.remove("em1").unwrap();
        assert_eq!(a.ifp.lladdr(), mac(1));
    });
}

#[test]
fn link_state_and_speed_follow_the_ports() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        b.ifp.set_baudrate(10_000_000_000);
        let lagg = lagg_of(&[&a, &b]);
        assert_eq!(lagg.ifp.link_state(), LinkState::Up);
        assert_eq!(lagg.ifp.baudrate(), 1_000_000_000, "that of the port that sends");
        a.link(LinkState::Down);
        assert_eq!(lagg.ifp.link_state(), LinkState::Up);
        b.link(LinkState::Down);
        assert_eq!(lagg.ifp.link_state(), LinkState::Down);
        a.link(LinkState::Up);
        assert_eq!(lagg.ifp.link_state(), LinkState::Up);
        lagg.remove("em1").unwrap();
        host::settle();
        assert_eq!(lagg.ifp.link_state(), LinkState::Down);
        assert_eq!(lagg.ifp.baudrate(), 0);
    });
}

#[test]
fn a_port_loses_its_ipv6_addresses_with_a_message() {
    lab(|| {
        let a = card(1);
        host::set_ipv6(&a.ifp, true);
        let lagg = lagg();
        let events = Events::of(&lagg.ifp);
        lagg.add("em1").unwrap();
        assert!(!a.ifp.has_ipv6_lladdr());
        let told = events.take();
        assert!(told.iter().any(|e| matches!(e, Event::Log(text) if text.contains("IPv6"))));
    });
}
