//! What both ends are set to, as the other one shows it.

use super::{Ovs, lab, within_a_timeout};
use crate::flows;
use crate::lab::{some, until};
use crate::view::{ACTIVE, FAST, IN_SERVICE, STANDBY, shown};

/// What is set at either end is what the other one shows.
#[test]
fn ovs_shows_what_was_set() {
    let ovs = Ovs::in_service(some!(lab(2)));
    let system = "02:00:5e:00:53:dd";
    ovs.lab.ok(&format!("lagg0 set lacp.system_priority 4097 set lacp.system_id {system}"));
    ovs.lab.ok("lagg0 set lacp.key 77 set port_priority em0:100");
    until("it shows what we are", || {
        (0..2).all(|card| {
            let [_, (ours, _)] = ovs.shown(&format!("port{card}"));
            let key = ours.key >> 5;
            (ours.system_priority, &*ours.system, key, ours.port_priority)
                == (4097, system, 77, [100, 32768][card])
        })
    });
    ovs.until_agreed(true, true);
    ovs.lab.ok("lagg0 set lacp.active 0");
    until("it shows that we are passive", || {
        (0..2).all(|card| ovs.shown(&format!("port{card}"))[1].1 == (IN_SERVICE | FAST) & !1)
    });
    ovs.lab.ok("lagg0 set lacp.active 1");
    ovs.until_agreed(true, true);
    // The better one, and then the other, which is.
    for (words, used) in [("set lacp.max_links 1", 0), ("set port_priority em1:50", 1)] {
        ovs.lab.ok(&format!("lagg0 {words}"));
        ovs.lab.until_port(&format!("em{used}"), ACTIVE);
        ovs.lab.until_port(&format!("em{}", 1 - used), STANDBY);
        ovs.until_member(used, true);
        ovs.until_member(1 - used, false);
    }
    ovs.lab.ok("lagg0 set lacp.max_links 0");
    ovs.until_agreed(true, true);

    let its = "02:00:5e:00:53:cc";
    let bond = "other_config:lacp-system-priority=4000";
    ovs.vsctl(&format!("set port bond0 {bond} other_config:lacp-system-id=\"{its}\""));
    for card in 0..2 {
        let port = format!("other_config:lacp-port-priority=30{card}");
        ovs.vsctl(&format!("set interface port{card} {port} other_config:lacp-aggregation-key=9"));
    }
    until("we show what it is", || {
        (0..2).all(|card| {
            let side = shown(&ovs.lab.near, &format!("em{card}")).partner;
            (side.system_priority, &*side.system, side.key, side.port_priority)
                == (4000, its, 9, 300 + card)
        })
    });
    ovs.until_agreed(true, true);
    ovs.lab.ping(20);
}

/// Both ends are passive, so none hears the other, and each falls back to one port. Then ours speaks, and both use
/// both ports.
#[test]
fn ovs_is_heard_once_we_have_fallen_back() {
    let ovs = Ovs::in_service(some!(lab(2)));
    ovs.lab.ok("lagg0 destroy");
    ovs.vsctl("set port bond0 lacp=passive other_config:lacp-fallback-ab=true");
    let lacp = "set lacp.active 0 set lacp.fallback single set lacp.fallback_delay 5";
    ovs.lab.ok(&format!(
        "lagg0 create laggproto lacp lacp_fast_timeout {lacp} laggport em0 laggport em1 192.0.2.1/24 up"
    ));
    for card in 0..2 {
        ovs.lab.until_port(&format!("em{card}"), ACTIVE);
        ovs.until_member(card, true);
    }
    let mut flows = flows(&ovs.lab);
    flows.during(|| {
        ovs.lab.ok("lagg0 set lacp.active 1");
        ovs.vsctl("set port bond0 lacp=active");
        ovs.until_agreed(true, true);
    });
    within_a_timeout(flows);
}
