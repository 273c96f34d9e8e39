//! Random wirings, speeds, orders and histories. What one end of a cable sends, the other must accept
//! (F-53, F-54).

use lagg_rs::lacp::{Link, choice, periodic};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::lab::{DEFAULTS, Lab, STRAIGHT, Way, mac};

/// After this many milliseconds all is at rest: each system has sent a LACPDU, and has given up each of the
/// others in turn.
const REST: u64 = (2 * periodic::SLOW + 16 * choice::FOLLOW) as u64;

/// Megabits per second. Two links of the first speed equal one of the second, and 0 is unknown.
const SPEEDS: [u64; 3] = [5_000, 10_000, 0];

#[derive(Clone, Debug)]
struct Wire {
    systems: [usize; 2],
    /// The order of the slots of its ends.
    ranks: [u8; 2],
    speeds: [usize; 2],
}

#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Unplug(usize),
    Plug(usize),
    /// Only one end notices.
    Half(usize, usize),
    /// Neither end notices.
    Cut(usize),
    /// Neither end notices, and only one direction is cut.
    Mute(usize, usize),
    Heal(usize),
    Leave(usize, usize),
    Join(usize, usize),
    Restart(usize),
}

impl Event {
    /// Whether the two ends do not notice it at the same time.
    fn is_silent(&self) -> bool {
        matches!(self, Event::Half(..) | Event::Cut(_) | Event::Mute(..))
    }
}

#[derive(Clone, Debug)]
struct World {
    /// Addresses, which order the systems, and priorities.
    systems: Vec<(u8, u16)>,
    wires: Vec<Wire>,
    joins: Vec<(usize, usize, u64)>,
    events: Vec<Event>,
}

/// Systems of which any may be wired to any other. The ends of some cables have different speeds, unless
/// speeds are `known`.
fn world(known: bool) -> impl Strategy<Value = World> {
    // If four prefer each other in a ring, two of them may try the others for minutes.
    (2..=if known { 4 } else { 3_usize }, 1..=7_usize).prop_flat_map(move |(systems, wires)| {
        let wire = (0..systems, 1..systems, any::<[u8; 2]>(), [0..SPEEDS.len(), 0..SPEEDS.len()])
            .prop_map(move |(a, further, ranks, [one, other])| Wire {
                systems: [a, (a + further) % systems],
                ranks,
                speeds: if known { [one; 2] } else { [one, other] },
            });
        let all: Vec<_> = (0..wires).flat_map(|wire| [(wire, 0), (wire, 1)]).collect();
        let joins =
            (Just(all).prop_shuffle(), vec(prop_oneof![0..50_u64, 0..4_000_u64], 2 * wires))
                .prop_map(|(all, after)| all.into_iter().zip(after))
                .prop_map(|joins| joins.map(|((wire, end), after)| (wire, end, after)).collect());
        let addresses = Just((1..=systems as u8).collect::<Vec<_>>()).prop_shuffle();
        let priorities = vec(prop_oneof![4 => Just(0x8000), 1 => Just(1)], systems);
        let systems_of = (addresses, priorities)
            .prop_map(|(addresses, priorities)| addresses.into_iter().zip(priorities).collect());
        let event = prop_oneof![
            2 => (0..50_u64).prop_map(Event::Pass),
            4 => (0..5_000_u64).prop_map(Event::Pass),
            1 => (0..100_000_u64).prop_map(Event::Pass),
            2 => (0..wires).prop_map(Event::Unplug),
            2 => (0..wires).prop_map(Event::Plug),
            1 => (0..wires, 0..2_usize).prop_map(|(wire, end)| Event::Half(wire, end)),
            1 => (0..wires).prop_map(Event::Cut),
            1 => (0..wires, 0..2_usize).prop_map(|(wire, from)| Event::Mute(wire, from)),
            1 => (0..wires).prop_map(Event::Heal),
            1 => (0..wires, 0..2_usize).prop_map(|(wire, end)| Event::Leave(wire, end)),
            1 => (0..wires, 0..2_usize).prop_map(|(wire, end)| Event::Join(wire, end)),
            1 => (0..systems).prop_map(Event::Restart),
        ];
        (systems_of, vec(wire, wires), joins, vec(event, 0..20))
            .prop_map(|(systems, wires, joins, events)| World { systems, wires, joins, events })
    })
}

