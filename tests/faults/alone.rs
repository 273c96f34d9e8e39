//! Operations on one lagg, with each protocol and ports of all kinds.

use lagg_rs::kpi::host::{self, Attached, Fault, Vnet, ifioctl};
use lagg_rs::kpi::ioctl::{InterfaceRequest, OptionsRequest, SIOCSIFCAP, hash, opt, proto};
use lagg_rs::kpi::{Ifnet, LinkAddr, LinkState, Offloads, Result, iff};

use crate::lab::{Card, Lagg, PROTOCOLS, card, ether, flags, lagg, mac, mtu};
use crate::trial::{Counts, Trial};

/// The interfaces that an operation begins with. Dropped in this order: laggs first, cards last.
#[derive(Default)]
struct World {
    laggs: Vec<Lagg>,
    vlans: Vec<Attached>,
    cards: Vec<Card>,
}

const RXCSUM: u64 = 1;
const TXCSUM: u64 = 2;
const NV: u64 = 1 << 17;

fn group(n: u8) -> LinkAddr {
    [1, 0, 0x5e, 0, 0, n].into()
}

/// Cards with different capabilities and MTUs. `em3` is in a group, promiscuous, and has an IPv6 address.
/// `em4` has a VLAN, and `em5` has two.
fn cards() -> World {
    let cards: Vec<_> = (1..=5).map(card).collect();
    for (card, can) in cards.iter().zip([RXCSUM | TXCSUM, NV | RXCSUM | TXCSUM, RXCSUM, RXCSUM, 0])
    {
        let offloads =
            Offloads { capabilities: can, enabled: can, hwassist: can, tso: [65535, 9, 9] };
        card.ifp.store_offloads(&offloads);
    }
    mtu("em1", 4000).unwrap();
    mtu("em4", 9000).unwrap();
    mtu("em5", 9000).unwrap();
    host::join_group(&cards[2].ifp, &group(1)).unwrap();
    host::set_promisc(&cards[2].ifp, true).unwrap();
    host::set_ipv6(&cards[2].ifp, true);
    let vlans = vec![
        host::vlan_create(&cards[3].ifp, 7, "vlan7").unwrap(),
        host::vlan_create(&cards[4].ifp, 8, "vlan8").unwrap(),
    ];
    World { cards, vlans, laggs: Vec::new() }
}

/// The same with a lagg of the first two cards and the first VLAN. The lagg is in groups, promiscuous, and
/// has VLANs.
fn world(protocol: u32) -> World {
    let mut world = cards();
    let lagg = lagg();
    lagg.set_protocol(protocol).unwrap();
    for port in ["em1", "em2", "vlan7"] {
        lagg.add(port).unwrap();
    }
    lagg.up();
    host::settle();
    for n in 1..=2 {
        host::join_group(&lagg.ifp, &group(n)).unwrap();
    }
    host::set_promisc(&lagg.ifp, true).unwrap();
    host::set_allmulti(&lagg.ifp, true).unwrap();
    world.vlans.push(host::vlan_create(&lagg.ifp, 5, "vlan5").unwrap());
    world.laggs.push(lagg);
    host::settle();
    world
}

/// What follows the operation: a group on the lagg, and an administrator takes the lagg down and up again,
/// or up and down.
fn next(world: &World) {
    for lagg in world.laggs.iter().filter(|lagg| lagg.ifp.lagg_softc().is_some()) {
        lagg.ifp.vnet().enter(|| {
            host::join_group(&lagg.ifp, &group(99)).unwrap();
            host::settle();
            let is_up = lagg.ifp.flags() & iff::UP;
            flags(&lagg.name, is_up ^ iff::UP).unwrap();
            // The speed is published by a task, and only while the lagg is up.
            host::settle();
            flags(&lagg.name, is_up).unwrap();
            host::settle();
        });
    }
}

type Act = fn(&mut World) -> Result;

