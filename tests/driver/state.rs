//! What sysctl(8) shows of a lagg and its ports.

use lagg_rs::kpi::host::{self, Vnet};
use lagg_rs::kpi::ioctl::{SIOCSIFMTU, proto};
use lagg_rs::kpi::{Errno, LONGEST_STATE, Leaf, LinkState, Shows};
use lagg_rs::lacp::receive::LONG_TIMEOUT;

use crate::lab::{Lagg, PROTOCOLS, card, ether, flags, lab, lagg_of, pass};
use crate::pair::pair;

/// The text of a leaf; none if it has nothing to say.
fn text(lagg: &Lagg, leaf: &str) -> Option<String> {
    match lagg.setting(leaf) {
        Ok(text) => Some(text),
        Err(errno) => {
            assert_eq!(errno, Errno::ENOENT, "{leaf}");
            None
        }
    }
}

/// How often a port has failed, and why last.
fn flaps(lagg: &Lagg, port: &str) -> (u64, String) {
    let cause = lagg.setting(&format!("port.{port}.last_flap")).unwrap();
    assert_eq!(text(lagg, &format!("port.{port}.last_flap_age")).is_some(), !cause.is_empty());
    (lagg.count(&format!("port.{port}.flaps")), cause)
}

/// The tables are total: each leaf has a node, a description, and a value that is what it says, except those
/// that have none now.
#[test]
fn each_leaf_is_named_and_shown() {
    lab(|| {
        let pair = pair(2);
        pair.wires[0].0.link(LinkState::Down);
        let absent = ["port.em2.last_flap_age"];
        let ports = ["em1", "em2"].map(|port| {
            host::port_leaves().map(move |(name, leaf)| (format!("port.{port}.{name}"), leaf))
        });
        let own = host::leaves().map(|(name, leaf)| (name.to_owned(), leaf));
        let all: Vec<_> = own.chain(ports.into_iter().flatten()).collect();
        let mut shown = 0;
        for (name, leaf) in &all {
            assert!(!leaf.about.is_empty() && leaf.about.to_bytes().len() < 48, "{name}");
            if let Some((node, _)) = leaf.name.to_str().unwrap().rsplit_once('.') {
                let mut leaves = host::leaves().chain(host::port_leaves());
                assert!(leaves.any(|(there, leaf)| there == node && is_node(leaf)), "{name}");
            }
            let value = text(&pair.left, name);
            let nothing = is_node(leaf) || absent.contains(&&**name);
            assert_eq!(value.is_none(), nothing, "{name}");
            if let Some(value) = value {
                assert!(value.len() < LONGEST_STATE);
                let is_number = matches!(leaf.shows, Shows::Number | Shows::Reason);
                assert_eq!(value.parse::<u64>().is_ok(), is_number, "{name}: {value}");
                shown += 1;
            }
        }
        let listed = host::sysctl_all(&pair.left.name);
        assert_eq!(listed.len(), shown + host::settings().count());
    });
}

fn is_node(leaf: &Leaf) -> bool {
    leaf.shows == Shows::Nodes
}

#[test]
fn what_a_lagg_is() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        a.ifp.set_baudrate(1_000_000_000);
        b.ifp.set_baudrate(10_000_000_000);
        let lagg = lagg_of(&[&a, &b]);
        let count = |leaf: &str| lagg.count(leaf);
        assert_eq!((count("ports"), count("active_ports"), count("link_up")), (2, 2, 1));
        assert_eq!((count("speed"), count("port.em2.speed")), (1_000_000_000, 10_000_000_000));
        for protocol in PROTOCOLS {
            lagg.set_protocol(protocol).unwrap();
            host::settle();
            let has = |leaf: &str| text(&lagg, leaf).is_some();
            assert_eq!(has("port.em1.lacp.mux"), protocol == proto::LACP);
            assert!(!has("lacp.aggregator") && !has("lacp.partner.system"));
            let spreads = [proto::LACP, proto::LOADBALANCE].contains(&protocol);
            assert_eq!(has("port.em1.buckets"), spreads);
        }
        lagg.set_protocol(proto::LOADBALANCE).unwrap();
        host::settle();
        assert_eq!([count("port.em1.buckets"), count("port.em2.buckets")], [512, 512]);
        assert_eq!(count("speed"), 11_000_000_000);
        b.link(LinkState::Down);
        assert_eq!((count("active_ports"), count("port.em2.link_up")), (1, 0));
        assert_eq!([count("port.em1.buckets"), count("port.em2.buckets")], [1024, 0]);
        lagg.down();
        host::settle();
        assert_eq!(count("active_ports"), 0);
        assert_eq!(lagg.set("ports", "3"), Err(Errno::ENOENT));
        assert_eq!(lagg.set("port.em1.flaps", "3"), Err(Errno::ENOENT));
    });
}

