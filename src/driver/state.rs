//! The state that plans are built from.

use core::mem::take;
use core::num::NonZeroU32;

use arrayvec::ArrayVec;

use super::asked::{ANY, Answer, Asked, Lost, Modes, Vlans, Wants};
use super::mode::{Circumstances, Mode, Options, PlanMemory};
use super::{Plan, Port};
use crate::kpi::{Array, Boxed, Group, IfnetRef, LinkAddr, MacAddr, Ref, Result, iff, uptime_ms};
use crate::policy::lacp::Domains;
use crate::slots::{Slot, SlotSet};

/// What plans are built from. Guarded by the lagg's mutex: held for one change and the publication
/// that follows from it; under it no port driver, no event handler, no transmit, no allocation.
pub(super) struct State {
    /// A thread has the configuration token.
    pub configuring: bool,
    pub destroying: bool,
    /// Its interface is attached, and its creator has finished.
    pub attached: bool,
    pub running: bool,
    pub mode: Mode,
    /// failover's primary port, by its slot.
    pub primary: Option<Slot>,
    /// IFF_PROMISC and IFF_ALLMULTI of the lagg as they were last looked at.
    pub modes_seen: u32,
    /// The lagg's address. Not of InfiniBand, where the fabric gives it.
    pub lladdr: Setting<LinkAddr>,
    /// The address that was last announced while it could be heard.
    pub told_lladdr: LinkAddr,
    /// When it is announced once more, in milliseconds since boot.
    pub tell_again: Option<u64>,
    /// The address of an Ethernet lagg as it was last looked at.
    pub lladdr_seen: MacAddr,
    pub mtu: Setting<u32>,
    /// The slot of the port that just gets another address, which takes it down and up again.
    pub readdressed: Option<Slot>,
    /// The ports whose links may have gone by what their drivers were asked.
    restarting: SlotSet,
    /// Until when those have time to come back, in milliseconds since the start.
    restart_ends: u64,
    pub options: Options,
    pub vlans: Vlans,
    /// What the ports were last asked about their capabilities.
    pub asked: Asked,
    /// One for each slot. On the heap: a kernel stack is small.
    slots: Array<Option<Place>>,
}

// With its mutex it fits in malloc(9)'s 512 bytes: a byte more would take 1,024.
static_assertions::const_assert!(size_of::<State>() <= 480);

/// A slot that is taken.
struct Place {
    port: Ref<Port>,
    phase: Phase,
    /// The interface whose VLAN it was made last.
    parent: Option<IfnetRef>,
    /// The id of that VLAN.
    vlan: u16,
    /// The capabilities that it would have enabled if it were alone.
    wanted: u64,
    /// What it last answered when it was asked for others than it then had: few do.
    answer: Option<Boxed<Answer>>,
    modes: Modes,
    groups: Array<Option<Group>>,
    lost: Lost,
}

/// How long a card has, after its driver was asked for something by which it may restart, to have its link
/// up again, in milliseconds.
const RESTART_MS: u64 = 1_000;

// Each lagg has 32, and malloc(9) has 2,048 bytes: a byte more would take 4,096.
static_assertions::const_assert!(size_of::<Option<Place>>() <= 64);

/// A setting that a lagg and its ports share, by where it comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting<T> {
    /// The driver has put it there: a port's, or what a lagg without ports has. It goes with that port.
    Taken(T),
    /// An administrator has. It stays until another is given.
    Given,
}

/// The address of a lagg that has none.
pub(super) const NO_LLADDR: LinkAddr = LinkAddr::Ethernet([0; 6]);

/// Where a port is in its life.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Claimed, not yet committed.
    Joining,
    /// Claimed, and its interface went away in the meantime: the joiner gives up.
    Gone,
    /// In the plan.
    Member,
    /// Not in the plan any more, for it would send to the lagg itself; it leaves.
    Looping,
    /// Not in the plan any more, and not yet what it was before.
    Leaving,
}

