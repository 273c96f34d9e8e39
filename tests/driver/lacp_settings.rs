//! LACP's settings, and why ports are not in service.

use lagg_rs::kpi::host::testing::Events;
use lagg_rs::kpi::host::{self, Event, Vnet};
use lagg_rs::kpi::ioctl::{LacpInfo, proto};
use lagg_rs::kpi::{Errno, LinkState};
use lagg_rs::lacp::key;
use lagg_rs::lacp::marker;
use lagg_rs::lacp::mux::AGGREGATE_WAIT;

use crate::lab::{Lagg, PROTOCOLS, card, lab, lagg, lagg_of, mac, refused};
use crate::lacp::is_marker;
use crate::pair::{Pair, flow, pair, strangers};

/// Text settings: the default, what is taken, and what is refused.
const TEXTS: [(&str, &str, &[&str], &[&str]); 3] = [
    (
        "lacp.system_id",
        "",
        &["02:00:5e:00:53:01", "00:00:00:00:00:01", "fe:ff:ff:ff:ff:ff", ""],
        &[
            "01:00:5e:00:53:01",
            "00:00:00:00:00:00",
            "ff:ff:ff:ff:ff:ff",
            "02:00:5e:00:53",
            "02:00:5e:00:53:01:02",
            "02:00:5e:00:53:+1",
            "02:00:5e:00:53:001",
            "02:00:5e:00:53:",
            "02-00-5e-00-53-01",
            "x",
        ],
    ),
    (
        "lacp.select",
        "priority",
        &["bandwidth", "count", "priority"],
        &["", "stable", "Count", "count "],
    ),
    ("lacp.fallback", "none", &["single", "none"], &["", "1", "static", "singles"]),
];

#[test]
fn words_and_addresses_are_taken_and_others_refused() {
    lab(|| {
        let lagg = lagg();
        for (name, default, good, bad) in TEXTS {
            assert_eq!(lagg.setting(name).unwrap(), default);
            for value in good {
                lagg.set(name, value).unwrap();
                assert_eq!(lagg.setting(name).unwrap(), *value);
            }
            for value in bad {
                refused(Errno::EINVAL, || lagg.set(name, value));
            }
        }
        lagg.set("lacp.system_id", "2:0:5E:0:53:A").unwrap();
        assert_eq!(lagg.setting("lacp.system_id").unwrap(), "02:00:5e:00:53:0a");
    });
}

/// What the other end has recorded of the port on a wire.
fn heard(pair: &Pair, wire: usize) -> LacpInfo {
    pair.exchange();
    pair.records(&pair.right)[wire].psc
}

fn actor(pair: &Pair) -> (u16, [u8; 6], u16) {
    let LacpInfo { partner_prio, partner_mac, partner_key, .. } = heard(pair, 0);
    (partner_prio, partner_mac, partner_key)
}

#[test]
fn what_is_set_is_what_the_partner_shows() {
    lab(|| {
        let pair = pair(2);
        let usual = actor(&pair);
        let (_, address, _) = usual;
        let changes = [
            ("lacp.system_priority", "7", (7, address, usual.2)),
            ("lacp.system_id", "02:00:5e:00:53:01", (7, [2, 0, 0x5e, 0, 0x53, 1], usual.2)),
            ("lacp.key", "5", (7, [2, 0, 0x5e, 0, 0x53, 1], key::aggregatable(5, 1_000_000_000))),
            ("lacp.key", "0", (7, [2, 0, 0x5e, 0, 0x53, 1], usual.2)),
            ("lacp.system_id", "", (7, address, usual.2)),
            ("lacp.system_priority", "32768", usual),
        ];
        for (name, value, expected) in changes {
            pair.left.set(name, value).unwrap();
            assert_eq!(actor(&pair), expected, "{name}");
            pair.pass(AGGREGATE_WAIT + 1_000);
            assert_eq!(pair.distributing(&pair.left), 2);
        }
        pair.left.set("port_priority", "em2:3").unwrap();
        let priorities = [0, 1].map(|wire| heard(&pair, wire).partner_portprio);
        assert_eq!(priorities, [32768, 3]);
        pair.left.set("lacp.active", "0").unwrap();
        assert_eq!(heard(&pair, 0).partner_state & 1, 0);
        pair.pass(200_000);
        assert_eq!(pair.distributing(&pair.left), 2);
    });
}

