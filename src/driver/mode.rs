//! The mode of a lagg: its protocol, with what its plans are made from and point at.

use core::mem::{replace, take};
use core::num::NonZeroU32;
use core::ops::Deref;

use zerocopy::FromZeros;

use super::lacp_state::{Control, Pauses};
use super::plan::Plan;
use super::rebalance::Rebalancer;
use crate::kpi::ioctl::hash;
use crate::kpi::{
    Boxed, Defaults, Ifnet, MacAddr, Part, PerCpu, Ref, Result, Tallies, Unique, defaults, random,
};
use crate::policy::buckets::{BUCKETS, Homes, Table};
use crate::policy::hash::Key;
use crate::policy::lacp::{Domains, Exceptions};
use crate::policy::{self, Flows, Kind, Lacp, Protocol, RoundRobin, Rounds};
use crate::slots::{Slot, SlotMap, SlotSet};
use crate::wire::flow::layers;

/// The protocol, as part of the state.
pub(super) type Mode = Protocol<PerCpu, Balancer, Boxed<Control>>;

/// The protocol, as part of a plan.
pub type Rules =
    Protocol<RoundRobin<PerCpu>, Flows<SharedTable>, Lacp<SharedTable, Ref<Exceptions>>>;

/// The table of flows that plans share.
#[derive(Clone)]
pub struct SharedTable(Part<Table, Measured>);

impl SharedTable {
    fn new(whole: Ref<Measured>) -> Self {
        SharedTable(Part::new(whole, |whole| &*whole.table))
    }
}

/// A table of flows, and what measures them.
pub(super) struct Measured {
    pub table: Boxed<Table>,
    tallies: Option<Ref<Tallies>>,
    /// The shift of flow ids while flows are measured.
    flowid_shift: Option<u8>,
}

impl Measured {
    /// No flow has a port. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    fn try_new() -> Result<Self> {
        Ok(Measured { table: Boxed::try_zeroed()?, tallies: None, flowid_shift: None })
    }
}

impl Deref for SharedTable {
    type Target = Table;

    #[inline]
    fn deref(&self) -> &Table {
        &self.0
    }
}

impl policy::Measures for SharedTable {
    fn flowid_shift(&self) -> Option<u8> {
        self.0.whole().flowid_shift
    }

    #[inline]
    fn measure(&self, hash: u32, bytes: usize) {
        if let Some(tallies) = &self.0.whole().tallies {
            tallies.add(hash as usize % BUCKETS, bytes as u64);
        }
    }
}

impl Rounds for PerCpu {
    #[inline(always)]
    fn advance(&self, step: u64) -> u64 {
        self.advance(step)
    }
}

impl Mode {
    /// The mode for a lagg that is to have this protocol. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new(kind: Kind, ifp: &Ifnet) -> Result<Self> {
        kind.try_with(PerCpu::try_new, Balancer::try_new, || Boxed::try_new(Control::try_new(ifp)?))
    }

    /// The protocol for the next plan, in this memory. None if the memory is for another protocol.
    fn rules(&mut self, parts: Parts, around: &Circumstances<'_>) -> Option<Rules> {
        let Circumstances { options, running, members, up, turns, .. } = *around;
        let stride = options.rr_stride.unwrap_or(NonZeroU32::MIN);
        self.with(
            parts,
            |rounds, ()| RoundRobin::new(rounds.clone(), stride, turns),
            |balancer, table| {
                balancer.set_options(options);
                // A lagg that is down carries no flows. Each port that joins would move them anew.
                if running {
                    balancer.spread(table, members, up);
                }
                balancer.flows()
            },
            |control, (table, pauses)| control.rules(around, table, pauses),
        )
    }

    /// Whether the plan's flows are on other ports than they should be.
    pub fn has_stale_plan(&self, running: bool, members: SlotSet, up: SlotSet) -> bool {
        match self {
            Mode::LoadBalance(balancer) => running && !balancer.are_spread_over(members, up),
            Mode::Lacp(control) => control.is_stale(),
            _ => false,
        }
    }
}

/// What the control side keeps beside the flows. LACP's part has room in the 4,096 bytes that malloc(9) takes for
/// the homes anyway.
#[derive(FromZeros)]
struct Memory {
    /// The home of each bucket of flows.
    homes: Homes,
    /// For LACP, the address that each port had when its link was last looked at.
    addresses: SlotMap<MacAddr>,
    /// For LACP, the ports of each NUMA domain, if packets keep to theirs.
    domains: Domains,
}

static_assertions::const_assert!(size_of::<Memory>() <= 4096);

/// The control side's part of flows.
pub(super) struct Balancer {
    pub flows: Flows<Ref<Measured>>,
    memory: Boxed<Memory>,
    /// The flows are spread over other ports than those last logged.
    changed: bool,
    /// The layers and the shift by which flows are told apart.
    key: (u8, Option<u8>),
    /// What measures flows and moves them, if anything does.
    pub rebalancer: Option<Boxed<Rebalancer>>,
}

