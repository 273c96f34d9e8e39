//! Dropped packets by reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use lagg_rs::kpi::host::{self, Vnet};
use lagg_rs::kpi::ioctl::proto;
use lagg_rs::kpi::{Errno, LinkState, Mbuf, iff};

use crate::lab::{Lagg, card, flags, frame, lab, lagg, lagg_of, spawn};

const AF_INET: u8 = 2;

/// All that is counted as dropped.
fn dropped(lagg: &Lagg) -> Vec<(String, String)> {
    lagg.leaves(|name| name.contains("dropped."))
}

#[test]
fn what_is_not_sent_is_counted_by_reason() {
    let protocols = [
        (proto::FAILOVER, "failover", "no_active_port", Errno::ENETDOWN),
        (proto::ROUNDROBIN, "roundrobin", "no_active_port", Errno::ENETDOWN),
        (proto::LOADBALANCE, "loadbalance", "no_active_port", Errno::ENETDOWN),
        (proto::BROADCAST, "broadcast", "no_active_port", Errno::ENOENT),
        (proto::NONE, "none", "disabled", Errno::ENETDOWN),
    ];
    lab(|| {
        let a = card(1);
        let lagg = lagg();
        lagg.up();
        for ((number, name, _, _), count) in protocols.into_iter().zip(1..) {
            lagg.set_protocol(number).unwrap();
            assert_eq!(lagg.setting("protocol").as_deref(), Ok(name));
            assert_eq!(lagg.send(&frame(0)), Err(Errno::ENXIO));
            assert_eq!(lagg.count("dropped.no_ports"), count);
        }
        lagg.add("em1").unwrap();
        a.link(LinkState::Down);
        for (number, _, reason, errno) in protocols {
            lagg.set_protocol(number).unwrap();
            let before = lagg.count(&format!("dropped.{reason}"));
            for _ in 0..2 {
                assert_eq!(lagg.send(&frame(0)), Err(errno));
            }
            assert_eq!(lagg.count(&format!("dropped.{reason}")), before + 2);
        }
        let counts = lagg.leaves(|name| name.starts_with("dropped."));
        let total: u64 = counts.iter().map(|(_, count)| count.parse::<u64>().unwrap()).sum();
        assert_eq!(total, 15, "each is counted once");
    });
}

#[test]
fn what_is_sent_or_refused_by_a_driver_is_not_counted() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        let before = dropped(&lagg);
        assert_eq!(before.len(), 5 + 3 * 6);
        for number in [proto::ROUNDROBIN, proto::LOADBALANCE, proto::BROADCAST, proto::FAILOVER] {
            lagg.set_protocol(number).unwrap();
            lagg.send(&frame(0)).unwrap();
        }
        // A driver's errno is not mistaken for the lagg's own.
        for nic in [&a.nic, &b.nic] {
            nic.refuse_transmit(Some(Errno::ENOENT));
        }
        lagg.set_protocol(proto::BROADCAST).unwrap();
        assert_eq!(lagg.send(&frame(0)), Err(Errno::ENOENT));
        lagg.set_protocol(proto::FAILOVER).unwrap();
        assert_eq!(lagg.send(&frame(0)), Err(Errno::ENOENT));
        a.receive(&frame(0));
        assert_eq!(dropped(&lagg), before);
    });
}

#[test]
fn broadcast_counts_copies_that_there_is_no_memory_for() {
    lab(|| {
        let cards = [card(1), card(2), card(3)];
        let lagg = lagg_of(&[&cards[0], &cards[1], &cards[2]]);
        lagg.set_protocol(proto::BROADCAST).unwrap();
        host::fail_copy(1);
        assert_eq!(lagg.send(&frame(0)), Err(Errno::ENOBUFS));
        assert_eq!(host::fail_copy(0), 0);
        assert_eq!(cards.each_ref().map(|card| card.sent()), [0, 1, 1]);
        assert_eq!(lagg.count("dropped.no_copy"), 1);
    });
}

