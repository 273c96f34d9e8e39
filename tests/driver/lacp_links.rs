//! How LACP treats the ports' links.

use lagg_rs::kpi::host::testing::Events;
use lagg_rs::kpi::host::{self, Event, IFM_ETHER, IFM_ETHER_AUTO, IFM_FDX, IFM_HDX};
use lagg_rs::kpi::ioctl::{SIOCGIFMEDIA, SIOCGIFXMEDIA};
use lagg_rs::kpi::{Errno, LinkState, MacAddr, iff};
use lagg_rs::lacp::Report;
use lagg_rs::lacp::mux::AGGREGATE_WAIT;
use lagg_rs::wire::lacpdu::{Lacpdu, StateBits};

use crate::lab::{ether, flags, lab};
use crate::pair::{Pair, pair};

/// A link comes up with other media on the left side. Returns whether it is in service after a while.
fn in_service(pair: &Pair, wire: usize, media: u32) -> bool {
    pair.wires[wire].0.nic.set_media(media);
    pair.link(wire, LinkState::Down);
    pair.link(wire, LinkState::Up);
    pair.pass(AGGREGATE_WAIT);
    let state = StateBits::from_bits_retain(pair.records(&pair.left)[wire].psc.actor_state);
    let fits = state.contains(StateBits::AGGREGATION | StateBits::SYNC);
    assert_eq!(fits, state.intersects(StateBits::AGGREGATION | StateBits::SYNC));
    assert_eq!(fits, pair.distributing(&pair.left) == 2);
    fits
}

/// IFM_ETHER with a subtype that ifmedia_baudrate(9) does not know.
const UNKNOWN: u32 = IFM_ETHER | 25;

#[test]
fn f45_half_duplex_alone_keeps_a_link_out() {
    lab(|| {
        let pair = pair(2);
        for media in [IFM_ETHER_AUTO, UNKNOWN, UNKNOWN | IFM_FDX, IFM_ETHER_AUTO | IFM_FDX] {
            assert!(in_service(&pair, 0, media), "{media:#x}");
            assert_eq!(pair.left.ifp.baudrate(), 2_000_000_000, "{media:#x}: if_baudrate's");
        }
        // Half duplex of any speed; token ring.
        for media in [IFM_ETHER_AUTO, UNKNOWN, IFM_ETHER | 6] {
            assert!(!in_service(&pair, 0, media | IFM_HDX), "{media:#x}");
        }
        assert!(!in_service(&pair, 0, 0x40));
        assert!(in_service(&pair, 0, 0));
    });
}

/// A driver that does not report its media, by either command.
#[test]
fn f45_without_media_if_baudrate_is_the_speed() {
    lab(|| {
        let pair = pair(2);
        let nic = &pair.wires[0].0.nic;
        for command in [SIOCGIFXMEDIA, SIOCGIFMEDIA] {
            nic.refuse_all(command, Errno::EINVAL);
        }
        assert!(in_service(&pair, 0, 0));
        assert_eq!(pair.left.ifp.baudrate(), 2_000_000_000);
        let keys: Vec<_> =
            pair.records(&pair.left).iter().map(|record| record.psc.actor_key).collect();
        assert_eq!(keys[0], keys[1]);
        // A speed that neither reports (F-21).
        pair.wires[0].0.ifp.set_baudrate(0);
        pair.link(0, LinkState::Down);
        pair.link(0, LinkState::Up);
        pair.pass(AGGREGATE_WAIT);
        let records = pair.records(&pair.left);
        assert_ne!(records[0].psc.actor_key, keys[0]);
        let state = StateBits::from_bits_retain(records[0].psc.actor_state);
        assert!(state.contains(StateBits::AGGREGATION));
    });
}

/// The farewells that the left side has sent and that have not been received yet, by wire.
fn farewells(pair: &Pair) -> Vec<usize> {
    host::settle();
    let says = |frame: &Vec<u8>| {
        let said = Lacpdu::parse(frame).map(|pdu| pdu.actor.state);
        said.is_ok_and(|state| !state.intersects(StateBits::AGGREGATION | StateBits::SYNC))
    };
    let sent = pair.wires.iter().map(|(a, b)| {
        let sent = a.nic.take_sent();
        sent.iter().for_each(|frame| b.receive(frame));
        sent.iter().filter(|frame| says(frame)).count()
    });
    sent.collect()
}

