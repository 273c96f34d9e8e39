//! LACP between two laggs, each in a namespace of its own.

use crate::flows;
use crate::lab::{Lab, must, ok, some, until, until_no_link, until_port};
use crate::view::{ACTIVE, FAST, IDLE, IN_SERVICE, STANDBY, shown};

/// Waits until a port has this state.
fn until_state(namespace: &str, port: &str, state: u8) {
    until(&format!("{port} has state {state:x}"), || shown(namespace, port).state == state);
}

/// Creates a lagg on each side of two cables, with both in service.
pub fn laggs(lab: &Lab) {
    lab.ok("lagg0 create laggproto lacp laggport em0 laggport em1 192.0.2.1/24 up");
    let far = "lagg0 create laggproto lacp laggport port0 laggport port1 192.0.2.2/24 up";
    ok(&lab.far, far);
    until_all(lab, ACTIVE);
}

fn pair() -> Option<Lab> {
    let lab = Lab::cables(2)?;
    laggs(&lab);
    Some(lab)
}

/// Waits until all ports have these flags.
fn until_all(lab: &Lab, flags: &str) {
    for card in 0..2 {
        until_card(lab, card, flags);
    }
}

/// Waits until both ends of a cable have these flags.
fn until_card(lab: &Lab, card: usize, flags: &str) {
    until_port(&lab.near, &format!("em{card}"), flags);
    until_port(&lab.far, &format!("port{card}"), flags);
}

#[test]
fn lacp_shows_what_ifconfig_shows() {
    let lab = some!(pair());
    assert_eq!(lab.ok("-v lagg0"), include_str!("lacp.txt"));
    for card in 0..2 {
        let near = shown(&lab.near, &format!("em{card}"));
        let far = shown(&lab.far, &format!("port{card}"));
        assert_eq!((near.actor, near.partner), (far.partner, far.actor));
        assert_eq!((near.state, far.state), (IN_SERVICE, IN_SERVICE));
    }
    lab.ping(100);
}

/// Only datagrams between a change and the moment both sides have noticed it are lost, whichever end goes
/// down.
#[test]
fn lacp_survives_cuts() {
    let lab = some!(pair());
    let mut flows = flows(&lab);
    for (side, name) in [(&lab.near, "em"), (&lab.far, "port")] {
        for card in 0..2 {
            for (to, flags) in [("down", STANDBY), ("up", ACTIVE)] {
                flows.during(|| {
                    must(&format!("ip -n {side} link set {name}{card} {to}"));
                    until_card(&lab, card, flags);
                });
            }
        }
    }
    let (lost, others) = flows.finish();
    assert_eq!(others, 0);
    // Of at most 2,000 per second. On a busy machine some wait for the lagg, but far less than the timeout
    // of 90 s.
    assert!(lost.iter().flatten().all(|lost| *lost < 8_000), "{lost:?}");
}

/// The other side stops at once. Without the farewell it would time out after 90 s.
#[test]
fn lacp_sends_farewells() {
    let lab = some!(pair());
    // Not the first port, whose address the lagg has.
    lab.ok("lagg0 -laggport em1");
    until_port(&lab.far, "port1", IDLE);
    lab.ping(100);
    lab.ok("lagg0 laggport em1");
    until_all(&lab, ACTIVE);
    lab.ok("lagg0 destroy");
    for port in ["port0", "port1"] {
        until_port(&lab.far, port, IDLE);
    }
    until_no_link(&lab.far);
}

/// How many LACPDUs a near port has received.
fn heard(lab: &Lab, port: &str) -> u32 {
    let (state, leaf) = (lab.ok("lagg0 state"), format!("lagg0.port.{port}.lacp.pdus_in: "));
    let count = state.lines().find_map(|line| line.strip_prefix(&leaf));
    count.unwrap_or_else(|| panic!("no {leaf}in {state}")).parse().unwrap()
}

/// Only the side that asks for the short timeout times out after 3 s.
#[test]
fn lacp_fast_timeout() {
    let lab = some!(pair());
    lab.ok("lagg0 lacp_fast_timeout");
    assert_eq!(shown(&lab.near, "em0").state, IN_SERVICE | FAST);
    // The short timeout runs from the first LACPDU after that.
    let first = [heard(&lab, "em0"), heard(&lab, "em1")];
    until("a LACPDU every second", || {
        heard(&lab, "em0") > first[0] + 1 && heard(&lab, "em1") > first[1] + 1
    });
    // The far side stops sending LACPDUs, but receives them as before.
    ok(&lab.far, "lagg0 lacp_txtest");
    lab.until_port("em0", IDLE);
    until_no_link(&lab.near);
    ok(&lab.far, "lagg0 -lacp_txtest");
    lab.until_port("em0", ACTIVE);
    lab.ok("lagg0 -lacp_fast_timeout");
    until_all(&lab, ACTIVE);
    until_state(&lab.near, "em0", IN_SERVICE);
    lab.ping(10);
}

#[test]
fn lacp_to_failover_and_back() {
    let lab = some!(pair());
    lab.ok("lagg0 laggproto failover");
    lab.until_port("em0", "flags=5<MASTER,ACTIVE>");
    for port in ["port0", "port1"] {
        until_port(&lab.far, port, IDLE);
    }
    lab.ok("lagg0 laggproto lacp");
    until_all(&lab, ACTIVE);
    lab.ping(100);
}

/// It keeps its speed, which determines its aggregation, and is known by its new name, whichever interface
/// has the old one now.
#[test]
fn f51_a_port_may_be_renamed() {
    let lab = some!(Lab::cables(3));
    let near = |command: &str| must(&format!("ip -n {} {command}", lab.near));
    let ignores_arp = |name: &str| {
        let path = format!("/proc/sys/net/ipv4/conf/{name}/arp_ignore");
        must(&format!("ip netns exec {} cat {path}", lab.near)) != "0\n"
    };
    for card in ["em0", "em1", "em2"] {
        near(&format!("link set {card} up"));
    }
    for card in 0..3 {
        lab.heal(card);
    }
    lab.ok("lagg0 create laggproto lacp laggport em0 laggport em1 up");
    let is_like_em1 = |name: &str| {
        until("both have one key", || {
            let [a, b] = [name, "em1"].map(|name| shown(&lab.near, name).actor.key);
            a == b && a & 0x8000 == 0
        });
    };
    is_like_em1("em0");
    for command in ["em0 down", "em0 name wan0", "em2 down", "em2 name em0", "wan0 up", "em0 up"] {
        near(&format!("link set {command}"));
    }
    until_port(&lab.near, "wan0", IDLE);
    is_like_em1("wan0");
    // Another interface has the old name now.
    lab.ok("lagg0 laggport em0 laggport wan0");
    is_like_em1("em0");
    assert!(ignores_arp("wan0") && ignores_arp("em0"));
    lab.ok("lagg0 -laggport wan0");
    let text = lab.ok("lagg0");
    assert!(!text.contains("wan0") && text.contains("laggport: em0 "), "{text}");
    assert!(!ignores_arp("wan0") && ignores_arp("em0"), "it is Linux's again");
    // At once, whichever side is told first.
    for command in ["em0 down", "em0 name lan0"] {
        near(&format!("link set {command}"));
    }
    lab.ok("lagg0 -laggport lan0");
    assert!(!ignores_arp("lan0"));
    lab.ok("lagg0 destroy");
}
