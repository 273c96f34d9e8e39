//! Slots: a lagg has 32, and each of its ports has one for as long as it is a port.

use core::ops::{BitAnd, BitOr, Index, IndexMut, Sub};

use zerocopy::{FromZeros, Immutable};

/// A slot, 0 to 31.
///
/// # Invariants
/// The number is less than [`Slot::COUNT`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, FromZeros, Immutable)]
#[repr(transparent)]
pub struct Slot(u8);

impl Slot {
    /// The number of slots of a lagg (`LAGG_MAX_PORTS`).
    pub const COUNT: usize = 32;

    /// The last slot, which the first one follows.
    pub const LAST: Slot = Slot(Self::MASK);

    const MASK: u8 = Self::COUNT as u8 - 1;

    /// The slot with this number; none if there is no such slot.
    #[inline]
    pub const fn new(number: usize) -> Option<Self> {
        // INVARIANT: checked here.
        if number < Self::COUNT { Some(Slot(number as u8)) } else { None }
    }

    /// The slot whose number is the lowest five bits.
    #[inline]
    pub const fn from_low_bits(bits: u8) -> Self {
        // INVARIANT: five bits.
        Slot(bits & Self::MASK)
    }

    /// Its number.
    #[inline]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// All slots, in order.
    pub fn all() -> impl Iterator<Item = Slot> + Clone {
        SlotSet::ALL.iter()
    }

    /// Its place in an array of [`Slot::COUNT`]. Masked, because the compiler does not know the invariant.
    #[inline]
    const fn place(self) -> usize {
        (self.0 & Self::MASK) as usize
    }
}

/// The place in an array of [`Slot::COUNT`].
impl From<Slot> for usize {
    #[inline]
    fn from(slot: Slot) -> Self {
        slot.place()
    }
}

/// A set of slots.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, FromZeros, Immutable)]
#[repr(transparent)]
pub struct SlotSet(u32);

impl SlotSet {
    /// No slot.
    pub const EMPTY: SlotSet = SlotSet(0);

    /// All slots.
    pub const ALL: SlotSet = SlotSet(u32::MAX);

    /// The set of the slots whose bits are set.
    #[inline]
    pub const fn from_bits(bits: u32) -> Self {
        SlotSet(bits)
    }

    /// The set as bits.
    #[inline]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether a slot is in it.
    #[inline]
    pub const fn contains(self, slot: Slot) -> bool {
        self.0 & SlotSet::from_slot(slot).0 != 0
    }

    #[inline]
    const fn from_slot(slot: Slot) -> Self {
        SlotSet(1_u32.wrapping_shl(slot.0 as u32))
    }

    /// Adds a slot.
    #[inline]
    pub fn insert(&mut self, slot: Slot) {
        *self = *self | slot.into();
    }

    /// Removes a slot.
    #[inline]
    pub fn remove(&mut self, slot: Slot) {
        *self = *self - slot.into();
    }

    /// Whether no slot is in it.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many slots are in it.
    #[inline]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Its slots, in order.
    pub fn iter(self) -> impl Iterator<Item = Slot> + Clone {
        (0..Slot::COUNT as u8).map(Slot).filter(move |slot| self.contains(*slot))
    }

    /// The `n`-th of its slots, from 0.
    pub fn nth(self, n: u32) -> Option<Slot> {
        let rest = (0..n).fold(self.0, |set, _| set & set.wrapping_sub(1));
        Slot::new(rest.trailing_zeros() as usize)
    }

    /// The next of its slots after this one, from the beginning again after the end; an arbitrary slot if
    /// it is empty.
    pub fn next_after(self, slot: Slot) -> Slot {
        let from = u32::from(slot.0).wrapping_add(1);
        let steps = self.0.rotate_right(from).trailing_zeros();
        Slot::from_low_bits(steps.wrapping_add(from) as u8)
    }
}

impl From<Slot> for SlotSet {
    #[inline]
    fn from(slot: Slot) -> Self {
        SlotSet::from_slot(slot)
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        slots.into_iter().fold(SlotSet::EMPTY, |set, slot| set | slot.into())
    }
}

