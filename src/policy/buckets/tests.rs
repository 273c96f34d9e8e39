//! Tests of what holds after each rebuild, and of what moves.

use std::iter::zip;

use super::*;

/// A table with its homes, members and the members that are up. Each rebuild is checked.
struct Lab {
    table: Table,
    homes: Homes,
    members: SlotSet,
    up: SlotSet,
    /// Buckets that moved between slots that stayed up when one returned: the most at once, and all
    /// together.
    strays: (u32, u32),
}

/// The difference between the most and the fewest that a slot of the set has.
fn span(set: SlotSet, of: impl Iterator<Item = Slot>) -> u32 {
    let mut counts = SlotMap::<u32>::default();
    of.for_each(|slot| counts[slot] += 1);
    assert!(counts.iter().all(|(slot, count)| set.contains(slot) || *count == 0));
    let counts = || set.iter().map(|slot| counts[slot]);
    counts().max().unwrap() - counts().min().unwrap()
}

impl Lab {
    fn new() -> Self {
        Lab {
            table: Table::new_zeroed(),
            homes: Homes::new_zeroed(),
            members: SlotSet::EMPTY,
            up: SlotSet::EMPTY,
            strays: (0, 0),
        }
    }

    /// Tries from here each change of a slot: go down, return, leave, join.
    fn each_change(&self, slot: Slot) {
        let (members, up) = (self.members, self.up);
        let step = |members, up| {
            let mut lab = self.copy();
            lab.set(members, up);
            lab
        };
        if !members.contains(slot) {
            let joined = step(members | slot.into(), up | slot.into());
            // 6
            if up == members && !members.is_empty() {
                let moved = zip(self.first(), joined.first()).filter(|(old, new)| old != new);
                assert!(moved.into_iter().all(|(_, new)| new == slot));
            }
            return;
        }
        let rest = members - slot.into();
        let left = step(rest, up - slot.into());
        if !up.contains(slot) {
            let returned = step(members, up | slot.into());
            assert!(returned.first().contains(&slot));
            if rest == up {
                assert!(up.is_empty() || left.first() == self.first(), "6");
            }
            return;
        }
        let mut down = step(members, up - slot.into());
        if up == members && members.len() > 1 {
            assert_eq!(left.first(), down.first(), "6");
            down.set(members, up);
            assert_eq!(self.first(), down.first(), "5");
        }
    }

    fn copy(&self) -> Lab {
        let mut table = Table::new_zeroed();
        table.copy_from(&self.table);
        Lab { table, homes: Homes { sorted: Sorted::new_zeroed(), ..self.homes }, ..*self }
    }

    fn first(&self) -> Vec<Slot> {
        (0..1024).map(|hash| self.table.first(hash).unwrap()).collect()
    }

    /// Rebuilds, and checks what always holds.
    fn set(&mut self, members: SlotSet, up: SlotSet) {
        let (mut old, old_members, old_up) = (Table::new_zeroed(), self.members, self.up);
        old.copy_from(&self.table);
        self.table.rebuild(&mut self.homes, members, up);
        let up = if up.is_empty() { members } else { up };
        (self.members, self.up) = (members, up);
        if members.is_empty() {
            assert!((0..2048).all(|hash| self.table.first(hash).is_none()));
            assert!((0..2048).all(|hash| self.table.second(hash).is_none()));
            return;
        }
        let first = self.first();
        let second = |hash: usize| self.table.second(hash as u32);
        // 1
        assert!(span(up, first.iter().copied()) <= 1, "{members:?} {up:?}");
        assert!(span(members, self.homes.home.iter().copied()) <= 1);
        for (hash, (&first, &home)) in first.iter().zip(&self.homes.home).enumerate() {
            // 2
            assert!(first == home || !up.contains(home));
            // 3
            match second(hash) {
                None => assert_eq!(up.len(), 1),
                Some(second) => assert!(up.contains(second) && second != first),
            }
        }
        // 3, 4: each slot that may go down next
        if up.len() > 1 {
            for gone in up.iter() {
                let after = |hash: usize| match first[hash] {
                    slot if slot == gone => second(hash).unwrap(),
                    slot => slot,
                };
                assert!(span(up - gone.into(), (0..1024).map(after)) <= 1);
            }
        }
        if old_members.is_empty() || members != old_members {
            return;
        }
        let old_first = |hash: usize| old.first(hash as u32).unwrap();
        let moved = || (0..1024).filter(|&hash| old_first(hash) != first[hash]);
        if up & old_up == up {
            assert!(moved().all(|hash| !up.contains(old_first(hash))), "4");
            if (old_up - up).len() == 1 {
                assert!(moved().all(|hash| old.second(hash as u32) == Some(first[hash])));
            }
        }
        if (up - old_up).len() == 1 && (old_up - up).is_empty() {
            let stray = |hash: &usize| old_up.contains(first[*hash]);
            let strays = moved().filter(stray).count() as u32;
            self.strays.0 = self.strays.0.max(strays);
            self.strays.1 += strays;
            if up == members {
                assert!(moved().all(|hash| (up - old_up).contains(self.homes.home[hash])), "5");
            }
        }
    }
}

