//! Joining, while another configuration, a departure or a signal comes in between.

use std::sync::mpsc;
use std::thread;

use lagg_rs::kpi::host::testing::{self, SET_LLADDR, detach_lock};
use lagg_rs::kpi::host::{self, Event, Vnet};
use lagg_rs::kpi::ioctl::{SIOCSIFMTU, proto};
use lagg_rs::kpi::{Errno, IfType, Ifnet, IfnetRef, iff};

use crate::lab::{Card, attributes, card, lab, lagg, lagg_of, mtu, spawn, until};

/// A joiner that waits for another request claims nothing meanwhile, and calls no driver that has gone.
#[test]
fn d28_a_joiner_that_waits_for_another_calls_no_driver_that_is_gone() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        for round in 0..200 {
            let b = card(2);
            // Another MTU and another address: the joiner has something to ask of the card.
            mtu("em2", 4000).unwrap();
            let blocked = a.nic.block(SIOCSIFMTU);
            let gone = b.ifp.ifp();
            thread::scope(|scope| {
                let change = spawn(scope, || lagg.set_mtu(1400));
                blocked.wait();
                let joiner = spawn(scope, || lagg.add("em2"));
                let Card { ifp, nic } = b;
                if round % 2 == 0 {
                    // The departure may be the first to get the token.
                    let gone = &gone;
                    spawn(scope, move || ifp.detach());
                    until("the departure to begin", move || gone.flags() & iff::DYING != 0);
                    blocked.release();
                } else {
                    blocked.release();
                    ifp.detach();
                }
                change.join().unwrap().unwrap();
                let joined = joiner.join().unwrap();
                let early = [Ok(()), Err(Errno::ENXIO), Err(Errno::EINVAL)].contains(&joined);
                assert!(early, "{joined:?}");
                drop(nic);
            });
            assert!(gone.lagg_port().is_none());
            assert_eq!(lagg.ports(), ["em1"]);
        }
    });
}

/// The same if the interface moves to a jail, where it is as it was.
#[test]
fn d28_a_joiner_that_waits_for_another_leaves_nothing_on_what_moves_to_a_jail() {
    lab(|| {
        let (here, jail) = (Vnet::current(), Vnet::new());
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        host::set_promisc(&lagg.ifp, true).unwrap();
        host::join_group(&lagg.ifp, &[1, 0, 0x5e, 0, 0, 9].into()).unwrap();
        mtu("em2", 4000).unwrap();
        host::settle();
        // if_down, which no driver is told of, is part of the move.
        b.ifp.down();
        let of = |ifp: &Ifnet| {
            let mut attributes = attributes(ifp);
            attributes.retain(|(name, _)| *name != "running");
            attributes
        };
        let before = of(&b.ifp);
        for _ in 0..100 {
            let blocked = a.nic.block(SIOCSIFMTU);
            thread::scope(|scope| {
                let change = spawn(scope, || lagg.set_mtu(1400));
                blocked.wait();
                let joiner = spawn(scope, || lagg.add("em2"));
                let mover = spawn(scope, || host::vmove(&b.ifp, &jail).unwrap());
                blocked.release();
                mover.join().unwrap();
                change.join().unwrap().unwrap();
                let joined = joiner.join().unwrap();
                let early = [Ok(()), Err(Errno::ENXIO), Err(Errno::EINVAL)].contains(&joined);
                assert!(early, "{joined:?}");
            });
            // If it was a port for a moment, it came up with the lagg, and stays up.
            b.ifp.down();
            assert_eq!(of(&b.ifp), before, "left on it");
            host::vmove(&b.ifp, &here).unwrap();
        }
        host::set_promisc(&lagg.ifp, false).unwrap();
    });
}

/// An interface that is found, and departs before it is claimed.
#[test]
fn d28_an_interface_that_has_departed_is_not_claimed() {
    lab(|| {
        let lagg = lagg();
        for _ in 0..200 {
            let b = card(2);
            let gone = b.ifp.ifp();
            thread::scope(|scope| {
                let joiner = spawn(scope, || lagg.add("em2"));
                b.ifp.detach();
                let _ = joiner.join().unwrap();
            });
            assert!(gone.lagg_port().is_none());
            assert!(lagg.ports().is_empty());
        }
    });
}

