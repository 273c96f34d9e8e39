//! What is told of changes is told once, is what was set, and ends with what is true.

use lagg_rs::kpi::LinkState;
use lagg_rs::kpi::host::testing::Events;
use lagg_rs::kpi::host::{self, Event};
use lagg_rs::kpi::ioctl::{port, proto};

use crate::changes::{NONE, tells, tells_once, watched};
use crate::lab::{card, flags, lab, lagg, lagg_of, pass};
use crate::pair::pair;

/// The types of the events since the last call, with their ports.
fn types(events: &Events) -> Vec<String> {
    host::settle();
    let notified = events.take().into_iter().filter_map(|event| match event {
        Event::Notified(kind, data) => Some((kind, data)),
        _ => None,
    });
    let port = |data: &str| data.split(' ').next().unwrap_or_default().to_owned();
    notified.map(|(kind, data)| format!("{kind} {}", port(&data))).collect()
}

fn lines(events: &Events) -> Vec<String> {
    host::settle();
    let lines = events.take().into_iter().filter_map(|event| match event {
        Event::Log(line) => Some(line),
        _ => None,
    });
    lines.collect()
}

/// Interfaces lose their link, or go down, before they go.
#[test]
fn a_port_that_fails_before_it_goes_is_down_once() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let (_lagg, events) = watched(&[&a, &b], proto::ROUNDROBIN);
        a.link(LinkState::Down);
        assert_eq!(types(&events), ["PORT_DOWN port=em1"]);
        drop(a);
        assert_eq!(lines(&events), ["em1 is no longer a port: its interface has gone"]);
        pass(10_000);
        tells(&events, NONE);
        // Of its last failure nothing was told.
        b.link(LinkState::Down);
        b.link(LinkState::Up);
        host::settle();
        events.take();
        b.link(LinkState::Down);
        assert_eq!(types(&events), [""; 0]);
        drop(b);
        assert_eq!(types(&events), ["PORT_DOWN port=em2"]);
        pass(2_000);
        tells_once(&events, &[("0 of 0 ports in service: link down", "DEGRADED active=0 ports=0")]);
    });
}

#[test]
fn the_last_port_that_goes_takes_the_link_down() {
    lab(|| {
        let (a, _b) = (card(1), card(2));
        let (lagg, events) = watched(&[&a], proto::BROADCAST);
        drop(a);
        assert_eq!(types(&events), ["PORT_DOWN port=em1", "DEGRADED active=0"]);
        pass(2_000);
        lagg.add("em2").unwrap();
        tells_once(&events, &[("1 of 1 ports in service: link up", "RESTORED active=1 ports=1")]);
        // By hand, nothing is told.
        lagg.remove("em2").unwrap();
        lagg.add("em2").unwrap();
        tells_once(&events, NONE);
    });
}

/// Whatever happens in between, a port or a lagg that was told to be down is told to be up again.
#[test]
fn what_was_told_to_be_down_is_told_to_be_up() {
    type Between = fn(&crate::lab::Lagg);
    let between: [Between; 3] = [
        |lagg| {
            lagg.down();
            lagg.up();
        },
        |lagg| lagg.set_protocol(proto::ROUNDROBIN).unwrap(),
        |lagg| {
            lagg.set_protocol(proto::NONE).unwrap();
            lagg.set_protocol(proto::BROADCAST).unwrap();
        },
    ];
    for between in between {
        lab(|| {
            let (a, b) = (card(1), card(2));
            let lagg = lagg_of(&[&a, &b]);
            lagg.set_protocol(proto::LOADBALANCE).unwrap();
            lagg.set("min_links", "2").unwrap();
            host::settle();
            let events = Events::of(&lagg.ifp);
            b.link(LinkState::Down);
            assert_eq!(types(&events), ["PORT_DOWN port=em2", "DEGRADED active=1"]);
            pass(2_000);
            between(&lagg);
            pass(2_000);
            tells(&events, NONE);
            b.link(LinkState::Up);
            assert_eq!(types(&events), ["PORT_UP port=em2", "RESTORED active=2"]);
        });
    }
}

