//! lacp: as loadbalance, over the ports that distribute according to 802.1AX. A flow that moves waits until
//! its old port's frames have arrived.

use core::ops::Deref;

use zerocopy::FromZeros;

use super::buckets::{BUCKETS, Table};
use super::{About, Flows, Measures, Packet, Port, Ports, Unsent};
use crate::slots::{Slot, SlotSet};

/// Number and name of the protocol.
pub const ABOUT: About = About { number: 4, name: "lacp" };

/// LACP's rules for packets.
#[derive(Clone)]
#[repr(C)]
pub struct Lacp<T, E> {
    /// Flows and their ports.
    pub flows: Flows<T>,
    /// The ports from which frames are accepted.
    pub collecting: SlotSet,
    /// The ports that frames are sent on.
    pub distributing: SlotSet,
    /// What keeps packets from their flow's port, if anything does.
    pub exceptions: Option<E>,
}

/// What keeps packets from their flow's port.
pub struct Exceptions {
    /// The distributing ports of each NUMA domain, if there are several domains and packets keep to theirs.
    pub domains: Option<Domains>,
    /// The buckets of flows that wait.
    pub paused: Paused,
}

impl Exceptions {
    /// None.
    pub const NONE: Exceptions = Exceptions { domains: None, paused: Paused::NONE };

    /// Whether a packet of this hash and NUMA domain may go to the first choice, which is `slot`. If not, a closer
    /// look says where it goes.
    #[inline(always)]
    pub fn allow(&self, hash: u32, slot: Slot, domain: Option<u8>) -> bool {
        let is_in_domain = || match (domain, &self.domains) {
            (Some(domain), Some(domains)) => domains.has(domain, slot),
            _ => true,
        };
        !self.paused.has(hash) && is_in_domain()
    }
}

impl<T: Measures, E: Deref<Target = Exceptions>> Lacp<T, E> {
    /// The port for a packet of this hash, to send on.
    ///
    /// # Errors
    /// The flow waits, or no port distributes.
    #[inline(always)]
    pub fn select<'p, P: Ports>(
        &self,
        ports: &'p P,
        packet: &impl Packet,
        hash: u32,
    ) -> Result<&'p P::Port, Unsent> {
        if self.exceptions.as_ref().is_some_and(|exceptions| exceptions.paused.has(hash)) {
            return Err(Unsent::Paused);
        }
        self.port(ports, hash, packet.numa_domain()).ok_or(Unsent::NoActivePort)
    }

    /// The port for a hash and a NUMA domain, whether the flow waits or not. None if no port distributes.
    pub fn port<'p, P: Ports>(
        &self,
        ports: &'p P,
        hash: u32,
        domain: Option<u8>,
    ) -> Option<&'p P::Port> {
        if let Some(domains) = self.exceptions.as_ref().and_then(|there| there.domains.as_ref())
            && let Some(port) = domains.port(&self.flows.table, ports, hash, domain)
        {
            return Some(port);
        }
        let distributes =
            |port: &P::Port| self.distributing.contains(port.slot()) && port.is_active();
        self.flows.select_where(ports, hash, distributes)
    }
}

/// The number of NUMA domains (MAXMEMDOM). Domains beyond it count as none.
pub const DOMAINS: usize = 8;

/// The ports of each NUMA domain, by their slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromZeros)]
pub struct Domains([SlotSet; DOMAINS]);

impl Domains {
    /// Adds a port to its domain, if it has one.
    pub fn add(&mut self, slot: Slot, domain: Option<u8>) {
        if let Some(set) = domain.and_then(|domain| self.0.get_mut(usize::from(domain))) {
            set.insert(slot);
        }
    }

    /// The domains of the ports in `slots`; none if these have fewer than two.
    pub fn of(mut self, slots: SlotSet) -> Option<Self> {
        self.0.iter_mut().for_each(|set| *set = *set & slots);
        let several = self.0.iter().filter(|set| !set.is_empty()).count() > 1;
        several.then_some(self)
    }

    /// Whether a slot's port is in a domain.
    #[inline(always)]
    fn has(&self, domain: u8, slot: Slot) -> bool {
        self.0.get(usize::from(domain)).is_some_and(|set| set.contains(slot))
    }

    /// An active port of the packet's domain.
    fn port<'p, P: Ports>(
        &self,
        table: &Table,
        ports: &'p P,
        hash: u32,
        domain: Option<u8>,
    ) -> Option<&'p P::Port> {
        let set = *self.0.get(usize::from(domain?))?;
        ports.in_slot(choose(table, hash, set)?).filter(|port| port.is_active())
    }
}