#[test]
fn what_is_not_taken_in_is_counted_by_port_and_reason() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        b.receive(&frame(0));
        lagg.set_protocol(proto::NONE).unwrap();
        a.receive(&frame(0));
        assert_eq!(lagg.count("port.em1.dropped.not_accepted"), 1);
        assert_eq!(lagg.count("port.em2.dropped.not_accepted"), 1);

        lagg.set_protocol(proto::FAILOVER).unwrap();
        flags(&lagg.name, iff::UP | iff::MONITOR).unwrap();
        a.receive(&frame(0));
        assert_eq!(lagg.count("port.em1.dropped.monitor"), 1);

        lagg.down();
        flags("em1", iff::UP).unwrap();
        a.receive(&frame(0));
        assert_eq!(lagg.count("port.em1.dropped.not_running"), 1);

        let output = host::output(&a.ifp, AF_INET, Mbuf::from_bytes(&frame(0)));
        assert_eq!(output, Err(Errno::ENETDOWN));
        assert_eq!(lagg.count("port.em1.dropped.own_output"), 1);
        assert_eq!(lagg.count("port.em1.dropped.not_member"), 0);
    });
}

#[test]
fn what_a_port_dropped_stays_counted_when_it_leaves() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        let lagg = lagg_of(&[&a, &b, &c]);
        b.receive(&frame(0));
        c.receive(&frame(0));
        lagg.remove("em2").unwrap();
        assert_eq!(lagg.count("left.dropped.not_accepted"), 1);
        assert_eq!(lagg.setting("port.em2.dropped.not_accepted"), Err(Errno::ENOENT));
        lagg.add("em2").unwrap();
        assert_eq!(lagg.count("port.em2.dropped.not_accepted"), 0);
        c.ifp.detach();
        assert_eq!(lagg.count("left.dropped.not_accepted"), 2);
    });
}

#[test]
fn processors_count_together() {
    const EACH: u64 = 1000;
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        thread::scope(|scope| {
            for _ in 0..4 {
                spawn(scope, || (0..EACH).for_each(|_| b.receive(&frame(0))));
            }
        });
        assert_eq!(lagg.count("port.em2.dropped.not_accepted"), 4 * EACH);
    });
}

/// Frames arrive while their port leaves and joins. Each is the interface's own, or counted.
#[test]
fn no_frame_is_lost_without_a_trace() {
    const FRAMES: u64 = 20_000;
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        // A new address takes the interface down for a moment; frames that arrive then are not counted
        // here.
        let came_in = host::capture(&b.ifp);
        let own = Arc::new(AtomicU64::new(0));
        let count = own.clone();
        host::set_input(&b.ifp, move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        thread::scope(|scope| {
            let done = spawn(scope, || (0..FRAMES).for_each(|_| b.receive(&frame(0))));
            while !done.is_finished() {
                lagg.add("em2").unwrap();
                lagg.remove("em2").unwrap();
            }
        });
        let own = own.load(Ordering::Relaxed);
        let by_lagg = ["not_accepted", "not_member"]
            .map(|reason| lagg.count(&format!("left.dropped.{reason}")));
        let came_in = came_in.count() as u64;
        assert_eq!(own + by_lagg.iter().sum::<u64>(), came_in, "{own} {by_lagg:?}");
    });
}

#[test]
fn only_readers_in_its_vnet_see_a_lagg() {
    lab(|| {
        let (here, there) = (Vnet::current(), Vnet::new());
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let ports = || host::sysctl_get(&lagg.name, "ports");
        assert_eq!(ports().as_deref(), Ok("1"));
        assert_eq!(there.enter(ports), Err(Errno::ENOENT));
        host::vmove(&lagg.ifp, &there).unwrap();
        assert_eq!(ports(), Err(Errno::ENOENT));
        // Its ports stay where they were, and ports.
        assert_eq!(there.enter(ports).as_deref(), Ok("1"));
        let link_up = there.enter(|| host::sysctl_get(&lagg.name, "port.em1.link_up"));
        assert_eq!(link_up.as_deref(), Ok("1"));
        there.enter(|| host::vmove(&lagg.ifp, &here)).unwrap();
    });
}

#[test]
fn reading_goes_on_while_ports_come_and_go() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        thread::scope(|scope| {
            let done = spawn(scope, || {
                for _ in 0..100 {
                    lagg.add(&b.name()).unwrap();
                    lagg.remove(&b.name()).unwrap();
                }
            });
            while !done.is_finished() {
                let ports = lagg.leaves(|name| name.ends_with(".in_service"));
                assert!((1..=2).contains(&ports.len()), "{ports:?}");
            }
        });
    });
}
