//! Levels: who has too many buckets, and who too few.

use super::{BUCKETS, SLOTS};
use crate::slots::{bit, has};

/// How many buckets each slot has, and how many it is to have.
pub(super) struct Level {
    slots: u32,
    /// Each of the slots is to have as many,
    least: u16,
    /// and of all so many still one more.
    extra: u16,
    count: [u16; SLOTS],
    movable: [u16; SLOTS],
    excess: [u16; SLOTS],
    /// Bresenham's: what is released is spread over what is there.
    error: [u16; SLOTS],
    /// Those of the slots that have too few, once all are counted.
    too_few: u32,
}

impl Level {
    pub fn new(slots: u32) -> Self {
        let number = slots.count_ones().max(1) as u16;
        Level {
            slots,
            least: BUCKETS as u16 / number,
            extra: BUCKETS as u16 % number,
            count: [0; SLOTS],
            movable: [0; SLOTS],
            excess: [0; SLOTS],
            error: [0; SLOTS],
            too_few: 0,
        }
    }

    /// Counts a bucket that a slot has.
    pub fn count(&mut self, slot: u8, movable: bool) {
        let slot = usize::from(slot) % SLOTS;
        self.count[slot] += 1;
        self.movable[slot] += u16::from(movable);
    }

    /// Moves a counted bucket, if the one slot can spare it and the other has room.
    pub fn moves(&mut self, from: u8, to: u8) -> bool {
        let [from, to] = [from, to].map(|slot| usize::from(slot) % SLOTS);
        let moves = self.count[from] > self.least && self.count[to] <= self.least;
        if moves {
            self.count[from] -= 1;
            self.movable[from] -= 1;
            self.count[to] += 1;
            self.movable[to] += 1;
        }
        moves
    }

    /// All are counted: those that have too many are to release them.
    pub fn cut(&mut self) {
        for slot in 0..SLOTS {
            let count = self.count[slot];
            if !has(self.slots, slot as u8) {
                continue;
            }
            if count < self.least {
                self.too_few |= bit(slot as u8);
            } else if count > self.least {
                let more = self.extra.min(1);
                self.extra -= more;
                self.count[slot] = self.least + more;
                self.excess[slot] = count - self.count[slot];
            }
        }
    }

    /// Whether a movable bucket of a slot is one that it releases. To be asked of each.
    pub fn releases(&mut self, slot: u8) -> bool {
        let slot = usize::from(slot) % SLOTS;
        let error = self.error[slot].saturating_add(self.excess[slot]);
        let releases = error >= self.movable[slot];
        self.error[slot] = if releases { error - self.movable[slot] } else { error };
        releases
    }

    /// Gives a slot a bucket, if it is to have more.
    pub fn takes(&mut self, slot: u8) -> bool {
        let count = self.count[usize::from(slot) % SLOTS];
        let more = u16::from(count == self.least);
        if !has(self.slots, slot) || count > self.least || more > self.extra {
            return false;
        }
        self.extra -= more;
        self.add(slot);
        true
    }

    fn add(&mut self, slot: u8) {
        let count = &mut self.count[usize::from(slot) % SLOTS];
        *count += 1;
        if *count >= self.least {
            self.too_few &= !bit(slot);
        }
    }

    /// Gives a bucket to the next slot after `last` that has too few, else to one that may have one
    /// more.
    pub fn give(&mut self, last: u8) -> u8 {
        if self.too_few != 0 {
            let slot = next(self.too_few, last);
            self.add(slot);
            return slot;
        }
        let mut rest = self.slots;
        while rest != 0 {
            let slot = next(rest, last);
            if self.takes(slot) {
                return slot;
            }
            rest &= !bit(slot);
        }
        // Not reached: there are as many places as buckets.
        next(self.slots, last)
    }
}

/// The first of the slots after `last`, around the end if need be.
pub(super) fn next(slots: u32, last: u8) -> u8 {
    let from = u32::from(last).wrapping_add(1);
    ((slots.rotate_right(from).trailing_zeros() + from) % u32::BITS) as u8
}
