//! Laggs over cables to a Linux that aggregates them with drivers of its own, in a virtual machine.

#![cfg(target_os = "linux")]
#![deny(unsafe_code)]

#[path = "../netns/flow.rs"]
#[allow(dead_code, reason = "some of it is for links that are no cables")]
mod flow;
mod guest;
#[path = "../netns/lab.rs"]
#[allow(dead_code, reason = "some of it is for links that are no cables")]
mod lab;
mod partner;
mod settings;
#[path = "../netns/view.rs"]
mod view;

use lagg_rs::lacp::receive::SHORT_TIMEOUT;

use flow::Flows;
use guest::Way;
use lab::{must, some, until};
use partner::{Kind, Options, Partner, QUICK, SLOW};
use settings::{selects_as_we_do, shows_what_was_set};
use view::shown;

/// A test of each kind.
macro_rules! with_each_kind {
    ($($name:ident)*) => {
        mod bonding {
            $(#[test] fn $name() { super::$name(super::Kind::Bonding) })*
        }
        mod team {
            $(#[test] fn $name() { super::$name(super::Kind::Team) })*
        }
    };
}

with_each_kind! {
    agrees
    survives_cuts
    misses_links_that_are_silent
    reboots
    becomes_another_one
    one_of_two_ports_is_in_another_aggregate
    links_have_different_speeds
    is_a_pair_of_one_identifier
    fails_over
    shows_what_was_set
    selects_as_we_do
}

/// The datagrams of a flow in a second, at most.
const RATE: usize = 2_000;

fn create(partner: &Partner, cards: usize, fast: bool) {
    let fast = if fast { "lacp_fast_timeout" } else { "" };
    let ports: String = (0..cards).map(|card| format!("laggport em{card} ")).collect();
    partner.guest.lab.ok(&format!("lagg0 create laggproto lacp {fast} {ports} 192.0.2.1/24 up"));
}

/// A lagg and an aggregate of two links, in service.
fn in_service(kind: Kind, fast: bool, options: Options) -> Option<Partner> {
    let mut partner = Partner::boot(kind, 2)?;
    create(&partner, 2, fast);
    partner.create("agg0", &[0, 1], options);
    partner.until_agreed("agg0", &[0, 1], &[], fast, options);
    Some(partner)
}

/// No change costs more than this many milliseconds, with four seconds to spare for a busy machine.
fn within(flows: Flows, ms: u32) {
    let lost = in_changes(flows);
    let limit = (ms as usize + 4_000) * RATE / 1_000;
    assert!(lost.iter().flatten().all(|lost| *lost < limit), "{lost:?}");
}

/// Hardly anything is lost while nothing changes, and nothing comes twice. How many were lost in each change.
fn in_changes(flows: Flows) -> Vec<[usize; 2]> {
    let (lost, others) = flows.finish();
    // A busy machine may have the virtual one wait too long for its frames.
    assert!(others < 500, "{others} lost while nothing changed");
    lost
}

/// Each end slow or fast, the partner passive, and the lagg created again while the partner goes on.
fn agrees(kind: Kind) {
    let mut partner = some!(in_service(kind, false, SLOW));
    let mut flows = partner.flows();
    let passive = Options { active: false, ..SLOW };
    for (fast, options) in [(true, SLOW), (false, QUICK), (true, QUICK), (false, passive)] {
        flows.during(|| {
            partner.destroy("agg0");
            partner.guest.lab.ok(if fast {
                "lagg0 lacp_fast_timeout"
            } else {
                "lagg0 -lacp_fast_timeout"
            });
            partner.create("agg0", &[0, 1], options);
            partner.until_agreed("agg0", &[0, 1], &[], fast, options);
        });
    }
    flows.during(|| {
        partner.guest.lab.ok("lagg0 destroy");
        create(&partner, 2, true);
        partner.until_agreed("agg0", &[0, 1], &[], true, passive);
    });
    in_changes(flows);
}

/// Each link is cut and comes back.
fn survives_cuts(kind: Kind) {
    let mut partner = some!(in_service(kind, false, SLOW));
    let mut flows = partner.flows();
    for card in [0, 1, 0, 1] {
        flows.during(|| {
            partner.guest.cut(card);
            partner.until_agreed("agg0", &[1 - card], &[card], false, SLOW);
        });
        flows.during(|| {
            partner.guest.heal(card);
            partner.until_agreed("agg0", &[0, 1], &[], false, SLOW);
        });
    }
    within(flows, 0);
}

/// Links that fail without going down, in one way or in both: either end misses the other.
fn misses_links_that_are_silent(kind: Kind) {
    let mut partner = some!(in_service(kind, true, QUICK));
    let mut flows = partner.flows();
    for (card, way) in [(0, Way::Both), (1, Way::Both), (0, Way::Out), (1, Way::Back)] {
        flows.during(|| {
            partner.guest.silence(card, way);
            partner.until_agreed("agg0", &[1 - card], &[card], true, QUICK);
        });
        flows.during(|| {
            partner.guest.end_silence(card);
            partner.until_agreed("agg0", &[0, 1], &[], true, QUICK);
        });
    }
    within(flows, SHORT_TIMEOUT);
}

/// It is away for a while, and its links do not show it. It comes back with the short timeout.
fn reboots(kind: Kind) {
    let mut partner = some!(in_service(kind, false, SLOW));
    for options in [SLOW, QUICK] {
        let mut flows = partner.flows();
        flows.during(|| {
            partner.guest.reboot();
            partner.create("agg0", &[0, 1], options);
            partner.until_agreed("agg0", &[0, 1], &[], false, options);
        });
        in_changes(flows);
    }
}

/// It becomes another system, and its ports get other keys.
fn becomes_another_one(kind: Kind) {
    let mut partner = some!(in_service(kind, true, QUICK));
    let its = |partner: &Partner| shown(&partner.guest.lab.near, "em0").partner;
    let mut flows = partner.flows();
    flows.during(|| {
        let system = "02:00:5e:00:53:aa";
        partner.rename("agg0", system);
        until("it is another system", || its(&partner).system == system);
        partner.until_agreed("agg0", &[0, 1], &[], true, QUICK);
    });
    let key = its(&partner).key;
    flows.during(|| {
        partner.destroy("agg0");
        let options = Options { key: 5, ..QUICK };
        partner.create("agg0", &[0, 1], options);
        until("it has another key", || its(&partner).key != key);
        partner.until_agreed("agg0", &[0, 1], &[], true, options);
    });
    in_changes(flows);
}

/// One of two links comes to lead to another aggregate, which is another system (F-54). It is not used, and what
/// the switch sends to all of its ports does not come twice.
fn one_of_two_ports_is_in_another_aggregate(kind: Kind) {
    let mut partner = some!(in_service(kind, true, QUICK));
    let mut flows = partner.flows();
    for _ in 0..2 {
        flows.during(|| {
            partner.leave(1);
            partner.create("agg1", &[1], QUICK);
            partner.until_agreed("agg0", &[0], &[], true, QUICK);
            partner.until_unused("agg1", 1);
        });
        // It takes over.
        flows.during(|| {
            partner.guest.cut(0);
            partner.until_agreed("agg1", &[1], &[], true, QUICK);
            partner.until_unused("agg0", 0);
        });
        // And keeps that.
        flows.during(|| {
            partner.guest.heal(0);
            partner.until_agreed("agg1", &[1], &[], true, QUICK);
            partner.until_unused("agg0", 0);
        });
        flows.during(|| {
            partner.destroy("agg1");
            partner.destroy("agg0");
            partner.create("agg0", &[0, 1], QUICK);
            partner.until_agreed("agg0", &[0, 1], &[], true, QUICK);
        });
    }
    in_changes(flows);
}

/// Two aggregates of a link each say to be one system, as two switches with MLAG do. Both are used, each alone where
/// the other is cut, silent, another system, or created again.
fn is_a_pair_of_one_identifier(kind: Kind) {
    const HALVES: [&str; 2] = ["agg0", "agg1"];
    let mut partner = some!(Partner::boot(kind, 2));
    create(&partner, 2, true);
    for half in [0, 1] {
        partner.create_half(HALVES[half], half);
    }
    let until_both = |partner: &mut Partner| {
        for half in [0, 1] {
            partner.until_agreed(HALVES[half], &[half], &[], true, QUICK);
        }
    };
    let until_alone = |partner: &mut Partner, half: usize| {
        partner.until_agreed(HALVES[half], &[half], &[], true, QUICK);
        partner.until_unused(HALVES[1 - half], 1 - half);
    };
    until_both(&mut partner);
    let mut flows = partner.flows();
    for half in [0, 1] {
        flows.during(|| {
            partner.guest.cut(half);
            until_alone(&mut partner, 1 - half);
        });
        flows.during(|| {
            partner.guest.heal(half);
            until_both(&mut partner);
        });
        flows.during(|| {
            partner.guest.silence(half, Way::Both);
            until_alone(&mut partner, 1 - half);
        });
        flows.during(|| {
            partner.guest.end_silence(half);
            until_both(&mut partner);
        });
        flows.during(|| {
            partner.rename(HALVES[half], "02:00:5e:00:53:aa");
            until_alone(&mut partner, 1 - half);
        });
        flows.during(|| {
            partner.destroy(HALVES[half]);
            partner.create_half(HALVES[half], half);
            until_both(&mut partner);
        });
    }
    within(flows, SHORT_TIMEOUT);
}

/// The lagg's three ports have the speeds that the partner's have.
fn know_speeds(partner: &Partner) {
    for card in 0..3 {
        let (near, speed) = (&partner.guest.lab.near, guest::SPEEDS[card]);
        let ethtool = format!("ethtool -s em{card} speed {speed} duplex full autoneg off");
        must(&format!("ip netns exec {near} {ethtool}"));
    }
}

/// Two links are slower than the third, as the partner knows, and we do not, or do. Whichever are used,
/// both ends use the same ones, now and when one of them is cut and comes back.
fn links_have_different_speeds(kind: Kind) {
    let mut partner = some!(Partner::boot(kind, 3));
    let all = [0, 1, 2];
    for known in [false, true] {
        if known {
            know_speeds(&partner);
        }
        create(&partner, 3, true);
        partner.create("agg0", &all, QUICK);
        partner.until_same_use("agg0", &all);
        let mut flows = partner.flows();
        for card in all {
            flows.during(|| {
                partner.guest.cut(card);
                let others: Vec<usize> = all.into_iter().filter(|other| *other != card).collect();
                partner.until_same_use("agg0", &others);
            });
            flows.during(|| {
                partner.guest.heal(card);
                partner.until_same_use("agg0", &all);
            });
        }
        in_changes(flows);
        partner.guest.lab.ok("lagg0 destroy");
        partner.destroy("agg0");
    }
}

/// It changes to the fastest aggregator when that is back, and so do we, who know which it is.
#[test]
fn bonding_may_take_the_fastest() {
    let mut partner = some!(Partner::boot(Kind::Bonding, 3));
    know_speeds(&partner);
    create(&partner, 3, true);
    partner.create("agg0", &[0, 1, 2], QUICK);
    for change in ["down", "type bond ad_select bandwidth", "up"] {
        partner.guest.run(&format!("ip link set agg0 {change}"));
    }
    partner.until_same_use("agg0", &[2]);
    let mut flows = partner.flows();
    for _ in 0..2 {
        flows.during(|| {
            partner.guest.cut(2);
            partner.until_same_use("agg0", &[0, 1]);
        });
        flows.during(|| {
            partner.guest.heal(2);
            partner.until_same_use("agg0", &[2]);
        });
    }
    in_changes(flows);
}

/// Without LACP: each uses one link, and both the same.
fn fails_over(kind: Kind) {
    let mut partner = some!(Partner::boot(kind, 2));
    for primary in [0, 1] {
        partner.create_active_backup("agg0", &[0, 1], primary);
        let other = 1 - primary;
        partner.guest.lab.ok(&format!(
            "lagg0 create laggproto failover laggport em{primary} laggport em{other} 192.0.2.1/24 up"
        ));
        partner.guest.lab.until_port(&format!("em{primary}"), "flags=5<MASTER,ACTIVE>");
        let mut flows = partner.flows();
        for _ in 0..2 {
            flows.during(|| {
                partner.guest.cut(primary);
                partner.guest.lab.until_port(&format!("em{other}"), "flags=4<ACTIVE>");
            });
            flows.during(|| {
                partner.guest.heal(primary);
                partner.guest.lab.until_port(&format!("em{primary}"), "flags=5<MASTER,ACTIVE>");
            });
        }
        within(flows, 0);
        partner.guest.lab.ok("lagg0 destroy");
        partner.destroy("agg0");
    }
}
