//! LACP's part of a lagg's state: the machines, the flows that wait, the frames received.

use super::Port;
use super::mode::{Balancer, Circumstances, SharedTable, TableMemory};
use super::state::NO_LLADDR;
use crate::kpi::{Array, Boxed, Ifnet, Inbox, LinkState, Ref, Result, Unique, defaults, uptime_ms};
use crate::lacp::order::Order;
use crate::lacp::{self, Lacp, LagId, Options, Settings, System, Time};
use crate::policy;
use crate::policy::lacp::{Choices, Domains, Exceptions, Waits};
use crate::slots::{Slot, SlotSet};

/// The machines, in the kernel's memory.
pub(super) type Machines = Lacp<Array<Option<lacp::Port>>, Array<Option<LagId>>>;

/// LACP's part of a lagg's state.
pub(super) struct Control {
    pub machines: Machines,
    pub balancer: Balancer,
    /// The frames received.
    pub frames: Ref<Frames>,
    /// The system identifier has been taken, from the lagg or from the first port.
    has_system: bool,
    /// The flows that wait, while there are any.
    waits: Option<Boxed<Waits>>,
    /// What the current plan has of the machines' state.
    published: Published,
    /// A link may have come up since the ports were last asked for their media.
    pub links_changed: bool,
}

// In malloc(9)'s 256 bytes. One more byte would take 384.
static_assertions::const_assert!(size_of::<Control>() <= 256);

/// Memory for LACP's part of a plan.
pub(super) struct Pauses {
    waits: Boxed<Waits>,
    exceptions: Unique<Exceptions>,
}

impl Pauses {
    /// May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        Ok(Pauses { waits: Boxed::try_zeroed()?, exceptions: Unique::try_new(Exceptions::NONE)? })
    }
}

/// What a plan takes from the machines.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Published {
    collecting: SlotSet,
    distributing: SlotSet,
    waiting: SlotSet,
    /// The last order that the plan follows.
    order: Order,
}

impl Published {
    fn of(machines: &Machines) -> Self {
        Published {
            collecting: machines.collecting(),
            distributing: machines.distributing(),
            waiting: machines.waiting(),
            order: machines.last_order(),
        }
    }
}

