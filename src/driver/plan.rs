//! The plan: all that a packet decides from, in one immutable object.

use core::mem::offset_of;
use core::num::NonZeroUsize;

use arrayvec::ArrayVec;

use super::Port;
use super::lacp_state::Frames;
use super::mode::Rules;
use crate::kpi::{CACHE_LINE, Ref, Result, Unique};
use crate::policy::Ports;
use crate::slots::{Slot, SlotMap};

/// What a packet reads of a lagg. It is loaded once, through one pointer, and never edited after it was
/// published: a change makes a new plan.
///
/// What is read to choose a port, except the port itself, is in the first cache line.
///
/// # Invariants
/// The first `count` of `order` are the slots of the ports, in ascending order of their `if_index`. All
/// other slots are empty.
#[repr(C)]
pub struct Plan {
    protocol: Rules,
    primary: Option<Ref<Port>>,
    running: bool,
    count: u8,
    min_links: u8,
    order: [Slot; Slot::COUNT],
    slots: SlotMap<Option<Ref<Port>>>,
    frames: Option<Ref<Frames>>,
}

static_assertions::const_assert!(offset_of!(Plan, protocol) + size_of::<Rules>() <= CACHE_LINE);

impl Plan {
    /// A plan without ports. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    // Not inlined, to keep the plan off the callers' stacks.
    #[inline(never)]
    pub fn try_new(protocol: Rules) -> Result<Unique<Self>> {
        Unique::try_new(Plan::new(protocol))
    }

    fn new(protocol: Rules) -> Self {
        Plan {
            protocol,
            primary: None,
            running: false,
            count: 0,
            min_links: 0,
            order: [Slot::LAST; Slot::COUNT],
            slots: SlotMap::new([const { None }; Slot::COUNT]),
            frames: None,
        }
    }

    /// Fills a plan that has no ports yet: `ports` in any order, the primary's slot, the inbox of LACP's
    /// frames.
    pub(super) fn fill<'a>(
        &mut self,
        protocol: Rules,
        running: bool,
        ports: impl Iterator<Item = &'a Ref<Port>>,
        primary: Option<Slot>,
        frames: Option<Ref<Frames>>,
    ) {
        (self.protocol, self.running, self.frames) = (protocol, running, frames);
        let mut ports: ArrayVec<_, { Slot::COUNT }> = ports.take(Slot::COUNT).collect();
        // INVARIANT: in order; the index of an interface that has a reference does not change.
        ports.sort_unstable_by_key(|port| port.ifp().index());
        for (port, place) in ports.iter().zip(&mut self.order) {
            *place = port.slot();
            self.count = self.count.wrapping_add(1);
            if primary == Some(port.slot()) {
                self.primary = Some((*port).clone());
            }
            self.slots[port.slot()] = Some((*port).clone());
        }
    }

    /// Sets how many ports must be in service for the lagg's link to be up.
    pub(super) fn set_min_links(&mut self, to: u32) {
        self.min_links = u8::try_from(to).unwrap_or(u8::MAX);
    }

    /// How many ports must be in service for the lagg's link to be up.
    pub fn min_links(&self) -> usize {
        self.min_links.max(1).into()
    }

    /// The protocol.
    #[inline]
    pub fn protocol(&self) -> &Rules {
        &self.protocol
    }

    /// Whether the lagg is up and receives packets.
    #[inline]
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// The ports, in ascending order of `if_index`.
    pub fn ports(&self) -> impl Iterator<Item = &Ref<Port>> + Clone {
        let order = self.order.get(..self.count.into()).unwrap_or_default();
        order.iter().filter_map(|slot| self.slots[*slot].as_ref())
    }

    /// The number of ports. It is an option so that a remainder by it does not compile.
    #[inline]
    pub fn count(&self) -> Option<NonZeroUsize> {
        NonZeroUsize::new(self.count.into())
    }

    /// Whether `port` is a port of this plan.
    #[inline]
    pub fn has(&self, port: &Port) -> bool {
        self.in_slot(port.slot()).is_some_and(|there| core::ptr::eq(there, port))
    }

    /// failover's primary port.
    #[inline]
    pub fn primary(&self) -> Option<&Port> {
        self.primary.as_deref()
    }

    /// The inbox of LACP's frames, if the protocol is lacp.
    pub(super) fn frames(&self) -> Option<&Frames> {
        self.frames.as_deref()
    }

    /// The port in a slot.
    #[inline]
    pub fn in_slot(&self, slot: Slot) -> Option<&Port> {
        self.slots[slot].as_deref()
    }

    /// The port at a place in the order of `if_index`, from 0.
    #[inline]
    pub fn at(&self, place: usize) -> Option<&Port> {
        self.in_slot(self.order[place % Slot::COUNT])
    }

    /// The first active port in the order of `if_index`.
    pub fn first_active(&self) -> Option<&Port> {
        self.ports().map(|port| &**port).find(|port| port.is_active())
    }
}

impl Ports for Plan {
    type Port = Port;

    fn iter(&self) -> impl Iterator<Item = &Port> + Clone {
        self.ports().map(|port| &**port)
    }

    #[inline(always)]
    fn at(&self, place: usize) -> Option<&Port> {
        self.at(place)
    }

    #[inline(always)]
    fn in_slot(&self, slot: Slot) -> Option<&Port> {
        self.in_slot(slot)
    }

    #[inline(always)]
    fn primary(&self) -> Option<&Port> {
        self.primary()
    }
}
