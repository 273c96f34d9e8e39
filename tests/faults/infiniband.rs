//! Operations on an InfiniBand lagg.

use lagg_rs::kpi::host::{self, Fault, Vnet};
use lagg_rs::kpi::ioctl::proto;
use lagg_rs::kpi::{LinkState, Result, iff};

use crate::lab::{Card, Lagg, flags, ib, ib_lagg, pass};
use crate::trial::{Counts, Trial};

/// A lagg, and its cards.
struct World {
    lagg: Option<Lagg>,
    cards: Vec<Card>,
}

/// A lagg of the first two of three cards, which is in a group and receives all groups.
fn world() -> World {
    let cards: Vec<_> = (1..=3).map(ib).collect();
    let lagg = ib_lagg();
    lagg.add("ib1").unwrap();
    lagg.add("ib2").unwrap();
    lagg.up();
    host::join_group(&lagg.ifp, &[0x81; 20].into()).unwrap();
    host::set_allmulti(&lagg.ifp, true).unwrap();
    host::settle();
    World { lagg: Some(lagg), cards }
}

/// What follows the operation: another group, an administrator takes the lagg down and up, and a second
/// passes.
fn next(world: &World) {
    if let Some(lagg) = world.lagg.as_ref().filter(|lagg| lagg.ifp.lagg_softc().is_some()) {
        host::join_group(&lagg.ifp, &[0x82; 20].into()).unwrap();
        host::settle();
        let is_up = lagg.ifp.flags() & iff::UP;
        flags(&lagg.name, is_up ^ iff::UP).unwrap();
        flags(&lagg.name, is_up).unwrap();
    }
    pass(1_000);
}

type Act = fn(&Lagg, &[Card]) -> Result;

const ACTS: &[(&str, Act)] = &[
    ("add", |lagg, _| lagg.add("ib3")),
    ("remove the primary", |lagg, _| lagg.remove("ib1")),
    ("remove", |lagg, _| lagg.remove("ib2")),
    ("MTU", |lagg, _| lagg.set_mtu(4000)),
    ("failover again", |lagg, _| lagg.set_protocol(proto::FAILOVER)),
    ("the active port's link goes", |_, cards| {
        cards[0].link(LinkState::Down);
        Ok(())
    }),
    ("down", |lagg, _| {
        lagg.down();
        Ok(())
    }),
    ("destroy", |lagg, _| {
        lagg.destroy();
        Ok(())
    }),
];

#[test]
fn an_infiniband_lagg() {
    let mut counts = Counts::default();
    for (name, act) in ACTS {
        let act = |world: &mut World| act(world.lagg.as_ref().unwrap(), &world.cards);
        let (set_up, heal, passing) = (&world, &next, |_: &str| false);
        Trial { name, set_up, act: &act, heal, passing }.run(&mut counts);
    }
    let create = |world: &mut World| {
        let mut parameters = [0; 16];
        parameters[0] = 1;
        let name = host::clone_create("lagg", Some(&parameters))?;
        let ifp = Vnet::current().interface(&name).unwrap();
        world.lagg = Some(Lagg { name, ifp });
        Ok(())
    };
    let set_up = || World { lagg: None, cards: vec![ib(1)] };
    let (name, passing) = ("create", |_: &str| false);
    Trial { name, set_up: &set_up, act: &create, heal: &next, passing }.run(&mut counts);
    assert!(counts[&Fault::Allocation] > 20 && counts[&Fault::Ioctl] > 10, "{counts:?}");
}
