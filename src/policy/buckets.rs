//! Buckets: which flows go to which port, so that as few as possible move when ports come and go.
//!
//! A flow's hash names one of [`BUCKETS`], and a [`Table`] maps the bucket to a port's slot. The control
//! side rebuilds the table whenever the ports, or which of them are up, change. It keeps each bucket's home
//! in [`Homes`].
//!
//! # What holds after each rebuild
//! Let the *members* be the slots that have a port, and *up* those that carry flows.
//!
//! 1. **Even**: the buckets of any two slots that are up differ by one at most; so do the homes of
//!    any two members. So a port's share of the flows is that of its buckets, 1/n to within one
//!    bucket in 1,024. [`Table::shift`] makes ports carry the same traffic instead; what it has moved
//!    is at home there until a port joins or leaves.
//! 2. **Home**: a bucket whose home is up is there. So while all members are up, the table depends only on
//!    the homes, and these only on joins and leaves.
//! 3. **Second choice**: where the bucket goes if its slot, and no other, goes down next. It is a slot that
//!    is up, and keeps the table even after that. It depends only on the first choices. With one slot up
//!    there is none.
//!
//! # What moves
//! 4. When slots go down, any number of them at once, only their buckets move. If one goes alone, they move
//!    to their second choices.
//! 5. When a slot returns, the buckets whose home it is return to it. If all others are up, nothing else
//!    moves. If it went alone and nothing has changed since, exactly the buckets that it had return.
//!    Otherwise it also gets its share of the buckets whose home is down. Between other slots a bucket
//!    moves only to keep the table even: in random walks, fewer than two of 1,024 on average, and at most
//!    30.
//! 6. When a slot joins while all are up, buckets move only to it. When a slot leaves that was down while
//!    all others are up, nothing moves. If it was up, the same moves as when it goes down.

mod even;
mod level;

use zerocopy::{FromZeros, Immutable};

use crate::slots::{Slot, SlotMap, SlotSet};
pub use even::Moves;
use level::Level;

/// Buckets of a table: a power of two.
pub const BUCKETS: usize = 1024;

/// What packets read: the slot of each bucket. Zeroed, no bucket has one.
#[derive(FromZeros, Immutable)]
#[repr(transparent)]
pub struct Table([Bucket; BUCKETS]);

/// What the control side keeps besides the table. Zeroed, there have been no members.
#[derive(FromZeros)]
pub struct Homes {
    /// The home of each bucket, once there have been members.
    home: [Slot; BUCKETS],
    /// Scratch memory for a rebuild: a kernel stack has no room for it.
    sorted: Sorted,
    /// What the last rebuild was for.
    members: SlotSet,
    up: SlotSet,
}

/// The buckets, sorted by slot.
#[derive(FromZeros)]
struct Sorted {
    buckets: [u16; BUCKETS],
    /// Where each slot's buckets end.
    ends: SlotMap<u16>,
}

impl Sorted {
    /// Sorts all buckets, of which these are the slots. Buckets of the same slot keep their order.
    fn sort(&mut self, slots: impl Iterator<Item = Slot> + Clone) {
        self.ends = SlotMap::default();
        for slot in slots.clone() {
            self.ends[slot] += 1;
        }
        let mut next = 0;
        for end in self.ends.values_mut() {
            // Until all are placed, this is where they begin.
            (*end, next) = (next, next + *end);
        }
        for (bucket, slot) in (0..).zip(slots) {
            let end = &mut self.ends[slot];
            self.buckets[usize::from(*end) % BUCKETS] = bucket;
            *end += 1;
        }
    }

    /// The buckets of a slot.
    fn of(&self, slot: Slot) -> impl ExactSizeIterator<Item = usize> {
        let before = slot.number().checked_sub(1).map(Slot::from_low_bits);
        let start = before.map_or(0, |before| self.ends[before]);
        let buckets = self.buckets.get(start.into()..self.ends[slot].into()).unwrap_or_default();
        buckets.iter().map(|&bucket| usize::from(bucket) % BUCKETS)
    }
}