/// They are kept from before the protocol is lacp, and from before a port joins, and stay.
#[test]
fn settings_take_effect_when_the_protocol_becomes_lacp() {
    lab(|| {
        let pair = strangers(1);
        for (name, value) in [
            ("lacp.system_priority", "9"),
            ("lacp.system_id", "02:00:5e:00:53:02"),
            ("lacp.key", "1023"),
            ("port_priority", "em1:11"),
        ] {
            pair.left.set_protocol(proto::FAILOVER).unwrap();
            pair.left.set(name, value).unwrap();
        }
        for _ in 0..2 {
            pair.left.set_protocol(proto::LACP).unwrap();
            pair.pass(AGGREGATE_WAIT + 2_000);
            assert_eq!(pair.distributing(&pair.left), 1);
            let key = key::aggregatable(1023, 1_000_000_000);
            assert_eq!(actor(&pair), (9, [2, 0, 0x5e, 0, 0x53, 2], key));
            assert_eq!(heard(&pair, 0).partner_portprio, 11);
            for protocol in PROTOCOLS {
                pair.left.set_protocol(protocol).unwrap();
            }
            pair.left.remove("em1").unwrap();
            pair.left.add("em1").unwrap();
        }
    });
}

/// The identifier that was taken from the first port, and is taken anew when none is given any more.
#[test]
fn an_identifier_that_was_given_is_independent_of_the_ports() {
    lab(|| {
        let pair = pair(2);
        pair.left.set("lacp.system_id", "02:00:5e:00:53:03").unwrap();
        pair.pass(AGGREGATE_WAIT + 1_000);
        pair.left.remove("em1").unwrap();
        pair.pass(10);
        assert_eq!(pair.records(&pair.right)[1].psc.partner_mac, [2, 0, 0x5e, 0, 0x53, 3]);
        assert_eq!(pair.distributing(&pair.left), 1);
        pair.left.set("lacp.system_id", "").unwrap();
        pair.exchange();
        assert_eq!(pair.records(&pair.right)[1].psc.partner_mac, mac(2));
    });
}

/// Why a port is not in service; none if it is.
fn reason(lagg: &Lagg, port: &str) -> Option<String> {
    let reason = lagg.setting(&format!("port.{port}.reason")).unwrap();
    assert_eq!(lagg.count(&format!("port.{port}.in_service")), u64::from(reason.is_empty()));
    (!reason.is_empty()).then_some(reason)
}

#[test]
fn a_limit_keeps_the_worst_ports_as_standbys() {
    lab(|| {
        let pair = pair(3);
        pair.left.set("port_priority", "em1:3 em2:1 em3:2").unwrap();
        pair.pass(AGGREGATE_WAIT + 1_000);
        pair.left.set("lacp.max_links", "1").unwrap();
        pair.pass(1_000);
        let reasons = || ["em1", "em2", "em3"].map(|port| reason(&pair.left, port));
        let standby = Some("standby".to_owned());
        assert_eq!(reasons(), [standby.clone(), None, standby.clone()]);
        let wires = pair.send(100);
        assert!(wires.iter().all(|wire| *wire == Some(1)), "{wires:?}");
        assert!(!pair.left.takes_in(0, &flow(0)) && pair.left.takes_in(1, &flow(0)));
        pair.link(1, LinkState::Down);
        assert_eq!(reasons(), [standby, Some("no link".to_owned()), None]);
        assert_eq!(pair.send(1), [Some(2)]);
        pair.left.set("lacp.max_links", "0").unwrap();
        pair.exchange();
        assert_eq!((pair.distributing(&pair.left), pair.distributing(&pair.right)), (2, 2));
    });
}

