//! Random events of ports and laggs: they come, go, move and change, with packets and their partners'
//! LACPDUs in between.

use std::collections::BTreeMap;

use arbitrary::{Result as Read, Unstructured};
use lagg_rs::kpi::host::testing::Model;
use lagg_rs::kpi::host::{self, Attached, Vnet};
use lagg_rs::kpi::ioctl::{OptionsRequest, opt};
use lagg_rs::kpi::{Counter, Errno, IfType, Ifnet, IfnetRef, LinkAddr, LinkState};

use super::agreed;
use super::lab::{Card, Lagg, PROTOCOLS, attributes, ether, frame, ib_lagg, lagg, spawn, text};
use super::world::{self, CARDS, JAIL, World};

mod cards;

/// The largest number of laggs.
const LAGGS: usize = 2;

/// Events, one after another.
pub fn run(data: &[u8]) {
    let (models, data) = world::models(data);
    world::run(models, |world| {
        let mut lab = Lab::new(world, models);
        // An error means that the input has ended.
        let _ = lab.live(&mut Unstructured::new(data));
        lab.end();
    });
}

struct Lab<'w> {
    world: &'w mut World,
    laggs: Vec<Lagg>,
    /// VLANs in addition to those of the world.
    vlans: Vec<Attached>,
    /// What each card is.
    models: BTreeMap<u32, &'static Model>,
    /// The nature of each card when it was attached.
    natures: BTreeMap<u32, Nature>,
    /// The laggs' counters when they were last read.
    counters: BTreeMap<u32, [u64; 12]>,
    /// The modes and groups that are requested of the laggs.
    wanted: BTreeMap<u32, [bool; 6]>,
    /// Whether a driver has refused something, so that not everything is as it should be.
    refused: bool,
    /// Numbers of VLANs.
    tag: u16,
}