/// An interface that is leaving the lagg joins it again when it has left.
#[test]
fn f37_joining_what_is_just_leaving_the_same_lagg() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        let (lagg0, lagg1) = (lagg_of(&[&a, &b]), lagg_of(&[&c]));
        lagg0.set_protocol(proto::ROUNDROBIN).unwrap();
        let blocked = b.nic.block(SET_LLADDR);
        thread::scope(|scope| {
            let remover = spawn(scope, || lagg0.remove("em2"));
            blocked.wait();
            assert_eq!(lagg0.ports(), ["em1"]);
            let joiner = spawn(scope, || lagg0.add("em2"));
            assert_eq!(lagg1.add("em2"), Err(Errno::EBUSY), "another lagg cannot have it yet");
            blocked.release();
            remover.join().unwrap().unwrap();
            assert_eq!(joiner.join().unwrap(), Ok(()));
        });
        assert_eq!(lagg0.ports(), ["em1", "em2"]);
        assert_eq!(lagg0.add("em2"), Err(Errno::EEXIST));
    });
}

/// Also if its slot is the only one that will be free.
#[test]
fn f37_joining_what_is_just_leaving_a_full_lagg() {
    lab(|| {
        let cards: Vec<_> = (1..=33).map(card).collect();
        let lagg = lagg_of(&cards[..32].iter().collect::<Vec<_>>());
        assert_eq!(lagg.add("em33"), Err(Errno::ENOSPC));
        let blocked = cards[31].nic.block(SET_LLADDR);
        thread::scope(|scope| {
            let remover = spawn(scope, || lagg.remove("em32"));
            blocked.wait();
            let joiner = spawn(scope, || lagg.add("em32"));
            blocked.release();
            remover.join().unwrap().unwrap();
            assert_eq!(joiner.join().unwrap(), Ok(()));
        });
        assert_eq!(lagg.ports().len(), 32);
    });
}

/// Other interfaces may take as long as they like to detach: a joiner does not wait for them.
#[test]
fn d35_joining_waits_for_no_others_detaches() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        let detaches = detach_lock();
        thread::scope(|scope| {
            assert_eq!(spawn(scope, || lagg.add("em2")).join().unwrap(), Ok(()));
        });
        drop(detaches);
        assert_eq!(lagg.ports(), ["em1", "em2"]);
        drop(b);
    });
}

/// Except if it has IPv6 addresses, which must be removed. Then a signal ends the wait, and nothing is half
/// done.
#[test]
fn d35_a_signal_ends_the_wait_of_a_joiner_that_has_ipv6() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        mtu("em2", 4000).unwrap();
        host::set_ipv6(&b.ifp, true);
        let before = attributes(&b.ifp);
        let detaches = detach_lock();
        thread::scope(|scope| {
            let (tell, thread) = mpsc::channel();
            let lagg = &lagg;
            let joiner = spawn(scope, move || {
                tell.send(thread::current().id()).unwrap();
                lagg.add("em2")
            });
            let thread = thread.recv().unwrap();
            until("the port to be published", || lagg.ports().len() == 2);
            assert!(!joiner.is_finished());
            testing::interrupt(thread);
            assert_eq!(joiner.join().unwrap(), Err(Errno::EINTR));
        });
        drop(detaches);
        host::settle();
        assert_eq!(lagg.ports(), ["em1"]);
        assert_eq!(attributes(&b.ifp), before);
        lagg.add("em2").unwrap();
        assert!(!b.ifp.has_ipv6_lladdr());
    });
}

/// A detach in the middle of a rename counts as a detach.
#[test]
fn d32_an_interface_that_departs_while_it_is_renamed_is_no_port() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        let (tell, told) = mpsc::channel();
        let (go_on, gone_on) = mpsc::channel::<()>();
        let first = std::sync::Mutex::new(Some((tell, gone_on)));
        host::listen(&b.ifp, move |_, event| {
            // The rename reports the departure first.
            if *event != Event::Departure {
                return;
            }
            let first = first.lock().unwrap().take();
            if let Some((tell, gone_on)) = first {
                tell.send(()).unwrap();
                let _ = gone_on.recv();
            }
        });
        let gone: IfnetRef = b.ifp.ifp();
        thread::scope(|scope| {
            let renamed = gone.clone();
            let rename = spawn(scope, move || host::rename(&renamed, "wan"));
            told.recv().unwrap();
            b.ifp.detach();
            assert!(gone.lagg_port().is_none());
            assert_eq!(gone.if_type(), IfType::Ethernet);
            go_on.send(()).unwrap();
            rename.join().unwrap().unwrap();
        });
        assert_eq!(lagg.ports(), ["em1"]);
    });
}
