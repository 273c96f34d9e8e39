//! Settings that an administrator has given a lagg stay. Those that it took from a port go with the port.

use std::sync::Arc;
use std::thread;

use lagg_rs::kpi::host::testing::{Events, SET_LLADDR};
use lagg_rs::kpi::host::{self, Event, Nic, Vnet};
use lagg_rs::kpi::ioctl::{SIOCSIFFLAGS, SIOCSIFMTU, proto};
use lagg_rs::kpi::{Epoch, Errno, IfType, Ifnet, Ioctl, LinkAddr, LinkState, Mbuf, Result, iff};
use lagg_rs::lacp::mux::AGGREGATE_WAIT;

use crate::lab::{
    Lagg, addr, card, ether, flags, ib, ib_lagg, lab, lagg, lagg_of, mac, mtu, pass, refused,
    spawn, without_memory,
};
use crate::pair::strangers;

/// How often the lagg's address was announced.
fn told(events: &Events) -> usize {
    host::settle();
    let tells = |event: &&Event| matches!(event, Event::Lladdr(_) | Event::Announced);
    events.take().iter().filter(tells).count()
}

fn destroy_and_see(lagg: &Lagg, cards: &[&crate::lab::Card]) {
    lagg.destroy();
    for (n, card) in (1..).zip(cards) {
        assert_eq!(card.ifp.lladdr(), mac(n));
    }
}

#[test]
fn f40_an_address_that_was_given_stays() {
    for up_first in [true, false] {
        lab(|| {
            let (a, b) = (card(1), card(2));
            let lagg = lagg();
            if up_first {
                lagg.up();
            }
            ether(&lagg.name, mac(9)).unwrap();
            let events = Events::of(&lagg.ifp);
            lagg.add("em1").unwrap();
            lagg.add("em2").unwrap();
            assert_eq!([a.ifp.lladdr(), b.ifp.lladdr(), lagg.ifp.lladdr()], [mac(9); 3]);
            lagg.up();
            lagg.remove("em1").unwrap();
            assert_eq!([a.ifp.lladdr(), b.ifp.lladdr()], [mac(1), mac(9)]);
            lagg.add("em1").unwrap();
            lagg.remove("em2").unwrap();
            lagg.remove("em1").unwrap();
            assert_eq!(lagg.ifp.lladdr(), mac(9));
            lagg.add("em2").unwrap();
            assert_eq!([b.ifp.lladdr(), lagg.ifp.lladdr()], [mac(9); 2]);
            let told = events.take().iter().filter(|it| matches!(it, Event::Lladdr(_))).count();
            assert!(told <= 1, "it never changed");
            destroy_and_see(&lagg, &[&a, &b]);
        });
    }
}

/// Given when there are ports, up or down, and given again.
#[test]
fn f40_an_address_that_was_given_later_stays() {
    for up in [true, false] {
        lab(|| {
            let (a, b) = (card(1), card(2));
            let lagg = lagg_of(&[&a, &b]);
            if !up {
                lagg.down();
            }
            ether(&lagg.name, mac(8)).unwrap();
            lagg.remove("em1").unwrap();
            assert_eq!([lagg.ifp.lladdr(), a.ifp.lladdr()], [mac(8), mac(1)]);
            ether(&lagg.name, mac(9)).unwrap();
            lagg.add("em1").unwrap();
            lagg.remove("em2").unwrap();
            lagg.up();
            assert_eq!([a.ifp.lladdr(), lagg.ifp.lladdr()], [mac(9); 2]);
            destroy_and_see(&lagg, &[&a, &b]);
        });
    }
}

/// A lagg keeps its given address in another vnet too.
#[test]
fn f40_an_address_that_was_given_moves_with_its_lagg() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        ether(&lagg.name, mac(9)).unwrap();
        let jail = Vnet::new();
        host::vmove(&lagg.ifp, &jail).unwrap();
        a.ifp.detach();
        assert_eq!([b.ifp.lladdr(), lagg.ifp.lladdr()], [mac(9); 2]);
        jail.enter(|| lagg.destroy());
        assert_eq!(b.ifp.lladdr(), mac(2));
    });
}

/// Given while the first port joins, after the join has looked for a given address.
#[test]
fn f40_an_address_that_is_given_while_the_first_port_joins_stays() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg();
        lagg.set_mtu(1400).unwrap();
        let blocked = a.nic.block(SIOCSIFMTU);
        thread::scope(|scope| {
            let joiner = spawn(scope, || lagg.add("em1"));
            blocked.wait();
            ether(&lagg.name, mac(9)).unwrap();
            blocked.release();
            joiner.join().unwrap().unwrap();
        });
        assert_eq!(lagg.ifp.lladdr(), mac(9));
        lagg.up();
        lagg.add("em2").unwrap();
        assert_eq!([a.ifp.lladdr(), b.ifp.lladdr()], [mac(9); 2]);
    });
}

