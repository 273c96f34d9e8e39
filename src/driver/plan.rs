//! The plan: all that a packet decides from, in one immutable object.

use core::mem::offset_of;
use core::num::NonZeroUsize;

use arrayvec::ArrayVec;

use super::lacp_state::Frames;
use super::mode::{Circumstances, PlanMemory, Rules};
use super::state::State;
use super::{Port, data};
use crate::kpi::{CACHE_LINE, Outlet, Ref, Result, Unique, Ways};
use crate::policy::Ports;
use crate::policy::lacp::Domains;
use crate::slots::{Slot, SlotMap, SlotSet};
use crate::wire::flow::Masks;

/// What a packet reads of a lagg. It is loaded once, through one pointer, and never edited after it was
/// published: a change makes a new plan.
///
/// What every packet reads is in the first cache line.
///
/// # Invariants
/// The first `count` of `order` are the slots of the ports. All other slots are empty.
#[repr(C)]
pub struct Plan {
    ways: Ways,
    /// The slots of the ports from which usual frames are accepted.
    takes: SlotSet,
    running: bool,
    count: u8,
    /// How many ports have a link that counts as up, and come first in the order; none if all links do.
    counted: Option<u8>,
    /// Where failover sends.
    outlet: Outlet,
    protocol: Rules,
    /// Where the others send: roundrobin's by their turns, the others by their slots.
    outlets: SlotMap<Outlet>,
    masks: Masks,
    primary: Slot,
    sender: Slot,
    min_links: u8,
    order: [Slot; Slot::COUNT],
    slots: SlotMap<Option<Ref<Port>>>,
    frames: Option<Ref<Frames>>,
}

