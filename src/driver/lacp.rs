//! LACP in the driver: the machines of [`crate::lacp`] with the lagg's clock, ports and plan.
//!
//! The machines are in the lagg's state, under its mutex. The protocol task brings them what has happened
//! (frames, from the inbox; time, from the callout; links that went down), publishes the plan that
//! follows, and sends what is due in the network epoch, the mutex given back. What a port's driver
//! has to be asked for, its media, the configuration task asks.

use core::fmt::{self, Write};

use super::ioctl::bits;
use super::mode::{Balancer, Circumstances, Mode, SharedTable, TableMemory};
use super::softc::{Token, insist};
use super::state::{NO_LLADDR, State};
use super::{Port, Softc, pdus};
use crate::kpi::ioctl::{LacpInfo, port as port_flag};
use crate::kpi::{
    Array, Boxed, Ifnet, LinkState, MacAddr, Ref, Result, Unique, defaults, epoch, lacp_debug, log,
    uptime_ms,
};
use crate::lacp::mux::State as Mux;
use crate::lacp::{self, Lacp, LagId, Link, Options, System, Time};
use crate::policy;
use crate::policy::lacp::{Choices, Domains, Exceptions, Waits};
use crate::slots::{Slot, SlotMap, SlotSet};
use crate::wire::lacpdu::{Info, State as Bits};
use crate::wire::slow::FRAME;

/// The machines, in memory of the kernel's.
pub(super) type Machines = Lacp<Array<Option<lacp::Port>>, Array<Option<LagId>>>;

/// LACP's part of a lagg's state.
pub(super) struct Control {
    pub machines: Machines,
    pub balancer: Balancer,
    /// Those that have come in.
    pub frames: Ref<pdus::Frames>,
    /// Its identifier has been taken, from the lagg or from the first port.
    has_system: bool,
    /// The flows that wait, while there are any.
    waits: Option<Boxed<Waits>>,
    /// What the plan has.
    published: Published,
    /// The ports of each NUMA domain, where packets keep to theirs.
    domains: Option<Domains>,
    /// A link may have come up since its media were last asked for.
    pub links_changed: bool,
    /// The address that each port had then, by slots.
    addresses: Boxed<SlotMap<MacAddr>>,
}

/// Memory for what a plan has of LACP's own.
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
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Published {
    collecting: SlotSet,
    distributing: SlotSet,
    waiting: SlotSet,
}

impl Published {
    fn of(machines: &Machines) -> Self {
        Published {
            collecting: machines.collecting(),
            distributing: machines.distributing(),
            waiting: machines.waiting(),
        }
    }
}

