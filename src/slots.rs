//! Sets of slots: a word with a bit for each port that a lagg can have.

/// A set of one slot; the empty set for what is no slot.
#[inline]
pub(crate) fn bit(slot: u8) -> u32 {
    1_u32.checked_shl(slot.into()).unwrap_or(0)
}

/// Whether a slot is in a set.
#[inline]
pub(crate) fn has(set: u32, slot: u8) -> bool {
    set & bit(slot) != 0
}

/// The slots of a set, in order.
pub(crate) fn iter(set: u32) -> impl Iterator<Item = u8> {
    (0..u32::BITS as u8).filter(move |&slot| has(set, slot))
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_no_slot_is_in_no_set() {
        assert_eq!(super::bit(31), 0x8000_0000);
        assert!((0..=u8::MAX).all(|slot| super::has(u32::MAX, slot) == (slot < 32)));
        assert!(super::iter(0x8000_0005).eq([0, 2, 31]));
    }
}
