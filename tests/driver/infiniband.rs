//! InfiniBand laggs: which ports they take, and which address they have.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use lagg_rs::kpi::host::testing::{Events, SET_LLADDR, TestNic};
use lagg_rs::kpi::host::{self, Event, IFM_ETHER_AUTO, MediaRequest, Vnet, ifioctl};
use lagg_rs::kpi::ioctl::{
    InterfaceRequest, SIOCGIFMEDIA, SIOCGIFXMEDIA, SIOCGLAGGPORT, SIOCSIFMEDIA, SIOCSIFMTU, port,
    proto,
};
use lagg_rs::kpi::{Errno, IfType, LinkAddr, LinkState, Result, iff};

use crate::lab::{
    Card, Lagg, addr, broadcast, card, flags, ib, ib_lagg, lab, lagg, mac, mtu, pass, port_request,
    refused, spawn, without_memory,
};

fn try_create(kind: u8) -> Result<String> {
    let mut parameters = [0; 16];
    parameters[0] = kind;
    host::clone_create("lagg", Some(&parameters))
}

/// An InfiniBand lagg that is up, with these ports.
pub fn ib_lagg_of(cards: &[&Card]) -> Lagg {
    let lagg = ib_lagg();
    for card in cards {
        lagg.add(&card.name()).unwrap();
    }
    lagg.up();
    host::settle();
    lagg
}

/// The number of the port whose address and broadcast address the lagg has; 0 for none.
#[track_caller]
pub fn addressed_as(lagg: &Lagg) -> u8 {
    let (lladdr, of_all) = (lagg.ifp.lladdr(), lagg.ifp.broadcast_lladdr());
    let LinkAddr::Infiniband(bytes) = lladdr else { panic!("{lladdr:?}") };
    if bytes == [0; 20] {
        assert_eq!(of_all, [0; 20]);
        return 0;
    }
    assert_eq!(lladdr, addr(bytes[19]));
    assert_eq!(of_all, broadcast(bytes[19]));
    bytes[19]
}

/// The addresses that were reported since the last call.
pub fn told(events: &Events) -> Vec<u8> {
    let address = |event: Event| match event {
        Event::Lladdr(address) => address.as_bytes().last().copied(),
        _ => None,
    };
    events.take().into_iter().filter_map(address).collect()
}

/// Lets a second pass.
pub fn second() {
    pass(1_000);
}

#[test]
fn it_is_created_and_destroyed() {
    lab(|| {
        without_memory(|| try_create(1).map(drop));
        host::clone_destroy("lagg0").unwrap();
        assert_eq!(try_create(2), Err(Errno::EINVAL));
        let lagg = ib_lagg();
        assert_eq!((lagg.ifp.if_type(), lagg.ifp.mtu()), (IfType::Infiniband, 1500));
        assert_eq!((addressed_as(&lagg), lagg.ifp.link_state()), (0, LinkState::Unknown));
        assert_eq!(lagg.get(0).unwrap().0.proto, proto::FAILOVER);
        lagg.up();
        lagg.destroy();
        assert!(Vnet::current().interface(&lagg.name).is_none());
        assert_eq!(Vnet::current().next_callout(), None);
    });
}

#[test]
fn ports_are_of_the_laggs_own_type() {
    lab(|| {
        let (a, em, other) = (ib(1), card(2), ib(3));
        let vlan = host::vlan_create(&em.ifp, 7, "vlan7").unwrap();
        let gif = host::attach("gif0", IfType::Other(0xf0), [0; 6], 1280, 0, TestNic::new());
        let short = host::attach("short0", IfType::Infiniband, mac(4), 2044, 0, TestNic::new());
        let (lagg0, lagg1, ethernet) = (ib_lagg(), ib_lagg_of(&[&other]), lagg());
        for name in ["em2", "vlan7", "gif0", "short0", "lagg2"] {
            refused(Errno::EPROTONOSUPPORT, || lagg0.add(name));
        }
        for name in ["ib1", "short0", "lagg0"] {
            refused(Errno::EPROTONOSUPPORT, || ethernet.add(name));
        }
        refused(Errno::EBUSY, || lagg0.add("ib3"));
        refused(Errno::EINVAL, || lagg0.add("lagg0"));
        refused(Errno::EINVAL, || lagg0.add("lagg1"));
        lagg0.add("ib1").unwrap();
        refused(Errno::EEXIST, || lagg0.add("ib1"));
        assert_eq!(a.ifp.if_type(), IfType::InfinibandLaggPort);
        lagg0.remove("ib1").unwrap();
        assert_eq!(a.ifp.if_type(), IfType::Infiniband);
        drop((vlan, gif, short, lagg1));
    });
}