fn all(number: u32) -> SlotSet {
    SlotSet::from_bits(u32::MAX.checked_shr(32 - number).unwrap_or(0))
}

fn random(seed: u64) -> impl FnMut(u32) -> u32 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        ((state >> 33) % u64::from(below)) as u32
    }
}

fn sets(random: &mut impl FnMut(u32) -> u32) -> SlotSet {
    SlotSet::from_bits(random(u32::MAX))
}

/// The set with a slot added, or removed if it was in.
fn flipped(set: SlotSet, slot: Slot) -> SlotSet {
    if set.contains(slot) { set - slot.into() } else { set | slot.into() }
}

#[test]
fn empty() {
    let mut lab = Lab::new();
    assert_eq!((lab.table.first(7), lab.table.second(7)), (None, None));
    let none = SlotSet::EMPTY;
    lab.set(none, none);
    let two = Slot::from_low_bits(2);
    lab.set(two.into(), none);
    assert_eq!((lab.table.first(7), lab.table.second(7)), (Some(two), None));
    lab.set(none, none);
    assert_eq!(size_of::<Table>(), 2048);
    assert_eq!(size_of::<Homes>(), 3144);
    assert!(size_of::<Level>() < 300);
}

/// With any number of ports, any one goes and returns.
#[test]
fn one_goes_and_returns() {
    for number in 1..=32 {
        let mut lab = Lab::new();
        lab.set(all(number), all(number));
        let home = lab.first();
        let second = |lab: &Lab| (0..1024).map(|hash| lab.table.second(hash)).collect::<Vec<_>>();
        let next = second(&lab);
        for gone in all(number).iter() {
            lab.set(all(number), all(number) - gone.into());
            if number > 1 {
                let first = lab.first();
                assert!((0..1024).all(|hash| (home[hash] == gone) != (home[hash] == first[hash])));
            }
            lab.set(all(number), all(number));
            assert_eq!(lab.first(), home);
            assert_eq!(second(&lab), next);
        }
        assert_eq!(lab.strays, (0, 0));
    }
}

/// Whatever was before, a slot that goes and is the first to return gets exactly what it had.
#[test]
fn the_last_to_go_returns_as_it_was() {
    let mut random = random(3);
    for number in 2..=32 {
        let mut lab = Lab::new();
        for _ in 0..16 {
            let up = sets(&mut random) & all(number);
            lab.set(all(number), up);
            if lab.up.len() < 2 {
                continue;
            }
            let (up, before) = (lab.up, lab.first());
            let gone = up.iter().nth(random(up.len()) as usize).unwrap();
            lab.set(all(number), up - gone.into());
            lab.set(all(number), up);
            assert_eq!(lab.first(), before);
        }
    }
}

/// All subsets of up to eight ports, and each change of each of them.
#[test]
fn each_subset() {
    for number in 1..=8 {
        let mut steps = 0;
        let mut lab = Lab::new();
        for up in (1..=all(number).bits()).map(SlotSet::from_bits) {
            for slot in all(number).iter() {
                lab.set(all(number), up);
                lab.set(all(number), flipped(up, slot));
                steps += 1;
            }
        }
        assert!(lab.strays.0 <= 32 && lab.strays.1 <= steps, "{:?}", lab.strays);
    }
}