impl Balancer {
    /// Flows that are not spread yet. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        let memory = Boxed::try_zeroed()?;
        let table = Ref::try_new(Measured::try_new()?)?;
        let flows = Flows { key: Key::new(random()), layers: 0, flowid_shift: None, table };
        Ok(Balancer { flows, memory, changed: false, key: (0, None), rebalancer: None })
    }

    /// The flows of the next plan.
    pub fn flows(&self) -> Flows<SharedTable> {
        let Flows { key, table, layers, flowid_shift } = self.flows.clone();
        Flows { key, table: SharedTable::new(table), layers, flowid_shift }
    }

    /// The table of flows.
    pub fn table(&self) -> &Table {
        &self.flows.table.table
    }

    /// The table of flows, to be kept.
    pub fn shared_table(&self) -> SharedTable {
        SharedTable::new(self.flows.table.clone())
    }

    /// Sets the options by which flows are told apart. Returns whether that changes anything.
    pub fn set_options(&mut self, options: &Options) -> bool {
        let shift = options.use_flowid.then_some(options.flowid_shift as u8);
        let before = replace(&mut self.key, (options.hash as u8, shift));
        // A flow that is measured needs the closer look, for which no id is looked at before.
        let measured = self.rebalancer.is_some();
        let extra = if measured { layers::MEASURED } else { 0 };
        self.flows.layers = (options.hash | extra) as u8;
        self.flows.flowid_shift = shift.filter(|_| !measured);
        self.key != before
    }

    /// Spreads the flows over these members, of which these are up, in a new table in this memory. Returns
    /// false, and does nothing, if they are spread over these already.
    pub fn spread(&mut self, mut memory: TableMemory, members: SlotSet, up: SlotSet) -> bool {
        if self.are_spread_over(members, up) {
            return false;
        }
        let homes = &mut self.memory.homes;
        memory.table.copy_from(&self.flows.table.table);
        if !homes.are_of(members, up) {
            memory.table.rebuild(homes, members, up);
        }
        memory.flowid_shift = self.key.1;
        if let Some(rebalancer) = &mut self.rebalancer {
            memory.tallies = Some(rebalancer.tallies.clone());
            memory.table.shift(homes, &take(&mut rebalancer.moves));
        }
        self.flows.table = memory.share();
        self.changed = true;
        true
    }

    /// Whether the flows are spread over these members, of which these are up, and measured if they are to
    /// be.
    pub fn are_spread_over(&self, members: SlotSet, up: SlotSet) -> bool {
        self.memory.homes.are_of(members, up) && !self.is_rebalanced()
    }

    /// Whether flows are to move, or to be measured or not, for what they have carried.
    pub fn is_rebalanced(&self) -> bool {
        let table = &self.flows.table;
        let measured = table.tallies.is_some();
        match &self.rebalancer {
            Some(rebalancer) => {
                let has_key = table.flowid_shift == self.key.1;
                !measured || !has_key || !rebalancer.moves.is_empty()
            }
            None => measured,
        }
    }

    /// The slots that carry flows.
    pub fn carrying(&self) -> SlotSet {
        self.memory.homes.carrying()
    }

    /// For LACP: the address that the port in `slot` had when its link was last looked at.
    pub fn address(&self, slot: Slot) -> MacAddr {
        self.memory.addresses[slot]
    }

    /// Remembers that.
    pub fn set_address(&mut self, slot: Slot, to: MacAddr) {
        self.memory.addresses[slot] = to;
    }

    /// For LACP: the ports of each NUMA domain in the plan, if packets keep to theirs.
    pub fn domains(&self) -> Option<Domains> {
        self.memory.domains.of(Slot::all().collect())
    }

    /// Remembers them.
    pub fn set_domains(&mut self, to: Option<Domains>) {
        self.memory.domains = to.unwrap_or_default();
    }

    /// Whether the flows are spread over other ports than at the last call.
    pub fn take_changed(&mut self) -> bool {
        take(&mut self.changed)
    }
}

pub(super) type TableMemory = Unique<Measured>;

/// Memory for a plan of a certain protocol, and for what the plan points at.
pub(super) struct PlanMemory {
    plan: Unique<Plan>,
    parts: Parts,
}

type Parts = Protocol<(), TableMemory, (TableMemory, Pauses)>;

impl PlanMemory {
    /// May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new(kind: Kind) -> Result<Self> {
        let table = || Unique::try_new(Measured::try_new()?);
        let parts = kind.try_with(|| Ok(()), table, || Ok((table()?, Pauses::try_new()?)))?;
        Ok(PlanMemory { plan: Plan::try_new(Rules::None)?, parts })
    }

    /// Whether the memory is for a plan of this mode.
    pub fn fits(&self, mode: &Mode) -> bool {
        self.parts.kind() == mode.kind()
    }

    /// The rules of a mode, and a plan without them. None if the memory is not for this mode.
    pub fn rules(
        self,
        mode: &mut Mode,
        around: &Circumstances<'_>,
    ) -> Option<(Rules, Unique<Plan>)> {
        Some((mode.rules(self.parts, around)?, self.plan))
    }
}

/// The options of a lagg, except LACP's, which are in its machines.
#[derive(Clone, Copy)]
pub(super) struct Options {
    pub use_flowid: bool,
    pub use_numa: bool,
    pub flowid_shift: i32,
    pub hash: u32,
    pub rr_stride: Option<NonZeroU32>,
}

impl Options {
    /// The largest shift of a flow id.
    pub const MAX_FLOWID_SHIFT: i32 = 31;

    /// The options of a new lagg, from the vnet's sysctls. An invalid shift counts as the usual one.
    pub fn of_vnet() -> Self {
        let Defaults { use_flowid, use_numa, flowid_shift, .. } = defaults();
        let is_shift = (0..=Self::MAX_FLOWID_SHIFT).contains(&flowid_shift);
        let flowid_shift = if is_shift { flowid_shift } else { 16 };
        Options { use_flowid, use_numa, flowid_shift, hash: hash::MASK, rr_stride: None }
    }
}

/// What plans are made from besides the mode.
pub(super) struct Circumstances<'a> {
    pub options: &'a Options,
    /// The lagg is up.
    pub running: bool,
    /// The ports in the plan.
    pub members: SlotSet,
    /// The members that are active, or count as up.
    pub up: SlotSet,
    /// How many of the members have their turn with roundrobin.
    pub turns: u32,
    /// The ports of each NUMA domain, if packets keep to theirs.
    pub domains: Domains,
}
