//! Which of failover's ports the administrator prefers: primary, primary_reselect, active, port_priority.

use lagg_rs::kpi::host::{self, Vnet};
use lagg_rs::kpi::ioctl::port::{ACTIVE, MASTER};
use lagg_rs::kpi::ioctl::proto;
use lagg_rs::kpi::{Errno, LinkState, iff};

use crate::lab::{
    Card, Lagg, card, flags, frame, lab, lagg, lagg_of, refused, text, without_memory,
};

/// The primary, and the port that sends, as ifconfig(8) shows them. The setting `active` and the packets
/// agree.
#[track_caller]
fn roles(lagg: &Lagg, cards: &[&Card]) -> (String, String) {
    host::settle();
    let records = lagg.get(32 * 72).unwrap().1;
    let with = |flag| {
        let mut ports = records.iter().filter(|record| record.flags & flag != 0);
        let name = ports.next().map_or(String::new(), |record| text(&record.portname));
        assert!(ports.next().is_none(), "one alone");
        name
    };
    let (master, active) = (with(MASTER), with(ACTIVE));
    assert_eq!(lagg.setting("active").unwrap(), active);
    cards.iter().for_each(|card| _ = card.sent());
    assert_eq!(lagg.send(&frame(0)).is_ok(), !active.is_empty());
    for card in cards {
        assert_eq!(card.sent(), usize::from(card.name() == active), "{}", card.name());
    }
    (master, active)
}

fn are(master: &str, active: &str) -> (String, String) {
    (master.into(), active.into())
}

#[test]
fn port_priority_names_ports_that_need_not_be_there() {
    lab(|| {
        let lagg = lagg();
        assert_eq!(lagg.setting("port_priority").unwrap(), "");
        let many = |n| (0..n).map(|n| format!("fifteen_bytes{n:02}:65535 ")).collect::<String>();
        let all = many(32);
        for (good, read) in [
            ("em0:100", "em0:100"),
            ("em0:0\tem1:65535\n", "em0:0 em1:65535"),
            (" em0:1  a:b:2 ", "em0:1 a:b:2"),
            (&all, all.trim()),
            ("", ""),
        ] {
            lagg.set("port_priority", good).unwrap();
            assert_eq!(lagg.setting("port_priority").unwrap(), read);
        }
        lagg.set("port_priority", "em7:7").unwrap();
        let bad = ["em0", "em0:", ":1", "em0:65536", "em0:-1", "em0:+1", "em0:1x", "em0 :1"];
        let longer = ["em0:1 em1", "em0:1 em0:2", "sixteen_bytes_xx:1", &many(33)];
        for text in bad.into_iter().chain(longer) {
            refused(Errno::EINVAL, || lagg.set("port_priority", text));
        }
        assert_eq!(lagg.setting("port_priority").unwrap(), "em7:7");
        without_memory(|| lagg.set("port_priority", "em1:1 em2:2"));
    });
}

#[test]
fn primary_and_primary_reselect_are_a_name_and_a_word() {
    lab(|| {
        let lagg = lagg();
        assert_eq!(lagg.setting("primary").unwrap(), "");
        assert_eq!(lagg.setting("primary_reselect").unwrap(), "always");
        for (setting, good, bad) in [
            ("primary", ["em1", "fifteen_bytes15", ""], "sixteen_bytes_16"),
            ("primary_reselect", ["better", "failure", "always"], "never"),
        ] {
            for value in good {
                lagg.set(setting, value).unwrap();
                assert_eq!(lagg.setting(setting).unwrap(), value);
            }
            refused(Errno::EINVAL, || lagg.set(setting, bad));
        }
        for control in ["em1\n", "\x1b[2J", "a\tb", "\u{9b}", "\x7f"] {
            refused(Errno::EINVAL, || lagg.set("primary", control));
            refused(Errno::EINVAL, || lagg.set("port_priority", &format!("{control}:1")));
        }
        refused(Errno::EINVAL, || lagg.set("primary_reselect", ""));
        refused(Errno::EINVAL, || lagg.set("primary_reselect", "Always"));
        without_memory(|| lagg.set("primary", "em3"));
        without_memory(|| lagg.set("primary_reselect", "failure"));
    });
}

