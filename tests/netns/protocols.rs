//! What each protocol carries over two cables.

use crate::flow::Report;
use crate::lab::{Lab, inside, must, set, some, until};
use crate::out;
use crate::packet::{Buffer, PacketSocket};

/// The EtherType of reverse ARP.
const RARP: [u8; 2] = [0x80, 0x35];

/// Sends a flow of a thousand datagrams over a lagg with that protocol; none may be lost. Returns its
/// result, and how many frames each cable has carried.
fn carry(lab: &Lab, protocol: &str) -> (Report, [u64; 2]) {
    let port = lab.index(&lab.far, "port0");
    let open = move || PacketSocket::open("port0", port).unwrap();
    let (heard, mut announced) = (inside(&lab.far, open).join().unwrap(), 0);
    lab.failover();
    // Another thread sends these, which takes turns of its own with roundrobin.
    until("the new address is announced and announced again", || {
        let count = |frame: &[u8]| announced += usize::from(frame.get(12..14) == Some(&RARP));
        heard.receive(&mut Buffer::new(), count).unwrap();
        announced >= 2
    });
    lab.ok(&format!("lagg0 laggproto {protocol}"));
    let before = lab.carried();
    let flow = out(lab);
    until("a thousand are sent", || flow.sent() > 1000);
    let report = flow.finish();
    assert!(report.lost.is_empty(), "{report:?}");
    let after = lab.carried();
    (report, [0, 1].map(|card| after[card] - before[card]))
}

/// roundrobin: both cables carry the same number of frames, to within one.
#[test]
fn roundrobin_is_even() {
    let lab = lab!(2);
    let (report, [a, b]) = carry(&lab, "roundrobin");
    assert!(a + b >= report.sent && a.abs_diff(b) <= 1, "{a} and {b} of {}", report.sent);
}

/// loadbalance: a flow uses one cable, and the other when that is cut.
#[test]
fn loadbalance_keeps_a_flow_on_a_cable() {
    let lab = lab!(2);
    lab.failover();
    lab.ok("lagg0 laggproto loadbalance lagghash l4");
    let before = lab.carried();
    let flow = out(&lab);
    until("a thousand are sent", || flow.sent() > 1000);
    let after = lab.carried();
    let by_card = [0, 1].map(|card| after[card] - before[card]);
    let its = usize::from(by_card[1] > by_card[0]);
    // ARP and Linux's own packets may use the other.
    assert!(by_card[its] >= 900 && by_card[1 - its] < 50, "{by_card:?}");

    let (arrived, sent) = (flow.arrived(), flow.sent());
    lab.cut(its);
    until("some are sent after the cut", || flow.sent() > sent + 100);
    flow.goes_on();
    let detected = flow.sent();
    let report = flow.finish();
    let in_flight = arrived..=detected;
    assert!(report.lost.iter().all(|number| in_flight.contains(number)), "{report:?}");
}

/// broadcast: each cable carries one copy.
#[test]
fn broadcast_is_on_both_cables() {
    let lab = lab!(2);
    let (report, [a, b]) = carry(&lab, "broadcast");
    // Linux sends some packets of its own between the two readings.
    assert!(a >= report.sent && a.abs_diff(b) <= 10, "{a} and {b} of {}", report.sent);
    assert!(report.duplicates > 900, "the far side has both copies: {report:?}");
}

/// The cables end at two bridges. What one of them has learned of the lagg is wrong after a failover: until
/// it hears the lagg, it drops what comes for it. Nothing else is sent here.
#[test]
fn switches_are_told_when_failover_sends_on_another_port() {
    let lab = some!(Lab::cables(2));
    let far = &lab.far;
    must(&format!("ip -n {far} link add trunk0 type veth peer name trunk1"));
    for n in 0..2 {
        must(&format!("ip -n {far} link add switch{n} type bridge"));
        for port in ["port", "trunk"] {
            must(&format!("ip -n {far} link set {port}{n} master switch{n} up"));
        }
        must(&format!("ip -n {far} link set switch{n} up"));
    }
    must(&format!("ip -n {far} addr add 192.0.2.2/24 dev switch0"));
    set(&lab.near, "ipv6/conf/default/disable_ipv6", "1");
    lab.failover();
    lab.ping(1);
    let address = lab.link("lagg0").split("link/ether ").nth(1).unwrap()[..17].to_owned();
    let has_learned = |port: &str| {
        let table = must(&format!("ip netns exec {far} bridge fdb show dev {port}"));
        table.lines().any(|line| line.starts_with(&address))
    };
    lab.ok("lagg0 set notify_peers 0");
    lab.cut(0);
    lab.until_port("em1", "flags=4<ACTIVE>");
    lab.heal(0);
    lab.until_port("em0", "flags=5<MASTER,ACTIVE>");
    assert!(!has_learned("port1"), "the lagg should have said nothing");
    lab.ping(1);
    until("the other bridge has learned the address on its trunk", || has_learned("trunk1"));
    lab.ok("lagg0 set notify_peers 1");
    lab.cut(0);
    until("it has learned it on the lagg's port", || has_learned("port1"));
}
