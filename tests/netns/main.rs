//! userlagg between two network namespaces: real frames over real interfaces of Linux.

#![cfg(target_os = "linux")]
#![deny(unsafe_code)]

/// A lab. Ends the test if there can be none.
macro_rules! lab {
    ($cards:literal) => {
        $crate::lab::some!(Lab::new($cards))
    };
}

mod converters;
mod flow;
mod lab;
mod lacp;
mod life;
#[path = "../../src/userlagg/linux/offload.rs"]
mod offload;
mod ovs;
#[path = "../../src/userlagg/linux/packet.rs"]
#[allow(dead_code, reason = "the program's own")]
mod packet;
mod protocols;
mod tshark;
mod view;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;

use flow::{Flow, Flows};
use lab::{Lab, inside, must, run, until};
use packet::PacketSocket;

fn out(lab: &Lab) -> Flow {
    Flow::start((&lab.near, "192.0.2.1"), (&lab.far, "192.0.2.2"))
}

fn back(lab: &Lab) -> Flow {
    Flow::start((&lab.far, "192.0.2.2"), (&lab.near, "192.0.2.1"))
}

fn flows(lab: &Lab) -> Flows {
    Flows::start((&lab.near, "192.0.2.1"), (&lab.far, "192.0.2.2"))
}

#[test]
fn shows_what_ifconfig_shows() {
    let lab = lab!(2);
    lab.failover();
    assert_eq!(lab.ok("-v lagg0"), include_str!("failover.txt"));
    lab.cut(0);
    lab.until_port("em1", "flags=4<ACTIVE>");
    lab.ok("lagg0 laggproto none -use_numa use_flowid flowid_shift 8 lagghash l3,l4 mtu 1400");
    assert_eq!(lab.ok("-v lagg0"), include_str!("none.txt"));
    lab.ok("lagg0 -laggport em0 -laggport em1 down");
    until("the link is down", || lab.ok("lagg0").contains("status: no carrier"));
    assert_eq!(lab.ok("lagg0"), include_str!("empty.txt"));
    assert_eq!(lab.ok(""), include_str!("empty.txt"));
}

#[test]
fn shows_what_was_dropped() {
    let lab = lab!(2);
    lab.failover();
    let shown = lab.ok("lagg0 state");
    for line in
        ["protocol: failover", "min_links: 0", "dropped.disabled: 0", "port.em0.in_service: 1"]
    {
        assert!(shown.lines().any(|there| there == format!("lagg0.{line}")), "{line} in {shown}");
    }
    assert!(shown.contains("\nlagg0.port.em1.dropped.not_accepted: "), "{shown}");
    assert!(shown.lines().all(|line| line.starts_with("lagg0.")), "{shown}");
    lab.ok("lagg0 laggproto none");
    run(&format!("ip netns exec {} ping -c 1 -W 1 192.0.2.2", lab.near));
    let shown = lab.ok("lagg0 state");
    assert!(shown.contains("lagg0.protocol: none\n"), "{shown}");
    assert!(!shown.contains("\nlagg0.dropped.disabled: 0\n"), "{shown}");
}

/// laggstat(8), over userlagg.
#[test]
fn laggstat_shows_userlagg() {
    let lab = lab!(2);
    lab.failover();
    let bin = Path::new(lab::USERLAGG).parent().unwrap().display();
    let laggstat = |options: &str| {
        run(&format!(
            "ip netns exec {} env PATH={bin}:/usr/bin:/bin sh {}/src/laggstat/laggstat.sh {options}",
            lab.near,
            env!("CARGO_MANIFEST_DIR")
        ))
    };
    let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let screen = laggstat("");
    assert!(text(&screen).starts_with("lagg0  failover  good  2 of 2 ports"), "{screen:?}");
    assert!(text(&screen).contains("\nem1  standby "), "{screen:?}");
    let all = laggstat("-c lagg0");
    assert_eq!(
        (all.status.code(), &*text(&all)),
        (Some(0), "GOOD lagg0: 2 of 2 ports in service\n")
    );
    let version = concat!("\"driver\":\"", env!("CARGO_PKG_VERSION"), "\"");
    assert!(text(&laggstat("-j")).contains(version));
    run(&format!("ip -n {} link set em1 mtu 1400", lab.near));
    until("the MTU of a port is named", || {
        text(&laggstat("-c lagg0")).contains("em1: its MTU is 1400, that of the lagg 1500")
    });
    lab.ok("lagg0 down");
    assert_eq!(laggstat("-c").status.code(), Some(2));
    assert_eq!(laggstat("-c lagg7").status.code(), Some(3));
}