/// Operations that depend on each protocol.
const OF_EACH: &[(&str, Act)] = &[
    ("add a card", |world| world.laggs[0].add("em3")),
    ("add a VLAN", |world| world.laggs[0].add("vlan8")),
    ("remove the primary", |world| world.laggs[0].remove("em1")),
    ("destroy", |world| {
        world.laggs[0].destroy();
        Ok(())
    }),
];

/// Operations that differ for some protocols.
const OF_SOME: &[(&str, Act)] = &[
    ("remove a card", |world| world.laggs[0].remove("em2")),
    ("remove a VLAN", |world| world.laggs[0].remove("vlan7")),
    ("a card departs", |world| {
        world.cards.remove(0).ifp.detach();
        Ok(())
    }),
    ("a link goes down", |world| {
        world.cards[0].link(LinkState::Down);
        Ok(())
    }),
    ("a port goes down", |_| flags("em2", 0)),
    ("down", |world| {
        world.laggs[0].down();
        Ok(())
    }),
    ("ether", |_| ether("lagg0", mac(77))),
    ("hash", |world| world.laggs[0].set_hash(hash::L2)),
    ("option", |world| {
        let option = OptionsRequest { opts: opt::USE_FLOWID, ..OptionsRequest::default() };
        world.laggs[0].set_options(option)
    }),
];

/// Operations that do not depend on the protocol.
const OF_ALL: &[(&str, Act)] = &[
    ("smaller MTU", |world| world.laggs[0].set_mtu(1400)),
    ("greater MTU", |world| world.laggs[0].set_mtu(5000)),
    ("a group is joined", |world| host::join_group(&world.laggs[0].ifp, &group(3))),
    ("a group is left", |world| {
        host::leave_group(&world.laggs[0].ifp, &group(2));
        Ok(())
    }),
    ("promiscuous no more", |world| host::set_promisc(&world.laggs[0].ifp, false)),
    ("all groups no more", |world| host::set_allmulti(&world.laggs[0].ifp, false)),
    ("a VLAN comes", |world| {
        world.vlans.push(host::vlan_create(&world.laggs[0].ifp, 6, "vlan6")?);
        Ok(())
    }),
    ("a VLAN goes", |world| {
        world.vlans.remove(2).detach();
        Ok(())
    }),
    ("a VLAN that is a port departs", |world| {
        world.vlans.remove(0).detach();
        Ok(())
    }),
    ("its parent departs", |world| {
        world.cards.remove(3).ifp.detach();
        Ok(())
    }),
    ("a card moves to another vnet and back", |world| there_and_back(&world.cards[0].ifp)),
    ("the lagg moves to another vnet and back", |world| there_and_back(&world.laggs[0].ifp)),
    ("a group on a port", |world| host::join_group(&world.cards[1].ifp, &group(7))),
];

fn there_and_back(ifp: &Ifnet) -> Result {
    let (here, there) = (Vnet::current(), Vnet::new());
    host::vmove(ifp, &there)?;
    host::settle();
    host::vmove(ifp, &here)
}

/// Runs these operations, each from what `set_up` creates.
fn run(about: &str, set_up: &dyn Fn() -> World, acts: &[(&str, Act)]) -> Counts {
    let mut counts = Counts::default();
    for (name, act) in acts {
        let name = format!("{about}, {name}");
        Trial { name: &name, set_up, act, heal: &next, passing: |_| false }.run(&mut counts);
    }
    counts
}

#[test]
fn each_protocol() {
    for protocol in PROTOCOLS {
        let counts = run(&format!("protocol {protocol}"), &|| world(protocol), OF_EACH);
        for fault in [Fault::Allocation, Fault::Group, Fault::Ioctl, Fault::Lladdr] {
            assert!(counts[&fault] > 1, "{counts:?}");
        }
    }
}

#[test]
fn some_protocols() {
    for protocol in [proto::FAILOVER, proto::LACP] {
        let counts = run(&format!("protocol {protocol}"), &|| world(protocol), OF_SOME);
        assert!(counts[&Fault::Allocation] > 5 && counts[&Fault::Ioctl] > 30, "{counts:?}");
    }
}