#[test]
fn failover_is_its_only_protocol() {
    lab(|| {
        let a = ib(1);
        let lagg = ib_lagg_of(&[&a]);
        let others =
            [proto::NONE, proto::ROUNDROBIN, proto::LOADBALANCE, proto::LACP, proto::BROADCAST, 6];
        for protocol in others {
            refused(Errno::EPROTONOSUPPORT, || lagg.set_protocol(protocol));
        }
        lagg.set_protocol(proto::FAILOVER).unwrap();
        assert_eq!(lagg.port("ib1").unwrap().flags, port::MASTER | port::ACTIVE);
        host::set_privileged(false);
        refused(Errno::EPERM, || lagg.set_protocol(proto::LACP));
        host::set_privileged(true);
    });
}

#[test]
fn it_has_no_media_and_no_address_to_set() {
    lab(|| {
        let lagg = ib_lagg();
        for command in [SIOCGIFMEDIA, SIOCGIFXMEDIA] {
            let mut request = MediaRequest::default();
            assert_eq!(ifioctl(&lagg.name, command, &mut request), Err(Errno::EINVAL));
        }
        let mut request = InterfaceRequest::with_media(IFM_ETHER_AUTO);
        refused(Errno::EINVAL, || ifioctl(&lagg.name, SIOCSIFMEDIA, &mut request));
        for (length, errno) in [(6, Errno::EINVAL), (20, Errno::ENODEV)] {
            let mut request = [0u8; 32];
            request[16] = length;
            refused(errno, || ifioctl(&lagg.name, host::SIOCSIFLLADDR, &mut request));
        }
    });
}

#[test]
fn the_first_port_gives_its_mtu_and_address_and_keeps_its_own() {
    lab(|| {
        let (a, b) = (ib(1), ib(2));
        mtu("ib1", 4092).unwrap();
        let lagg = ib_lagg();
        let events = Events::of(&lagg.ifp);
        without_memory(|| lagg.add("ib1"));
        // At once, without waiting for tasks.
        assert_eq!((lagg.ifp.mtu(), addressed_as(&lagg), told(&events)), (4092, 1, vec![1]));
        without_memory(|| lagg.add("ib2"));
        assert_eq!((b.ifp.mtu(), addressed_as(&lagg)), (4092, 1));
        lagg.up();
        lagg.down();
        host::settle();
        lagg.remove("ib2").unwrap();
        assert_eq!((a.ifp.lladdr(), b.ifp.lladdr()), (addr(1).into(), addr(2).into()));
        assert_eq!((b.ifp.mtu(), told(&events)), (2044, vec![]));
        for card in [&a, &b] {
            assert!(!card.nic.take_ioctls().contains(&SET_LLADDR));
        }
    });
}

#[test]
fn the_mtu_is_all_ports() {
    lab(|| {
        let (a, b, c) = (ib(1), ib(2), ib(3));
        let lagg = ib_lagg_of(&[&a, &b]);
        lagg.set_mtu(4092).unwrap();
        assert_eq!((a.ifp.mtu(), b.ifp.mtu(), lagg.ifp.mtu()), (4092, 4092, 4092));
        b.nic.refuse(SIOCSIFMTU, 1, Errno::EINVAL);
        refused(Errno::EINVAL, || lagg.set_mtu(2044));
        refused(Errno::EINVAL, || mtu("ib1", 2044));
        c.nic.refuse_all(SIOCSIFMTU, Errno::ENOBUFS);
        refused(Errno::ENOBUFS, || lagg.add("ib3"));
        assert_eq!(c.ifp.lladdr(), addr(3));
    });
}

