//! Which buckets to move so that ports carry the same traffic.

use arrayvec::ArrayVec;

use super::{BUCKETS, Homes, Table};
use crate::slots::{Slot, SlotMap, SlotSet};

/// Moves of buckets: which, and to which slot.
pub type Moves = ArrayVec<(u16, Slot), MOST>;

/// How many buckets move at a time, at most.
const MOST: usize = 64;

/// Fewer bytes are not worth a move.
const LEAST: u64 = 65_536;

impl Table {
    /// The moves that bring the slots in `up` nearer to each other than a tenth, by what each bucket has
    /// carried; few, and from the slot with most to that with least. A bucket that would take the excess
    /// with it stays, and so does one that would hardly change it.
    pub fn moves(&self, up: SlotSet, load: impl Fn(usize) -> u64) -> Moves {
        let mut moves = Moves::new();
        let mut loads = SlotMap::<u64>::default();
        for (bucket, entry) in self.0.iter().enumerate() {
            loads[entry.first()] += load(bucket);
        }
        let total: u64 = up.iter().map(|slot| loads[slot]).sum();
        let near = (total / u64::from(up.len().max(1)) / 10).max(LEAST);
        while !moves.is_full() {
            let most = up.iter().max_by_key(|slot| loads[*slot]);
            let (Some(from), Some(to)) = (most, up.iter().min_by_key(|slot| loads[*slot])) else {
                break;
            };
            let excess = loads[from] - loads[to];
            if excess <= near {
                break;
            }
            let moved =
                |bucket: usize| moves.iter().any(|(other, _)| usize::from(*other) == bucket);
            let there = (0..BUCKETS).filter(|bucket| self.0[*bucket].first() == from);
            let movable = there.filter(|bucket| {
                let load = load(*bucket);
                let helps = excess / (2 * MOST as u64)..=excess / 4 * 3;
                load != 0 && helps.contains(&load) && !moved(*bucket)
            });
            let Some(best) = movable.min_by_key(|bucket| excess.abs_diff(2 * load(*bucket))) else {
                break;
            };
            loads[from] -= load(best);
            loads[to] += load(best);
            moves.push((best as u16, to));
        }
        moves
    }

    /// Makes these moves in place; of those to slots that are not up any more, none.
    pub fn shift(&mut self, homes: &mut Homes, moves: &Moves) {
        let up = homes.carrying();
        for &(bucket, to) in moves.iter().filter(|(_, to)| up.contains(*to)) {
            let bucket = usize::from(bucket) % BUCKETS;
            homes.home[bucket] = to;
            self.0[bucket] = super::Bucket::new(to, to, to);
        }
        self.choose_second(homes, up);
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    fn table(slots: u32) -> (Table, Homes, SlotSet) {
        let (mut table, mut homes) = (Table::new_zeroed(), Homes::new_zeroed());
        let up = SlotSet::from_bits((1 << slots) - 1);
        table.rebuild(&mut homes, up, up);
        (table, homes, up)
    }

    fn loads(table: &Table, up: SlotSet, load: impl Fn(usize) -> u64) -> Vec<u64> {
        let of = |slot| {
            let there = (0..BUCKETS).filter(|bucket| table.0[*bucket].first() == slot);
            there.map(&load).sum()
        };
        up.iter().map(of).collect()
    }

    fn is_even(loads: &[u64]) -> bool {
        let (least, most) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
        let mean = loads.iter().sum::<u64>() / loads.len() as u64;
        most - least <= (mean / 10).max(LEAST)
    }

    /// Some heavy flows on one slot, many light ones everywhere.
    #[test]
    fn few_moves_even_out_what_ports_carry() {
        for slots in 2..9 {
            let (mut table, mut homes, up) = table(slots);
            let slot_of: Vec<u8> =
                (0..BUCKETS).map(|bucket| table.0[bucket].first().number()).collect();
            let heavy = |bucket: usize| slot_of[bucket] == 0 && bucket.is_multiple_of(16);
            let load = |bucket: usize| if heavy(bucket) { 640_000 } else { 6_400 };
            let mut rounds = 0;
            while !is_even(&loads(&table, up, load)) {
                let moves = table.moves(up, load);
                assert!(!moves.is_empty(), "{slots}");
                table.shift(&mut homes, &moves);
                rounds += 1;
                assert!(rounds < 6, "{slots}: {:?}", loads(&table, up, load));
            }
            assert!(rounds > 0 && table.moves(up, load).is_empty());
        }
    }

    /// A flow that is most of the traffic would take the excess with it.
    #[test]
    fn one_heavy_flow_does_not_swing() {
        let (table, _, up) = table(2);
        assert!(table.moves(up, |bucket| if bucket == 6 { 64_000_000 } else { 0 }).is_empty());
        assert!(table.moves(up, |_| 0).is_empty());
        // Nearly as heavy as the excess.
        let load = |bucket| match bucket {
            0 => 64_000_000,
            1 => 3_200_000,
            _ => 0,
        };
        assert!(table.moves(up, load).is_empty());
    }

    /// Moved buckets stay when another port goes down and comes back, and only its own move then.
    #[test]
    fn a_link_that_goes_down_does_not_undo_it() {
        let (mut table, mut homes, up) = table(4);
        let moves = [(0, 3), (4, 3), (8, 3), (12, 2)];
        let moves = moves.map(|(bucket, to)| (bucket, Slot::new(to).unwrap()));
        table.shift(&mut homes, &moves.into_iter().collect());
        let before: Vec<_> = table.0.iter().map(|bucket| bucket.first()).collect();
        let down = Slot::new(1).unwrap();
        table.rebuild(&mut homes, up, up - down.into());
        for (bucket, was) in before.iter().enumerate().filter(|(_, was)| **was != down) {
            assert_eq!(table.0[bucket].first(), *was, "bucket {bucket}");
        }
        table.rebuild(&mut homes, up, up);
        let after: Vec<_> = table.0.iter().map(|bucket| bucket.first()).collect();
        assert_eq!(after, before);
        // Its second choice is another slot.
        assert!(table.0.iter().all(|bucket| bucket.second() != bucket.first()));
    }
}