impl Control {
    /// LACP for a lagg that is to use it. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new(ifp: &Ifnet) -> Result<Self> {
        let strict = defaults().lacp_strict;
        let options = Options { strict, fast_timeout: false, txtest: false, rxtest: false };
        let machines = Lacp::new(
            System::new(ifp.lladdr().ethernet()),
            ifp.index(),
            options,
            Array::try_new(Slot::COUNT, |_| None)?,
            Array::try_new(Slot::COUNT, |_| None)?,
        );
        Ok(Control {
            published: Published::of(&machines),
            machines,
            balancer: Balancer::try_new()?,
            frames: Frames::try_new()?,
            has_system: false,
            waits: None,
            links_changed: true,
        })
    }

    /// A port is in the plan from now on.
    pub fn add(&mut self, port: &Port) {
        self.take_system(port);
        let lladdr = port.original_lladdr().ethernet();
        self.machines.add(port.slot(), port.ifp().index(), lladdr);
        self.links_changed = true;
    }

    /// Takes the system identifier from the lagg or from this port, unless there is one.
    pub fn take_system(&mut self, port: &Port) {
        if !self.has_system {
            // Kept even if the lagg's address changes: another system would have to negotiate with all
            // partners again (F-56).
            let own = port.softc().ifp().lladdr();
            let taken = if own == NO_LLADDR { port.original_lladdr() } else { own };
            let Settings { system_priority: priority, system_id, .. } = *self.machines.settings();
            let address = system_id.unwrap_or(taken.ethernet());
            self.machines.set_system(System { priority, address });
            self.has_system = true;
        }
    }

    /// Gives the machines these settings.
    pub fn set_settings(&mut self, settings: Settings) {
        // An identifier that is no longer given is taken anew.
        self.has_system &=
            self.machines.settings().system_id.is_none() || settings.system_id.is_some();
        self.machines.set_settings(settings);
    }

    /// Whether a port, which or whose lagg lacks IFF_UP, has been taken down, so that its partner must be
    /// told if the link is still up. A change of a port's address also takes it down and up again, and
    /// IFF_UP alone does not tell the two apart.
    pub fn is_taken_down(&self, port: &Port) -> bool {
        let ifp = port.ifp();
        let known = self.balancer.address(port.slot());
        ifp.link_state() == LinkState::Up && known == ifp.lladdr().ethernet()
    }

    /// Whether the plan differs from the machines' state.
    pub fn is_stale(&self) -> bool {
        // Flows are spread, and measured, only if a port distributes.
        let has_flows = !self.published.distributing.is_empty();
        self.published != Published::of(&self.machines)
            || has_flows && self.balancer.is_rebalanced()
    }

    /// The ports whose LACPDUs may be sent: those that say of the port what packets find in the current plan.
    pub fn told(&self) -> SlotSet {
        let differ = |now: SlotSet, plan: SlotSet| (now - plan) | (plan - now);
        let (machines, plan) = (&self.machines, &self.published);
        let all: SlotSet = Slot::all().collect();
        all - differ(machines.collecting(), plan.collecting)
            - differ(machines.distributing(), plan.distributing)
    }

    /// The last marker or farewell that was ordered before the current plan was published.
    pub fn last_order(&self) -> Order {
        self.published.order
    }

    /// LACP's part of the next plan, in this memory, from the machines' present state. If no port
    /// distributed before, no packet is in flight; if none distributes now, no flow waits.
    pub fn rules(
        &mut self,
        around: &Circumstances<'_>,
        table: TableMemory,
        Pauses { waits, mut exceptions }: Pauses,
    ) -> policy::Lacp<SharedTable, Ref<Exceptions>> {
        let rehashed = self.balancer.set_options(around.options);
        let distributing = self.machines.distributing();
        let domains = around.domains.of(distributing);
        if distributing.is_empty() {
            // F-17: nothing distributes, so no flow waits
            self.waits = None;
        } else {
            let spread = (around.members, distributing);
            let left = self.move_flows(table, spread, domains, rehashed, waits);
            // A new port's partner gets a marker too, for which nothing waits. It shows which partners
            // answer.
            let asked = left | (distributing - self.published.distributing);
            self.machines.ask_markers(asked, now());
        }
        let published = Published::of(&self.machines);
        self.balancer.set_domains(domains);
        (self.published, exceptions.domains) = (published, domains);
        self.waits.take_if(|waits| !waits.settle(published.waiting, &mut exceptions.paused));
        let any = self.waits.is_some() || domains.is_some();
        policy::Lacp {
            flows: self.balancer.flows(),
            collecting: published.collecting,
            // D-7: packets read it only in the plan
            distributing: published.distributing,
            exceptions: any.then(|| exceptions.share()),
        }
    }

    /// Moves flows to the ports that distribute now. Flows that move wait for the packets in flight on
    /// their old port, unless its partner is known not to answer markers. If the hash has changed
    /// (`rehashed`), all flows do. Returns the ports that flows have left, where markers are due.
    fn move_flows(
        &mut self,
        table: TableMemory,
        (members, distributing): (SlotSet, SlotSet),
        domains: Option<Domains>,
        rehashed: bool,
        waits: Boxed<Waits>,
    ) -> SlotSet {
        let distributed = self.published.distributing;
        let old = self.balancer.shared_table();
        let spread_anew = self.balancer.spread(table, members, distributing);
        let present = self.balancer.domains();
        if !(rehashed || spread_anew || present != domains) {
            return SlotSet::EMPTY;
        }
        let waits = self.waits.get_or_insert(waits);
        if rehashed {
            return waits.all(distributed);
        }
        let before = Choices { table: &old, domains: present };
        let after = Choices { table: self.balancer.table(), domains };
        waits.moved(&before, &after, distributed)
    }
}

/// The time, as the machines represent it.
pub(super) fn now() -> Time {
    Time::new(uptime_ms())
}

/// The frames of each slot's port that wait for the LACP task, a few of each kind. So a flood on one
/// port does not affect the others, and markers do not displace LACPDUs.
pub struct Frames(Array<Inboxes>);

pub(super) struct Inboxes {
    pub pdus: Inbox,
    pub markers: Inbox,
}

impl Frames {
    /// No frames yet. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn try_new() -> Result<Ref<Self>> {
        let none = |_| Inboxes { pdus: Inbox::new(), markers: Inbox::new() };
        Ref::try_new(Frames(Array::try_new(Slot::COUNT, none)?))
    }

    /// The inboxes of the port in a slot.
    pub(super) fn of(&self, slot: Slot) -> Option<&Inboxes> {
        self.0.get(usize::from(slot))
    }
}