/// The slot in `set` for a bucket's flows: their first or second choice if it is in the set, else any slot,
/// but always the same.
fn choose(table: &Table, bucket: u32, set: SlotSet) -> Option<Slot> {
    let choices = [table.first(bucket), table.second(bucket)];
    let chosen = choices.into_iter().flatten().find(|slot| set.contains(*slot));
    chosen.or_else(|| {
        // Mix, because neighbouring buckets have the same choices.
        let mixed = (bucket % BUCKETS as u32).wrapping_mul(0x9e37_79b9) >> 16;
        set.nth(mixed.checked_rem(set.len())?)
    })
}

/// What a plan's packets choose from.
pub struct Choices<'a> {
    /// The table of flows.
    pub table: &'a Table,
    /// The ports of each domain, if packets keep to theirs.
    pub domains: Option<Domains>,
}

impl Choices<'_> {
    /// The slot for a bucket's flows, of this domain or of none.
    fn slot(&self, bucket: u32, domain: Option<usize>) -> Option<Slot> {
        let set = domain.and_then(|domain| Some(*self.domains?.0.get(domain)?)).unwrap_or_default();
        if set.is_empty() { self.table.first(bucket) } else { choose(self.table, bucket, set) }
    }
}

/// The buckets of flows that wait.
pub struct Paused([u64; BUCKETS / 64]);

impl Paused {
    /// No flow waits.
    pub const NONE: Paused = Paused([0; BUCKETS / 64]);

    /// Whether the flows of a bucket, or of a hash, wait.
    #[inline]
    pub fn has(&self, hash: u32) -> bool {
        let bucket = hash as usize % BUCKETS;
        self.0.get(bucket / 64).is_some_and(|word| word & 1_u64.wrapping_shl(hash) != 0)
    }

    fn add(&mut self, bucket: usize) {
        if let Some(word) = self.0.get_mut(bucket / 64) {
            *word |= 1_u64.wrapping_shl(bucket as u32);
        }
    }
}

/// For the control side: the ports for whose frames each bucket waits, by their slots.
///
/// As zeros, none waits.
#[derive(FromZeros)]
#[repr(transparent)]
pub struct Waits([SlotSet; BUCKETS]);

impl Waits {
    /// The choices have changed, and these slots have distributed so far. Buckets whose flows have left
    /// some of these slots wait for them. A bucket that waits already has sent nothing since, so it waits
    /// for no others. Returns the slots that flows have left.
    pub fn moved(&mut self, before: &Choices, after: &Choices, distributed: SlotSet) -> SlotSet {
        let has_domains = before.domains.is_some() || after.domains.is_some();
        let domains = || (0..DOMAINS).filter(|_| has_domains).map(Some).chain([None]);
        let mut left = SlotSet::EMPTY;
        for (bucket, wait) in (0_u32..).zip(&mut self.0).filter(|(_, wait)| wait.is_empty()) {
            for domain in domains() {
                let Some(from) = before.slot(bucket, domain) else { continue };
                if after.slot(bucket, domain) != Some(from) && distributed.contains(from) {
                    wait.insert(from);
                }
            }
            left = left | *wait;
        }
        left
    }

    /// The hash has changed: all buckets wait for all slots that have distributed so far. Returns these.
    pub fn all(&mut self, distributed: SlotSet) -> SlotSet {
        for wait in self.0.iter_mut().filter(|wait| wait.is_empty()) {
            *wait = distributed;
        }
        distributed
    }

    /// Buckets that wait for one of these slots go on waiting, the others stop. Returns whether any waits,
    /// and adds them to `paused`, which is empty before.
    pub fn settle(&mut self, waiting: SlotSet, paused: &mut Paused) -> bool {
        let mut any = false;
        for (bucket, wait) in self.0.iter_mut().enumerate() {
            *wait = *wait & waiting;
            if !wait.is_empty() {
                paused.add(bucket);
                any = true;
            }
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::buckets::Homes;
    use crate::slots::SlotMap;

    /// Packets are paused by their hash, buckets by their number: the two agree.
    #[test]
    fn a_bucket_has_one_slot_of_a_set_and_the_slots_as_many_buckets() {
        let (mut table, mut homes) = (Table::new_zeroed(), Homes::new_zeroed());
        let all = SlotSet::from_bits(0xff);
        table.rebuild(&mut homes, all, all);
        for set in [0b11, 0b1001_0010, 0b101_1010, 0xff00].map(SlotSet::from_bits) {
            let mut counts = SlotMap::<u32>::default();
            for bucket in 0..BUCKETS as u32 {
                let slot = choose(&table, bucket, set);
                assert_eq!(choose(&table, 0xdead_bc00 | bucket, set), slot);
                counts[slot.unwrap()] += 1;
            }
            let share = BUCKETS as u32 / set.len();
            let even = share - share / 8..share + share / 8;
            assert!(set.iter().all(|slot| even.contains(&counts[slot])));
        }
        assert_eq!(choose(&table, 7, SlotSet::EMPTY), None);
    }
}