#[test]
fn the_address_is_that_of_the_port_that_sends() {
    lab(|| {
        let (a, b, c) = (ib(1), ib(2), ib(3));
        let lagg = ib_lagg_of(&[&a, &b, &c]);
        let events = Events::of(&lagg.ifp);
        assert_eq!(addressed_as(&lagg), 1);
        a.link(LinkState::Down);
        assert_eq!((addressed_as(&lagg), told(&events)), (2, vec![2]));
        // IFF_UP by a request to the port.
        flags("ib2", 0).unwrap();
        host::settle();
        assert_eq!((addressed_as(&lagg), told(&events)), (3, vec![3]));
        a.link(LinkState::Up);
        assert_eq!((addressed_as(&lagg), told(&events)), (1, vec![1]));
        flags("ib2", iff::UP).unwrap();
        c.link(LinkState::Down);
        second();
        assert_eq!((addressed_as(&lagg), told(&events)), (1, vec![]), "only if it is another one");
    });
}

/// No event reports an IFF_UP that no request has changed, nor what the subnet manager does.
#[test]
fn changes_without_an_event_are_seen_within_a_second() {
    lab(|| {
        let (a, b) = (ib(1), ib(2));
        let lagg = ib_lagg_of(&[&a, &b]);
        let events = Events::of(&lagg.ifp);
        a.ifp.down();
        host::settle();
        assert_eq!(addressed_as(&lagg), 1);
        second();
        assert_eq!((addressed_as(&lagg), told(&events)), (2, vec![2]));
        b.ifp.store_lladdr(&addr(9).into());
        b.ifp.store_broadcast_lladdr(&broadcast(9).into());
        second();
        assert_eq!((addressed_as(&lagg), told(&events)), (9, vec![9]));
        // Only the partition changes.
        b.ifp.store_broadcast_lladdr(&broadcast(5).into());
        second();
        assert_eq!((lagg.ifp.broadcast_lladdr(), told(&events)), (broadcast(5).into(), vec![9]));
        // A lagg that is down does not poll.
        lagg.down();
        second();
        assert_eq!(Vnet::current().next_callout(), None);
    });
}

/// If it changed while no port is active, peers would not receive the announcement, and keep the old one.
#[test]
fn without_an_active_port_the_address_stays() {
    lab(|| {
        let (a, b) = (ib(1), ib(2));
        let lagg = ib_lagg_of(&[&a, &b]);
        a.link(LinkState::Down);
        let events = Events::of(&lagg.ifp);
        b.link(LinkState::Down);
        second();
        assert_eq!((addressed_as(&lagg), told(&events)), (2, vec![]));
        a.link(LinkState::Up);
        assert_eq!((addressed_as(&lagg), told(&events)), (1, vec![1]));
        // Unless it is no port's address any more.
        a.link(LinkState::Down);
        a.ifp.store_lladdr(&addr(7).into());
        a.ifp.store_broadcast_lladdr(&broadcast(7).into());
        second();
        assert_eq!((addressed_as(&lagg), told(&events)), (7, vec![7]));
    });
}

#[test]
fn the_address_of_a_port_that_leaves_goes_with_it() {
    lab(|| {
        let (a, b, c) = (ib(1), ib(2), ib(3));
        let lagg = ib_lagg_of(&[&a, &b, &c]);
        let events = Events::of(&lagg.ifp);
        lagg.remove("ib1").unwrap();
        assert_eq!((addressed_as(&lagg), told(&events)), (2, vec![2]), "the next primary's");
        // Now the port that replaces the primary.
        b.link(LinkState::Down);
        assert_eq!((addressed_as(&lagg), told(&events)), (3, vec![3]));
        lagg.remove("ib3").unwrap();
        host::settle();
        assert_eq!((addressed_as(&lagg), told(&events)), (2, vec![2]), "of those that are left");
        lagg.remove("ib2").unwrap();
        assert_eq!((addressed_as(&lagg), told(&events)), (0, vec![0]));
        lagg.add("ib3").unwrap();
        assert_eq!((addressed_as(&lagg), told(&events)), (3, vec![3]));
    });
}