#[test]
fn failover_counts_who_takes_over() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        let last = || lagg.setting("last_change").unwrap();
        assert_eq!((lagg.count("failovers"), &*last()), (0, "em1 in service"));
        a.link(LinkState::Down);
        assert_eq!((lagg.count("failovers"), &*last()), (1, "em1 out of service: no link"));
        assert_eq!(flaps(&lagg, "em1"), (1, "no link".to_owned()));
        assert_eq!(lagg.count("last_change_age"), 0);
        pass(7_500);
        assert_eq!((lagg.count("last_change_age"), lagg.count("port.em1.last_flap_age")), (7, 7));
        // A standby that makes way has not failed; one that loses its link has.
        a.link(LinkState::Up);
        assert_eq!((lagg.count("failovers"), &*last()), (2, "em1 in service"));
        assert_eq!(flaps(&lagg, "em2"), (0, String::new()));
        assert_eq!(lagg.setting("port.em2.reason").as_deref(), Ok("standby"));
        b.link(LinkState::Down);
        assert_eq!(flaps(&lagg, "em2"), (1, "no link".to_owned()));
        assert_eq!((lagg.count("failovers"), &*last()), (2, "em1 in service"));
        b.link(LinkState::Up);
        // An administrator who takes a port down has made it fail.
        flags("em1", 0).unwrap();
        host::settle();
        assert_eq!(flaps(&lagg, "em1"), (2, "down".to_owned()));
        lagg.remove("em1").unwrap();
        assert_eq!((lagg.count("failovers"), &*last()), (3, "em1 left"));
        assert_eq!(text(&lagg, "port.em1.flaps"), None);
        // It begins anew.
        lagg.add("em1").unwrap();
        host::settle();
        assert_eq!(flaps(&lagg, "em1"), (0, String::new()));
    });
}

/// Neither a lagg that goes down, nor another protocol, address or MTU makes a port fail.
#[test]
fn what_was_asked_for_is_no_failure() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        let both = || ["em1", "em2"].map(|port| flaps(&lagg, port).0);
        for _ in 0..3 {
            lagg.down();
            pass(3_000);
            lagg.up();
            host::settle();
        }
        for protocol in PROTOCOLS.into_iter().chain([proto::FAILOVER]) {
            lagg.set_protocol(protocol).unwrap();
            host::settle();
        }
        lagg.set("active", "em2").unwrap();
        host::settle();
        ether(&lagg.name, [2, 0, 0, 0, 0, 77]).unwrap();
        lagg.set_mtu(9_000).unwrap();
        pass(3_000);
        assert_eq!(both(), [0, 0]);
        assert_eq!(lagg.setting("last_change").as_deref(), Ok("em2 in service"));
    });
}