#[test]
fn standbys_are_in_the_order_of_their_priorities_and_then_as_they_were_added() {
    lab(|| {
        let (a, b, c, d) = (card(1), card(2), card(3), card(4));
        let cards = [&a, &b, &c, &d];
        let lagg = lagg_of(&[&c, &a, &d, &b]);
        let order = || {
            let mut order = Vec::new();
            let master = roles(&lagg, &cards).0;
            while let (_, active) = roles(&lagg, &cards)
                && !active.is_empty()
            {
                let card = cards.iter().find(|card| card.name() == active).unwrap();
                card.link(LinkState::Down);
                order.push(active);
            }
            assert_eq!(order[0], master);
            cards.iter().for_each(|card| card.link(LinkState::Up));
            order
        };
        assert_eq!(order(), ["em3", "em1", "em4", "em2"], "as they were added");
        lagg.set("port_priority", "em2:100 em4:200 em9:1 em3:40000").unwrap();
        assert_eq!(order(), ["em2", "em4", "em1", "em3"]);
        lagg.set("primary", "em1").unwrap();
        assert_eq!(order(), ["em1", "em2", "em4", "em3"]);
        lagg.set("primary", "em9").unwrap();
        assert_eq!(order(), ["em2", "em4", "em1", "em3"], "as if there were none");
        lagg.set("port_priority", "").unwrap();
        lagg.remove("em3").unwrap();
        lagg.add("em3").unwrap();
        assert_eq!(order(), ["em1", "em4", "em2", "em3"], "the last to be added");
    });
}

#[test]
fn a_primary_that_leaves_and_returns_is_it_again() {
    for reselect in ["always", "better", "failure"] {
        lab(|| {
            let (a, b) = (card(1), card(2));
            let (lagg, cards) = (lagg_of(&[&a, &b]), [&a, &b]);
            lagg.set("primary_reselect", reselect).unwrap();
            assert_eq!(roles(&lagg, &cards), are("em1", "em1"));
            let address = lagg.ifp.lladdr();
            lagg.set("primary", "em2").unwrap();
            assert_eq!(roles(&lagg, &cards), are("em2", "em2"));
            assert_eq!(lagg.ifp.lladdr(), address, "still of the first port");
            lagg.remove("em2").unwrap();
            assert_eq!(roles(&lagg, &[&a]), are("em1", "em1"));
            assert_eq!(lagg.setting("primary").unwrap(), "em2");
            lagg.add("em2").unwrap();
            assert_eq!(roles(&lagg, &cards), are("em2", "em2"));
            lagg.set_protocol(proto::ROUNDROBIN).unwrap();
            assert_eq!(lagg.setting("active").unwrap(), "", "failover's");
            refused(Errno::EINVAL, || lagg.set("active", "em1"));
            lagg.set_protocol(proto::FAILOVER).unwrap();
            assert_eq!(roles(&lagg, &cards), are("em2", "em2"));
        });
    }
}

/// The primary's link fails and comes back.
#[test]
fn primary_reselect_says_when_the_primary_takes_over_again() {
    let gigabit = 1_000_000_000;
    for (reselect, speed, expected) in [
        ("always", gigabit / 10, "em1"),
        ("better", gigabit / 10, "em2"),
        ("better", gigabit, "em2"),
        ("better", gigabit * 10, "em1"),
        ("failure", gigabit * 10, "em2"),
    ] {
        lab(|| {
            let (a, b) = (card(1), card(2));
            let (lagg, cards) = (lagg_of(&[&a, &b]), [&a, &b]);
            a.ifp.set_baudrate(speed);
            lagg.set("primary_reselect", reselect).unwrap();
            assert_eq!(roles(&lagg, &cards), are("em1", "em1"));
            a.link(LinkState::Down);
            assert_eq!(roles(&lagg, &cards), are("em1", "em2"));
            a.link(LinkState::Up);
            assert_eq!(roles(&lagg, &cards), are("em1", expected), "{reselect} {speed}");
            b.link(LinkState::Down);
            assert_eq!(roles(&lagg, &cards), are("em1", "em1"), "the other one has failed");
            b.link(LinkState::Up);
            assert_eq!(roles(&lagg, &cards).1, "em1");
            // It is named while it is down, and takes over as soon as it can. Then the word counts again.
            a.link(LinkState::Down);
            assert_eq!(roles(&lagg, &cards).1, "em2");
            lagg.set("primary", "em1").unwrap();
            assert_eq!(roles(&lagg, &cards).1, "em2");
            a.link(LinkState::Up);
            assert_eq!(roles(&lagg, &cards).1, "em1");
            flags("em1", 0).unwrap();
            assert_eq!(roles(&lagg, &cards).1, "em2");
            flags("em1", iff::UP).unwrap();
            assert_eq!(roles(&lagg, &cards).1, expected);
            // All fail: the first to come back sends.
            a.link(LinkState::Down);
            b.link(LinkState::Down);
            assert_eq!(roles(&lagg, &cards), are("em1", ""));
            b.link(LinkState::Up);
            assert_eq!(roles(&lagg, &cards), are("em1", "em2"));
        });
    }
}