type Nature = Vec<(&'static str, String)>;

/// What a port gets back.
fn nature(ifp: &Ifnet) -> Nature {
    let mut nature = attributes(ifp);
    let own = ["type", "mtu", "address", "offloads", "membership", "methods", "port of"];
    nature.retain(|(name, _)| own.contains(name));
    nature
}

/// A group of an interface's own kind.
fn group(ifp: &Ifnet, n: usize) -> LinkAddr {
    match ifp.if_type() {
        IfType::Infiniband => [n as u8 | 0x80; 20].into(),
        _ => [1, 0, 0x5e, 0, 0, n as u8].into(),
    }
}

impl<'w> Lab<'w> {
    fn new(world: &'w mut World, models: [&'static Model; CARDS as usize]) -> Self {
        let cards = world.cards.iter().map(|card| card.ifp.index());
        let models = cards.zip(models).collect();
        let natures = world.interfaces().map(|ifp| (ifp.index(), nature(&ifp))).collect();
        Lab {
            world,
            laggs: Vec::new(),
            vlans: Vec::new(),
            models,
            natures,
            counters: BTreeMap::new(),
            wanted: BTreeMap::new(),
            refused: false,
            tag: 100,
        }
    }

    fn live(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        while !u.is_empty() {
            match u.int_in_range(0..=27)? {
                0 => self.create(u.ratio(1, 4)?),
                1 if u.ratio(1, 4)? => self.destroy(u)?,
                1..=4 => self.join(u)?,
                5 => self.leave(u)?,
                6 => self.configure(u)?,
                7 | 8 => self.link(u)?,
                9 => self.own_flags(u)?,
                10 => self.depart(u)?,
                11 => self.arrive(u)?,
                12 => self.rename(u)?,
                13 => self.change_vnet(u)?,
                14 | 15 => self.want(u)?,
                16 | 17 => self.vlan(u)?,
                18 => self.refuse(u)?,
                19 => self.receive(u)?,
                20 => self.send(u)?,
                21 | 22 => self.partners_answer(),
                23 => self.pass(u)?,
                24 => self.media(u)?,
                25 => self.meanwhile(u)?,
                _ => self.check(),
            }
        }
        Ok(())
    }

    fn lagg(&self, u: &mut Unstructured<'_>) -> Read<Option<&Lagg>> {
        if self.laggs.is_empty() { Ok(None) } else { u.choose(&self.laggs).map(Some) }
    }

    fn create(&mut self, infiniband: bool) {
        if self.laggs.len() < LAGGS {
            let lagg = if infiniband { ib_lagg() } else { lagg() };
            self.wanted.insert(lagg.ifp.index(), [false; 6]);
            self.laggs.push(lagg);
        }
    }

    fn destroy(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        if !self.laggs.is_empty() {
            let lagg = self.laggs.swap_remove(u.choose_index(self.laggs.len())?);
            lagg.ifp.vnet().enter(|| lagg.destroy());
            assert!(lagg.ifp.lagg_softc().is_none());
        }
        Ok(())
    }

    /// A name that may be a port's.
    fn port_name(&self, u: &mut Unstructured<'_>) -> Read<String> {
        let vlans = self.world.vlans.iter().chain(&self.vlans);
        let cards = self.world.cards.iter().map(Card::name);
        let names: Vec<_> = cards.chain(vlans.map(|vlan| text(&vlan.name()))).collect();
        if names.is_empty() { Ok(String::new()) } else { u.choose(&names).cloned() }
    }

    fn join(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        let port = self.port_name(u)?;
        let Some(lagg) = self.lagg(u)? else { return Ok(()) };
        let result = lagg.ifp.vnet().enter(|| lagg.add(&port));
        let refusals =
            [Errno::EINVAL, Errno::EEXIST, Errno::EBUSY, Errno::EPROTONOSUPPORT, Errno::EIO];
        assert!(result.is_ok() || refusals.contains(&result.unwrap_err()), "{result:?}");
        Ok(())
    }

    fn leave(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        let port = self.port_name(u)?;
        let Some(lagg) = self.lagg(u)? else { return Ok(()) };
        let result = lagg.ifp.vnet().enter(|| lagg.remove(&port));
        assert!(matches!(result, Ok(()) | Err(Errno::EINVAL | Errno::ENOENT)), "{result:?}");
        Ok(())
    }

    /// Configures a lagg.
    fn configure(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        let what = u.int_in_range(0..=6)?;
        let to: u16 = u.arbitrary()?;
        let Some(lagg) = self.lagg(u)? else { return Ok(()) };
        let ok = |result| assert_eq!(result, Ok(()));
        lagg.ifp.vnet().enter(|| match what {
            0 | 1 => {
                let result = lagg.set_protocol(PROTOCOLS[usize::from(to) % 6]);
                let infiniband = lagg.ifp.if_type() == IfType::Infiniband;
                assert!(result == Ok(()) || infiniband && result == Err(Errno::EPROTONOSUPPORT));
            }
            2 => lagg.up(),
            3 => lagg.down(),
            4 => {
                // A VLAN that is a port accepts no larger MTU than its parent's.
                let result = lagg.set_mtu(u32::from(to) % 9000 + 72);
                assert!(matches!(result, Ok(()) | Err(Errno::EINVAL | Errno::EIO)), "{result:?}");
            }
            5 => {
                let _ = ether(&lagg.name, [2, 0, 0, 0, 7, to as u8]);
            }
            _ => {
                let opts = if to & 1 == 0 { opt::USE_FLOWID } else { -opt::USE_FLOWID };
                ok(lagg.set_options(OptionsRequest { opts, ..OptionsRequest::default() }));
            }
        });
        Ok(())
    }

    fn change_vnet(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        let home = Vnet::current();
        let other = |ifp: &Ifnet| if ifp.vnet() == home { *JAIL } else { home };
        if u.arbitrary()? {
            if let Some(lagg) = self.lagg(u)? {
                host::vmove(&lagg.ifp, &other(&lagg.ifp)).expect("the name is free there");
            }
        } else if let Some(card) = self.card(u)? {
            host::vmove(&card.ifp, &other(&card.ifp)).expect("the name is free there");
        }
        // The groups that protocols have joined on it are gone.
        for lagg in &self.laggs {
            if lagg.ifp.vnet() != home {
                self.wanted.remove(&lagg.ifp.index());
            }
        }
        Ok(())
    }

    /// Changes groups and modes of a lagg.
    fn want(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        let which = u.int_in_range(0..=5)?;
        let Some(lagg) = self.lagg(u)? else { return Ok(()) };
        let (ifp, index) = (lagg.ifp.clone(), lagg.ifp.index());
        let Some(wanted) = self.wanted.get_mut(&index) else { return Ok(()) };
        let on = !wanted[which];
        wanted[which] = on;
        match which {
            0 => host::set_promisc(&ifp, on).expect("the lagg says yes"),
            1 => host::set_allmulti(&ifp, on).expect("the lagg says yes"),
            n if on => host::join_group(&ifp, &group(&ifp, n)).expect("there is memory"),
            n => host::leave_group(&ifp, &group(&ifp, n)),
        }
        Ok(())
    }

    fn vlan(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        if self.vlans.len() > 3 || !self.vlans.is_empty() && u.ratio(1, 3)? {
            self.vlans.swap_remove(u.choose_index(self.vlans.len())?).detach();
            return Ok(());
        }
        let parent = if u.ratio(1, 3)? {
            self.card(u)?.map(|card| card.ifp.ifp())
        } else {
            self.lagg(u)?.map(|lagg| lagg.ifp.clone())
        };
        if let Some(parent) = parent.filter(|parent| parent.vnet() == Vnet::current()) {
            self.tag += 1;
            let name = format!("vlan{}", self.tag);
            if let Ok(vlan) = host::vlan_create(&parent, self.tag % 4000 + 1, &name) {
                self.vlans.push(vlan);
            }
        }
        Ok(())
    }

    fn send(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        let n = u.arbitrary()?;
        let Some(lagg) = self.lagg(u)? else { return Ok(()) };
        if let Err(errno) = lagg.send(&frame(n)) {
            let nowhere = [Errno::ENXIO, Errno::ENETDOWN, Errno::ENOENT, Errno::ENOBUFS];
            assert!(nowhere.contains(&errno), "{errno:?}");
        }
        Ok(())
    }

    fn pass(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        let vnet = Vnet::current();
        vnet.advance_to(vnet.uptime_ms() + u64::from(u.arbitrary::<u16>()?));
        JAIL.advance_to(JAIL.uptime_ms() + 1_000);
        Ok(())
    }

    /// Lets links flap and packets flow on other threads while ports leave and join.
    fn meanwhile(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        let port = self.port_name(u)?;
        let Some(lagg) = self.lagg(u)? else { return Ok(()) };
        let cards = &self.world.cards;
        std::thread::scope(|scope| {
            spawn(scope, || {
                for state in [LinkState::Down, LinkState::Up, LinkState::Down, LinkState::Up] {
                    cards.iter().for_each(|card| host::set_link(&card.ifp, state));
                    let _ = lagg.send(&frame(0));
                }
            });
            spawn(scope, || cards.iter().for_each(|card| card.receive(&frame(1))));
            lagg.ifp.vnet().enter(|| {
                let _ = lagg.remove(&port);
                let _ = lagg.add(&port);
            });
        });
        Ok(())
    }

    /// Checks what must hold when nothing is pending.
    fn check(&mut self) {
        host::settle();
        // A link that a card has lost because the lagg has asked something of it has a second to come back.
        let vnet = Vnet::current();
        for vnet in [&vnet, &*JAIL] {
            vnet.advance_to(vnet.uptime_ms() + 1_000);
        }
        self.rests();
        for lagg in &self.laggs {
            let keeps_lladdr = |port: &IfnetRef| self.is(port, |model| !model.takes_lladdr);
            lagg.ifp.vnet().enter(|| agreed::check(lagg, self.refused, keeps_lladdr));
            let counters = Counter::ALL.map(|counter| lagg.ifp.counter(counter));
            let before = self.counters.insert(lagg.ifp.index(), counters).unwrap_or_default();
            let went_back = counters.iter().zip(before).any(|(now, before)| *now < before);
            assert!(!went_back, "{before:?}, and then {counters:?}");
        }
        let cards = self.world.cards.iter().map(|card| card.ifp.ifp());
        for ifp in cards.chain(self.vlans.iter().map(Attached::ifp)) {
            let types = [IfType::LaggPort, IfType::InfinibandLaggPort];
            assert_eq!(ifp.lagg_port().is_some(), types.contains(&ifp.if_type()), "{ifp:?}");
        }
        self.world.cards.iter().for_each(|card| drop(card.nic.take_sent()));
    }

    /// Whether a card's model has this.
    fn is(&self, ifp: &Ifnet, what: impl Fn(&Model) -> bool) -> bool {
        self.models.get(&ifp.index()).is_some_and(|model| what(model))
    }

    /// No card is asked again for what it was asked (F-34).
    fn rests(&self) {
        let restarts = || {
            host::settle();
            Vec::from_iter(self.world.cards.iter().map(|card| host::restarts(&card.ifp)))
        };
        let before = restarts();
        // Nothing tells a lagg of what a VLAN's parent can do now.
        let has_vlan = |lagg: &&Lagg| {
            let plan = lagg.softc().plan_ref();
            plan.ports().any(|port| text(&port.ifp().name()).starts_with("vlan"))
        };
        for lagg in self.laggs.iter().filter(|lagg| !self.refused && !has_vlan(lagg)) {
            for on in [true, false] {
                host::set_promisc(&lagg.ifp, on).expect("the lagg says yes");
                assert_eq!(restarts(), before, "{:?}", lagg.ifp);
            }
        }
    }

    /// Destroys all laggs. Then all cards must be what they were, if none has refused that.
    fn end(mut self) {
        self.check();
        self.vlans.drain(..).for_each(Attached::detach);
        for lagg in self.laggs.drain(..) {
            lagg.ifp.vnet().enter(|| lagg.destroy());
        }
        host::settle();
        for card in self.world.cards.iter().filter(|_| !self.refused) {
            // What its driver has switched off by itself stays off.
            if self.is(&card.ifp, |model| model.couplings.at_link_up != 0) {
                continue;
            }
            assert_eq!(nature(&card.ifp), self.natures[&card.ifp.index()], "{:?}", *card.ifp);
        }
    }
}
