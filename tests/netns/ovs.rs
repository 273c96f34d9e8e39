//! LACP with Open vSwitch on the far side: its userspace datapath, with separate files and sockets, so that
//! the system's own are not touched.

use std::time::{Duration, Instant};

use lagg_rs::lacp::receive::SHORT_TIMEOUT;

use crate::converters::Converters;
use crate::flow::{Flow, Flows};
use crate::lab::{Directory, Lab, has, inside, must, set, some, until};
use crate::packet::{Buffer, PacketSocket};
use crate::view::{ACTIVE, FAST, IN_SERVICE, STANDBY, Shown, Side, shown};
use crate::{back, flows, out};

mod settings;

/// The bits of a state, by their names in `lacp/show`.
const STATE: [&str; 8] = [
    "activity",
    "timeout",
    "aggregation",
    "synchronized",
    "collecting",
    "distributing",
    "defaulted",
    "expired",
];

/// A switch with a bond of two ports, and a lagg on the near side of their cables.
struct Ovs {
    // In the order in which they must be dropped.
    lab: Lab,
    directory: Directory,
}

impl Ovs {
    /// Starts the switch and a lagg, whose ports are not in service yet.
    fn start(lab: Lab, fast: bool) -> Ovs {
        let far = &lab.far;
        // Only the bridge answers ARP, not Linux on its ports.
        set(far, "ipv4/conf/all/arp_ignore", "1");
        set(far, "ipv6/conf/all/disable_ipv6", "1");
        set(far, "ipv6/conf/default/disable_ipv6", "1");
        for card in 0..2 {
            must(&format!("ip -n {far} link set port{card} up"));
        }
        let directory = Directory::new(&lab);
        let ovs = Ovs { lab, directory };
        let d = ovs.directory.path().display();
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        ovs.must(&format!("ovsdb-tool create {d}/conf.db {schema}"));
        let daemon = "--detach --no-chdir --pidfile --log-file";
        ovs.must(&format!("ovsdb-server {d}/conf.db --remote=punix:{d}/db.sock {daemon}"));
        ovs.vsctl("--no-wait init");
        ovs.must(&format!("ovs-vswitchd unix:{d}/db.sock {daemon}"));
        let bridge = "datapath_type=netdev other_config:hwaddr=02:00:5e:00:53:f0";
        let bond =
            format!("bond_mode=balance-tcp lacp=active other_config:lacp-time={}", time(fast));
        ovs.vsctl(&format!(
            "add-br br0 -- set bridge br0 {bridge} -- add-bond br0 bond0 port0 port1 {bond}"
        ));
        must(&format!("ip -n {} addr add 192.0.2.2/24 dev br0", ovs.lab.far));
        must(&format!("ip -n {} link set br0 up", ovs.lab.far));
        ovs.create(fast);
        ovs
    }

    /// The same, with all ports in service.
    fn in_service(lab: Lab) -> Ovs {
        let ovs = Ovs::start(lab, true);
        ovs.until_agreed(true, true);
        ovs
    }

    fn create(&self, fast: bool) {
        let fast = if fast { "lacp_fast_timeout" } else { "" };
        let words = format!("laggproto lacp {fast} laggport em0 laggport em1 192.0.2.1/24 up");
        self.lab.ok(&format!("lagg0 create {words}"));
    }

    /// Makes it a lagg without LACP, with this primary port.
    fn failover(&self, primary: usize) {
        let ports = format!("set primary em{primary} laggport em0 laggport em1");
        self.lab.ok(&format!("lagg0 create laggproto failover {ports} 192.0.2.1/24 up"));
        self.lab.until_port(&format!("em{primary}"), "flags=5<MASTER,ACTIVE>");
    }

    /// Runs one of the switch's programs.
    fn must(&self, command: &str) -> String {
        let d = self.directory.path().display();
        let places = ["RUNDIR", "LOGDIR", "DBDIR", "SYSCONFDIR"].map(|p| format!("OVS_{p}={d}"));
        must(&format!("ip netns exec {} env {} {command}", self.lab.far, places.join(" ")))
    }