/// `set` and `get`: the settings that ifconfig(8) has no word for.
#[test]
fn settings_are_set_and_shown() {
    let lab = lab!(2);
    lab.failover();
    assert!(lab.ok("lagg0 get").lines().any(|line| line == "min_links: 0"));
    lab.ok("lagg0 set min_links 2 mtu 1400");
    assert_eq!(lab.ok("lagg0 get min_links"), "min_links: 2\n");
    assert!(lab.ok("lagg0").contains("status: active"));
    lab.cut(0);
    until("the link is down", || lab.ok("lagg0").contains("status: no carrier"));
    lab.ok("lagg0 set min_links 1");
    until("the link is up", || lab.ok("lagg0").contains("status: active"));
    lab.refused("lagg0 set min_links 33", "set min_links=33: Invalid argument");
    lab.refused("lagg0 set min_link 1", "set min_link: no such setting; lagg0 get lists all");
    lab.refused("lagg0 get min_link", "get min_link: no such setting");
    lab.refused("lagg0 set min_links", "'set' requires argument");
    assert_eq!(lab.ok("lagg0 get min_links"), "min_links: 1\n");
}

/// Only datagrams between the cut and its detection are lost. When the cable is back, the lagg loses
/// nothing.
#[test]
fn a_cut_loses_what_was_in_flight() {
    let lab = lab!(2);
    lab.failover();
    let (out, back) = (out(&lab), back(&lab));
    let (mut out_windows, mut back_windows) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let arrived = (out.arrived(), back.arrived());
        lab.cut(0);
        lab.until_port("em1", "flags=4<ACTIVE>");
        out_windows.push(arrived.0..=out.sent());
        back_windows.push(arrived.1..=back.sent());
        out.goes_on();
        back.goes_on();

        let arrived = back.arrived();
        lab.heal(0);
        lab.until_port("em0", "flags=5<MASTER,ACTIVE>");
        out.goes_on();
        // Until the switch received something from the lagg on em0, it sent to em1. A failover lagg does
        // not accept that while the primary is active.
        back_windows.push(arrived..=back.sent());
        back.goes_on();
    }
    for (flow, windows) in [(out, out_windows), (back, back_windows)] {
        let report = flow.finish();
        let in_flight = |number: &u64| windows.iter().any(|window| window.contains(number));
        assert!(report.lost.iter().all(in_flight), "{report:?} {windows:?}");
        assert_eq!(report.duplicates, 0);
        eprintln!("{} of {} lost", report.lost.len(), report.sent);
    }
}

/// The other port comes and goes while frames pass on the first. None is lost or doubled.
#[test]
fn ports_come_and_go_under_traffic() {
    let lab = lab!(3);
    lab.failover();
    let (out, back) = (out(&lab), back(&lab));
    for _ in 0..10 {
        lab.ok("lagg0 -laggport em1");
        lab.ok("lagg0 laggport em2");
        lab.ok("lagg0 laggport em1");
        lab.ok("lagg0 -laggport em2");
    }
    out.goes_on();
    back.goes_on();
    for report in [out.finish(), back.finish()] {
        assert!(report.lost.is_empty() && report.duplicates == 0, "{report:?}");
    }
    lab.ok("lagg0 destroy");
    lab.assert_clean();
}

/// The primary leaves, and frames continue over the next port.
#[test]
fn the_primary_leaves_under_traffic() {
    let lab = lab!(2);
    lab.failover();
    let out = out(&lab);
    let arrived = out.arrived();
    lab.ok("lagg0 -laggport em0");
    lab.until_port("em1", "flags=5<MASTER,ACTIVE>");
    let changed = arrived..=out.sent();
    assert!(lab.link("lagg0").contains("02:00:5e:00:53:01"), "it has the new primary's address");
    assert!(lab.link("em0").contains("02:00:5e:00:53:00"), "a port that left has its own");
    out.goes_on();
    lab.ok("lagg0 laggport em0");
    assert!(lab.link("em0").contains("02:00:5e:00:53:01"), "a port that joins has the lagg's");
    out.goes_on();
    let report = out.finish();
    // em1 got another address, for which the stack took it down and up again.
    assert!(report.lost.iter().all(|number| changed.contains(number)), "{report:?} {changed:?}");
    assert_eq!(report.duplicates, 0);
}

