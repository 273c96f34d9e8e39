//! Defects of C lagg that this driver must not have, a test for each number (docs/compared.md). The
//! comment of a test says what C lagg does wrong.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lagg_rs::driver::Softc;
use lagg_rs::kpi::host::testing::SET_LLADDR;
use lagg_rs::kpi::host::{self, Vnet};
use lagg_rs::kpi::ioctl::{SIOCGLAGGPORT, SIOCSIFFLAGS, SIOCSIFMTU, port, proto};
use lagg_rs::kpi::{Driver, Errno, IfType, LinkState, Mbuf, Module, Ref, epoch, iff};
use lagg_rs::policy::failover;

use crate::lab::{Card, Lagg, card, flags, frame, lab, lagg_of, port_request, spawn, until};

/// Count and list are read separately, so a packet divides by a count of zero when the last port goes.
#[test]
fn d01_a_packet_under_way_keeps_its_ports() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let softc = lagg.softc();
        thread::scope(|scope| {
            epoch::section(|epoch| {
                let plan = softc.plan(epoch);
                spawn(scope, || lagg.remove("em1").unwrap());
                until("the port to be out of the plan", || {
                    epoch::section(|epoch| softc.plan(epoch).count().is_none())
                });
                // An earlier packet still has count, list and port, and they agree.
                assert_eq!(plan.ports().count(), 1);
                let port = failover::select(plan).unwrap();
                port.ifp().transmit(Mbuf::from_bytes(&frame(1)), epoch).unwrap();
                // A later packet has no port.
                assert_eq!(
                    Module::transmit(softc.ifp(), &softc, Mbuf::from_bytes(&frame(2)), epoch),
                    Err(Errno::ENXIO)
                );
            });
        });
        assert_eq!(a.nic.take_sent(), [frame(1)]);
    });
}

/// `if_type` is a port's before `if_lagg` is set, and after it is cleared.
#[test]
fn d05_a_port_is_whole_before_the_stack_sees_it_and_until_it_no_longer_does() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        let blocked = b.nic.block(SET_LLADDR);
        thread::scope(|scope| {
            spawn(scope, || lagg.add("em2").unwrap());
            blocked.wait();
            // Joining: claimed, but the stack does not treat it as a port.
            assert!(b.ifp.lagg_port().is_some());
            assert_eq!(b.ifp.if_type(), IfType::Ethernet);
            b.receive(&frame(0));
            blocked.release();
        });
        assert_eq!(b.ifp.if_type(), IfType::LaggPort);

        // With roundrobin, which accepts frames from all ports, so the reason is not that this is not the
        // primary.
        lagg.set_protocol(proto::ROUNDROBIN).unwrap();
        let softc = lagg.softc();
        thread::scope(|scope| {
            epoch::section(|epoch| {
                let plan = softc.plan(epoch);
                let port = plan.ports().find(|port| port.ifp().same(&b.ifp)).unwrap();
                spawn(scope, || lagg.remove("em2").unwrap());
                until("the type to be back", || b.ifp.if_type() == IfType::Ethernet);
                // Leaving: a reader that has read the type still finds the port, whose frames are dropped.
                assert!(b.ifp.lagg_port().is_some_and(|there| Ref::is(&there, port)));
                assert!(
                    Module::input(port.ifp(), port, Mbuf::from_bytes(&frame(0)), epoch).is_none()
                );
            });
        });
        assert!(b.ifp.lagg_port().is_none());
    });
}

/// The primary is NULL when the last port goes while a frame comes in.
#[test]
fn d06_a_frame_under_way_keeps_its_primary() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let softc = lagg.softc();
        thread::scope(|scope| {
            epoch::section(|epoch| {
                let plan = softc.plan(epoch);
                let port = plan.at(0).unwrap();
                spawn(scope, || lagg.remove("em1").unwrap());
                until("the port to be out of the plan", || {
                    epoch::section(|epoch| softc.plan(epoch).primary().is_none())
                });
                assert!(failover::accepts(plan, port, || false));
                assert!(
                    Module::input(port.ifp(), port, Mbuf::from_bytes(&frame(0)), epoch).is_none()
                );
            });
        });
    });
}

/// The departure handler uses the port that it found before it had the lock.
#[test]
fn d09_removing_a_port_that_departs() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        let blocked = b.nic.block(SET_LLADDR);
        let Card { ifp, .. } = b;
        thread::scope(|scope| {
            let remover = spawn(scope, || lagg.remove("em2"));
            blocked.wait();
            let departed = AtomicBool::new(false);
            thread::scope(|scope| {
                let departed = &departed;
                spawn(scope, move || {
                    ifp.detach();
                    departed.store(true, Ordering::SeqCst);
                });
                until("the departure to begin", || Vnet::current().interface("em2").is_none());
                // The card is getting its address back, so it must not go meanwhile.
                assert!(!departed.load(Ordering::SeqCst));
                blocked.release();
            });
            remover.join().unwrap().unwrap();
        });
        assert_eq!(lagg.ports(), ["em1"]);
    });
}