    fn vsctl(&self, words: &str) {
        self.must(&format!("ovs-vsctl --timeout=20 {words}"));
    }

    /// The actor and the partner of a port, as the switch shows them.
    fn shown(&self, port: &str) -> [(Side, u8); 2] {
        let text = self.must("ovs-appctl --timeout=20 lacp/show");
        let (_, rest) = text.split_once(&format!("member: {port}:")).expect(&text);
        let section = rest.split("member: ").next().unwrap();
        ["actor", "partner"].map(|side| {
            let field = |name: &str| {
                let name = format!("  {side} {name}:");
                let line = section.lines().find_map(|line| line.strip_prefix(&name));
                line.unwrap_or_else(|| panic!("{name} {text}")).trim()
            };
            let number = |name| field(name).parse().unwrap();
            let bit = |name| 1 << STATE.iter().position(|known| *known == name).expect(&text);
            let state = field("state").split_whitespace().fold(0, |state, name| state | bit(name));
            let side = Side {
                system_priority: number("sys_priority"),
                system: field("sys_id").to_owned(),
                key: number("key"),
                port_priority: number("port_priority"),
                port: number("port_id"),
            };
            (side, state)
        })
    }

    /// Waits until the switch uses a port, or does not.
    fn until_member(&self, card: usize, enabled: bool) {
        let state = if enabled { "enabled" } else { "disabled" };
        let line = format!("member port{card}: {state}\n");
        until(&line, || self.must("ovs-appctl --timeout=20 bond/show").contains(&line));
    }

    /// Waits until a bond that uses one port sends on this one.
    fn until_active(&self, card: usize) {
        let section = format!("member port{card}: enabled\n  active member\n");
        until(&section, || self.must("ovs-appctl --timeout=20 bond/show").contains(&section));
    }

    /// Waits until both sides of each link are in service, and each has recorded the other's system, key,
    /// port and state.
    fn until_agreed(&self, fast: bool, its_fast: bool) {
        let with = |fast| IN_SERVICE | if fast { FAST } else { 0 };
        for card in 0..2 {
            self.lab.until_port(&format!("em{card}"), ACTIVE);
            until("both sides agree", || {
                let [(actor, its_state), (partner, our_state)] = self.shown(&format!("port{card}"));
                (its_state, our_state) == (with(its_fast), with(fast))
                    && shown(&self.lab.near, &format!("em{card}"))
                        == Shown { actor: partner, state: our_state, partner: actor }
            });
            self.until_member(card, true);
        }
    }
}

/// Checks that no change costs more than one timeout and a second.
fn within_a_timeout(flows: Flows) {
    let (lost, others) = flows.finish();
    // Of at most 2,000 per second.
    let limit = 2 * SHORT_TIMEOUT as usize + 2_000;
    assert!(lost.iter().flatten().all(|lost| *lost < limit), "{lost:?}");
    // Its single thread for all frames loses some when the machine is busy.
    assert!(others < 500, "{others} lost while nothing changed");
}

fn time(fast: bool) -> &'static str {
    if fast { "fast" } else { "slow" }
}

/// A lab; none if Open vSwitch is not installed.
fn lab(cards: usize) -> Option<Lab> {
    has("ovs-vswitchd", "openvswitch-switch").then(|| Lab::cables(cards))?
}

/// Each side begins fast or slow, and changes. The lagg is created again while the switch runs on.
#[test]
fn ovs_agrees() {
    let ovs = Ovs::in_service(some!(lab(2)));
    for (fast, its_fast) in [(true, false), (false, false), (false, true)] {
        ovs.vsctl(&format!("set port bond0 other_config:lacp-time={}", time(its_fast)));
        ovs.lab.ok(if fast { "lagg0 lacp_fast_timeout" } else { "lagg0 -lacp_fast_timeout" });
        ovs.until_agreed(fast, its_fast);
    }
    ovs.lab.ok("lagg0 destroy");
    ovs.vsctl("set port bond0 other_config:lacp-time=slow");
    ovs.create(false);
    ovs.until_agreed(false, false);
    ovs.lab.ping(20);
}

