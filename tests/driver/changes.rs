//! What is told of changes that nobody asked for: each is one line of the log and one event of devctl(4).

use lagg_rs::kpi::LinkState;
use lagg_rs::kpi::host::testing::Events;
use lagg_rs::kpi::host::{self, Event};
use lagg_rs::kpi::ioctl::proto;

use crate::lab::{Card, Lagg, card, ether, flags, lab, lagg, lagg_of, pass};

/// The lines and the events since the last call. Each line has one event behind it.
#[track_caller]
pub fn told(events: &Events) -> Vec<(String, String)> {
    host::settle();
    let mut pairs = Vec::new();
    let mut line = None;
    for event in events.take() {
        match event {
            Event::Log(text) => assert_eq!(line.replace(text), None, "a line without an event"),
            Event::Notified(kind, data) => {
                let line = line.take().expect("an event without a line");
                pairs.push((line, format!("{kind} {data}")));
            }
            _ => {}
        }
    }
    assert_eq!(line, None, "a line without an event");
    pairs
}

#[track_caller]
pub fn tells(events: &Events, expected: &[(&str, &str)]) {
    let told = told(events);
    let told: Vec<_> = told.iter().map(|(line, event)| (&**line, &**event)).collect();
    assert_eq!(told, expected);
}

/// What has changed, and no more, is told; then nothing until it changes again.
#[track_caller]
pub fn tells_once(events: &Events, expected: &[(&str, &str)]) {
    tells(events, expected);
    pass(200_000);
    tells(events, &[]);
}

pub const NONE: &[(&str, &str)] = &[];

/// A lagg of these cards with this protocol, and what happens to it from now on.
pub fn watched(cards: &[&Card], protocol: u32) -> (Lagg, Events) {
    let lagg = lagg_of(cards);
    lagg.set_protocol(protocol).unwrap();
    host::settle();
    let events = Events::of(&lagg.ifp);
    (lagg, events)
}

#[test]
fn what_is_set_up_as_asked_is_not_told() {
    for protocol in crate::lab::PROTOCOLS {
        lab(|| {
            let (_a, b) = (card(1), card(2));
            b.link(LinkState::Down);
            let lagg = lagg();
            let events = Events::of(&lagg.ifp);
            lagg.set_protocol(protocol).unwrap();
            lagg.add("em1").unwrap();
            lagg.up();
            lagg.add("em2").unwrap();
            pass(10_000);
            lagg.set_mtu(1400).unwrap();
            ether(&lagg.name, [2, 0, 0, 0, 0, 77]).unwrap();
            lagg.set_protocol(proto::BROADCAST).unwrap();
            lagg.set_protocol(protocol).unwrap();
            lagg.down();
            lagg.up();
            pass(10_000);
            lagg.remove("em2").unwrap();
            lagg.remove("em1").unwrap();
            lagg.add("em1").unwrap();
            host::settle();
            lagg.destroy();
            tells_once(&events, NONE);
        });
    }
}