#[test]
fn f40_a_join_that_fails_leaves_what_was_given() {
    lab(|| {
        let a = card(1);
        let lagg = lagg();
        ether(&lagg.name, mac(9)).unwrap();
        lagg.set_mtu(1400).unwrap();
        a.nic.refuse(SIOCSIFMTU, 1, Errno::EIO);
        refused(Errno::EIO, || lagg.add("em1"));
        without_memory(|| lagg.add("em1"));
        assert_eq!(lagg.ifp.lladdr(), mac(9));
        assert_eq!(lagg.ifp.mtu(), 1400);
    });
}

/// An address that was taken from a port goes with it.
#[test]
fn f40_an_address_that_was_taken_goes() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        lagg.remove("em1").unwrap();
        assert_eq!(lagg.ifp.lladdr(), mac(2));
        lagg.remove("em2").unwrap();
        assert_eq!(lagg.ifp.lladdr(), [0; 6]);
        lagg.add("em1").unwrap();
        assert_eq!(lagg.ifp.lladdr(), mac(1));
        drop((a, b));
    });
    lab(|| {
        let a = ib(1);
        let lagg = ib_lagg();
        lagg.add("ib1").unwrap();
        assert_eq!(lagg.ifp.lladdr(), addr(1));
        lagg.remove("ib1").unwrap();
        assert_eq!(lagg.ifp.lladdr(), [0; 20]);
        drop(a);
    });
}

#[test]
fn f42_an_mtu_that_was_given_is_asked_of_the_first_port_too() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg();
        lagg.set_mtu(9000).unwrap();
        let events = Events::of(&lagg.ifp);
        a.nic.refuse(SIOCSIFMTU, 1, Errno::EINVAL);
        refused(Errno::EINVAL, || lagg.add("em1"));
        let line = "em1 refuses the MTU 9000 (error 22)";
        assert!(events.take().contains(&Event::Log(line.into())));
        lagg.add("em1").unwrap();
        lagg.add("em2").unwrap();
        assert_eq!([a.ifp.mtu(), b.ifp.mtu(), lagg.ifp.mtu()], [9000; 3]);
        lagg.remove("em1").unwrap();
        lagg.remove("em2").unwrap();
        assert_eq!([a.ifp.mtu(), b.ifp.mtu(), lagg.ifp.mtu()], [1500, 1500, 9000]);
        lagg.add("em2").unwrap();
        assert_eq!(b.ifp.mtu(), 9000);
    });
}

#[test]
fn f42_an_mtu_that_was_not_given_is_the_first_ports() {
    lab(|| {
        let (_a, _b) = (card(1), card(2));
        mtu("em1", 4000).unwrap();
        let lagg = lagg();
        lagg.set_mtu(71).unwrap_err();
        lagg.add("em1").unwrap();
        assert_eq!(lagg.ifp.mtu(), 4000);
        lagg.remove("em1").unwrap();
        lagg.add("em2").unwrap();
        assert_eq!(lagg.ifp.mtu(), 1500);
    });
}

/// The stack announces an address when it changes. If nothing distributes at that time, no host receives
/// that.
#[test]
fn f64_a_new_address_is_announced_when_the_first_port_is_in_service() {
    lab(|| {
        let pair = strangers(2);
        let events = Events::of(&pair.left.ifp);
        pair.pass(AGGREGATE_WAIT);
        assert_eq!(pair.distributing(&pair.left), 2);
        assert_eq!(told(&events), 1, "it could not be received before");
        pair.pass(1_000);
        assert_eq!(told(&events), 1, "once more, when the partner is ready too");
        pair.link(0, LinkState::Down);
        pair.link(1, LinkState::Down);
        pair.link(0, LinkState::Up);
        pair.link(1, LinkState::Up);
        pair.pass(AGGREGATE_WAIT);
        pair.pass(1_000);
        assert_eq!(told(&events), 0, "it is the same");
        pair.left.remove("em2").unwrap();
        pair.left.remove("em1").unwrap();
        pair.left.add("em2").unwrap();
        pair.left.add("em1").unwrap();
        assert_eq!(pair.left.ifp.lladdr(), mac(2));
        told(&events);
        pair.pass(3 * AGGREGATE_WAIT);
        assert_eq!(pair.distributing(&pair.left), 2);
        assert_eq!(told(&events), 2);
    });
}