/// The link state hook uses port and lagg after they are gone.
#[test]
fn d10_a_link_event_after_the_port_and_the_lagg() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let port = a.ifp.lagg_port().unwrap();
        lagg.remove("em1").unwrap();
        Module::port_link_state(&port);
        host::settle();
        assert_eq!(lagg.ifp.link_state(), LinkState::Down);
        lagg.destroy();
        Module::port_link_state(&port);
        host::settle();
        assert_eq!(lagg.ifp.link_state(), LinkState::Down);
    });
}

/// The port's ioctl uses port and lagg after they are gone, and returns EINVAL if it loses the race.
#[test]
fn d11_an_ioctl_on_a_port_that_leaves() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        let blocked = b.nic.block(SIOCSIFFLAGS);
        thread::scope(|scope| {
            let asked = spawn(scope, || flags("em2", 0));
            blocked.wait();
            let remover = spawn(scope, || lagg.remove("em2"));
            until("the port to leave", || lagg.softc().plan_ref().ports().count() == 1);
            blocked.release();
            asked.join().unwrap().unwrap();
            remover.join().unwrap().unwrap();
        });
        b.nic.take_ioctls();
        flags("em2", iff::UP).unwrap();
        assert_eq!(b.nic.take_ioctls(), [SIOCSIFFLAGS], "straight to the card");
        let left = port_request("em2", SIOCGLAGGPORT, "em2").map(drop);
        assert_eq!(left, Err(Errno::EINVAL), "the card's own answer");
    });
}

/// Threads asleep in the lagg's ioctl go on with freed memory when it is destroyed.
#[test]
fn d12_ioctls_under_way_when_the_lagg_is_destroyed() {
    lab(|| {
        let (a, _b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        let softc = lagg.softc();
        let blocked = a.nic.block(SIOCSIFMTU);
        thread::scope(|scope| {
            let under_way = spawn(scope, || lagg.set_mtu(4000));
            blocked.wait();
            let waiting = [
                spawn(scope, || lagg.set_protocol(proto::NONE)),
                spawn(scope, || lagg.remove("em1")),
                spawn(scope, || flags(&lagg.name, 0)),
            ];
            let destroyer = spawn(scope, || lagg.destroy());
            // It may wait for the destroyer, which has ifnet_detach_sxlock.
            let joiner = spawn(scope, || lagg.add("em2"));
            for refused in waiting {
                let refused = refused.join().unwrap();
                // The stack ignores the driver's result for `down`.
                assert!(refused == Err(Errno::ENXIO) || refused == Ok(()), "{refused:?}");
            }
            assert!(!destroyer.is_finished());
            blocked.release();
            under_way.join().unwrap().unwrap();
            destroyer.join().unwrap();
            assert_eq!(joiner.join().unwrap(), Err(Errno::ENXIO));
        });
        assert!(softc.plan_ref().count().is_none());
        Module::init(&softc);
        assert!(!lagg.ifp.is_running(), "what is destroyed does not come up again");
        assert_eq!(a.ifp.if_type(), IfType::Ethernet);
    });
}

/// An interface that is being detached becomes a port, for ever.
#[test]
fn d14_joining_an_interface_that_departs() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        let blocked = b.nic.block(SET_LLADDR);
        let Card { ifp, .. } = b;
        let gone = ifp.ifp();
        thread::scope(|scope| {
            let joiner = spawn(scope, || lagg.add("em2"));
            blocked.wait();
            spawn(scope, move || ifp.detach());
            until("the departure to begin", || gone.flags() & iff::DYING != 0);
            blocked.release();
            let joined = joiner.join().unwrap();
            // The joiner may have finished before the departure looked. Then the interface was a port for a
            // while.
            assert!(joined == Err(Errno::ENXIO) || joined == Ok(()), "{joined:?}");
        });
        assert_eq!(lagg.ports(), ["em1"]);
        assert!(gone.lagg_port().is_none());
        assert_eq!(lagg.add("em2"), Err(Errno::EINVAL));
    });
}

/// Two laggs take the same port, because each looked before the other wrote.
#[test]
fn d15_two_laggs_want_the_same_port() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        let (lagg0, lagg1) = (lagg_of(&[&a]), lagg_of(&[&c]));
        let blocked = b.nic.block(SET_LLADDR);
        thread::scope(|scope| {
            let first = spawn(scope, || lagg0.add("em2"));
            blocked.wait();
            assert_eq!(lagg1.add("em2"), Err(Errno::EBUSY));
            assert_eq!(lagg0.add("em2"), Err(Errno::EEXIST));
            blocked.release();
            first.join().unwrap().unwrap();
        });
        assert_eq!((lagg0.ports().len(), lagg1.ports().len()), (2, 1));
        let barrier = Barrier::new(2);
        for _ in 0..50 {
            lagg0.remove("em2").or_else(|_| lagg1.remove("em2")).unwrap();
            thread::scope(|scope| {
                let [one, two] = [&lagg0, &lagg1].map(|lagg: &Lagg| {
                    let barrier = &barrier;
                    spawn(scope, move || {
                        barrier.wait();
                        lagg.add("em2")
                    })
                });
                let both = [one.join().unwrap(), two.join().unwrap()];
                assert!(both.contains(&Ok(())) && both.contains(&Err(Errno::EBUSY)), "{both:?}");
            });
        }
    });
}