impl World {
    fn build(&self) -> Lab {
        let mut lab = Lab::new();
        for &(address, priority) in &self.systems {
            let system = lab.system(mac(address), 11 + u32::from(address), DEFAULTS);
            lab.set_priority(system, priority);
        }
        let mut slots = vec![[0; 2]; self.wires.len()];
        for system in 0..self.systems.len() {
            let ends = (0..self.wires.len()).flat_map(|wire| [(wire, 0), (wire, 1)]);
            let mut ends: Vec<_> =
                ends.filter(|&(wire, end)| self.wires[wire].systems[end] == system).collect();
            ends.sort_by_key(|&(wire, end)| (self.wires[wire].ranks[end], wire));
            for (slot, (wire, end)) in ends.into_iter().enumerate() {
                slots[wire][end] = slot as u8;
            }
        }
        for (wire, slots) in self.wires.iter().zip(slots) {
            lab.wire([(wire.systems[0], slots[0]), (wire.systems[1], slots[1])]);
        }
        for &(wire, end, after) in &self.joins {
            lab.join(wire, end);
            self.plug(&mut lab, wire, end);
            lab.advance(after);
        }
        lab
    }

    fn plug(&self, lab: &mut Lab, wire: usize, end: usize) {
        lab.link(wire, end, Link::Up(SPEEDS[self.wires[wire].speeds[end]] * 1_000_000));
    }

    fn apply(&self, lab: &mut Lab, event: &Event) {
        let present = |wire: usize, end: usize, lab: &Lab| lab.cables[wire].ends[end].present;
        match *event {
            Event::Pass(ms) => lab.advance(ms),
            Event::Unplug(wire) => lab.unplug(wire),
            Event::Plug(wire) => (0..2).for_each(|end| self.plug(lab, wire, end)),
            Event::Half(wire, end) => lab.link(wire, end, Link::Down),
            Event::Cut(wire) => lab.cut(wire),
            Event::Mute(wire, from) => lab.way(wire, from, Way { cut: true, ..STRAIGHT }),
            Event::Heal(wire) => lab.heal(wire),
            Event::Leave(wire, end) if present(wire, end, lab) => lab.leave(wire, end),
            Event::Join(wire, end) if !present(wire, end, lab) => lab.join(wire, end),
            Event::Leave(..) | Event::Join(..) => {}
            Event::Restart(system) => {
                let (address, _) = self.systems[system];
                lab.restart(system, mac(address), 11 + u32::from(address), DEFAULTS);
            }
        }
    }

    /// Checks that everything is as it should be, and stays so.
    fn end(&self, lab: &mut Lab) {
        for wire in 0..self.wires.len() {
            lab.heal(wire);
            for end in [0, 1] {
                if !lab.cables[wire].ends[end].present {
                    lab.join(wire, end);
                }
                self.plug(lab, wire, end);
            }
        }
        lab.advance(REST);
    }

    /// The wires of the best aggregator between two systems that know the same speeds.
    fn best(&self, lab: &Lab, systems: [usize; 2]) -> Vec<usize> {
        let wires: Vec<_> = (0..self.wires.len())
            .filter(|&wire| systems.iter().all(|system| self.wires[wire].systems.contains(system)))
            .collect();
        let identifier = |system: &usize| {
            let (address, priority) = self.systems[*system];
            (priority, address)
        };
        let lower = systems.into_iter().min_by_key(identifier).unwrap();
        let speed = |wire: usize| self.wires[wire].speeds[0];
        let aggregators = (0..SPEEDS.len()).map(|class| {
            let wires = wires.iter().copied().filter(|&wire| speed(wire) == class);
            wires.collect::<Vec<_>>()
        });
        let order = |wires: &Vec<usize>| {
            let bandwidth = wires.len() as u64 * SPEEDS[speed(wires[0])];
            let port = wires.iter().map(|&wire| {
                let end = self.wires[wire].systems.iter().position(|it| *it == lower).unwrap();
                lab.port(wire, end).actor().port
            });
            (std::cmp::Reverse(bandwidth), port.min())
        };
        aggregators.filter(|wires| !wires.is_empty()).min_by_key(order).unwrap()
    }
}