#[test]
fn active_moves_packets_by_hand_until_that_port_fails() {
    for reselect in ["always", "better", "failure"] {
        lab(|| {
            let (a, b, c) = (card(1), card(2), card(3));
            let (lagg, cards) = (lagg_of(&[&a, &b, &c]), [&a, &b, &c]);
            lagg.set("primary_reselect", reselect).unwrap();
            lagg.set("active", "em2").unwrap();
            lagg.send(&frame(0)).unwrap();
            assert_eq!(b.sent(), 1, "at once");
            assert_eq!(roles(&lagg, &cards), are("em1", "em2"));
            c.link(LinkState::Down);
            a.link(LinkState::Down);
            a.link(LinkState::Up);
            assert_eq!(roles(&lagg, &cards), are("em1", "em2"), "still");
            c.link(LinkState::Up);
            lagg.set("active", "em3").unwrap();
            assert_eq!(roles(&lagg, &cards), are("em1", "em3"));
            // Down and up again, it is still what was chosen.
            lagg.down();
            lagg.up();
            assert_eq!(roles(&lagg, &cards), are("em1", "em3"));
            c.link(LinkState::Down);
            assert_eq!(roles(&lagg, &cards), are("em1", "em1"));
            c.link(LinkState::Up);
            assert_eq!(roles(&lagg, &cards), are("em1", "em1"), "it has failed");
            lagg.set("active", "em2").unwrap();
            lagg.remove("em2").unwrap();
            lagg.add("em2").unwrap();
            assert_eq!(roles(&lagg, &cards), are("em1", "em1"), "it has left");
            lagg.set("active", "em2").unwrap();
            lagg.set("primary", "em3").unwrap();
            assert_eq!(roles(&lagg, &cards), are("em3", "em3"), "chosen later");
        });
    }
}

#[test]
fn active_is_a_port_that_can_be_used() {
    lab(|| {
        let (a, b, c, _d) = (card(1), card(2), card(3), card(4));
        let lagg = lagg_of(&[&a, &b, &c]);
        b.link(LinkState::Down);
        flags("em3", 0).unwrap();
        for bad in ["em2", "em3", "em4", "em5", "lagg0", "", "sixteen_bytes_16"] {
            refused(Errno::EINVAL, || lagg.set("active", bad));
            assert_eq!(lagg.setting("active").unwrap(), "em1");
        }
        a.link(LinkState::Down);
        assert_eq!(lagg.setting("active").unwrap(), "");
        b.link(LinkState::Up);
        without_memory(|| lagg.set("active", "em2"));
    });
}

/// A port is known by the name that it has.
#[test]
fn a_renamed_port_is_another_one() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let (lagg, cards) = (lagg_of(&[&a, &b]), [&a, &b]);
        lagg.set("primary", "wan0").unwrap();
        assert_eq!(roles(&lagg, &cards), are("em1", "em1"));
        host::rename(&b.ifp, "wan0").unwrap();
        assert_eq!(roles(&lagg, &cards), are("wan0", "wan0"));
        host::rename(&b.ifp, "em2").unwrap();
        assert_eq!(roles(&lagg, &cards), are("em1", "em1"));
    });
}

/// What is in flight when the sender's link goes down takes the next port.
#[test]
fn the_next_port_sends_before_there_is_another_plan() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        let lagg = lagg_of(&[&a, &b, &c]);
        lagg.set("port_priority", "em3:1").unwrap();
        lagg.set("active", "em2").unwrap();
        let plan = lagg.softc().plan_ref();
        b.link(LinkState::Down);
        let next = lagg_rs::policy::failover::select(&*plan).unwrap();
        assert!(next.ifp().same(&c.ifp));
    });
}

/// A switch floods a broadcast to all ports of the lagg, also the lagg's own. A primary that is up while
/// another port sends is a standby like the others.
#[test]
fn frames_are_taken_in_from_the_port_that_sends_alone() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        let lagg = lagg_of(&[&a, &b, &c]);
        let taken_in = || {
            host::settle();
            let plan = lagg.softc().plan_ref();
            let place = |card: &Card| plan.ports().position(|port| port.ifp().same(&card.ifp));
            [&a, &b, &c].map(|card| lagg.takes_in(place(card).unwrap(), &frame(0)))
        };
        assert_eq!(taken_in(), [true, false, false]);
        lagg.set("active", "em2").unwrap();
        assert_eq!(taken_in(), [false, true, false]);
        Vnet::current().set_failover_rx_all(true);
        assert_eq!(taken_in(), [true; 3]);
        Vnet::current().set_failover_rx_all(false);
        a.link(LinkState::Down);
        assert_eq!(taken_in(), [true, true, false], "the primary, as long as it has no link");
        lagg.set("up_delay", "1000").unwrap();
        b.link(LinkState::Down);
        b.link(LinkState::Up);
        assert_eq!(taken_in(), [true, false, true]);
    });
}
