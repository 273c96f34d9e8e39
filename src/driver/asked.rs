//! What the lagg wants of its ports, and what it has asked their drivers for, as the state remembers it.
//! The difference is asked for by [`groups`](super::groups), [`offloads`](super::offloads) and
//! [`vlans`](super::vlans).

use zerocopy::FromZeros;

use crate::kpi::{Array, Group, LinkAddr, Result};
use crate::slots::{Slot, SlotMap};
use crate::wire::slow;

/// What the lagg has asked of a port's interface, and has to undo when the port leaves.
#[derive(Default)]
pub(super) struct Wants {
    pub modes: Modes,
    /// In the order in which they were joined.
    pub groups: Array<Option<Group>>,
}

/// The modes and groups that need no memory of their own.
#[derive(Default)]
pub(super) struct Modes {
    pub promisc: bool,
    pub allmulti: bool,
    /// The slow protocols' group, for LACP. It may also be among the lagg's own groups.
    pub slow: Option<Group<SlowProtocols>>,
}

/// The slow protocols' group. Its address is constant, so it takes no room in each port.
#[derive(Clone, Copy)]
pub(super) struct SlowProtocols;

impl From<SlowProtocols> for LinkAddr {
    fn from(_: SlowProtocols) -> Self {
        slow::MULTICAST.into()
    }
}

/// What the ports were last asked. They are not asked again while it is the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    /// The capabilities that all of them are wanted to have enabled.
    pub wanted: u64,
    /// The MTU of the port in each slot, 0 if there is none. No MTU needs more than 16 bits.
    pub mtus: SlotMap<u16>,
}

impl Question {
    /// No port was asked.
    pub const NONE: Question = Question { wanted: u64::MAX, mtus: SlotMap::new([0; Slot::COUNT]) };

    /// Whether the port in this slot was asked.
    pub fn had(&self, slot: Slot) -> bool {
        self.mtus[slot] != 0
    }

    /// Whether nothing but new ports distinguishes this from `before`.
    pub fn only_grew(&self, before: &Question) -> bool {
        self.wanted & !before.wanted == 0
            && before.mtus.iter().all(|(slot, then)| *then == 0 || self.mtus[slot] == *then)
    }
}

/// What the ports were last asked, and whether a driver failed. A failure is no answer, so all ports are
/// asked again at the next change of anything.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub question: Question,
    pub unanswered: bool,
}

impl Asked {
    /// The ports have not been asked yet.
    pub const NOTHING: Asked = Asked { question: Question::NONE, unanswered: false };
}

/// A port's answer that differs from what it was asked for.
#[derive(Clone, Copy, FromZeros)]
pub(super) struct Answer {
    pub asked: u64,
    pub answered: u64,
    /// The MTU that the port had.
    pub mtu: u32,
}

/// Sets of VLAN ids.
pub(super) struct Vlans {
    /// The ids of the VLANs on the lagg.
    pub wanted: Array<u64>,
    /// The ids that the ports have been told of.
    told: Array<u64>,
}

/// Words of a set, which has 4,096 ids.
const WORDS: usize = 64;

/// Ids that a port was told of, but that its filter has lost; 0 is none.
pub(super) type Lost = [u16; 2];

/// Not an id: there are more of them than there is room for.
pub(super) const ANY: u16 = u16::MAX;

impl Vlans {
    pub fn try_new() -> Result<Self> {
        let none = || Array::try_new(WORDS, |_| 0);
        Ok(Vlans { wanted: none()?, told: none()? })
    }

    /// The first word, from this one on, in which ids have come or gone since the ports were told: its
    /// place, the new ids and the old ones. They count as told.
    pub fn take_changes(&mut self, from: usize) -> Option<(usize, u64, u64)> {
        let words = (0..).zip(self.wanted.iter().zip(self.told.iter_mut())).skip(from);
        for (n, (wanted, told)) in words {
            if *wanted != *told {
                let before = core::mem::replace(told, *wanted);
                return Some((n, *wanted & !before, before & !*wanted));
            }
        }
        None
    }

    /// The first word, from this one on, with ids that the ports have been told of: its place, and those
    /// ids.
    pub fn next_told(&self, from: usize) -> Option<(usize, u64)> {
        let mut words = (0..).zip(self.told.iter().copied()).skip(from);
        words.find(|(_, told)| *told != 0)
    }

    /// Whether the ports have been told of this id.
    pub fn has_told(&self, id: u16) -> bool {
        self.told.get(word(id)).is_some_and(|told| told & bit(id) != 0)
    }
}

/// The place of an id's word in a set, and its bit in that word.
pub(super) fn word(id: u16) -> usize {
    usize::from(id / 64)
}

pub(super) fn bit(id: u16) -> u64 {
    1 << (id % 64)
}

/// The first id of a word.
pub(super) fn first(word: usize) -> u16 {
    (word as u16).wrapping_mul(64)
}