impl BitOr for SlotSet {
    type Output = SlotSet;

    #[inline]
    fn bitor(self, other: SlotSet) -> SlotSet {
        SlotSet(self.0 | other.0)
    }
}

impl BitAnd for SlotSet {
    type Output = SlotSet;

    #[inline]
    fn bitand(self, other: SlotSet) -> SlotSet {
        SlotSet(self.0 & other.0)
    }
}

/// The slots of the first set that are not in the second.
impl Sub for SlotSet {
    type Output = SlotSet;

    #[inline]
    fn sub(self, other: SlotSet) -> SlotSet {
        SlotSet(self.0 & !other.0)
    }
}

/// A value for each slot.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, FromZeros)]
#[repr(transparent)]
pub struct SlotMap<T>([T; Slot::COUNT]);

impl<T> SlotMap<T> {
    /// The values that `make` returns for each slot.
    pub fn from_fn(mut make: impl FnMut(Slot) -> T) -> Self {
        SlotMap(core::array::from_fn(|place| make(Slot::from_low_bits(place as u8))))
    }

    /// These values, in the order of the slots.
    pub const fn new(values: [T; Slot::COUNT]) -> Self {
        SlotMap(values)
    }

    /// The slots and their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &T)> {
        Slot::all().zip(&self.0)
    }

    /// The values, in order.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut()
    }
}

impl<T> Index<Slot> for SlotMap<T> {
    type Output = T;

    #[inline]
    fn index(&self, slot: Slot) -> &T {
        &self.0[slot.place()]
    }
}

impl<T> IndexMut<Slot> for SlotMap<T> {
    #[inline]
    fn index_mut(&mut self, slot: Slot) -> &mut T {
        &mut self.0[slot.place()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(numbers: &[usize]) -> SlotSet {
        numbers.iter().map(|number| Slot::new(*number).unwrap()).collect()
    }

    #[test]
    fn there_are_32_slots() {
        assert!((0..1000).all(|number| Slot::new(number).is_some() == (number < 32)));
        assert!((0..=u8::MAX).all(|bits| Slot::from_low_bits(bits).number() == bits % 32));
        assert_eq!(Slot::all().count(), 32);
    }

    #[test]
    fn a_set_has_what_was_put_in() {
        let (mut set, [two, last]) = (slots(&[0, 2]), [Slot(2), Slot::LAST]);
        assert!(set.contains(two) && !set.contains(last) && set.len() == 2);
        set.insert(last);
        assert_eq!((set, set.bits()), (slots(&[0, 2, 31]), 0x8000_0005));
        assert!(set.iter().eq([Slot(0), two, last]));
        set.remove(two);
        assert_eq!(set, SlotSet::from_bits(0x8000_0001));
        assert_eq!(set | two.into(), slots(&[0, 2, 31]));
        assert_eq!(set & slots(&[2, 31]), last.into());
        assert_eq!(set - slots(&[2, 31]), slots(&[0]));
        assert!((set - set).is_empty() && !set.is_empty());
    }

    #[test]
    fn a_set_is_gone_through_in_order_and_around() {
        let set = slots(&[3, 7, 31]);
        assert_eq!(
            [0, 1, 2, 3].map(|n| set.nth(n)),
            [Some(Slot(3)), Some(Slot(7)), Some(Slot(31)), None]
        );
        let next = [(0, 3), (3, 7), (7, 31), (31, 3)];
        assert!(next.into_iter().all(|(from, to)| set.next_after(Slot(from)) == Slot(to)));
    }

    #[test]
    fn a_map_has_a_value_for_each_slot() {
        let mut map = SlotMap::from_fn(Slot::number);
        map[Slot(5)] = 99;
        assert!(map.iter().all(|(slot, value)| *value == map[slot]));
        assert_eq!(map.values_mut().map(|value| u32::from(*value)).sum::<u32>(), 31 * 16 - 5 + 99);
    }
}