#[test]
fn a_port_that_departs_or_moves_leaves() {
    lab(|| {
        let (jail, a, b, c) = (Vnet::new(), ib(1), ib(2), ib(3));
        let lagg = ib_lagg_of(&[&a, &b, &c]);
        a.ifp.detach();
        host::settle();
        assert_eq!((lagg.ports().len(), addressed_as(&lagg)), (2, 2));
        host::vmove(&b.ifp, &jail).unwrap();
        host::settle();
        assert_eq!((lagg.ports().len(), addressed_as(&lagg)), (1, 3));
        assert_eq!((b.ifp.if_type(), b.ifp.lladdr()), (IfType::Infiniband, addr(2).into()));
        lagg.destroy();
        assert_eq!((c.ifp.if_type(), c.ifp.lladdr()), (IfType::Infiniband, addr(3).into()));
        assert_eq!(Vnet::current().next_callout(), None, "a lagg that was up");
    });
}

/// C lagg writes the address under a lock that its other writers do not take. It calls listeners with that
/// lock held, and in the epoch.
#[test]
fn d23_listeners_to_the_address_may_sleep_and_ask() {
    lab(|| {
        let (a, b) = (ib(1), ib(2));
        let lagg = ib_lagg_of(&[&a, &b]);
        let (name, vnet, seen) = (lagg.name.clone(), Vnet::current(), Arc::new(Mutex::default()));
        let keep = seen.clone();
        host::listen(&lagg.ifp, move |ifp, event| {
            if let Event::Lladdr(address) = event {
                assert!(Vnet::current() == vnet);
                // Sleeps, and takes the lagg's mutex.
                port_request(&name, SIOCGLAGGPORT, "ib2").unwrap();
                let list: &mut Vec<_> = &mut keep.lock().unwrap();
                list.push((*address, ifp.broadcast_lladdr()));
            }
        });
        a.link(LinkState::Down);
        b.ifp.store_lladdr(&addr(8).into());
        second();
        a.link(LinkState::Up);
        lagg.remove("ib1").unwrap();
        // Otherwise the protocol task could still make the request to a lagg that is being destroyed.
        host::settle();
        let expected = [(2, 2), (8, 2), (1, 1), (8, 2)];
        let expected = expected.map(|(n, of)| (addr(n).into(), broadcast(of).into()));
        assert_eq!(*seen.lock().unwrap(), expected);
    });
}

/// The tasks and the threads that add and remove ports write it one after the other, each by the ports at
/// that time.
#[test]
fn d23_the_last_writer_of_the_address_is_right() {
    lab(|| {
        let (a, b, c) = (ib(1), ib(2), ib(3));
        let lagg = ib_lagg_of(&[&a, &b]);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            spawn(scope, || {
                while !done.load(Ordering::Relaxed) {
                    for state in [LinkState::Down, LinkState::Up] {
                        host::set_link(&a.ifp, state);
                    }
                }
            });
            for round in 0..300 {
                lagg.add("ib3").unwrap();
                lagg.remove(["ib1", "ib2"][round % 2]).unwrap();
                lagg.add(["ib1", "ib2"][round % 2]).unwrap();
                lagg.remove("ib3").unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        host::settle();
        let sends = lagg
            .ports()
            .into_iter()
            .find(|name| lagg.port(name).unwrap().flags & port::ACTIVE != 0);
        assert_eq!(format!("ib{}", addressed_as(&lagg)), sends.unwrap());
        drop(c);
    });
}
