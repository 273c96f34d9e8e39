//! Dropped packets by reason, and how to read them (`net.link.lagg.stats.<if_index>`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use lagg_rs::kpi::host::{self, Vnet};
use lagg_rs::kpi::ioctl::proto;
use lagg_rs::kpi::{Errno, LinkState, Mbuf, Result, iff};

use crate::lab::{Lagg, card, flags, frame, lab, lagg, lagg_of, spawn};

const AF_INET: u8 = 2;

fn stats(lagg: &Lagg) -> Result<String> {
    host::sysctl_stats(lagg.ifp.index())
}

/// The value of a record.
fn value(lagg: &Lagg, record: &str) -> u64 {
    let text = stats(lagg).unwrap();
    let mut values = text.lines().filter_map(|line| line.strip_prefix(record)?.strip_prefix(' '));
    let found = values.next().unwrap_or_else(|| panic!("no {record} in {text}"));
    assert_eq!(values.next(), None, "{record} twice");
    found.parse().unwrap()
}

#[test]
fn the_text_has_all_records_one_a_line() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        b.receive(&frame(0));
        let name = &lagg.name;
        assert_eq!(
            stats(&lagg).unwrap(),
            format!(
                "lagg {name}\n\
                 protocol failover\n\
                 dropped failover no_ports 0\n\
                 dropped failover no_active_port 0\n\
                 dropped roundrobin no_ports 0\n\
                 dropped roundrobin no_active_port 0\n\
                 dropped loadbalance no_ports 0\n\
                 dropped loadbalance no_active_port 0\n\
                 dropped lacp no_ports 0\n\
                 dropped lacp no_active_port 0\n\
                 dropped lacp paused 0\n\
                 dropped broadcast no_ports 0\n\
                 dropped broadcast no_active_port 0\n\
                 dropped broadcast no_copy 0\n\
                 dropped none no_ports 0\n\
                 dropped none disabled 0\n\
                 port em1 dropped not_accepted 0\n\
                 port em1 dropped not_running 0\n\
                 port em1 dropped not_member 0\n\
                 port em1 dropped monitor 0\n\
                 port em1 dropped own_output 0\n\
                 port em1 dropped no_room 0\n\
                 port em2 dropped not_accepted 1\n\
                 port em2 dropped not_running 0\n\
                 port em2 dropped not_member 0\n\
                 port em2 dropped monitor 0\n\
                 port em2 dropped own_output 0\n\
                 port em2 dropped no_room 0\n\
                 port em2 reason standby\n\
                 left dropped not_accepted 0\n\
                 left dropped not_running 0\n\
                 left dropped not_member 0\n\
                 left dropped monitor 0\n\
                 left dropped own_output 0\n\
                 left dropped no_room 0\n"
            )
        );
    });
}

#[test]
fn what_is_not_sent_is_counted_by_protocol_and_reason() {
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
        for (number, name, _, _) in protocols {
            lagg.set_protocol(number).unwrap();
            assert!(stats(&lagg).unwrap().contains(&format!("\nprotocol {name}\n")));
            assert_eq!(lagg.send(&frame(0)), Err(Errno::ENXIO));
            assert_eq!(value(&lagg, &format!("dropped {name} no_ports")), 1);
        }
        lagg.add("em1").unwrap();
        a.link(LinkState::Down);
        for (number, name, reason, errno) in protocols {
            lagg.set_protocol(number).unwrap();
            for _ in 0..2 {
                assert_eq!(lagg.send(&frame(0)), Err(errno));
            }
            assert_eq!(value(&lagg, &format!("dropped {name} {reason}")), 2);
        }
        let total: u64 = stats(&lagg)
            .unwrap()
            .lines()
            .filter(|line| line.starts_with("dropped "))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum();
        assert_eq!(total, 15, "each is counted once");
    });
}

#[test]
fn what_is_sent_or_refused_by_a_driver_is_not_counted() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        let before = stats(&lagg).unwrap();
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
        assert_eq!(stats(&lagg).unwrap(), before);
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
        assert_eq!(value(&lagg, "dropped broadcast no_copy"), 1);
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
        assert_eq!(value(&lagg, "port em1 dropped not_accepted"), 1);
        assert_eq!(value(&lagg, "port em2 dropped not_accepted"), 1);

        lagg.set_protocol(proto::FAILOVER).unwrap();
        flags(&lagg.name, iff::UP | iff::MONITOR).unwrap();
        a.receive(&frame(0));
        assert_eq!(value(&lagg, "port em1 dropped monitor"), 1);

        lagg.down();
        flags("em1", iff::UP).unwrap();
        a.receive(&frame(0));
        assert_eq!(value(&lagg, "port em1 dropped not_running"), 1);

        let output = host::output(&a.ifp, AF_INET, Mbuf::from_bytes(&frame(0)));
        assert_eq!(output, Err(Errno::ENETDOWN));
        assert_eq!(value(&lagg, "port em1 dropped own_output"), 1);
        assert_eq!(value(&lagg, "port em1 dropped not_member"), 0);
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
        assert_eq!(value(&lagg, "left dropped not_accepted"), 1);
        assert!(!stats(&lagg).unwrap().contains("em2"));
        lagg.add("em2").unwrap();
        assert_eq!(value(&lagg, "port em2 dropped not_accepted"), 0);
        c.ifp.detach();
        assert_eq!(value(&lagg, "left dropped not_accepted"), 2);
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
        assert_eq!(value(&lagg, "port em2 dropped not_accepted"), 4 * EACH);
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
            .map(|reason| value(&lagg, &format!("left dropped {reason}")));
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
        let index = lagg.ifp.index();
        assert!(host::sysctl_stats(index).is_ok());
        assert_eq!(there.enter(|| host::sysctl_stats(index)), Err(Errno::ENOENT));
        host::vmove(&lagg.ifp, &there).unwrap();
        assert_eq!(host::sysctl_stats(index), Err(Errno::ENOENT));
        assert!(there.enter(|| host::sysctl_stats(index)).is_ok());
        there.enter(|| host::vmove(&lagg.ifp, &here)).unwrap();
    });
}

#[test]
fn an_interface_that_is_not_a_lagg_has_none() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        assert_eq!(host::sysctl_stats(a.ifp.index()), Err(Errno::ENOENT));
        assert_eq!(host::sysctl_stats(u32::MAX), Err(Errno::ENOENT));
        let index = lagg.ifp.index();
        lagg.destroy();
        assert_eq!(host::sysctl_stats(index), Err(Errno::ENOENT));
    });
}

/// A reader may sleep in a write, for any time: no lock is held then.
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
                assert!(stats(&lagg).unwrap().starts_with(&format!("lagg {}\n", lagg.name)));
            }
        });
    });
}
