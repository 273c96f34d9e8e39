//! A host with cards of all kinds, in one vnet for the whole process.

use std::sync::LazyLock;

use lagg_rs::kpi::host::testing::{MODELS, Model, TestNic};
use lagg_rs::kpi::host::{self, Attached, Vnet};
use lagg_rs::kpi::{Defaults, IfType, IfnetRef, LinkState, Offloads, live};

use super::lab::{Card, ib, modelled};

/// Vnets live as long as the process.
static HOME: LazyLock<Vnet> = LazyLock::new(Vnet::new);

/// Another one, to move to.
pub static JAIL: LazyLock<Vnet> = LazyLock::new(Vnet::new);

/// Cards `em0` to `em3` of any models, a VLAN `vlan3` on the last, `ib0` and `ib1` of InfiniBand's, and `gif0`, which
/// cannot be a port.
pub struct World {
    pub cards: Vec<Card>,
    pub vlans: Vec<Attached>,
    gif: Attached,
}

/// How many cards of Ethernet's there are at first.
pub const CARDS: u8 = 4;

/// Which cards the world of an input has: the first bytes say. The rest is for what happens to them.
pub fn models(data: &[u8]) -> ([&'static Model; CARDS as usize], &[u8]) {
    let (first, rest) = data.split_first_chunk().unwrap_or((&[0; CARDS as usize], &[]));
    (first.map(model), rest)
}

/// The model for a number, whatever it is.
pub fn model(n: u8) -> &'static Model {
    &MODELS[usize::from(n) % MODELS.len()]
}

/// Runs `f` in a new world with these cards, and sees that nothing of the driver is left of it.
pub fn run(models: [&'static Model; CARDS as usize], f: impl FnOnce(&mut World)) {
    let before = live();
    HOME.enter(|| {
        HOME.set_defaults(Defaults::USUAL);
        HOME.set_failover_rx_all(false);
        host::set_privileged(true);
        let mut world = World::new(models);
        f(&mut world);
        host::set_privileged(true);
        for lagg in laggs() {
            lagg.vnet().enter(|| host::clone_destroy(&name_of(&lagg)).expect("it is there"));
        }
        drop(world);
    });
    host::settle();
    assert!(HOME.interfaces().is_empty() && JAIL.interfaces().is_empty());
    assert_eq!(live(), before, "objects are left");
}

impl World {
    fn new(models: [&'static Model; CARDS as usize]) -> Self {
        let mut cards: Vec<_> = (0..).zip(models).map(|(n, model)| modelled(n, model)).collect();
        let plain = [0, 1, 3, 1 << 17 | 1 << 32 | 3];
        for ((card, model), can) in cards.iter().zip(models).zip(plain) {
            if model.capabilities != 0 {
                continue;
            }
            let hwassist = can & 3;
            let offloads =
                Offloads { capabilities: can, enabled: can, hwassist, tso: [65535, 8, 2048] };
            card.ifp.store_offloads(&offloads);
        }
        let vlan = host::vlan_create(&cards[3].ifp, 3, "vlan3").expect("a card can have one");
        cards.extend([ib(0), ib(1)]);
        let gif = host::attach("gif0", IfType::Other(0xf0), [0; 6], 1280, 0, TestNic::new());
        host::settle();
        World { cards, vlans: vec![vlan], gif }
    }

    /// All interfaces that could be ports.
    pub fn interfaces(&self) -> impl Iterator<Item = IfnetRef> {
        let cards = self.cards.iter().map(|card| card.ifp.ifp());
        cards.chain(self.vlans.iter().map(Attached::ifp)).chain([self.gif.ifp()])
    }

    /// Brings all links up.
    pub fn links_up(&self) {
        for card in &self.cards {
            host::set_link(&card.ifp, LinkState::Up);
        }
    }
}

/// All laggs, wherever they are.
pub fn laggs() -> Vec<IfnetRef> {
    let all = HOME.interfaces().into_iter().chain(JAIL.interfaces());
    all.filter(|ifp| ifp.lagg_softc().is_some()).collect()
}

pub fn name_of(ifp: &IfnetRef) -> String {
    super::lab::text(&ifp.name())
}
