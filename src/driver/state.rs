//! The state that plans are built from.

use core::mem::take;
use core::num::NonZeroU32;

use arrayvec::ArrayVec;

use super::Port;
use super::asked::{ANY, Answer, Asked, Lost, Modes, Vlans, Wants};
use super::changes::Changes;
use super::in_service::InService;
use super::lacp_state::now;
use super::mode::{Mode, Options};
use super::peers::Peers;
use super::settings::Settings;
use crate::kpi::{Array, Boxed, Group, IfnetRef, LinkAddr, MacAddr, Ref, Result, iff};
use crate::lacp::Time;
use crate::slots::Slot;

/// What plans are built from. The lagg's mutex guards it, and is held for one change and the publication
/// that follows. Under the mutex no code calls a port driver or an event handler, transmits, or allocates.
pub(super) struct State {
    /// Whether a thread has the configuration token.
    pub configuring: bool,
    pub destroying: bool,
    /// Whether the interface is attached, and its creator has finished.
    pub attached: bool,
    pub running: bool,
    /// Whether the plan is that of a monitor (IFF_MONITOR).
    pub monitors: bool,
    pub mode: Mode,
    /// The slot of the port that the lagg takes its address from: the first to join. When that leaves, the
    /// one with the lowest `if_index`.
    pub addressed_by: Option<Slot>,
    /// The lagg's IFF_PROMISC and IFF_ALLMULTI when they were last checked.
    pub modes_seen: u32,
    /// The lagg's address. Not used for InfiniBand, where the fabric gives it.
    pub lladdr: Setting<LinkAddr>,
    pub peers: Boxed<Peers>,
    /// The address of an Ethernet lagg when it was last checked.
    pub lladdr_seen: MacAddr,
    pub mtu: Setting<u32>,
    /// The slot of the port that is getting another address, which takes it down and up again.
    pub readdressed: Option<Slot>,
    /// Of a lagg that is down: until when it may come up again at once, as for a change of its address.
    down_ends: Option<Time>,
    pub options: Options,
    pub settings: Boxed<Settings>,
    pub in_service: Boxed<InService>,
    pub changes: Boxed<Changes>,
    pub vlans: Vlans,
    /// What the ports were last asked about their capabilities.
    pub asked: Asked,
    /// A place for each slot. On the heap: a kernel stack is small.
    pub(super) slots: Array<Option<Place>>,
}

// With its mutex it fits in malloc(9)'s 384 bytes. One more byte would take 512.
static_assertions::const_assert!(size_of::<State>() <= 352);

/// A slot that is taken.
pub(super) struct Place {
    pub port: Ref<Port>,
    phase: Phase,
    /// The port's parent, if it is a VLAN, as last reported.
    parent: Option<IfnetRef>,
    /// The id of that VLAN.
    vlan: u16,
    /// The capabilities that it would have enabled if it were the only port.
    wanted: u64,
    /// Its last answer that differed from what it was asked for. Few ports have one.
    answer: Option<Boxed<Answer>>,
    modes: Modes,
    groups: Array<Option<Group>>,
    lost: Lost,
    /// Until when its link may come back, if it is down because of a request to its driver.
    restart_ends: Option<Time>,
}

/// How long a card's link may stay down after a request that may restart the card is done, in milliseconds.
const RESTART_MS: u32 = 1_000;

// Each lagg has 32 of them in malloc(9)'s 2,048 bytes. One more byte would take 4,096.
static_assertions::const_assert!(size_of::<Option<Place>>() <= 64);

/// A setting that a lagg and its ports share, and where it comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting<T> {
    /// The driver has set it: a port's, or that of a lagg without ports. It goes with that port.
    Taken(T),
    /// An administrator has set it. It stays until another one is set.
    Given,
}

/// The address of a lagg that has none.
pub(super) const NO_LLADDR: LinkAddr = LinkAddr::Ethernet([0; 6]);

/// Where a port is in its life.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Claimed, not yet committed.
    Joining,
    /// Claimed, but its interface has departed: the joining thread gives up.
    Gone,
    /// In the plan.
    Member,
    /// Not in the plan any more, because it would send to the lagg itself. It will leave.
    Looping,
    /// Not in the plan any more, and not yet restored.
    Leaving,
}