/// The tables of 0 to 32 ports that are all up, and each single change of each of them: a port
/// goes down, comes back, leaves, or another joins, in any slot.
#[test]
fn each_change_of_each_number_of_ports() {
    for number in 0..=32 {
        let mut base = Lab::new();
        base.set(all(number), all(number));
        Slot::all().for_each(|slot| base.each_change(slot));
    }
}

/// All pairs of changes of which the first takes a port down.
#[test]
#[ignore = "takes minutes without optimisation"]
fn each_two_changes_of_each_number_of_ports() {
    for number in 1..=32 {
        for gone in all(number).iter() {
            let mut base = Lab::new();
            base.set(all(number), all(number));
            base.set(all(number), all(number) - gone.into());
            Slot::all().for_each(|slot| base.each_change(slot));
        }
    }
}

/// One port after another goes or comes.
#[test]
fn a_random_walk() {
    let mut random = random(1);
    let (mut all_strays, mut all_returns) = (0, 0);
    for number in 2..=32 {
        let mut lab = Lab::new();
        lab.set(all(number), all(number));
        let (mut up, mut returns) = (all(number), 0);
        for _ in 0..300 {
            let slot = Slot::from_low_bits(random(number) as u8);
            up = flipped(up, slot);
            returns += u32::from(up.contains(slot));
            lab.set(all(number), up);
        }
        let (most, strays) = lab.strays;
        assert!(
            most <= 24 && strays <= if number > 4 { 3 * returns } else { 0 },
            "{most}, {strays}"
        );
        all_strays += strays;
        all_returns += returns;
    }
    assert!(all_strays * 4 <= all_returns * 3, "{all_strays} {all_returns}");
}

/// Any number of ports go and come at once, join and leave.
#[test]
fn a_random_walk_of_members() {
    let mut random = random(2);
    let mut lab = Lab::new();
    for _ in 0..1500 {
        let some = [u32::MAX, u32::MAX, u32::MAX << 16, 0xff, 0b111][random(5) as usize];
        let some = SlotSet::from_bits(some);
        let mut members = lab.members;
        match random(4) {
            0 => members = sets(&mut random) & some,
            1 => members = flipped(members, Slot::from_low_bits(random(32) as u8)),
            _ => {}
        }
        lab.set(members, sets(&mut random) & sets(&mut random) & members);
    }
}

/// Joining takes from all; leaving gives back to all.
#[test]
fn members_join_and_leave() {
    let mut lab = Lab::new();
    for number in 1..=32 {
        let before = (number > 1).then(|| lab.first());
        lab.set(all(number), all(number));
        let after = lab.first();
        for (before, after) in before.into_iter().flatten().zip(after) {
            assert!(before == after || u32::from(after.number()) == number - 1);
        }
    }
    let mut random = random(4);
    while lab.members.len() > 1 {
        let gone = lab.members.iter().nth(random(lab.members.len()) as usize).unwrap();
        let rest = lab.members - gone.into();
        let before = lab.first();
        // Whether it goes down before it leaves or not, the same flows move to the same ports.
        let expected = (0..1024).map(|hash: u32| match lab.table.first(hash) {
            Some(slot) if slot == gone => lab.table.second(hash).unwrap(),
            _ => before[hash as usize],
        });
        let expected: Vec<_> = expected.collect();
        if random(2) == 0 {
            lab.set(lab.members, rest);
        }
        lab.set(rest, rest);
        assert_eq!(lab.first(), expected);
    }
}

/// Small consecutive flow ids are spread as evenly as by C lagg's remainder.
#[test]
fn neighbours_go_to_different_slots() {
    for number in 1..=32 {
        let mut lab = Lab::new();
        lab.set(all(number), all(number));
        let few = (0..number).map(|hash| lab.table.first(hash).unwrap());
        assert_eq!(span(all(number), few), 0);
    }
}