/// A bucket's first choice, its second, and the slot that it was on before that went down; the last two
/// repeat the first for none. 5 bits each, and a bit that is set if the bucket is in use.
#[derive(Clone, Copy, FromZeros, Immutable)]
#[repr(transparent)]
struct Bucket(u16);

impl Bucket {
    const EMPTY: Bucket = Bucket(0);
    const USED: u16 = 1 << 15;

    fn new(first: Slot, second: Slot, was: Slot) -> Self {
        let [first, second, was] = [first, second, was].map(|slot| u16::from(slot.number()));
        Bucket(Self::USED | was << 10 | second << 5 | first)
    }

    #[inline]
    fn is_used(self) -> bool {
        self.0 & Self::USED != 0
    }

    #[inline]
    fn first(self) -> Slot {
        Slot::from_low_bits(self.0 as u8)
    }

    #[inline]
    fn second(self) -> Slot {
        Slot::from_low_bits((self.0 >> 5) as u8)
    }

    fn was(self) -> Slot {
        Slot::from_low_bits((self.0 >> 10) as u8)
    }
}

impl Homes {
    /// Gives each member its share of homes. A bucket that has lost its home gets the slot where its flows
    /// are or, if that slot has left, their second choice.
    fn settle(&mut self, table: &Table, members: SlotSet) {
        let mut level = Level::new(members);
        for &home in self.home.iter().filter(|home| members.contains(**home)) {
            level.count(home, true);
        }
        level.cut();
        let mut last = Slot::LAST;
        for (home, bucket) in self.home.iter_mut().zip(&table.0) {
            if members.contains(*home) {
                if !level.releases(*home) {
                    continue;
                }
            } else if bucket.is_used() {
                let first = bucket.first();
                let there = if members.contains(first) { first } else { bucket.second() };
                if level.takes(there) {
                    *home = there;
                    continue;
                }
            }
            last = level.give(last);
            *home = last;
        }
    }

    /// The members that were up at the last rebuild.
    pub fn carrying(&self) -> SlotSet {
        self.members & self.up
    }

    /// Whether the last rebuild was for these members, of which these were up.
    pub fn are_of(&self, members: SlotSet, up: SlotSet) -> bool {
        (self.members, self.up) == (members, up)
    }
}

impl Table {
    /// Copies `other` in place: a kernel stack has no room for a table.
    pub fn copy_from(&mut self, other: &Table) {
        self.0.copy_from_slice(&other.0);
    }

    /// The bucket of a hash. It stands for the hash in all that a table is asked.
    #[inline(always)]
    pub fn bucket_of(hash: u32) -> u32 {
        // The low bits, because a shifted flow id has only those.
        hash % BUCKETS as u32
    }

    /// The slot for a hash. None if there are no members.
    #[inline]
    pub fn first(&self, hash: u32) -> Option<Slot> {
        let bucket = self.bucket(hash);
        bucket.is_used().then(|| bucket.first())
    }

    /// The same, but an arbitrary slot if there are no members.
    #[inline]
    pub fn slot(&self, hash: u32) -> Slot {
        self.bucket(hash).first()
    }

    /// The slot for a hash if the first choice is down. None if no other is up.
    #[inline]
    pub fn second(&self, hash: u32) -> Option<Slot> {
        let bucket = self.bucket(hash);
        (bucket.second() != bucket.first()).then(|| bucket.second())
    }

    /// How many buckets go to `slot`.
    pub fn count(&self, slot: Slot) -> usize {
        self.0.iter().filter(|bucket| bucket.is_used() && bucket.first() == slot).count()
    }

    #[inline]
    fn bucket(&self, hash: u32) -> Bucket {
        self.0[Self::bucket_of(hash) as usize]
    }