#[test]
fn min_links_is_told_as_it_is_set() {
    for (min_links, told) in [
        ("0", ("0 of 1 ports in service: link down", "DEGRADED active=0 ports=1")),
        ("1", ("0 of 1 ports in service: link down", "DEGRADED active=0 ports=1 min_links=1")),
    ] {
        lab(|| {
            let a = card(1);
            let lagg = lagg_of(&[&a]);
            lagg.set("min_links", min_links).unwrap();
            let events = Events::of(&lagg.ifp);
            a.link(LinkState::Down);
            tells_once(
                &events,
                &[("em1 out of service: no link", r#"PORT_DOWN port=em1 reason="no link""#), told],
            );
            assert_eq!(lagg.setting("min_links").as_deref(), Ok(min_links));
        });
    }
}

/// A request is not told, but what comes of it later is.
#[test]
fn what_comes_of_a_request_is_told() {
    lab(|| {
        let (a, _b) = (card(1), card(2));
        let (lagg, events) = watched(&[&a], proto::ROUNDROBIN);
        lagg.set("min_links", "2").unwrap();
        tells_once(
            &events,
            &[(
                "1 of 1 ports in service, fewer than min_links 2: link down",
                "DEGRADED active=1 ports=1 min_links=2",
            )],
        );
        lagg.set("up_delay", "5000").unwrap();
        lagg.add("em2").unwrap();
        tells(&events, NONE);
        pass(5_000);
        tells_once(
            &events,
            &[
                ("em2 in service", r#"PORT_UP port=em2 reason="in service""#),
                ("2 of 2 ports in service: link up", "RESTORED active=2 ports=2"),
            ],
        );
        lagg.remove("em2").unwrap();
        assert_eq!(types(&events), ["DEGRADED active=1"]);
        pass(2_000);
        lagg.set("min_links", "0").unwrap();
        assert_eq!(types(&events), ["RESTORED active=1"]);
    });
}

/// With none a port sends nothing.
#[test]
fn with_none_no_port_is_in_service() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        lagg.set_protocol(proto::NONE).unwrap();
        host::settle();
        let port = |leaf: &str| lagg.setting(&format!("port.em1.{leaf}")).unwrap();
        assert_eq!((port("in_service"), port("reason")), ("0".into(), "standby".into()));
        assert_eq!((lagg.count("active_ports"), lagg.count("speed")), (0, 0));
        assert_eq!(lagg.count("link_up"), 1, "as in C lagg");
        a.link(LinkState::Down);
        assert_eq!(port("reason"), "no link");
        flags("em1", 0).unwrap();
        host::settle();
        assert_eq!(port("reason"), "down");
        flags("em1", lagg_rs::kpi::iff::UP).unwrap();
        a.link(LinkState::Up);
        lagg.set_protocol(proto::BROADCAST).unwrap();
        host::settle();
        assert_eq!((port("in_service"), port("reason")), ("1".into(), String::new()));
        assert_eq!((lagg.count("active_ports"), lagg.count("speed")), (2, 2_000_000_000));
    });
}

/// The stack gives a new Ethernet interface 10 Mb/s.
#[test]
fn the_speed_is_that_of_the_ports_in_service() {
    lab(|| {
        let lagg = lagg();
        assert_eq!((lagg.count("speed"), lagg.ifp.baudrate()), (0, 0));
        let (a, b) = (card(1), card(2));
        lagg.add("em1").unwrap();
        lagg.add("em2").unwrap();
        host::settle();
        assert_eq!(lagg.count("speed"), 0, "it is down");
        lagg.up();
        for (protocol, both) in [
            (proto::FAILOVER, 1),
            (proto::ROUNDROBIN, 2),
            (proto::LOADBALANCE, 2),
            (proto::BROADCAST, 2),
        ] {
            lagg.set_protocol(protocol).unwrap();
            host::settle();
            assert_eq!(lagg.count("speed"), both * 1_000_000_000);
            a.link(LinkState::Down);
            assert_eq!(lagg.count("speed"), 1_000_000_000);
            b.link(LinkState::Down);
            assert_eq!(lagg.count("speed"), 0);
            a.link(LinkState::Up);
            b.link(LinkState::Up);
            // It does not move while cards restart.
            let events = Events::of(&lagg.ifp);
            lagg.set_mtu(1400 + u32::from(protocol == proto::BROADCAST)).unwrap();
            crate::lab::ether(&lagg.name, [2, 0, 0, 0, 0, protocol as u8]).unwrap();
            pass(3_000);
            let is_speed = |event: &Event| matches!(event, Event::Baudrate(_));
            assert!(!events.take().iter().any(is_speed));
        }
        lagg.down();
        pass(3_000);
        assert_eq!(lagg.count("speed"), 0);
    });
    lab(|| {
        let pair = pair(2);
        assert_eq!(pair.left.count("speed"), 2_000_000_000);
        pair.right.down();
        pair.pass(5_000);
        assert_eq!(pair.left.count("speed"), 0, "no partner");
    });
}

/// `ifconfig -v` says as many active ports as the leaf, and shows them.
#[test]
fn ifconfig_says_what_the_leaf_says() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        for protocol in [proto::NONE, proto::ROUNDROBIN, proto::LOADBALANCE, proto::BROADCAST] {
            lagg.set_protocol(protocol).unwrap();
            host::settle();
            let both = || {
                let shown = lagg.get(2304).unwrap().1;
                let active = |flags: u32| flags & port::ACTIVE != 0;
                let shown = shown.iter().filter(|port| active(port.flags)).count();
                let active: u32 = lagg.options().unwrap().active;
                (shown as u64, u64::from(active), lagg.count("active_ports"))
            };
            let is = |count| assert_eq!(both(), (count, count, count), "{protocol}");
            let all = if protocol == proto::NONE { 0 } else { 2 };
            is(all);
            b.link(LinkState::Down);
            is(all.min(1));
            lagg.set("up_delay", "1000").unwrap();
            b.link(LinkState::Up);
            is(all.min(1));
            pass(1_000);
            is(all);
            // It is not used, though the lagg's link does not follow yet.
            lagg.set("down_delay", "1000").unwrap();
            b.link(LinkState::Down);
            is(all.min(1));
            a.link(LinkState::Down);
            is(0);
            assert_eq!(lagg.count("link_up"), 1);
            a.link(LinkState::Up);
            b.link(LinkState::Up);
            is(all);
            lagg.set("up_delay", "0").unwrap();
            lagg.set("down_delay", "0").unwrap();
        }
        lagg.down();
        assert_eq!((lagg.options().unwrap().active, lagg.count("active_ports")), (0, 0));
    });
}