impl State {
    /// Of a new lagg. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        Ok(State {
            // By its creator, until it is attached.
            configuring: true,
            destroying: false,
            attached: false,
            running: false,
            mode: Mode::Failover,
            primary: None,
            modes_seen: 0,
            lladdr: Setting::Taken(NO_LLADDR),
            told_lladdr: NO_LLADDR,
            tell_again: None,
            lladdr_seen: [0; 6],
            mtu: Setting::Taken(0),
            readdressed: None,
            restarting: SlotSet::EMPTY,
            restart_ends: 0,
            options: Options::of_vnet(),
            vlans: Vlans::try_new()?,
            asked: Asked::NOTHING,
            slots: Array::try_new(Slot::COUNT, |_| None)?,
        })
    }

    /// Whether an administrator has given the lagg its address, which is `now`. No event reports that for a
    /// lagg that is down: an address that the driver has not stored was given.
    pub fn has_given_lladdr(&mut self, now: LinkAddr) -> bool {
        if now == NO_LLADDR {
            self.lladdr = Setting::Taken(now);
        } else if self.lladdr != Setting::Taken(now) {
            self.lladdr = Setting::Given;
        }
        self.lladdr == Setting::Given
    }

    /// Whether there is a slot for another port, or will be when those have left that are leaving.
    pub fn has_room(&self) -> bool {
        let stays = |place: &Place| !matches!(place.phase, Phase::Looping | Phase::Leaving);
        !self.slots.iter().all(|slot| slot.as_ref().is_some_and(stays))
    }

    /// The slot that the next port gets.
    pub fn free_slot(&self) -> Option<Slot> {
        Slot::new(self.slots.iter().position(Option::is_none)?)
    }

    /// Puts a claimed port in its slot.
    pub fn insert(&mut self, port: Ref<Port>, parent: Option<(IfnetRef, u16)>) {
        self.restarting.remove(port.slot());
        if let Some(slot) = self.slots.get_mut(usize::from(port.slot())) {
            let wanted = port.original_enabled();
            let (parent, vlan) = parent.map_or((None, 0), |(parent, vlan)| (Some(parent), vlan));
            *slot = Some(Place {
                port,
                phase: Phase::Joining,
                parent,
                vlan,
                wanted,
                answer: None,
                modes: Modes::default(),
                groups: Array::default(),
                lost: Lost::default(),
            });
        }
    }

    /// Takes a port out of its slot.
    pub fn remove(&mut self, port: &Port) {
        if self.phase(port).is_some()
            && let Some(slot) = self.slots.get_mut(usize::from(port.slot()))
        {
            *slot = None;
        }
    }

    /// The phase of `port`; none if it is not this lagg's any more.
    pub fn phase(&self, port: &Port) -> Option<Phase> {
        self.place(port).map(|place| place.phase)
    }

    fn place(&self, port: &Port) -> Option<&Place> {
        let place = self.slots.get(usize::from(port.slot()))?.as_ref()?;
        place.port.is(port).then_some(place)
    }

    fn place_mut(&mut self, port: &Port) -> Option<&mut Place> {
        let place = self.slots.get_mut(usize::from(port.slot()))?.as_mut()?;
        place.port.is(port).then_some(place)
    }

    /// The interface whose VLAN the port was made last, and the VLAN's id.
    pub fn parent(&self, port: &Port) -> Option<(IfnetRef, u16)> {
        let place = self.place(port)?;
        Some((place.parent.clone()?, place.vlan))
    }

    /// Remembers that, for a port that is in its slot.
    pub fn set_parent(&mut self, port: &Port, parent: (IfnetRef, u16)) {
        if let Some(place) = self.place_mut(port) {
            (place.parent, place.vlan) = (Some(parent.0), parent.1);
        }
    }

    /// The ports that have joined and not begun to leave, in no order.
    pub fn joined(&self) -> ArrayVec<Ref<Port>, { Slot::COUNT }> {
        let is_in = |place: &&Place| matches!(place.phase, Phase::Member | Phase::Looping);
        let places = self.slots.iter().flatten().filter(is_in);
        places.take(Slot::COUNT).map(|place| place.port.clone()).collect()
    }

    /// A port that is to leave, for it would send to the lagg itself.
    pub fn looping(&self) -> Option<Ref<Port>> {
        let mut places = self.slots.iter().flatten();
        places.find(|place| place.phase == Phase::Looping).map(|place| place.port.clone())
    }

    /// Whether a port in the plan is a VLAN.
    pub fn is_on_vlans(&self) -> bool {
        self.members().any(|port| port.methods().is_vlan())
    }

    /// Sets the phase of a port that is in its slot.
    pub fn set_phase(&mut self, port: &Port, to: Phase) {
        if let Some(place) = self.place_mut(port) {
            place.phase = to;
        }
    }

    /// An administrator has asked `port` for capabilities: those that it has enabled now it is wanted to
    /// have, and what it answered before says nothing any more.
    pub fn set_wanted(&mut self, port: &Port, to: u64) {
        self.asked = Asked::NOTHING;
        if let Some(place) = self.place_mut(port) {
            (place.wanted, place.answer) = (to, None);
        }
    }

    /// The capabilities that `port` is wanted to have enabled.
    pub fn wanted(&self, port: &Port) -> u64 {
        self.place(port).map_or(u64::MAX, |place| place.wanted)
    }

    /// The last answer of `port` that was not what it was asked.
    pub fn answer(&self, port: &Port) -> Option<Answer> {
        self.place(port)?.answer.as_deref().copied()
    }

    /// Remembers that.
    pub fn set_answer(&mut self, port: &Port, to: Boxed<Answer>) {
        if let Some(place) = self.place_mut(port) {
            place.answer = Some(to);
        }
    }

    /// The driver of `port` is asked for something by which the card may restart: its link, if that is up,
    /// may go down and come up again, of which drivers tell later.
    pub fn begin_restart(&mut self, port: &Port) {
        let now = uptime_ms();
        if now >= self.restart_ends {
            self.restarting = SlotSet::EMPTY;
        }
        // One that has not come back from the last time still may.
        let may_come_back = port.is_active() || self.may_come_back(port);
        self.restarting.remove(port.slot());
        if self.phase(port) == Some(Phase::Member) && may_come_back {
            self.restarting.insert(port.slot());
        }
        self.restart_ends = now.saturating_add(RESTART_MS);
    }

    /// Its driver has done so.
    pub fn end_restart(&mut self) {
        self.restart_ends = uptime_ms().saturating_add(RESTART_MS);
    }

    /// Whether `port` is down only because the lagg has asked something of its driver, as far as is known
    /// yet.
    pub fn is_restarting(&self, port: &Port) -> bool {
        self.readdressed == Some(port.slot()) || self.may_come_back(port)
    }

    /// Whether its link, if that is down, still has time to come back.
    fn may_come_back(&self, port: &Port) -> bool {
        self.restarting.contains(port.slot())
            && port.ifp().flags() & iff::UP != 0
            && !port.is_active()
            && uptime_ms() < self.restart_ends
    }

    /// When it is known whether links stay down, in milliseconds since the start; none if none is down.
    pub fn next_restarted(&self) -> Option<u64> {
        self.members().any(|port| self.may_come_back(port)).then_some(self.restart_ends)
    }

    /// Remembers that the filter of `port` has lost a VLAN's id.
    pub fn lose(&mut self, port: &Port, id: u16) {
        if let Some(place) = self.place_mut(port) {
            match place.lost.iter_mut().find(|lost| [0, id].contains(lost)) {
                Some(lost) => *lost = id,
                None => place.lost = [ANY; 2],
            }
        }
    }

    /// What its filter has lost, for the holder of the token to put back.
    pub fn take_lost(&mut self, port: &Port) -> Lost {
        self.place_mut(port).map(|place| take(&mut place.lost)).unwrap_or_default()
    }

    /// What has been asked of `port`, for the holder of the token to change and to put back.
    pub fn take_wants(&mut self, port: &Port) -> Wants {
        let Some(place) = self.place_mut(port) else { return Wants::default() };
        Wants { modes: take(&mut place.modes), groups: take(&mut place.groups) }
    }

    /// Puts back what [`State::take_wants`] gave.
    pub fn put_wants(&mut self, port: &Port, wants: Wants) {
        if let Some(place) = self.place_mut(port) {
            (place.modes, place.groups) = (wants.modes, wants.groups);
        }
    }

    /// The slots of the ports in the plan, and of those of them that are active.
    fn slots_up(&self) -> (SlotSet, SlotSet) {
        let slots_of = |port: &Ref<Port>| port.slot();
        let active = self.members().filter(|port| port.is_active());
        (self.members().map(slots_of).collect(), active.map(slots_of).collect())
    }

    /// The ports of each NUMA domain, if packets are to keep to theirs: with LACP alone they do.
    fn domains(&self) -> Domains {
        let keep = self.options.use_numa && self.mode.lacp().is_some();
        let mut domains = Domains::default();
        for port in self.members().filter(|_| keep) {
            domains.add(port.slot(), port.ifp().numa_domain());
        }
        domains
    }

    /// The mode has just been switched.
    pub fn begin_mode(&mut self) {
        let State { mode, options, slots, .. } = self;
        match mode {
            Mode::RoundRobin(_) => options.rr_stride = Some(NonZeroU32::MIN),
            Mode::Lacp(lacp) => members(slots).for_each(|place| lacp.add(&place.port)),
            _ => {}
        }
    }

    /// Whether the plan has flows on other ports than they are to be on now.
    pub fn has_stale_plan(&self) -> bool {
        let (members, up) = self.slots_up();
        self.mode.has_stale_plan(members, up)
    }

    /// The port in slot `slot`, whatever its phase.
    pub fn claimed(&self, slot: Slot) -> Option<Ref<Port>> {
        self.slots.get(usize::from(slot))?.as_ref().map(|place| place.port.clone())
    }

    /// The ports that are in the plan, in no order.
    pub fn members(&self) -> impl Iterator<Item = &Ref<Port>> + Clone {
        members(&self.slots).map(|place| &place.port)
    }

    /// The plan of the state as it is now. None: the memory is for another protocol's.
    pub fn plan(&mut self, memory: PlanMemory) -> Option<Ref<Plan>> {
        let (members, up) = self.slots_up();
        let (options, domains) = (self.options, self.domains());
        let around = Circumstances { options: &options, members, up, domains };
        let (rules, mut plan) = memory.rules(&mut self.mode, &around)?;
        let frames = self.mode.lacp().map(|lacp| lacp.frames.clone());
        plan.fill(rules, self.running, self.members(), self.primary, frames);
        Some(plan.share())
    }
}

fn members(slots: &[Option<Place>]) -> impl Iterator<Item = &Place> + Clone {
    slots.iter().flatten().filter(|place| place.phase == Phase::Member)
}