#[test]
fn what_lacp_knows() {
    lab(|| {
        let pair = pair(2);
        let left = |leaf: &str| pair.left.setting(leaf).unwrap();
        let record = &pair.records(&pair.left)[0].psc;
        let number = |leaf: &str| pair.left.count(leaf);
        assert_eq!(number("port.em1.lacp.actor.key"), record.actor_key.into());
        assert_eq!(number("port.em1.lacp.actor.port"), record.actor_portno.into());
        assert_eq!(number("port.em1.lacp.actor.port_priority"), record.actor_portprio.into());
        assert_eq!(number("port.em1.lacp.actor.state"), record.actor_state.into());
        assert_eq!(number("port.em1.lacp.partner.key"), record.partner_key.into());
        assert_eq!(number("port.em1.lacp.partner.port"), record.partner_portno.into());
        assert_eq!(number("port.em1.lacp.partner.port_priority"), record.partner_portprio.into());
        assert_eq!(number("port.em1.lacp.partner.priority"), record.partner_prio.into());
        assert_eq!(number("port.em1.lacp.partner.state"), record.partner_state.into());
        let mac = record.partner_mac.map(|byte| format!("{byte:02x}")).join(":");
        assert_eq!(
            (left("port.em1.lacp.partner.system"), left("lacp.partner.system")),
            (mac.clone(), mac)
        );
        let active = pair.left.get(0).unwrap().0.psc;
        assert_eq!(number("lacp.actor.key"), active.actor_key.into());
        assert_eq!(number("lacp.actor.priority"), active.actor_prio.into());
        assert_eq!(number("lacp.partner.key"), active.partner_key.into());
        assert_eq!(number("lacp.partner.priority"), active.partner_prio.into());
        assert_eq!(number("lacp.aggregator"), number("port.em2.lacp.aggregator"));
        assert_eq!(
            (left("port.em1.lacp.receive"), left("port.em1.lacp.mux")),
            ("CURRENT".into(), "DISTRIBUTING".into())
        );
        assert_eq!(number("port.em1.buckets") + number("port.em2.buckets"), 1024);
        assert!(number("port.em1.lacp.pdu_age") <= 31 && number("port.em1.lacp.pdus_out") > 0);
        assert_eq!(number("active_ports"), 2);
    });
}

/// Of a partner that goes silent the age of the last LACPDU goes on, and it has timed out.
#[test]
fn a_partner_that_times_out_is_counted() {
    lab(|| {
        let pair = pair(2);
        let number = |leaf: &str| pair.left.count(leaf);
        pair.right.down();
        let heard = number("port.em1.lacp.pdus_in");
        pass(u64::from(LONG_TIMEOUT) + 10_000);
        assert_eq!(number("port.em1.lacp.pdus_in"), heard, "the farewell is not exchanged");
        assert!(number("port.em1.lacp.pdu_age") >= 99);
        assert_eq!(number("port.em1.lacp.timeouts"), 1);
        assert_eq!(flaps(&pair.left, "em1"), (1, "no partner".to_owned()));
        assert_eq!(pair.left.setting("port.em1.lacp.receive").as_deref(), Ok("DEFAULTED"));
        assert_eq!((number("active_ports"), text(&pair.left, "lacp.partner.key")), (0, None));
        assert_eq!(
            pair.left.setting("last_change").as_deref(),
            Ok("em2 out of service: no partner")
        );
    });
}

#[test]
fn names_are_those_of_the_ports_now() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        host::rename(&a.ifp, "foo.1").unwrap();
        let ports = || lagg.leaves(|name| name.ends_with(".in_service"));
        assert_eq!(ports(), [("port.foo%2E1.in_service".to_owned(), "1".to_owned())]);
        assert_eq!(lagg.count("port.foo%2E1.link_up"), 1);
        assert_eq!(text(&lagg, "port.em1.link_up"), None);
        host::rename(&a.ifp, "em1").unwrap();
        // Of a port that moves away nothing is left.
        let there = Vnet::new();
        host::vmove(&a.ifp, &there).unwrap();
        assert_eq!(ports(), []);
        there.enter(|| host::vmove(&a.ifp, &Vnet::new()).unwrap());
    });
}

#[test]
fn no_leaves_are_left_of_what_has_not_joined() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        b.ifp.store_mtu(9_000);
        b.nic.refuse_all(SIOCSIFMTU, Errno::EINVAL);
        assert_eq!(lagg.add("em2"), Err(Errno::EINVAL));
        assert_eq!(lagg.leaves(|name| name.starts_with("port.em2")), []);
        b.nic.accept();
        lagg.add("em2").unwrap();
        assert_eq!(lagg.count("port.em2.flaps"), 0);
    });
}
