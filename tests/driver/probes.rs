//! The probes of DTrace: which fire, with what. In the kernel `tests/vm/events.sh` sees them.

use std::collections::BTreeSet;

use lagg_rs::kpi::host;
use lagg_rs::kpi::host::testing::Events;
use lagg_rs::kpi::ioctl::proto;
use lagg_rs::kpi::{Errno, LinkState};
use lagg_rs::lacp::mux::AGGREGATE_WAIT;

use crate::lab::{card, frame, lab, lagg, lagg_of, pass};
use crate::pair::{pair, strangers};

const PAGE: &str = include_str!("../../kmod/lagg_rs.4");
const SOURCE: &str = include_str!("../../kmod/probes.c");

/// The probes that begin with this word, since the last call.
fn fired(events: &Events, name: &str) -> Vec<String> {
    host::settle();
    events.take_probes().into_iter().filter(|probe| probe.split(' ').next() == Some(name)).collect()
}

/// The names of the probes with their arguments' types, as the module defines them.
fn defined() -> BTreeSet<(String, usize)> {
    let probes = SOURCE.split("SDT_PROBE_DEFINE").skip(1).map(|rest| {
        let (count, rest) = rest.split_once("(lagg, , , ").unwrap();
        let name = rest.split(',').next().unwrap().replace("__", "-");
        let types = rest.split(");").next().unwrap().matches('"').count() / 2;
        assert_eq!(count.parse(), Ok(types), "{name}");
        (name, types)
    });
    probes.collect()
}

#[test]
fn each_probe_is_in_the_manual_page_with_its_arguments_and_no_other() {
    let (_, section) = PAGE.split_once("\n.Ss Probes\n").unwrap();
    let (section, _) = section.split_once("\n.El\n").unwrap();
    let items = section.lines().filter_map(|line| line.strip_prefix(".It Li "));
    let documented: BTreeSet<_> = items
        .flat_map(|item| {
            let (names, arguments) = item.split_once(" Ta ").unwrap();
            let count = arguments.split(" , ").count();
            names.split(" , ").map(move |name| (name.to_string(), count)).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(documented, defined());
    assert_eq!(documented.len(), 15);
}

#[test]
fn ports_join_change_and_leave() {
    lab(|| {
        let (a, _b) = (card(1), card(2));
        let lagg = lagg();
        let events = Events::of(&lagg.ifp);
        lagg.add("em1").unwrap();
        assert_eq!(lagg.add("em9"), Err(Errno::EINVAL));
        let errno = Errno::EINVAL.number();
        assert_eq!(
            fired(&events, "port-join"),
            ["port-join em1 0".to_string(), format!("port-join em9 {errno}")]
        );
        lagg.up();
        lagg.add("em2").unwrap();
        assert!(fired(&events, "plan-publish").contains(&"plan-publish failover 2 2".into()));
        for (state, from, to) in
            [(LinkState::Down, "in service", "no link"), (LinkState::Up, "no link", "in service")]
        {
            a.link(state);
            let probes = events.take_probes();
            assert!(probes.contains(&format!("port-state em1 {from} {to}")));
            let (other, why) = if from == "no link" {
                ("failover em2 em1", "preferred")
            } else {
                ("failover em1 em2", "no link")
            };
            assert!(probes.contains(&format!("{other} {why}")), "{probes:?}");
            let (before, after) = if from == "no link" {
                ("in service", "standby")
            } else {
                ("standby", "in service")
            };
            assert!(probes.contains(&format!("port-state em2 {before} {after}")), "{probes:?}");
        }
        lagg.remove("em1").unwrap();
        assert_eq!(fired(&events, "port-leave"), ["port-leave em1"]);
    });
}

/// Each change fires its probe, also when it is not told because it was told just before.
#[test]
fn probes_are_not_damped() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        let events = Events::of(&lagg.ifp);
        for _ in 0..20 {
            a.link(LinkState::Down);
            a.link(LinkState::Up);
        }
        let probes = events.take_probes();
        let count = |name: &str| probes.iter().filter(|probe| probe.starts_with(name)).count();
        assert_eq!((count("failover em1 em2"), count("failover em2 em1")), (20, 20));
        assert_eq!(count("port-state em1 in service no link"), 20);
        b.link(LinkState::Down);
        a.link(LinkState::Down);
        assert_eq!(fired(&events, "link-state"), ["link-state false 0 0"]);
        a.link(LinkState::Up);
        assert_eq!(fired(&events, "link-state"), ["link-state true 1 0"]);
    });
}

#[test]
fn lacp_shows_its_machines_and_its_frames() {
    lab(|| {
        let pair = strangers(1);
        let events = Events::of(&pair.left.ifp);
        pair.pass(AGGREGATE_WAIT + 1_000);
        let probes = events.take_probes();
        for probe in [
            "lacp-receive em1 EXPIRED CURRENT",
            "lacp-mux em1 DETACHED WAITING",
            "lacp-mux em1 COLLECTING DISTRIBUTING",
            "lacp-pdu-in em1 124",
            "lacp-pdu-out em1 124",
            "lacp-select -1 0",
        ] {
            assert!(probes.iter().any(|fired| fired == probe), "{probe}: {probes:#?}");
        }
    });
}

#[test]
fn flows_move_and_wait() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        lagg.set_protocol(proto::LOADBALANCE).unwrap();
        host::settle();
        let events = Events::of(&lagg.ifp);
        b.link(LinkState::Down);
        assert_eq!(fired(&events, "bucket-move"), ["bucket-move em2 em1 512"]);
        b.link(LinkState::Up);
        assert_eq!(fired(&events, "bucket-move"), ["bucket-move em1 em2 512"]);
    });
    lab(|| {
        let pair = pair(2);
        pair.link(1, LinkState::Down);
        pair.pass(5_000);
        let events = Events::of(&pair.left.ifp);
        pair.link(1, LinkState::Up);
        pair.pass(5_000);
        let probes = events.take_probes();
        let has = |probe: &str| {
            assert!(probes.iter().any(|fired| fired.starts_with(probe)), "{probe}: {probes:#?}");
        };
        has("bucket-move em1 em2 512");
        has("lacp-pause em1 512");
        has("lacp-resume em2 512 ");
    });
}

#[test]
fn what_is_dropped_says_why() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        let events = Events::of(&lagg.ifp);
        b.receive(&frame(1));
        assert_eq!(fired(&events, "drop"), ["drop em2 60 not_accepted"]);
        a.link(LinkState::Down);
        b.link(LinkState::Down);
        assert_eq!(lagg.send(&frame(2)), Err(Errno::ENETDOWN));
        assert_eq!(fired(&events, "drop"), ["drop  60 no_active_port"]);
        pass(1_000);
    });
}