/// Nothing is lost right after the lagg comes up, though the switch answers no markers.
#[test]
fn ovs_carries_all_from_the_first() {
    let ovs = Ovs::in_service(some!(lab(2)));
    ovs.lab.ping(100);
    let reports = [out(&ovs.lab), back(&ovs.lab)].map(Flow::finish);
    assert!(reports.iter().all(|report| report.lost.is_empty()), "{reports:?}");
}

/// VLAN 7 is tagged on the bond, and untagged on a port of the switch.
#[test]
fn ovs_carries_tags() {
    let ovs = Ovs::in_service(some!(lab(2)));
    ovs.vsctl("add-port br0 vlan7 tag=7 -- set interface vlan7 type=internal");
    let Lab { near, far, .. } = &ovs.lab;
    must(&format!("ip -n {far} link set vlan7 up"));
    let open = |namespace: &str, name: &'static str| {
        let index = ovs.lab.index(namespace, name);
        inside(namespace, move || PacketSocket::open(name, index).unwrap()).join().unwrap()
    };
    let (lagg, access) = (open(near, "lagg0"), open(far, "vlan7"));
    let frame = |source: u8, tag: &[u8]| {
        let addresses = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0x5e, 0, 0x54, source];
        // An experimental EtherType.
        [&addresses[..], tag, &[0x88, 0xb5], &[0x5a; 60]].concat()
    };
    let tag = [0x81, 0x00, 0x00, 0x07];
    for (from, sent, to, received) in [
        (&lagg, frame(1, &tag), &access, frame(1, &[])),
        (&access, frame(2, &[]), &lagg, frame(2, &tag)),
    ] {
        from.send(&sent).unwrap();
        let mut buffer = Buffer::new();
        until("the frame has come", || {
            let mut same = false;
            to.receive(&mut buffer, |frame| same |= frame == received).unwrap();
            same
        });
    }
    ovs.lab.ping(20);
}

/// Each link is cut and comes back twice, at either end. When it comes back, the lagg may wait for a
/// marker's response until that times out.
#[test]
fn ovs_survives_cuts() {
    let ovs = Ovs::in_service(some!(lab(2)));
    let lab = &ovs.lab;
    let mut flows = flows(lab);
    for (side, name) in [(&lab.near, "em"), (&lab.far, "port")] {
        for card in 0..2 {
            for (to, flags) in [("down", STANDBY), ("up", ACTIVE)] {
                flows.during(|| {
                    must(&format!("ip -n {side} link set {name}{card} {to}"));
                    lab.until_port(&format!("em{card}"), flags);
                    ovs.until_member(card, to == "up");
                });
            }
        }
    }
    within_a_timeout(flows);
}

/// Links that fail without going down. Each side times out after the short timeout, and its flows continue
/// at once.
#[test]
fn ovs_times_out_on_links_that_are_silent() {
    let lab = some!(lab(0));
    let converters = Converters::new(&lab, 2);
    let ovs = Ovs::in_service(lab);
    let mut flows = flows(&ovs.lab);
    for card in 0..2 {
        let began = Instant::now();
        flows.during(|| {
            converters.cut(card, true);
            ovs.lab.until_port(&format!("em{card}"), STANDBY);
            ovs.until_member(card, false);
        });
        let timeout = Duration::from_millis(SHORT_TIMEOUT.into());
        let took = began.elapsed();
        assert!(took < timeout + Duration::from_millis(1_500), "{took:?}");
        flows.during(|| {
            converters.cut(card, false);
            ovs.until_agreed(true, true);
        });
    }
    within_a_timeout(flows);
}

