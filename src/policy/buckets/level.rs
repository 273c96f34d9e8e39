//! Levels: which slots have too many buckets, and which too few.

use super::BUCKETS;
use crate::slots::{Slot, SlotMap, SlotSet};

/// How many buckets each slot has, and how many it should have.
pub(super) struct Level {
    slots: SlotSet,
    /// The buckets that every slot gets.
    least: u16,
    /// The number of slots that may still get one more.
    extra: u16,
    count: SlotMap<u16>,
    movable: SlotMap<u16>,
    excess: SlotMap<u16>,
    /// Bresenham's error term: it spreads the released buckets over all movable ones.
    error: SlotMap<u16>,
    /// The slots that have too few, once all are counted.
    too_few: SlotSet,
}

impl Level {
    pub fn new(slots: SlotSet) -> Self {
        let number = slots.len().max(1) as u16;
        Level {
            slots,
            least: BUCKETS as u16 / number,
            extra: BUCKETS as u16 % number,
            count: SlotMap::default(),
            movable: SlotMap::default(),
            excess: SlotMap::default(),
            error: SlotMap::default(),
            too_few: SlotSet::EMPTY,
        }
    }

    /// Counts a bucket that a slot has.
    pub fn count(&mut self, slot: Slot, movable: bool) {
        self.count[slot] += 1;
        self.movable[slot] += u16::from(movable);
    }

    /// Moves a counted bucket, if the one slot can spare it and the other has room.
    pub fn moves(&mut self, from: Slot, to: Slot) -> bool {
        let moves = self.count[from] > self.least && self.count[to] <= self.least;
        if moves {
            self.count[from] -= 1;
            self.movable[from] -= 1;
            self.count[to] += 1;
            self.movable[to] += 1;
        }
        moves
    }

    /// All are counted: finds the slots with too few, and how many the others must release.
    pub fn cut(&mut self) {
        for slot in self.slots.iter() {
            let count = self.count[slot];
            if count < self.least {
                self.too_few.insert(slot);
            } else if count > self.least {
                let more = self.extra.min(1);
                self.extra -= more;
                self.count[slot] = self.least + more;
                self.excess[slot] = count - self.count[slot];
            }
        }
    }

    /// Whether a slot releases its next movable bucket. Call it once for each of them.
    pub fn releases(&mut self, slot: Slot) -> bool {
        let error = self.error[slot].saturating_add(self.excess[slot]);
        let releases = error >= self.movable[slot];
        self.error[slot] = if releases { error - self.movable[slot] } else { error };
        releases
    }

    /// Gives a slot a bucket, if it should have more. Returns whether it did.
    pub fn takes(&mut self, slot: Slot) -> bool {
        let count = self.count[slot];
        let more = u16::from(count == self.least);
        if !self.slots.contains(slot) || count > self.least || more > self.extra {
            return false;
        }
        self.extra -= more;
        self.add(slot);
        true
    }

    fn add(&mut self, slot: Slot) {
        let count = &mut self.count[slot];
        *count += 1;
        if *count >= self.least {
            self.too_few.remove(slot);
        }
    }

    /// Gives a bucket to the next slot after `last` that has too few, else to the next that may have one
    /// more. Returns that slot.
    pub fn give(&mut self, last: Slot) -> Slot {
        if !self.too_few.is_empty() {
            let slot = self.too_few.next_after(last);
            self.add(slot);
            return slot;
        }
        let mut rest = self.slots;
        while !rest.is_empty() {
            let slot = rest.next_after(last);
            if self.takes(slot) {
                return slot;
            }
            rest.remove(slot);
        }
        // Not reached: there are as many places as buckets.
        self.slots.next_after(last)
    }
}