impl Control {
    /// LACP for a lagg whose protocol it is to be. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new(ifp: &Ifnet) -> Result<Self> {
        let strict = defaults().lacp_strict;
        let options = Options { strict, fast_timeout: false, txtest: false, rxtest: false };
        Ok(Control {
            machines: Lacp::new(
                System::new(ifp.lladdr().ethernet()),
                ifp.index(),
                options,
                Array::try_new(Slot::COUNT, |_| None)?,
                Array::try_new(Slot::COUNT, |_| None)?,
            ),
            balancer: Balancer::try_new()?,
            frames: pdus::Frames::try_new()?,
            has_system: false,
            waits: None,
            published: Published::default(),
            domains: None,
            links_changed: true,
            addresses: Boxed::try_zeroed()?,
        })
    }

    /// A port is in the plan from now on.
    pub fn add(&mut self, port: &Port) {
        let lladdr = port.original_lladdr().ethernet();
        if !self.has_system {
            // Kept whatever becomes of the lagg's address: another system would have to agree with all
            // partners again (F-56).
            let own = port.softc().ifp().lladdr();
            let address = if own == NO_LLADDR { lladdr } else { own.ethernet() };
            self.machines.set_system(System::new(address));
            self.has_system = true;
        }
        self.machines.add(port.slot(), port.ifp().index(), lladdr, now());
        self.links_changed = true;
    }

    /// Whether a port without IFF_UP, or of a lagg without, has been taken down: its partner is told if the
    /// link is still up. A change of a port's address also takes it down and up again, and IFF_UP alone
    /// does not tell the two apart.
    fn is_taken_down(&self, port: &Port) -> bool {
        let ifp = port.ifp();
        let known = self.addresses[port.slot()];
        ifp.link_state() == LinkState::Up && known == ifp.lladdr().ethernet()
    }

    /// Whether the plan has something else than the machines.
    pub fn is_stale(&self) -> bool {
        self.published != Published::of(&self.machines)
    }

    /// What the next plan has of LACP, in this memory: what the machines have now. Where there was no port
    /// no frame is under way, and where there is none nothing waits.
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
            // A port that is new is asked too, and nothing waits for it: so it is known which partners
            // answer.
            let asked = left | (distributing - self.published.distributing);
            self.machines.ask_markers(asked, now());
        }
        let published = Published::of(&self.machines);
        (self.published, self.domains, exceptions.domains) = (published, domains, domains);
        self.waits.take_if(|waits| !waits.settle(published.waiting, &mut exceptions.paused));
        let any = self.waits.is_some() || domains.is_some();
        policy::Lacp {
            flows: self.balancer.flows.clone(),
            collecting: published.collecting,
            // D-7: packets read it in the plan alone
            distributing: published.distributing,
            exceptions: any.then(|| exceptions.share()),
        }
    }

    /// Moves flows to the ports that distribute now. Those that move wait for the frames that their old
    /// port has under way, unless its partner is known not to tell: markers are due then. All do if packets
    /// are told apart in another way now (`rehashed`). Returned: the ports that flows have left.
    fn move_flows(
        &mut self,
        table: TableMemory,
        (members, distributing): (SlotSet, SlotSet),
        domains: Option<Domains>,
        rehashed: bool,
        waits: Boxed<Waits>,
    ) -> SlotSet {
        let distributed = self.published.distributing;
        let old = self.balancer.flows.table.clone();
        let spread_anew = self.balancer.spread(table, members, distributing);
        if !(rehashed || spread_anew || self.domains != domains) {
            return SlotSet::EMPTY;
        }
        let waits = self.waits.get_or_insert(waits);
        if rehashed {
            return waits.all(distributed);
        }
        let before = Choices { table: &old, domains: self.domains };
        let after = Choices { table: &self.balancer.flows.table, domains };
        waits.moved(&before, &after, distributed)
    }
}

/// The time, as the machines have it.
pub(super) fn now() -> Time {
    Time::new(uptime_ms())
}

/// What the protocol task does for LACP. True: there is LACP.
pub(super) fn run(softc: &Ref<Softc>) -> bool {
    pdus::take_frames(softc);
    if !run_machines(softc) {
        return false;
    }
    softc.publish_if_stale();
    pdus::send_farewells(softc);
    log_reports(softc);
    pdus::send_markers(softc);
    // No flow waits for one that could not be sent.
    softc.publish_if_stale();
    pdus::send_pdus(softc);
    true
}

/// In how many milliseconds LACP has something to do.
pub(super) fn until_due(state: &State) -> Option<u64> {
    let now = now();
    Some(state.mode.lacp()?.machines.deadline(now)?.since(now))
}

/// Tells the partners of ports that were taken down, by their administrator or with the lagg, before their
/// drivers know. Sleeps if there are such ports. Does nothing without LACP.
pub(super) fn say_that_ports_are_down(softc: &Softc) {
    softc.ifp().in_vnet(|| {
        if run_machines(softc) {
            softc.publish_if_stale();
            pdus::send_farewells(softc);
        }
    });
}

/// Where each port's mux machine is.
fn muxes(machines: &Machines) -> SlotMap<Mux> {
    let mux = |slot: Slot| Some(machines.port(slot)?.mux());
    SlotMap::from_fn(|slot| mux(slot).unwrap_or(Mux::Detached))
}