/// After the driver was told, it would send nothing any more.
#[test]
fn f60_a_lagg_or_port_that_goes_down_sends_farewells_before_its_driver_stops() {
    lab(|| {
        let pair = pair(2);
        flags("em1", 0).unwrap();
        assert_eq!(farewells(&pair), [1, 0]);
        pair.exchange();
        assert_eq!((pair.distributing(&pair.left), pair.distributing(&pair.right)), (1, 1));
        assert!(pair.send(50).iter().all(|wire| *wire == Some(1)));
        flags("em1", iff::PROMISC).unwrap();
        assert_eq!(farewells(&pair), [0, 0], "once");
        flags("em1", iff::UP).unwrap();
        pair.pass(AGGREGATE_WAIT);
        assert_eq!((pair.distributing(&pair.left), pair.distributing(&pair.right)), (2, 2));

        pair.left.down();
        assert_eq!(farewells(&pair), [1, 1]);
        pair.exchange();
        assert_eq!(pair.distributing(&pair.right), 0);
        pair.left.up();
        pair.pass(AGGREGATE_WAIT);
        assert_eq!((pair.distributing(&pair.left), pair.distributing(&pair.right)), (2, 2));
    });
}

#[test]
fn f60_a_link_that_becomes_half_duplex_sends_a_farewell() {
    lab(|| {
        let pair = pair(2);
        pair.wires[0].0.nic.set_media(IFM_ETHER_AUTO | IFM_HDX);
        flags("em1", iff::UP).unwrap();
        assert_eq!(farewells(&pair), [1, 0]);
        pair.exchange();
        assert_eq!((pair.distributing(&pair.left), pair.distributing(&pair.right)), (1, 1));
    });
}

/// No partner would receive it on a dead link. A change of address takes an interface down, and up again.
#[test]
fn f60_no_farewell_goes_out_on_a_dead_link_nor_for_another_address() {
    const OTHER: MacAddr = [2, 1, 2, 3, 4, 5];
    lab(|| {
        let pair = pair(2);
        pair.wires[0].0.link(LinkState::Down);
        flags("em1", 0).unwrap();
        assert_eq!(farewells(&pair), [0, 0]);
        flags("em1", iff::UP).unwrap();
        pair.link(0, LinkState::Up);
        assert_eq!(pair.distributing(&pair.left), 2);
        for name in ["em2", &pair.left.name] {
            ether(name, OTHER).unwrap();
            assert_eq!(farewells(&pair), [0, 0], "{name}");
        }
        pair.pass(1_000);
        flags("em2", 0).unwrap();
        assert_eq!(farewells(&pair), [0, 1], "its address is known by now");
    });
}

/// As those that go out on their time do; not one that the driver refused.
#[test]
fn f86_a_farewell_counts_as_a_lacpdu() {
    lab(|| {
        let pair = pair(2);
        let out = |port| pair.left.count(&format!("port.{port}.lacp.pdus_out"));
        let before = ["em1", "em2"].map(out);
        flags("em1", 0).unwrap();
        assert_eq!(farewells(&pair), [1, 0]);
        assert_eq!(["em1", "em2"].map(out), [before[0] + 1, before[1]]);
        pair.wires[1].0.nic.refuse_transmit(Some(Errno::ENOBUFS));
        flags("em2", 0).unwrap();
        assert_eq!(farewells(&pair), [0, 0]);
        assert_eq!(out("em2"), before[1]);
    });
}

/// What is wrong is logged, and the manual page describes what to do about it.
#[test]
fn f63_what_is_wrong_with_a_link_is_logged_and_in_the_manual_page() {
    const PAGE: &str = include_str!("../../kmod/lagg_rs.4");
    lab(|| {
        let pair = pair(2);
        let events = Events::of(&pair.left.ifp);
        pair.loop_back();
        let line = Event::Log(format!("em1 {}", Report::Looped.text()));
        assert_eq!(events.take().into_iter().filter(|event| *event == line).count(), 1);
    });
    for report in Report::ALL {
        let item = format!(".It \"lagg%d: %s {}\"", report.text());
        let mut lines = PAGE.lines().skip_while(|line| *line != item);
        assert!(lines.next().is_some(), "the page has no {item}");
        let first = lines.next().unwrap();
        assert!(!first.starts_with('.'), "the page does not explain {item}");
        // if_printf's line has room for 160 characters.
        assert!("lagg9999: epair9999a ".len() + report.text().len() < 160);
    }
}