impl State {
    /// The state of a new lagg. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        let settings = Boxed::try_new(Settings::of_vnet())?;
        Ok(State {
            in_service: Boxed::try_new(InService::try_new(&settings)?)?,
            changes: Boxed::try_new(Changes::try_new()?)?,
            settings,
            // Its creator has the token until it is attached.
            configuring: true,
            destroying: false,
            attached: false,
            running: false,
            monitors: false,
            mode: Mode::Failover,
            addressed_by: None,
            modes_seen: 0,
            lladdr: Setting::Taken(NO_LLADDR),
            peers: Boxed::try_new(Peers::NEW)?,
            lladdr_seen: [0; 6],
            mtu: Setting::Taken(0),
            readdressed: None,
            down_ends: None,
            options: Options::of_vnet(),
            vlans: Vlans::try_new()?,
            asked: Asked::NOTHING,
            slots: Array::try_new(Slot::COUNT, |_| None)?,
        })
    }

    /// Whether an administrator has given the lagg its address, which is `now`. No event reports that for a
    /// lagg that is down, so an address that the driver has not stored counts as given.
    pub fn has_given_lladdr(&mut self, now: LinkAddr) -> bool {
        if now == NO_LLADDR {
            self.lladdr = Setting::Taken(now);
        } else if self.lladdr != Setting::Taken(now) {
            self.lladdr = Setting::Given;
        }
        self.lladdr == Setting::Given
    }

    /// Whether there is a slot for another port, or will be when the ports that are leaving have left.
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
                restart_ends: None,
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

    /// The phase of `port`; none if it no longer belongs to this lagg.
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

    /// The port's parent and VLAN id, as last reported.
    pub fn parent(&self, port: &Port) -> Option<(IfnetRef, u16)> {
        let place = self.place(port)?;
        Some((place.parent.clone()?, place.vlan))
    }

    /// Stores them, for a port that is in its slot.
    pub fn set_parent(&mut self, port: &Port, parent: (IfnetRef, u16)) {
        if let Some(place) = self.place_mut(port) {
            (place.parent, place.vlan) = (Some(parent.0), parent.1);
        }
    }

    /// The ports that have joined and not begun to leave, in no order.
    pub fn joined(&self) -> ArrayVec<Ref<Port>, { Slot::COUNT }> {
        let is_in = |place: &&Place| matches!(place.phase, Phase::Member | Phase::Looping);
        let places = self.slots.iter().flatten().filter(is_in).take(Slot::COUNT);
        places.map(|place| place.port.clone()).collect()
    }

    /// A port that must leave, because it would send to the lagg itself.
    pub fn looping(&self) -> Option<Ref<Port>> {
        let mut places = self.slots.iter().flatten();
        places.find(|place| place.phase == Phase::Looping).map(|place| place.port.clone())
    }

    /// Sets the phase of a port that is in its slot.
    pub fn set_phase(&mut self, port: &Port, to: Phase) {
        if let Some(place) = self.place_mut(port) {
            place.phase = to;
        }
    }

    /// After an administrator's request for capabilities to `port`: those that it has enabled now are
    /// wanted of it, and its last answer no longer counts.
    pub fn set_wanted(&mut self, port: &Port, to: u64) {
        self.asked = Asked::NOTHING;
        if let Some(place) = self.place_mut(port) {
            (place.wanted, place.answer) = (to, None);
        }
    }

    /// The capabilities that are wanted of `port`.
    pub fn wanted(&self, port: &Port) -> u64 {
        self.place(port).map_or(u64::MAX, |place| place.wanted)
    }

    /// The last answer of `port` that differed from what it was asked for.
    pub fn answer(&self, port: &Port) -> Option<Answer> {
        self.place(port)?.answer.as_deref().copied()
    }

    /// Remembers that.
    pub fn set_answer(&mut self, port: &Port, to: Boxed<Answer>) {
        if let Some(place) = self.place_mut(port) {
            place.answer = Some(to);
        }
    }

    /// A request to the driver of `port` begins that may restart the card. Its link, if that is up, may go
    /// down and come up again, which drivers report later.
    pub fn begin_restart(&mut self, port: &Port) {
        // A link that has not come back after the last request still may.
        let may_come_back = port.is_active() || self.may_come_back(port);
        if let Some(place) = self.place_mut(port) {
            let restarts = place.phase == Phase::Member && may_come_back;
            // F-69: no limit while the driver works on it
            place.restart_ends = restarts.then_some(Time::END);
        }
    }

    /// The request is done. Returns whether the link may yet come back, for which the protocol task looks.
    pub fn end_restart(&mut self, port: &Port) -> bool {
        if let Some(place) = self.place_mut(port)
            && let Some(ends) = &mut place.restart_ends
        {
            *ends = now().after(RESTART_MS);
        }
        self.may_come_back(port)
    }

    /// Whether `port`, if it is down, may be so only because of a request of the lagg.
    pub fn is_restarting(&self, port: &Port) -> bool {
        self.readdressed == Some(port.slot()) || self.may_come_back(port)
    }

    /// Whether its link, if that is down, may still come back.
    fn may_come_back(&self, port: &Port) -> bool {
        self.restart_ends(port).is_some_and(|ends| now() < ends)
    }

    /// When the link of `port` has no more time to come back; none if it is up, or nothing was asked.
    fn restart_ends(&self, port: &Port) -> Option<Time> {
        let is_down = port.ifp().flags() & iff::UP != 0 && !port.is_active();
        self.place(port)?.restart_ends.filter(|_| is_down)
    }

    /// In how many milliseconds a link that is down, or the lagg, has no more time to come back; none if none has.
    pub fn next_restarted(&self) -> Option<u64> {
        let now = now();
        let ends = self.members().filter_map(|port| self.restart_ends(port)).chain(self.down_ends);
        ends.filter(|ends| now < *ends).map(|ends| ends.since(now)).min()
    }

    /// The lagg goes down, or has come up. There is no limit while the drivers of its ports work on it.
    pub fn set_running(&mut self, running: bool) {
        self.running = running;
        self.changes.forget();
        self.down_ends = (!running).then_some(Time::END);
    }

    /// Its ports are down.
    pub fn end_down(&mut self) {
        self.down_ends = Some(now().after(RESTART_MS));
    }

    /// Its ports are about to come up.
    pub fn begin_up(&mut self) {
        if self.may_come_up() {
            self.down_ends = Some(Time::END);
        }
    }

    /// Whether the lagg, if it is down, may be so only for a moment.
    pub fn may_come_up(&self) -> bool {
        self.down_ends.is_some_and(|ends| now() < ends)
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

    /// Takes what its filter has lost, for the holder of the token to put back.
    pub fn take_lost(&mut self, port: &Port) -> Lost {
        self.place_mut(port).map(|place| take(&mut place.lost)).unwrap_or_default()
    }

    /// Takes what has been asked of `port`, for the holder of the token to change and to put back.
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

    /// The number of the next port, greater than those of the ports that are there.
    pub fn next_number(&self) -> u32 {
        let last = self.slots.iter().flatten().map(|place| place.port.number()).max();
        last.map_or(0, |last| last.saturating_add(1))
    }

    /// The mode has just been switched.
    pub fn begin_mode(&mut self) {
        self.changes.begin_mode();
        let State { mode, options, slots, .. } = self;
        match mode {
            Mode::RoundRobin(_) => options.rr_stride = Some(NonZeroU32::MIN),
            Mode::Lacp(lacp) => members(slots).for_each(|place| lacp.add(&place.port)),
            _ => {}
        }
    }

    /// The port in slot `slot`, whatever its phase.
    pub fn claimed(&self, slot: Slot) -> Option<Ref<Port>> {
        self.slots.get(usize::from(slot))?.as_ref().map(|place| place.port.clone())
    }

    /// The ports that are in the plan, in no order.
    pub fn members(&self) -> impl Iterator<Item = &Ref<Port>> + Clone {
        members(&self.slots).map(|place| &place.port)
    }
}

pub(super) fn members(slots: &[Option<Place>]) -> impl Iterator<Item = &Place> + Clone {
    slots.iter().flatten().filter(|place| place.phase == Phase::Member)
}