    /// Rebuilds the table in place for these members, of which these are up; if none is, all count as up.
    /// The table must be the result of the last rebuild with these homes, a copy of it, or zeroed. In the
    /// last case the flows of slots that are down are spread again.
    pub fn rebuild(&mut self, homes: &mut Homes, members: SlotSet, up: SlotSet) {
        let (is_first, joined_or_left) = (homes.members.is_empty(), homes.members != members);
        (homes.members, homes.up) = (members, up);
        if members.is_empty() {
            self.0.fill(Bucket::EMPTY);
            return;
        }
        let up = if (up & members).is_empty() { members } else { up & members };
        if is_first && up == members {
            self.deal(homes, members);
        } else {
            if joined_or_left {
                homes.settle(self, members);
            }
            self.choose_first(homes, members, up);
        }
        self.choose_second(homes, up);
    }

    /// For a first table with all members up: deals the buckets in turn.
    fn deal(&mut self, homes: &mut Homes, members: SlotSet) {
        let mut slot = Slot::LAST;
        for (bucket, home) in self.0.iter_mut().zip(&mut homes.home) {
            slot = members.next_after(slot);
            (*bucket, *home) = (Bucket::new(slot, slot, slot), slot);
        }
    }

    fn choose_first(&mut self, homes: &mut Homes, members: SlotSet, up: SlotSet) {
        let mut level = Level::new(up);
        let mut before = SlotSet::EMPTY;
        for (bucket, &home) in self.0.iter_mut().zip(&homes.home) {
            if !bucket.is_used() {
                *bucket = Bucket::new(home, home, home);
            }
            before.insert(bucket.first());
            // A bucket goes home if that is up, else it stays if its slot is up.
            let Some(to) = [home, bucket.first()].into_iter().find(|to| up.contains(*to)) else {
                continue;
            };
            let was = if to != home && members.contains(bucket.was()) { bucket.was() } else { to };
            *bucket = Bucket::new(to, bucket.second(), was);
            level.count(to, to != home);
        }
        // Or it goes back to where it was before that went down, if both slots stay even.
        for bucket in &mut self.0 {
            let (first, was) = (bucket.first(), bucket.was());
            if first != was && up.contains(first) && up.contains(was) {
                let to = if level.moves(first, was) { was } else { first };
                *bucket = Bucket::new(to, bucket.second(), to);
            }
        }
        level.cut();
        if (members - up).is_empty() {
            return;
        }
        let alone = (up - before).is_empty() && (before - up).len() == 1;
        // Taken by home, so that each slot releases some of each home. When a home returns, all slots then
        // have about as many of its buckets to give up.
        homes.sorted.sort(homes.home.iter().copied());
        for gone in (members - up).iter() {
            let mut last = gone;
            for bucket in homes.sorted.of(gone) {
                let bucket = &mut self.0[bucket];
                let (first, mut was) = (bucket.first(), bucket.was());
                if !up.contains(first) {
                    was = first;
                    if alone && level.takes(bucket.second()) {
                        *bucket = Bucket::new(bucket.second(), bucket.second(), was);
                        continue;
                    }
                } else if !level.releases(first) {
                    continue;
                }
                last = level.give(last);
                *bucket = Bucket::new(last, last, if up.contains(was) { last } else { was });
            }
        }
    }

    /// Deals each slot's buckets to the others in turn, in each round first to those that have one less.
    fn choose_second(&mut self, homes: &mut Homes, up: SlotSet) {
        homes.sorted.sort(self.0.iter().map(|bucket| bucket.first()));
        let least = BUCKETS / up.len().max(1) as usize;
        let has_one_less = |slot: &Slot| homes.sorted.of(*slot).len() <= least;
        let one_less: SlotSet = up.iter().filter(has_one_less).collect();
        for slot in up.iter() {
            let others = if up.len() == 1 { up } else { up - slot.into() };
            let (mut last, mut rest) = (slot, SlotSet::EMPTY);
            for bucket in homes.sorted.of(slot) {
                rest = if rest.is_empty() { others } else { rest };
                let first = rest & one_less;
                last = if first.is_empty() { rest } else { first }.next_after(last);
                rest.remove(last);
                let bucket = &mut self.0[bucket];
                *bucket = Bucket::new(slot, last, bucket.was());
            }
        }
    }
}

#[cfg(test)]
mod tests;