#[test]
fn whatever_the_protocol() {
    let counts = run("loadbalance", &|| world(proto::LOADBALANCE), OF_ALL);
    assert!(counts[&Fault::Allocation] > 30 && counts[&Fault::Ioctl] > 50, "{counts:?}");
}

#[test]
fn each_protocol_to_each() {
    let mut counts = Counts::default();
    for from in PROTOCOLS {
        for to in PROTOCOLS {
            let act = |world: &mut World| world.laggs[0].set_protocol(to);
            let (name, set_up) = (format!("protocol {from} to {to}"), || world(from));
            let (act, heal, passing) = (&act, &next, |_: &str| false);
            Trial { name: &name, set_up: &set_up, act, heal, passing }.run(&mut counts);
        }
    }
    assert!(counts[&Fault::Allocation] > 100 && counts[&Fault::Group] > 20, "{counts:?}");
}

#[test]
fn a_lagg_that_comes() {
    let create: &[(&str, Act)] = &[("create", |world| {
        let name = host::clone_create("lagg3", None)?;
        let ifp = Vnet::current().interface(&name).unwrap();
        world.laggs.push(Lagg { name, ifp });
        Ok(())
    })];
    assert!(run("no lagg", &cards, create)[&Fault::Allocation] > 10);
    let acts: &[(&str, Act)] = &[
        ("add the first", |world| world.laggs[0].add("em1")),
        ("add another first", |world| world.laggs[0].add("em3")),
        ("add a VLAN first", |world| world.laggs[0].add("vlan7")),
        ("MTU", |world| world.laggs[0].set_mtu(1400)),
        ("destroy", |world| {
            world.laggs[0].destroy();
            Ok(())
        }),
    ];
    let counts = run("no ports", &|| World { laggs: vec![lagg()], ..cards() }, acts);
    assert!(counts[&Fault::Allocation] > 5, "{counts:?}");
}

#[test]
fn a_lagg_that_is_down() {
    let is_down = || {
        let world = world(proto::FAILOVER);
        world.laggs[0].down();
        world
    };
    let acts: &[(&str, Act)] = &[
        ("up", |world| {
            world.laggs[0].up();
            Ok(())
        }),
        ("address", |world| host::set_address(&world.laggs[0].ifp)),
        ("ether", |_| ether("lagg0", mac(77))),
        ("remove the primary", |world| world.laggs[0].remove("em1")),
    ];
    let counts = run("down", &is_down, acts);
    assert!(counts[&Fault::Ioctl] > 5 && counts[&Fault::Lladdr] > 0, "{counts:?}");
}

#[test]
fn capabilities() {
    let able = || {
        let world = world(proto::FAILOVER);
        world.laggs[0].remove("vlan7").unwrap();
        world
    };
    fn set(ifname: &str) -> Result {
        let mut request = InterfaceRequest::with_capabilities(RXCSUM as u32);
        ifioctl(ifname, SIOCSIFCAP, &mut request)
    }
    let acts: &[(&str, Act)] = &[
        ("of the lagg", |_| set("lagg0")),
        ("of a port", |_| set("em2")),
        ("add one that can less", |world| world.laggs[0].add("em3")),
    ];
    let counts = run("capabilities", &able, acts);
    assert!(counts[&Fault::Ioctl] > 5, "{counts:?}");
}

/// The checks notice if anything is not restored.
#[test]
#[should_panic(expected = "is:     em5 mtu: 2000")]
fn what_is_not_put_back_is_found() {
    let act: Act = |world| {
        mtu("em5", 2000)?;
        world.laggs[0].add("em3")
    };
    run("a seeded defect", &|| world(proto::FAILOVER), &[("not put back", act)]);
}

#[test]
#[should_panic(expected = "objects are left")]
fn what_is_leaked_is_found() {
    let act: Act = |world| {
        std::mem::forget(world.laggs[0].softc());
        Ok(())
    };
    run("a seeded defect", &|| world(proto::FAILOVER), &[("leaked", act)]);
}