#[test]
fn failover_says_which_port_takes_over_and_why() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        let lagg = lagg_of(&[&a, &b, &c]);
        let events = Events::of(&lagg.ifp);
        a.link(LinkState::Down);
        let down = |port| (format!("{port} out of service: no link"), port);
        let (line, _) = down("em1");
        tells_once(
            &events,
            &[
                (&line, r#"PORT_DOWN port=em1 reason="no link""#),
                (
                    "em2 takes over from em1 (no link)",
                    r#"FAILOVER port=em2 from=em1 to=em2 reason="no link""#,
                ),
            ],
        );
        a.link(LinkState::Up);
        tells_once(
            &events,
            &[
                ("em1 in service", r#"PORT_UP port=em1 reason="in service""#),
                (
                    "em1 takes over from em2 (preferred)",
                    "FAILOVER port=em1 from=em2 to=em1 reason=preferred",
                ),
            ],
        );
        // A standby fails and comes back.
        c.link(LinkState::Down);
        tells_once(
            &events,
            &[("em3 out of service: no link", r#"PORT_DOWN port=em3 reason="no link""#)],
        );
        c.link(LinkState::Up);
        tells_once(&events, &[("em3 ready as a standby", "PORT_UP port=em3 reason=standby")]);
        lagg.set("active", "em3").unwrap();
        tells_once(
            &events,
            &[(
                "em3 takes over from em1 (asked for)",
                r#"FAILOVER port=em3 from=em1 to=em3 reason="asked for""#,
            )],
        );
        flags("em3", 0).unwrap();
        tells_once(
            &events,
            &[
                ("em3 out of service: down", "PORT_DOWN port=em3 reason=down"),
                ("em1 takes over from em3 (down)", "FAILOVER port=em1 from=em3 to=em1 reason=down"),
            ],
        );
        // All fail, and the one that sent last comes back: it takes over from none.
        b.link(LinkState::Down);
        pass(1_000);
        told(&events);
        a.link(LinkState::Down);
        tells_once(
            &events,
            &[
                ("em1 out of service: no link", r#"PORT_DOWN port=em1 reason="no link""#),
                ("0 of 3 ports in service: link down", "DEGRADED active=0 ports=3"),
            ],
        );
        a.link(LinkState::Up);
        tells_once(
            &events,
            &[
                ("em1 in service", r#"PORT_UP port=em1 reason="in service""#),
                ("1 of 3 ports in service: link up", "RESTORED active=1 ports=3"),
            ],
        );
        // Taken out by hand.
        lagg.remove("em1").unwrap();
        tells_once(&events, &[("0 of 2 ports in service: link down", "DEGRADED active=0 ports=2")]);
        b.link(LinkState::Up);
        tells_once(
            &events,
            &[
                ("em2 in service", r#"PORT_UP port=em2 reason="in service""#),
                ("1 of 2 ports in service: link up", "RESTORED active=1 ports=2"),
            ],
        );
    });
}

#[test]
fn a_card_that_is_pulled_out_is_told() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        let events = Events::of(&lagg.ifp);
        drop(a);
        tells_once(
            &events,
            &[
                (
                    "em1 is no longer a port: its interface has gone",
                    "PORT_DOWN port=em1 reason=gone",
                ),
                ("em2 takes over from em1 (gone)", "FAILOVER port=em2 from=em1 to=em2 reason=gone"),
            ],
        );
        // A standby
        let c = card(3);
        lagg.add("em3").unwrap();
        host::settle();
        drop(c);
        tells_once(
            &events,
            &[(
                "em3 is no longer a port: its interface has gone",
                "PORT_DOWN port=em3 reason=gone",
            )],
        );
        drop(b);
        tells_once(
            &events,
            &[
                (
                    "em2 is no longer a port: its interface has gone",
                    "PORT_DOWN port=em2 reason=gone",
                ),
                ("0 of 0 ports in service: link down", "DEGRADED active=0 ports=0"),
            ],
        );
    });
}

#[test]
fn each_protocol_says_which_port_is_out_of_service() {
    for protocol in [proto::ROUNDROBIN, proto::LOADBALANCE, proto::BROADCAST] {
        lab(|| {
            let (a, b) = (card(1), card(2));
            let lagg = lagg_of(&[&a, &b]);
            lagg.set_protocol(protocol).unwrap();
            lagg.set("min_links", "2").unwrap();
            host::settle();
            let events = Events::of(&lagg.ifp);
            b.link(LinkState::Down);
            tells_once(
                &events,
                &[
                    ("em2 out of service: no link", r#"PORT_DOWN port=em2 reason="no link""#),
                    (
                        "1 of 2 ports in service, fewer than min_links 2: link down",
                        "DEGRADED active=1 ports=2 min_links=2",
                    ),
                ],
            );
            lagg.set("up_delay", "5000").unwrap();
            b.link(LinkState::Up);
            tells(&events, NONE);
            pass(5_000);
            tells_once(
                &events,
                &[
                    ("em2 in service", r#"PORT_UP port=em2 reason="in service""#),
                    ("2 of 2 ports in service: link up", "RESTORED active=2 ports=2"),
                ],
            );
            lagg.set_protocol(proto::NONE).unwrap();
            b.link(LinkState::Down);
            tells_once(&events, NONE);
        });
    }
}

/// Links that flap are told at most once a second each, and what is true in the end is told.
#[test]
fn what_flaps_is_told_once_a_second_and_the_end_is_told() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let (_lagg, events) = watched(&[&a, &b], proto::ROUNDROBIN);
        for flap in 0..100 {
            b.link(if flap % 2 == 0 { LinkState::Down } else { LinkState::Up });
            pass(10);
        }
        b.link(LinkState::Down);
        let all = told(&events);
        let count = |kind: &str| all.iter().filter(|(_, event)| event.starts_with(kind)).count();
        assert_eq!((count("PORT_DOWN"), count("PORT_UP")), (1, 1), "{all:?}");
        pass(2_000);
        tells_once(
            &events,
            &[("em2 out of service: no link", r#"PORT_DOWN port=em2 reason="no link""#)],
        );
        // What is over when it could be told is not told.
        b.link(LinkState::Up);
        pass(100);
        assert_eq!(told(&events).len(), 1);
        b.link(LinkState::Down);
        b.link(LinkState::Up);
        b.link(LinkState::Down);
        b.link(LinkState::Up);
        assert_eq!(told(&events).len(), 1);
        pass(2_000);
        tells_once(&events, &[("em2 in service", r#"PORT_UP port=em2 reason="in service""#)]);
    });
}

#[test]
fn a_flood_is_cut_and_says_how_much_was_left_out() {
    lab(|| {
        let cards: Vec<Card> = (1..=32).map(card).collect();
        let all: Vec<&Card> = cards.iter().collect();
        let (_lagg, events) = watched(&all, proto::ROUNDROBIN);
        cards.iter().for_each(|card| host::set_link(&card.ifp, LinkState::Down));
        host::settle();
        let (mut lines, mut notices, mut last) = (0, 0, String::new());
        for event in events.take() {
            match event {
                Event::Log(text) => {
                    lines += 1;
                    last = text;
                }
                Event::Notified("PORT_DOWN" | "DEGRADED", _) => notices += 1,
                _ => {}
            }
        }
        assert_eq!((lines, notices), (11, 33), "each is an event, and that of the lagg a line");
        assert_eq!(last, "0 of 32 ports in service: link down");
        pass(1_000);
        let left_out = Event::Log("22 more lines were left out".into());
        assert_eq!(events.take().into_iter().filter(|event| *event == left_out).count(), 1);
        pass(100_000);
        assert_eq!(events.take(), []);
    });
}

/// devd(8) must read a name as one value.
#[test]
fn a_strange_name_is_quoted() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        host::rename(&b.ifp, "a \"b\\").unwrap();
        let events = Events::of(&lagg.ifp);
        b.link(LinkState::Down);
        let told = told(&events);
        assert_eq!(told[0].1, r#"PORT_DOWN port="a \"b\\" reason="no link""#);
        // Neither a line nor an event ends within a name.
        host::rename(&b.ifp, "a\nb type=X").unwrap();
        b.link(LinkState::Up);
        tells_once(
            &events,
            &[("a?b type=X ready as a standby", r#"PORT_UP port="a?b type=X" reason=standby"#)],
        );
    });
}