/// The protocol changes under traffic. With none nothing passes; with failover everything does again.
#[test]
fn the_protocol_changes_under_traffic() {
    let lab = lab!(2);
    lab.failover();
    let out = out(&lab);
    let mut windows = Vec::new();
    for _ in 0..5 {
        let (arrived, sent) = (out.arrived(), out.sent());
        lab.ok("lagg0 laggproto none");
        until("some are sent in vain", || out.sent() > sent + 20);
        lab.ok("lagg0 laggproto failover");
        windows.push(arrived..=out.sent());
        out.goes_on();
    }
    let report = out.finish();
    assert!(!report.lost.is_empty());
    let expected = |number: &u64| windows.iter().any(|window| window.contains(number));
    assert!(report.lost.iter().all(expected), "{report:?} {windows:?}");
}

#[test]
fn ping() {
    let lab = lab!(2);
    lab.failover();
    lab.ping(100);
}

/// TCP in both directions at full speed, with checksums and segments that Linux leaves to the hardware.
#[test]
fn tcp() {
    const LENGTH: usize = 4 << 20;
    let lab = lab!(2);
    lab.failover();
    let listener = inside(&lab.far, || TcpListener::bind("192.0.2.2:0").unwrap()).join().unwrap();
    let target = listener.local_addr().unwrap();
    let data: Vec<u8> = (0..LENGTH).map(|i| ((i / 7) ^ i) as u8).collect();
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&all).unwrap();
    });
    let mut stream = inside(&lab.near, move || TcpStream::connect(target).unwrap()).join().unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    stream.write_all(&data).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    echo.join().unwrap();
    assert!(all == data);
}

/// Linux removes the VLAN tag of a received frame; it must be inserted again.
#[test]
fn vlan_tags_pass() {
    let lab = lab!(2);
    lab.failover();
    let open = |namespace: &str, name: &'static str, index: u32| {
        inside(namespace, move || PacketSocket::open(name, index).unwrap()).join().unwrap()
    };
    let near = open(&lab.near, "lagg0", lab.index(&lab.near, "lagg0"));
    let far = open(&lab.far, "port0", lab.index(&lab.far, "port0"));
    let broadcast = [0xff; 6];
    // A tag of VLAN 7, and a type for experiments.
    let rest = [0x81, 0x00, 0x00, 0x07, 0x88, 0xb5];
    for (from, to, source) in [(&near, &far, [2, 0, 0x5e, 0, 0x53, 0]), (&far, &near, [2; 6])] {
        let frame = [&broadcast, &source, &rest[..], &[0; 46]].concat();
        from.send(&frame).unwrap();
        let mut buffer = packet::Buffer::new();
        until("the frame has come with its tag", || {
            let mut same = false;
            to.receive(&mut buffer, |received| same = received == frame).unwrap();
            same
        });
    }
}

#[test]
fn the_ports_follow_the_lagg() {
    let lab = lab!(2);
    lab.failover();
    let all = |what: &str| {
        for card in ["em0", "em1", "lagg0"] {
            let link = lab.link(card);
            assert!(link.contains(what), "{what}: {link}");
        }
    };
    let none_up = || {
        for card in ["em0", "em1", "lagg0"] {
            let link = lab.link(card);
            assert!(!link.contains(",UP"), "{link}");
        }
    };
    all("link/ether 02:00:5e:00:53:00");
    lab.ok("lagg0 ether 02:00:5e:00:53:aa mtu 9000");
    all("link/ether 02:00:5e:00:53:aa");
    all("mtu 9000");
    lab.ok("lagg0 down");
    none_up();
    lab.ok("lagg0 up");
    all(",UP");
    for card in ["em0", "em1"] {
        let inet6 = must(&format!("ip -n {} -6 addr show dev {card}", lab.near));
        assert_eq!(inet6, "", "a port has no IPv6 of its own");
    }
    lab.ok("lagg0 destroy");
    lab.assert_clean();
}

/// Changes made with Linux's own tools apply too.
#[test]
fn the_lagg_follows_linux() {
    let lab = lab!(2);
    lab.failover();
    let ip = |words: &str| must(&format!("ip -n {} link set lagg0 {words}", lab.near));
    ip("down");
    until("the lagg is down", || lab.ok("lagg0").contains("flags=8802<BROADCAST,SIMPLEX,"));
    until("its ports are down", || !lab.link("em1").contains(",UP"));
    ip("up mtu 1300");
    until("the lagg is up", || {
        lab.ok("lagg0").contains("<UP,") && lab.ok("lagg0").contains("mtu 1300")
    });
    assert!(lab.link("em1").contains("mtu 1300"));
    must(&format!("ip netns exec {} ping -c 1 -W 5 192.0.2.2", lab.near));
}