static_assertions::const_assert_eq!(offset_of!(Plan, ways), 0);
static_assertions::const_assert!(offset_of!(Plan, protocol) < CACHE_LINE);

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
            ways: data::ways(&protocol, false),
            takes: SlotSet::EMPTY,
            running: false,
            count: 0,
            counted: None,
            outlet: Outlet::NOWHERE,
            protocol,
            outlets: SlotMap::new([const { Outlet::NOWHERE }; Slot::COUNT]),
            masks: Masks::of(0),
            primary: Slot::LAST,
            sender: Slot::LAST,
            min_links: 0,
            order: [Slot::LAST; Slot::COUNT],
            slots: SlotMap::new([const { None }; Slot::COUNT]),
            frames: None,
        }
    }

    /// Fills a plan that has no ports yet: ports in any order with their ranks, of which the lowest is the
    /// primary's; the slot of failover's port that sends; the ports whose links count as up, if not all
    /// do; the inbox of LACP's frames.
    // Not inlined, to keep the ranks off the caller's stack.
    #[inline(never)]
    pub(super) fn fill<'a>(
        &mut self,
        protocol: Rules,
        running: bool,
        ports: impl Iterator<Item = (u64, &'a Ref<Port>)>,
        sender: Option<Slot>,
        counted: Option<SlotSet>,
        frames: Option<Ref<Frames>>,
    ) {
        (self.protocol, self.running, self.frames) = (protocol, running, frames);
        const WAITS: u64 = 1 << 63;
        let mut lowest = u64::MAX;
        let mut ranks: ArrayVec<u64, { Slot::COUNT }> = ArrayVec::new();
        for (rank, port) in ports.take(Slot::COUNT) {
            let slot = port.slot();
            if rank < lowest {
                (lowest, self.primary) = (rank, slot);
            }
            let counts = counted.is_none_or(|counted| counted.contains(slot));
            let rank = if counts { rank } else { rank | WAITS };
            let place = ranks.partition_point(|there| *there < rank);
            let _ = ranks.try_insert(place, rank);
            if let Some(after) = self.order.get_mut(place..ranks.len()) {
                after.rotate_right(1);
                after.iter_mut().take(1).for_each(|first| *first = slot);
            }
            self.count = self.count.wrapping_add(1);
            self.slots[slot] = Some(port.clone());
        }
        self.counted = counted.map(|counted| counted.len() as u8);
        self.sender = sender.unwrap_or(self.primary);
        self.open();
    }

    /// Settles what packets read of the rest.
    fn open(&mut self) {
        let has_ports = self.count().is_some();
        self.ways = data::ways(&self.protocol, has_ports);
        self.masks = Masks::of(self.protocol.flows().map_or(0, |flows| flows.layers.into()));
        let members: SlotSet = self.ports().map(|port| port.slot()).collect();
        let sends = self.protocol.sends_on(self);
        if self.running {
            // LACP's machines may still have a port that is in no plan any more.
            self.takes = self.protocol.takes_from(self) & members;
        }
        let outlet = |port: Option<&Port>| match port {
            Some(port) if sends.contains(port.slot()) => Outlet::to(port.ifp()),
            _ => Outlet::NOWHERE,
        };
        self.outlet = outlet(self.sender());
        let by_turns = matches!(self.protocol, Rules::RoundRobin(_));
        self.outlets = SlotMap::from_fn(|slot| {
            outlet(if by_turns { self.at(slot.into()) } else { self.in_slot(slot) })
        });
    }

    /// Accepts no frame without a closer look.
    pub(super) fn look_at_frames(&mut self) {
        self.takes = SlotSet::EMPTY;
    }

    /// Sets how many ports must be in service for the lagg's link to be up.
    pub(super) fn set_min_links(&mut self, to: u32) {
        self.min_links = u8::try_from(to).unwrap_or(u8::MAX);
    }

    /// The setting `min_links`: how many ports must be in service for the lagg's link to be up. 0 is as 1.
    pub fn min_links(&self) -> usize {
        self.min_links.into()
    }

    /// The protocol.
    #[inline]
    pub fn protocol(&self) -> &Rules {
        &self.protocol
    }

    /// What is done with its packets.
    #[inline(always)]
    pub(super) fn ways(&self) -> &Ways {
        &self.ways
    }

    /// Whether usual frames are accepted from `port`, which is a port of this lagg: the slot of one that has left
    /// is not taken again before the packets have gone that came from it.
    #[inline(always)]
    pub(super) fn takes_from(&self, port: &Port) -> bool {
        !(self.takes & port.set()).is_empty()
    }

    /// Where failover sends.
    #[inline(always)]
    pub(super) fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    /// Where the port with the turn of this number sends, with roundrobin; else the port in the slot.
    #[inline(always)]
    pub(super) fn outlet_of(&self, slot: Slot) -> &Outlet {
        &self.outlets[slot]
    }

    /// The layers by which flows are told apart.
    #[inline(always)]
    pub(super) fn masks(&self) -> &Masks {
        &self.masks
    }

    /// Whether the lagg is up and receives packets.
    #[inline]
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// How many ports have a link that counts as up; none if the links themselves say that.
    pub fn counted(&self) -> Option<usize> {
        self.counted.map(usize::from)
    }

    /// The ports, in the order in which packets look for another one. Those whose links do not count yet
    /// are the last.
    pub fn ports(&self) -> impl Iterator<Item = &Ref<Port>> + Clone {
        let order = self.order.get(..self.count.into()).unwrap_or_default();
        order.iter().filter_map(|slot| self.slots[*slot].as_ref())
    }

    /// The ports, in ascending order of `if_index`.
    pub fn ports_by_index(&self) -> ArrayVec<&Ref<Port>, { Slot::COUNT }> {
        let mut ports: ArrayVec<_, { Slot::COUNT }> = self.ports().take(Slot::COUNT).collect();
        ports.sort_unstable_by_key(|port| port.ifp().index());
        ports
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

    /// The port that failover sends on; its primary if no port can be used.
    #[inline]
    pub fn sender(&self) -> Option<&Port> {
        self.in_slot(self.sender)
    }

    /// failover's primary port.
    pub fn primary(&self) -> Option<&Port> {
        self.in_slot(self.primary)
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

    /// The port at a place in the order, from 0.
    #[inline]
    pub fn at(&self, place: usize) -> Option<&Port> {
        self.in_slot(self.order[place % Slot::COUNT])
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
    fn sender(&self) -> Option<&Port> {
        self.sender()
    }

    fn primary(&self) -> Option<&Port> {
        self.primary()
    }

    fn in_service(&self) -> usize {
        self.counted().filter(|counted| *counted != 0).unwrap_or(self.count.into())
    }
}

impl State {
    /// The slots of the ports in the plan, and of the active ones among them.
    pub fn members_and_active(&self) -> (SlotSet, SlotSet) {
        let slots_of = |port: &Ref<Port>| port.slot();
        let active = self.members().filter(|port| port.is_active());
        (self.members().map(slots_of).collect(), active.map(slots_of).collect())
    }

    /// Whether a port in the plan is a VLAN.
    pub fn is_on_vlans(&self) -> bool {
        self.members().any(|port| port.methods().is_vlan())
    }

    /// The ports of each NUMA domain, if packets keep to theirs. They do only with LACP.
    fn domains(&self) -> Domains {
        let keep = self.options.use_numa && self.mode.lacp().is_some();
        let mut domains = Domains::default();
        for port in self.members().filter(|_| keep) {
            domains.add(port.slot(), port.ifp().numa_domain());
        }
        domains
    }

    /// The slots of the ports in the plan, and of those among them that flows go to.
    fn members_and_up(&self) -> (SlotSet, SlotSet) {
        let (members, active) = self.members_and_active();
        let counted = self.counted().filter(|counted| !counted.is_empty());
        (members, counted.unwrap_or(active))
    }

    /// Whether the plan's flows are on other ports than they should be, or other ports are in service.
    pub fn has_stale_plan(&mut self) -> bool {
        let is_choice_stale = self.is_choice_stale();
        let (members, up) = self.members_and_up();
        is_choice_stale || self.mode.has_stale_plan(self.running, members, up)
    }

    /// The plan for the present state. None if the memory is for another protocol.
    pub fn plan(&mut self, memory: PlanMemory) -> Option<Ref<Plan>> {
        self.settle_lacp();
        let (sender, counted) = self.choose();
        let (members, up) = self.members_and_up();
        let (options, domains) = (self.settings.apply(self.options), self.domains());
        let turns = counted.filter(|counted| !counted.is_empty()).unwrap_or(members).len();
        let running = self.running;
        let around = Circumstances { options: &options, running, members, up, turns, domains };
        let (rules, mut plan) = memory.rules(&mut self.mode, &around)?;
        let frames = self.mode.lacp().map(|lacp| lacp.frames.clone());
        let ports = self.members().map(|port| (self.rank(port), port));
        plan.fill(rules, running, ports, sender, counted, frames);
        plan.set_min_links(self.settings.min_links);
        if self.monitors {
            plan.look_at_frames();
        }
        Some(plan.share())
    }
}