/// Destroying holds the lagg's lock and waits for VLAN events, which wait for that lock with
/// `vlan_sx` held.
#[test]
fn d16_destroying_while_vlans_of_the_lagg_change() {
    lab(|| {
        let a = card(1);
        for round in 0..20 {
            let lagg = lagg_of(&[&a]);
            let barrier = Barrier::new(2);
            thread::scope(|scope| {
                spawn(scope, || {
                    barrier.wait();
                    for tag in 1..10 {
                        // Fails once the lagg is gone.
                        if let Ok(vlan) = host::vlan_create(&lagg.ifp, tag, "vlan0")
                            && host::set_promisc(&vlan, true).is_ok()
                        {
                            let _ = host::set_promisc(&vlan, false);
                        }
                    }
                });
                barrier.wait();
                lagg.destroy();
            });
            assert!(a.ifp.lagg_port().is_none(), "round {round}");
        }
    });
}

/// `vlan_sx` is held when the lagg is called, and taken when the lagg calls a VLAN that is its port.
#[test]
fn d17_a_vlan_on_the_lagg_and_a_vlan_in_it() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        let port = host::vlan_create(&b.ifp, 7, "vlan7").unwrap();
        let child = host::vlan_create(&lagg.ifp, 8, "vlan8").unwrap();
        lagg.add("vlan7").unwrap();
        flags("vlan8", iff::UP).unwrap();
        // A card keeps the lagg's configuration busy. Calls from the lagg's VLAN, with vlan_sx held, do not
        // wait for it.
        let blocked = a.nic.block(SIOCSIFMTU);
        thread::scope(|scope| {
            let change = spawn(scope, || lagg.set_mtu(1400));
            blocked.wait();
            host::set_promisc(&child, true).unwrap();
            host::set_allmulti(&child, true).unwrap();
            drop(host::vlan_create(&lagg.ifp, 9, "vlan9").unwrap());
            host::join_group(&child, &[1, 0, 0x5e, 0, 0, 9].into()).unwrap();
            host::leave_group(&child, &[1, 0, 0x5e, 0, 0, 9].into());
            host::set_allmulti(&child, false).unwrap();
            host::set_promisc(&child, false).unwrap();
            blocked.release();
            change.join().unwrap().unwrap();
        });
        assert_eq!((a.ifp.mtu(), port.mtu()), (1400, 1400));
        host::settle();
        lagg.down();
        lagg.up();
        child.detach();
        lagg.remove("vlan7").unwrap();
    });
}

/// SIOCGLAGGPORT asserts a lock that it does not hold; any user may send it.
#[test]
fn d22_any_user_may_query_a_failover_port() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        host::set_privileged(false);
        assert_eq!(lagg.port("em1").unwrap().flags, port::MASTER | port::ACTIVE);
        assert_eq!(lagg.port("em2").unwrap().flags, 0);
        assert_eq!(port_request("em2", SIOCGLAGGPORT, "em2").unwrap().flags, 0);
        host::set_privileged(true);
    });
}

/// A VLAN on the lagg becomes its port, and a packet loops until the stack overflows.
#[test]
fn d25_what_stands_on_the_lagg_cannot_be_its_port() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        let (lagg0, lagg1) = (lagg_of(&[&a]), lagg_of(&[&b]));
        let on0 = host::vlan_create(&lagg0.ifp, 1, "vlan1").unwrap();
        let on_on0 = host::vlan_create(&on0, 2, "vlan2").unwrap();
        assert_eq!(lagg0.add("vlan1"), Err(Errno::EINVAL));
        assert_eq!(lagg0.add("vlan2"), Err(Errno::EINVAL), "a VLAN on a VLAN on it");
        // It may be a port of another lagg, unless that one stands on the first again.
        lagg1.add("vlan1").unwrap();
        let on1 = host::vlan_create(&lagg1.ifp, 3, "vlan3").unwrap();
        assert_eq!(lagg0.add("vlan3"), Err(Errno::EINVAL));
        assert_eq!(on1.if_type(), IfType::Vlan);
        let elsewhere = host::vlan_create(&c.ifp, 4, "vlan4").unwrap();
        lagg0.add("vlan4").unwrap();
        drop((on_on0, on1, elsewhere));
    });
}

/// No cycle of references keeps a destroyed softc: it is freed when the last thread has dropped it.
#[test]
fn a_destroyed_lagg_is_freed() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let softc: Ref<Softc> = lagg.softc();
        lagg.destroy();
        assert!(softc.ifp().lagg_softc().is_none());
        assert!(softc.plan_ref().count().is_none());
    });
}