/// The one port in service makes way for another, or loses its link: the link of the lagg stays up. It does not if the
/// partner has gone.
#[test]
fn f77_a_standby_takes_over_while_the_lagg_s_link_stays_up() {
    lab(|| {
        let pair = pair(2);
        for lagg in [&pair.left, &pair.right] {
            lagg.set("lacp.max_links", "1").unwrap();
        }
        pair.pass(1_000);
        let links: Vec<_> =
            [&pair.left, &pair.right].map(|lagg| Events::of(&lagg.ifp)).into_iter().collect();
        let changes = || {
            let of = |events: &Events| events.take().into_iter();
            let all = links.iter().flat_map(of);
            all.filter(|event| matches!(event, Event::Link(_))).collect::<Vec<_>>()
        };
        assert_eq!(pair.send(1), [Some(0)]);
        for (priorities, wire) in [("em1:9 em2:1", 1), ("em1:1 em2:9", 0)] {
            pair.left.set("port_priority", priorities).unwrap();
            pair.pass(5_000);
            assert_eq!(pair.send(1), [Some(wire)]);
            assert_eq!(changes(), []);
        }
        pair.link(0, LinkState::Down);
        pair.pass(5_000);
        assert_eq!(pair.send(1), [Some(1)]);
        assert_eq!(changes(), []);
        pair.right.set("lacp.max_links", "0").unwrap();
        pair.right.down();
        pair.pass(600);
        assert_eq!(pair.left.ifp.link_state(), LinkState::Down);
    });
}

#[test]
fn without_a_partner_one_port_is_in_service() {
    lab(|| {
        let pair = strangers(2);
        pair.right.set_protocol(proto::NONE).unwrap();
        // What it has said already is lost.
        for (_, card) in &pair.wires {
            card.nic.take_sent();
        }
        pair.left.set("lacp.fallback", "single").unwrap();
        pair.left.set("lacp.fallback_delay", "10").unwrap();
        pair.left.set("port_priority", "em2:1").unwrap();
        let begun = Vnet::current().uptime_ms();
        while pair.left.ifp.link_state() != LinkState::Up {
            pair.pass(100);
        }
        let took = Vnet::current().uptime_ms() - begun;
        assert!((9_000..=10_100).contains(&took), "{took}");
        assert!(pair.send(20).iter().all(|wire| *wire == Some(1)));
        assert_eq!([0, 1].map(|place| pair.left.takes_in(place, &flow(0))), [false, true]);
        assert_eq!(reason(&pair.left, "em1"), Some("no partner".to_owned()));
        assert_eq!(reason(&pair.left, "em2"), None);
        // The bundle takes over.
        pair.right.set_protocol(proto::LACP).unwrap();
        pair.exchange();
        assert!(![0, 1].iter().any(|place| pair.left.takes_in(*place, &flow(0))));
        pair.pass(AGGREGATE_WAIT + 1_000);
        assert_eq!(pair.distributing(&pair.left), 2);
        assert_eq!(pair.distributing(&pair.right), 2);
    });
}

#[test]
fn no_flow_waits_for_a_marker_if_none_is_to() {
    lab(|| {
        let mut pair = pair(2);
        pair.lost = is_marker;
        pair.left.set("lacp.marker_timeout", "0").unwrap();
        for state in [LinkState::Down, LinkState::Up] {
            pair.link(1, state);
            assert!(pair.send(100).iter().all(Option::is_some));
        }
        pair.pass(marker::TIMEOUT);
        assert_eq!(pair.distributing(&pair.left), 2);
    });
}

#[test]
fn a_link_that_does_not_count_yet_waits() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        lagg.set("up_delay", "1000").unwrap();
        a.link(LinkState::Down);
        a.link(LinkState::Up);
        assert_eq!(reason(&lagg, "em1"), Some("waits up_delay".to_owned()));
    });
}

/// With other protocols too.
#[test]
fn a_port_out_of_service_says_why() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        let reasons = || ["em1", "em2"].map(|port| reason(&lagg, port));
        let word = |word: &str| Some(word.to_owned());
        for protocol in PROTOCOLS {
            lagg.set_protocol(protocol).unwrap();
            host::settle();
            let second = match protocol {
                proto::FAILOVER | proto::NONE => word("standby"),
                proto::LACP => word("no partner"),
                _ => None,
            };
            let first = second.clone().filter(|_| protocol != proto::FAILOVER);
            assert_eq!(reasons(), [first, second], "{protocol}");
            a.link(LinkState::Down);
            assert_eq!(reasons()[0], word("no link"));
            lagg.down();
            assert_eq!(reasons(), [word("down"), word("down")]);
            lagg.up();
            a.link(LinkState::Up);
        }
    });
}