/// Runs the machines until they rest. False: there is no LACP.
fn run_machines(softc: &Softc) -> bool {
    let (before, after) = {
        let mut guard = softc.state();
        let state = &mut *guard;
        let Some(lacp) = state.mode.lacp() else { return false };
        let (running, now) = (state.running, now());
        let (mut down, mut taken_down) = (SlotSet::EMPTY, SlotSet::EMPTY);
        let is_down = |port: &&Ref<Port>| !port.is_active() && !state.is_restarting(port);
        for port in state.members().filter(|port| !running || is_down(port)) {
            let set = if lacp.is_taken_down(port) { &mut taken_down } else { &mut down };
            set.insert(port.slot());
        }
        let Some(Control { machines, .. }) = state.mode.lacp_mut() else { return false };
        let before = muxes(machines);
        for slot in down.iter() {
            machines.set_link(slot, Link::Down, now);
        }
        for slot in taken_down.iter() {
            machines.take_down(slot, now);
        }
        machines.run(now);
        (before, muxes(machines))
    };
    for slot in Slot::all().filter(|slot| before[*slot] != after[*slot]) {
        report(softc, slot, before[slot], after[slot]);
    }
    true
}

/// Says what administrators want to know, and the rest if they ask (`net.link.lagg.lacp.debug`).
fn report(softc: &Softc, slot: Slot, from: Mux, to: Mux) {
    let Some(port) = softc.state().claimed(slot) else { return };
    let name = port.ifp().name();
    if lacp_debug() > 0 {
        log(softc.ifp(), format_args!("{name}: {} to {}", from.name(), to.name()));
    } else if from == Mux::Distributing {
        log(softc.ifp(), format_args!("{name} does not distribute any more"));
    }
}

/// Says what is not right with links.
fn log_reports(softc: &Softc) {
    loop {
        let (port, report) = {
            let mut state = softc.state();
            let next = state.mode.lacp_mut().and_then(|lacp| lacp.machines.poll_report());
            let Some((slot, report)) = next else { return };
            (state.claimed(slot), report)
        };
        if let Some(port) = port {
            let name = port.ifp().name();
            log(softc.ifp(), format_args!("{name} {}", report.text()));
        }
    }
}

/// Tells the partner of a port that has left that it is no longer part of the aggregation. The caller
/// has waited for the epoch since: this comes behind all packets, and all LACPDUs, that were under way.
pub(super) fn say_farewell(port: &Port, frame: &[u8; FRAME]) {
    if port.is_active() {
        // If it is lost, the partner will miss the port.
        // D-20: LACP sends in the epoch too
        let _ = epoch::section(|epoch| pdus::transmit(port, frame, epoch));
    }
}

/// The same for all ports of a lagg that no longer has this mode, if that was LACP. Sleeps then.
pub(super) fn say_farewells(old: &mut Mode, ports: &[Ref<Port>]) {
    let Some(lacp) = old.lacp_mut() else { return };
    epoch::wait();
    for port in ports {
        if let Some(frame) = lacp.machines.remove(port.slot()) {
            say_farewell(port, &frame);
        }
    }
}

/// Asks ports whose link may have come up for their media. The caller has the token, so the ports stay.
pub(super) fn follow_links(softc: &Ref<Softc>, _: &Token<'_>) {
    let running = {
        let mut state = softc.state();
        let running = state.running;
        let Some(lacp) = state.mode.lacp_mut() else { return };
        if !core::mem::take(&mut lacp.links_changed) {
            return;
        }
        running
    };
    let plan = softc.plan_ref();
    let link_of = |place: usize| match plan.at(place) {
        Some(port) if running && port.is_active() => link(port),
        _ => Link::Down,
    };
    // On the heap: a kernel stack is small.
    let links = insist(|| Array::try_new(plan.ports().count(), link_of));
    // All at once: ports that come up together are to be found together.
    if let Some(lacp) = softc.state().mode.lacp_mut() {
        for (port, link) in plan.ports().zip(links.iter()).filter(|(_, link)| **link != Link::Down)
        {
            lacp.machines.set_link(port.slot(), *link, now());
            lacp.addresses[port.slot()] = port.ifp().lladdr().ethernet();
        }
    }
    Softc::wake_protocol(softc);
}

