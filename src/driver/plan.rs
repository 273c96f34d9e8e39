//! The plan: all that a packet decides from, in one immutable object.

use core::num::NonZeroU32;

use arrayvec::ArrayVec;

use super::Port;
use crate::kpi::ioctl::LAGG_MAX_PORTS;
use crate::kpi::{Ref, Result, Unique};
use crate::policy::Protocol;

/// What a packet reads of a lagg: loaded once, through one pointer, and never edited after it was
/// published. A change makes a new one.
///
/// # Invariants
/// `ports` is in ascending order of `if_index`. `slots[n]` is the place in `ports` of the port whose
/// slot is n; where there is none, it is no place in it.
pub struct Plan {
    protocol: Protocol,
    running: bool,
    primary: u8,
    slots: [u8; LAGG_MAX_PORTS],
    ports: ArrayVec<Ref<Port>, LAGG_MAX_PORTS>,
}

/// No place in `ports`.
const NOWHERE: u8 = u8::MAX;

impl Plan {
    /// A plan without ports. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    // Of its own, lest it be on its callers' stacks.
    #[inline(never)]
    pub fn try_new(protocol: Protocol) -> Result<Unique<Self>> {
        Unique::try_new(Plan::new(protocol))
    }

    fn new(protocol: Protocol) -> Self {
        Plan {
            protocol,
            running: false,
            primary: NOWHERE,
            slots: [NOWHERE; LAGG_MAX_PORTS],
            ports: ArrayVec::new_const(),
        }
    }

    /// Fills a new plan: `ports` in any order, the primary's slot.
    pub(super) fn fill<'a>(
        &mut self,
        protocol: Protocol,
        running: bool,
        ports: impl Iterator<Item = &'a Ref<Port>>,
        primary: Option<u8>,
    ) {
        *self = Plan { running, ..Plan::new(protocol) };
        for port in ports {
            // There are no more ports than slots, so there is room.
            let _ = self.ports.try_push(port.clone());
        }
        // INVARIANT: in order; the index of an interface that has a reference does not change.
        self.ports.sort_unstable_by_key(|port| port.ifp().index());
        for (place, port) in self.ports.iter().enumerate() {
            let place = u8::try_from(place).unwrap_or(NOWHERE);
            if let Some(slot) = self.slots.get_mut(usize::from(port.slot())) {
                // INVARIANT: this port's place.
                *slot = place;
            }
            if primary == Some(port.slot()) {
                self.primary = place;
            }
        }
    }

    /// The protocol.
    #[inline]
    pub fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    /// Whether the lagg is up and takes packets in.
    #[inline]
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// The ports, in ascending order of `if_index`.
    #[inline]
    pub fn ports(&self) -> &[Ref<Port>] {
        &self.ports
    }

    /// Whether `port` is a port of this plan.
    #[inline]
    pub fn has(&self, port: &Port) -> bool {
        self.in_slot(port.slot()).is_some_and(|there| core::ptr::eq(there, port))
    }

    /// How many ports there are; none: a remainder by it does not compile then.
    #[inline]
    pub fn count(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(u32::try_from(self.ports.len()).ok()?)
    }

    /// failover's primary port.
    #[inline]
    pub fn primary(&self) -> Option<&Port> {
        self.ports.get(usize::from(self.primary)).map(|port| &**port)
    }

    /// The port in a slot.
    #[inline]
    pub fn in_slot(&self, slot: u8) -> Option<&Port> {
        let place = *self.slots.get(usize::from(slot))?;
        self.ports.get(usize::from(place)).map(|port| &**port)
    }

    /// The port at `place` in the order of `if_index` if it is active, else the next after it, else
    /// the first that is (spec B.10).
    #[inline]
    pub fn active_from(&self, place: usize) -> Option<&Port> {
        match self.ports.get(place) {
            Some(port) if port.is_active() => Some(port),
            _ => self.fallback(place),
        }
    }

    /// The same from failover's primary port.
    #[inline]
    pub fn active_from_primary(&self) -> Option<&Port> {
        self.active_from(usize::from(self.primary))
    }

    #[cold]
    fn fallback(&self, place: usize) -> Option<&Port> {
        let next = place.checked_add(1).and_then(|next| self.ports.get(next));
        next.map(|port| &**port).filter(|port| port.is_active()).or_else(|| self.first_active())
    }

    /// The first active port in the order of `if_index`.
    pub fn first_active(&self) -> Option<&Port> {
        self.ports.iter().map(|port| &**port).find(|port| port.is_active())
    }
}