/// The wires on which a system sends, each with whether the other end accepts that.
pub fn sends(lab: &Lab, system: usize) -> Vec<(usize, bool)> {
    let sends = lab.ends_of(system).into_iter().filter_map(|(cable, end)| {
        let [here, there] = [end, 1 - end].map(|end| &lab.cables[cable].ends[end]);
        let sends = lab[system].distributing().bits() & 1 << here.slot != 0;
        sends.then(|| (cable, lab[there.system].collecting().bits() & 1 << there.slot != 0))
    });
    sends.collect()
}

/// Checks that what is sent is accepted, and that no port out of service has a partner that could be in
/// service.
#[track_caller]
pub fn all_is_taken_in(lab: &Lab) {
    for system in 0..lab.systems.len() {
        let sends = sends(lab, system);
        assert!(sends.iter().all(|(_, taken)| *taken), "{system}: {sends:?} {}", lab.describe());
        for (cable, end) in lab.ends_of(system) {
            let other = lab.cables[cable].ends[1 - end].system;
            let someone = !sends.is_empty() || lab[other].distributing().bits() != 0;
            assert!(someone, "{system} and {other} are not in service: {}", lab.describe());
        }
    }
}

/// The system with which a system is in service.
fn other(lab: &Lab, system: usize) -> Option<usize> {
    let &(cable, _) = sends(lab, system).first()?;
    let ends = &lab.cables[cable].ends;
    ends.iter().map(|end| end.system).find(|it| *it != system)
}

/// Checks that nothing moves any more.
pub fn stays(lab: &mut Lab) {
    let flapping = |lab: &Lab| lab.systems.iter().map(|it| it.lacp.flapping()).collect::<Vec<_>>();
    let before = flapping(lab);
    lab.advance(REST);
    all_is_taken_in(lab);
    assert_eq!(flapping(lab), before);
}

/// A partner that has gone, and one that is not heard on one of its links: what is given up follows from another
/// that was.
#[test]
fn f82_what_follows_from_a_choice_is_chosen_at_once() {
    let wire = |systems, speed: usize| Wire { systems, ranks: [0, 0], speeds: [speed; 2] };
    let world = World {
        systems: vec![(1, 0x8000), (2, 0x8000), (3, 0x8000)],
        wires: vec![wire([1, 0], 2), wire([1, 0], 0), wire([2, 1], 0)],
        joins: vec![(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0), (2, 0, 0), (2, 1, 1)],
        events: vec![Event::Mute(1, 1), Event::Unplug(2), Event::Pass(3_999)],
    };
    let mut lab = world.build();
    world.events.iter().for_each(|event| world.apply(&mut lab, event));
    world.end(&mut lab);
    all_is_taken_in(&lab);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256, failure_persistence: None, ..ProptestConfig::default()
    })]

    /// Between two systems the best aggregator is in service, unless one of them may have seen the other
    /// refuse it.
    #[test]
    fn f53_what_is_sent_is_taken_in(world in world(true)) {
        let mut lab = world.build();
        for event in &world.events {
            world.apply(&mut lab, event);
        }
        world.end(&mut lab);
        all_is_taken_in(&lab);
        if !world.events.iter().any(Event::is_silent) {
            for system in 0..lab.systems.len() {
                let Some(other) = other(&lab, system) else { continue };
                let wires: Vec<_> = sends(&lab, system).into_iter().map(|(wire, _)| wire).collect();
                let mut best = world.best(&lab, [system, other]);
                best.sort_by_key(|wire| wires.iter().position(|it| it == wire));
                prop_assert_eq!(wires, best, "{}", lab.describe());
            }
        }
        stays(&mut lab);
    }

    /// With speeds that only one end knows, or that differ.
    #[test]
    fn f53_what_is_sent_is_taken_in_where_ends_see_different_speeds(world in world(false)) {
        let mut lab = world.build();
        for event in &world.events {
            world.apply(&mut lab, event);
        }
        world.end(&mut lab);
        all_is_taken_in(&lab);
        // With more systems, each may prefer one that prefers another. They try each other for hours.
        if lab.systems.len() == 2 {
            stays(&mut lab);
        }
    }
}