/// The identifiers' order and the switch's preferred port change under traffic.
#[test]
fn ovs_may_be_the_lower_system() {
    let ovs = Ovs::in_service(some!(lab(2)));
    let mut flows = flows(&ovs.lab);
    for (system, ports) in [(1, [9, 8]), (65_535, [8, 9]), (32_768, [1, 1])] {
        flows.during(|| {
            ovs.vsctl(&format!("set port bond0 other_config:lacp-system-priority={system}"));
            for (card, port) in ports.iter().enumerate() {
                let priority = format!("other_config:lacp-port-priority={port}");
                ovs.vsctl(&format!("set interface port{card} {priority}"));
            }
            until("its priorities are known", || {
                (0..2).all(|card| {
                    let its = shown(&ovs.lab.near, &format!("em{card}")).partner;
                    (its.system_priority, its.port_priority) == (system, ports[card])
                })
            });
            ovs.until_agreed(true, true);
        });
    }
    within_a_timeout(flows);
}

/// Without LACP the switch uses one port, as long as it can. With LACP again it uses both.
#[test]
fn ovs_falls_back_to_active_backup() {
    let ovs = Ovs::in_service(some!(lab(2)));
    ovs.vsctl("set port bond0 other_config:lacp-fallback-ab=true");
    for primary in [0, 1] {
        let other = 1 - primary;
        ovs.lab.ok("lagg0 destroy");
        ovs.lab.cut(other);
        ovs.until_active(primary);
        ovs.lab.heal(other);
        ovs.failover(primary);
        let mut flows = flows(&ovs.lab);
        flows.during(|| {
            ovs.lab.cut(primary);
            ovs.lab.until_port(&format!("em{other}"), "flags=4<ACTIVE>");
            ovs.until_active(other);
        });
        within_a_timeout(flows);
        ovs.lab.heal(primary);
        ovs.lab.ok("lagg0 destroy");
        ovs.create(true);
        ovs.until_agreed(true, true);
    }
    ovs.lab.ping(20);
}

/// A bond that sends on one port, if possible the primary, with LACP, which has both in service.
#[test]
fn ovs_sends_on_one_port() {
    let ovs = Ovs::in_service(some!(lab(2)));
    ovs.vsctl("set port bond0 bond_mode=active-backup");
    for primary in [0, 1] {
        ovs.vsctl(&format!("set port bond0 other_config:bond-primary=port{primary}"));
        let mut flows = flows(&ovs.lab);
        for card in 0..2 {
            flows.during(|| {
                ovs.lab.cut(card);
                ovs.until_active(1 - card);
            });
            flows.during(|| {
                ovs.lab.heal(card);
                ovs.until_active(primary);
                ovs.until_agreed(true, true);
            });
        }
        within_a_timeout(flows);
    }
}

/// The same without LACP. Both ends prefer the same link.
#[test]
fn ovs_fails_over() {
    let ovs = Ovs::in_service(some!(lab(2)));
    for primary in [0, 1] {
        let other = 1 - primary;
        ovs.lab.ok("lagg0 destroy");
        let bond = "bond_mode=active-backup";
        ovs.vsctl(&format!(
            "del-port bond0 -- add-bond br0 bond0 port0 port1 {bond} \
             other_config:bond-primary=port{primary}"
        ));
        for card in 0..2 {
            // The switch uses a port that was out of service with LACP only after its link has changed.
            ovs.lab.cut(card);
            ovs.lab.heal(card);
        }
        ovs.until_active(primary);
        ovs.failover(primary);
        let mut flows = flows(&ovs.lab);
        for _ in 0..2 {
            flows.during(|| {
                ovs.lab.cut(primary);
                ovs.lab.until_port(&format!("em{other}"), "flags=4<ACTIVE>");
                ovs.until_active(other);
            });
            flows.during(|| {
                ovs.lab.heal(primary);
                ovs.lab.until_port(&format!("em{primary}"), "flags=5<MASTER,ACTIVE>");
                ovs.until_active(primary);
            });
        }
        within_a_timeout(flows);
    }
}
