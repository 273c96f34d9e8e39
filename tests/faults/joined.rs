//! Operations on a lagg that has a partner.

use lagg_rs::kpi::host::Fault;
use lagg_rs::kpi::ioctl::proto;
use lagg_rs::kpi::{LinkState, Result};
use lagg_rs::lacp::receive::LONG_TIMEOUT;

use crate::lab::{Card, card, ether, mac};
use crate::pair::{Pair, pair};
use crate::trial::{Counts, Trial};

/// Two laggs with two links, and one more card.
struct World {
    pair: Pair,
    _spare: Card,
}

fn world() -> World {
    World { pair: pair(2), _spare: card(9) }
}

/// An administrator takes the lagg down and up. Then enough time passes for each side to time out and to
/// agree again.
fn time_passes(world: &World) {
    if world.pair.left.ifp.lagg_softc().is_some() {
        world.pair.left.down();
        world.pair.exchange();
        world.pair.left.up();
    }
    world.pair.pass(2 * LONG_TIMEOUT);
}

type Act = fn(&Pair) -> Result;

const ACTS: &[(&str, Act)] = &[
    ("a port joins", |pair| pair.left.add("em9")),
    ("a port leaves", |pair| pair.left.remove("em2")),
    ("the primary leaves", |pair| pair.left.remove("em1")),
    ("the protocol goes", |pair| pair.left.set_protocol(proto::FAILOVER)),
    ("the protocol starts again", |pair| pair.left.set_protocol(proto::LACP)),
    ("another address", |_| ether("lagg0", mac(77))),
    ("another hash", |pair| pair.left.set_hash(1)),
    ("a link goes and returns", |pair| {
        pair.link(0, LinkState::Down);
        pair.link(0, LinkState::Up);
        Ok(())
    }),
    ("destroy", |pair| {
        pair.left.destroy();
        Ok(())
    }),
];

#[test]
fn partners_agree_in_the_end() {
    let mut counts = Counts::default();
    for (name, act) in ACTS {
        let act = |world: &mut World| {
            act(&world.pair)?;
            world.pair.exchange();
            Ok(())
        };
        // Which side has received the other's LACPDU by then depends on timing.
        let passing =
            |line: &str| ["answers", "link", "baudrate"].iter().any(|it| line.contains(it));
        Trial { name, set_up: &world, act: &act, heal: &time_passes, passing }.run(&mut counts);
    }
    assert!(counts[&Fault::Packet] > 20, "{counts:?}");
}