/// The link of an active port. Virtual cards say neither full nor half duplex, and of new media drivers
/// know the speed alone, if anything (F-45).
fn link(port: &Port) -> Link {
    let media = port.methods().media(port.ifp());
    if media.is_some_and(|media| !media.ethernet || media.half_duplex) {
        return Link::Unfit;
    }
    let speed = media.map_or(0, |media| media.baudrate);
    Link::Up(if speed == 0 { port.ifp().baudrate() } else { speed })
}

/// A link has changed: down is for the protocol task, up for the configuration task too. Does not
/// wait.
pub(super) fn link_changed(softc: &Ref<Softc>) {
    Softc::wake_protocol(softc);
    {
        let mut state = softc.state();
        let Some(lacp) = state.mode.lacp_mut() else { return };
        lacp.links_changed = true;
    }
    Softc::wake_configuration(softc);
}

/// Bits a second of the active aggregator.
pub(super) fn bandwidth(softc: &Softc) -> Option<u64> {
    softc.state().mode.lacp().map(|lacp| lacp.machines.bandwidth())
}

/// A port's record: its flags; its sides go to `sides`.
pub(super) fn record(state: &State, port: &Port, sides: &mut LacpInfo) -> u32 {
    let Some(lacp) = state.mode.lacp() else { return 0 };
    let Some(machines) = lacp.machines.port(port.slot()) else { return 0 };
    *sides = info(machines.actor(), machines.partner());
    let state = machines.actor().state;
    bits(lacp.machines.is_active(port.slot()), port_flag::ACTIVE)
        | bits(state.contains(Bits::COLLECTING), port_flag::COLLECTING)
        | bits(state.contains(Bits::DISTRIBUTING), port_flag::DISTRIBUTING)
}

/// The active aggregator's record; zeros if there is none.
pub(super) fn aggregator_record(lacp: &Control) -> LacpInfo {
    let sides = lacp.machines.active_aggregator();
    sides.map(|(actor, partner)| info(&actor, &partner)).unwrap_or_default()
}

fn info(actor: &Info, partner: &Info) -> LacpInfo {
    LacpInfo {
        actor_prio: actor.system_priority,
        actor_mac: actor.system,
        actor_key: actor.key,
        actor_portprio: actor.port_priority,
        actor_portno: actor.port,
        actor_state: actor.state.bits(),
        pad1: 0,
        partner_prio: partner.system_priority,
        partner_mac: partner.system,
        partner_key: partner.key,
        partner_portprio: partner.port_priority,
        partner_portno: partner.port,
        partner_state: partner.state.bits(),
        pad2: 0,
    }
}

/// Writes the records of a port: what its machines have done and seen, in seconds and counts. Takes the
/// mutex and gives it back before it writes.
///
/// # Errors
/// Those of `to`.
pub(super) fn write(port: &Port, to: &mut dyn Write) -> fmt::Result {
    let machines = port.softc().state().mode.lacp().and_then(|lacp| {
        let port = lacp.machines.port(port.slot())?;
        Some((*port.statistics(), port.mux(), port.churns()))
    });
    let Some((statistics, mux, (actor_churns, partner_churns))) = machines else { return Ok(()) };
    let name = port.ifp().name();
    let mut record = |key: &str, value: u64| writeln!(to, "port {name} lacp {key} {value}");
    for (key, value) in statistics.named() {
        record(key, value.into())?;
    }
    record("unknown", port.unknown().into())?;
    record("actor_churns", actor_churns.into())?;
    record("partner_churns", partner_churns.into())?;
    record("last_change", now().since(statistics.last_change) / 1000)?;
    writeln!(to, "port {name} lacp mux {}", mux.name())
}