/// The same for other reasons: here the lagg is down, or its port's link is.
#[test]
fn f64_the_same_holds_with_any_protocol() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg();
        lagg.set_protocol(proto::LOADBALANCE).unwrap();
        let events = Events::of(&lagg.ifp);
        lagg.add("em1").unwrap();
        assert_eq!(told(&events), 1);
        lagg.up();
        assert_eq!(told(&events), 1);
        lagg.add("em2").unwrap();
        lagg.remove("em1").unwrap();
        assert_eq!(told(&events), 1, "this could be received at once");
        // The card may not be restarting for its new address any more.
        pass(1_000);
        assert_eq!(told(&events), 1, "once more");
        b.link(LinkState::Down);
        ether(&lagg.name, mac(9)).unwrap();
        assert_eq!(told(&events), 1);
        b.link(LinkState::Up);
        assert_eq!(told(&events), 1);
        b.link(LinkState::Down);
        b.link(LinkState::Up);
        assert_eq!(told(&events), 1, "perhaps no host has received it");
        pass(1_000);
        assert_eq!(told(&events), 1, "once more");
        pass(10_000);
        assert_eq!(told(&events), 0);
        drop(a);
    });
}

/// The later announcement is not an event for a new address, which the lagg's VLANs would take for theirs.
#[test]
fn f64_a_vlan_keeps_its_own_address_when_the_laggs_is_announced() {
    lab(|| {
        let pair = strangers(1);
        let lagg = &pair.left.ifp;
        let vlan = host::vlan_create(lagg, 5, "vlan5").unwrap();
        host::settle();
        assert_eq!(vlan.lladdr(), lagg.lladdr());
        ether("vlan5", mac(9)).unwrap();
        flags("vlan5", iff::UP).unwrap();
        let (events, vlans) = (Events::of(lagg), Events::of(&vlan.ifp()));
        pair.pass(AGGREGATE_WAIT);
        pair.pass(1_000);
        assert_eq!(pair.distributing(&pair.left), 1);
        assert_eq!((told(&events), told(&vlans)), (2, 2));
        assert_eq!(vlan.lladdr(), LinkAddr::from(mac(9)));
        vlan.detach();
    });
}

/// If the link goes down before the second announcement, both come when the lagg is up again.
#[test]
fn f64_after_a_link_that_goes_down_in_between_it_is_announced_again() {
    lab(|| {
        let a = card(1);
        let lagg = lagg();
        lagg.add("em1").unwrap();
        lagg.up();
        host::settle();
        a.link(LinkState::Down);
        let events = Events::of(&lagg.ifp);
        pass(10_000);
        assert_eq!(told(&events), 0);
        a.link(LinkState::Up);
        assert_eq!(told(&events), 1);
        pass(10_000);
        assert_eq!(told(&events), 1);
    });
}

/// A port that refuses the given address keeps its own, and joins.
#[test]
fn f40_a_port_may_refuse_what_was_given() {
    lab(|| {
        let a = card(1);
        a.nic.refuse_all(SET_LLADDR, Errno::EIO);
        let lagg = lagg();
        ether(&lagg.name, mac(9)).unwrap();
        lagg.add("em1").unwrap();
        assert_eq!([a.ifp.lladdr(), lagg.ifp.lladdr()], [mac(1), mac(9)]);
    });
}

/// A card that accepts the lagg's address, and restores its own afterwards.
struct Stubborn;

impl Nic for Stubborn {
    fn transmit(&self, _: &Ifnet, _: Mbuf, _: &Epoch) -> Result {
        Ok(())
    }

    fn ioctl(&self, ifp: &Ifnet, r: &mut Ioctl<'_>) -> Result {
        let command = r.command();
        host::default_ioctl(ifp, r)?;
        if command == SIOCSIFFLAGS {
            ifp.store_lladdr(&mac(2).into());
        }
        Ok(())
    }
}

#[test]
fn f47_a_port_that_keeps_its_own_address_is_logged() {
    lab(|| {
        let a = card(1);
        let b = host::attach("em2", IfType::Ethernet, mac(2), 1500, 0, Arc::new(Stubborn));
        flags("em2", iff::UP).unwrap();
        let c = card(3);
        c.nic.refuse_all(SET_LLADDR, Errno::EBUSY);
        let lagg = lagg();
        let events = Events::of(&lagg.ifp);
        let lines = || {
            host::settle();
            let lines = events.take().into_iter().filter_map(|event| match event {
                Event::Log(line) => Some(line),
                _ => None,
            });
            lines.collect::<Vec<_>>()
        };
        lagg.add("em1").unwrap();
        assert_eq!(lines(), [""; 0]);
        lagg.add("em2").unwrap();
        assert_eq!(lines(), ["em2 keeps its own address"]);
        lagg.add("em3").unwrap();
        assert_eq!(lines(), ["em3 keeps its own address"]);
        lagg.up();
        assert_eq!(lines(), ["em2 keeps its own address", "em3 keeps its own address"]);
        // The lagg takes the next primary's own address.
        lagg.remove("em1").unwrap();
        assert_eq!(lines(), ["em3 keeps its own address"]);
        lagg.remove("em2").unwrap();
        lagg.add("em1").unwrap();
        lagg.remove("em3").unwrap();
        assert_eq!(lines(), [""; 0]);
        assert_eq!([a.ifp.lladdr(), b.lladdr(), c.ifp.lladdr()], [mac(1), mac(2), mac(3)]);
    });
}
