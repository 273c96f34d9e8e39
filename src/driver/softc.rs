//! The softc: a lagg, its configuration token, and the publication of plans.

use core::convert::Infallible;
use core::fmt;
use core::mem::{offset_of, replace};
use core::result;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::{Acquire, Release};

use arrayvec::ArrayVec;

use super::counters::{HighWater, Ledger};
use super::drops::UnsentCounters;
use super::mode::{Mode, PlanMemory, Rules};
use super::state::{Setting, State};
use super::{Plan, Port, trace};
use crate::kpi::{
    CACHE_LINE, Callout, Cv, Deadline, Epoch, EpochCell, Errno, Ifnet, IfnetRef, LaggType,
    LinkAddr, Mbuf, Media, Mtx, MtxGuard, Queue, Ref, Result, Task, epoch, iff, log,
};
use crate::policy::Kind;
use crate::slots::Slot;

/// A lagg.
///
/// `if_softc` of its interface points at it; the kernel's LRO code reads the first word. What packets read
/// is in the first cache line; what packets or readers of counters write is not.
#[repr(C)]
pub struct Softc {
    ifp: IfnetRef,
    pub(super) plan: EpochCell<Plan>,
    /// Never changes.
    pub(super) kind: LaggType,
    pub(super) ledger: EpochCell<Ledger>,
    state: Mtx<State>,
    /// Signalled when the configuration token is given back.
    token_returned: Cv,
    lacp_task: Task<Softc>,
    /// The protocol task is to run when the LACP task has.
    publishes: AtomicBool,
    protocol_task: Task<Softc>,
    /// Wakes both when LACP has something to do, and each second for InfiniBand.
    protocol_callout: Callout<Softc>,
    configuration_task: Task<Softc>,
    /// None for InfiniBand.
    pub(super) media: Option<Media>,
    pub(super) unsent: UnsentCounters,
    pub(super) high_water: HighWater,
}

static_assertions::const_assert_eq!(offset_of!(Softc, ifp), 0);
static_assertions::const_assert!(offset_of!(Softc, plan) < CACHE_LINE);
static_assertions::const_assert!(offset_of!(Softc, high_water) >= CACHE_LINE);

impl Softc {
    /// The lagg behind `ifp`, with what its tasks do. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn try_new(
        ifp: &IfnetRef,
        kind: LaggType,
        lacp_task: fn(&Ref<Softc>),
        protocol_task: fn(&Ref<Softc>),
        configuration_task: fn(&Ref<Softc>),
    ) -> Result<Ref<Self>> {
        let state = State::try_new()?;
        let media = match kind {
            LaggType::Ethernet => Some(Media::try_new()?),
            LaggType::Infiniband => None,
        };
        Ref::try_new(Softc {
            ifp: ifp.clone(),
            plan: EpochCell::new(Plan::try_new(Rules::Failover)?.share()),
            kind,
            ledger: EpochCell::new(Ref::try_new(Ledger::NEW)?),
            state: Mtx::try_new(c"lagg", state)?,
            token_returned: Cv::try_new(c"laggtoken")?,
            lacp_task: Task::try_new(Queue::Lacp, lacp_task)?,
            publishes: AtomicBool::new(false),
            protocol_task: Task::try_new(Queue::Protocol, protocol_task)?,
            protocol_callout: Callout::try_new(Softc::wake_protocol)?,
            configuration_task: Task::try_new(Queue::Configuration, configuration_task)?,
            media,
            unsent: UnsentCounters::try_new()?,
            high_water: HighWater::default(),
        })
    }

    /// The lagg's own interface.
    #[inline]
    pub fn ifp(&self) -> &Ifnet {
        &self.ifp
    }

    /// Whether an administrator has given the lagg its address.
    pub(super) fn has_given_lladdr(&self, state: &mut State) -> bool {
        self.kind == LaggType::Ethernet && state.has_given_lladdr(self.ifp.lladdr())
    }

    /// Gives the lagg a port's address, or none, unless an administrator has set one. Returns whether the
    /// address has changed; the caller then announces it ([`peers::tell_lladdr`](super::peers::tell_lladdr)).
    pub(super) fn take_lladdr(&self, state: &mut State, lladdr: LinkAddr) -> bool {
        // F-40: an address that an administrator has set stays
        if self.has_given_lladdr(state) {
            return false;
        }
        state.lladdr = Setting::Taken(lladdr);
        state.lladdr_seen = lladdr.ethernet();
        // So that the protocol task does not announce it as well.
        state.peers.set_lladdr(lladdr);
        self.ifp.store_lladdr(&lladdr);
        true
    }

    /// Shows a packet to bpf(4) listeners on the lagg, if there are any.
    pub(super) fn bpf_tap(&self, m: &Mbuf) {
        self.bpf_tap_on(&self.ifp, m);
    }

    /// The same, for callers that have the lagg's interface.
    #[inline]
    pub(super) fn bpf_tap_on(&self, ifp: &Ifnet, m: &Mbuf) {
        match self.kind {
            LaggType::Ethernet => ifp.bpf_tap(m),
            LaggType::Infiniband => ifp.infiniband_bpf_tap(m),
        }
    }

    /// Whether IFF_DEBUG is set.
    pub(super) fn is_debugged(&self) -> bool {
        self.ifp.flags() & iff::DEBUG != 0
    }

    /// Whether IFF_MONITOR is set.
    fn is_monitor(&self) -> bool {
        self.ifp.flags() & iff::MONITOR != 0
    }

    /// Whether the plan is that of a monitor and the lagg is none, or the reverse.
    pub(super) fn has_new_monitor(&self, state: &State) -> bool {
        state.monitors != self.is_monitor()
    }

    /// Logs a line if IFF_DEBUG is set. Not under the mutex.
    pub(super) fn debug(&self, text: fmt::Arguments<'_>) {
        if self.is_debugged() {
            log(&self.ifp, text);
        }
    }

    /// The plan, for the rest of the epoch section.
    #[inline]
    pub fn plan<'e>(&self, epoch: &'e Epoch) -> &'e Plan {
        self.plan.load(epoch)
    }

    /// The present plan, to be kept.
    pub fn plan_ref(&self) -> Ref<Plan> {
        self.plan.get()
    }

    pub(super) fn state(&self) -> MtxGuard<'_, State> {
        self.state.lock()
    }

    /// Changes the state, and publishes the plan that follows from it: a packet sees all of the change or
    /// nothing. May sleep for the plan's memory, not under the mutex.
    ///
    /// # Errors
    /// ENOMEM, and nothing is changed; what `change` returns, and nothing is published.
    pub(super) fn try_change<R>(&self, change: impl FnOnce(&mut State) -> Result<R>) -> Result<R> {
        self.change_in(PlanMemory::try_new, change)
    }

    /// The same for changes that must not fail: waits for memory. Sleeps.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let memory = |kind| Ok(insist(|| PlanMemory::try_new(kind)));
        let Ok(result) = self.change_in::<_, Infallible>(memory, |state| Ok(change(state)));
        result
    }

    fn change_in<R, E>(
        &self,
        memory: impl Fn(Kind) -> result::Result<PlanMemory, E>,
        change: impl FnOnce(&mut State) -> result::Result<R, E>,
    ) -> result::Result<R, E> {
        loop {
            let kind = self.state().mode.kind();
            let memory = memory(kind)?;
            let mut state = self.state();
            // The protocol may have been switched since.
            if memory.fits(&state.mode) {
                let result = change(&mut state)?;
                self.publish(&mut state, memory);
                return Ok(result);
            }
        }
    }

    /// Switches the mode, makes `change`, and publishes the first plan of the new mode in `memory`. The
    /// caller has the token. Returns the old mode, which must be dropped without the mutex.
    pub(super) fn switch(
        &self,
        mode: Mode,
        memory: PlanMemory,
        change: impl FnOnce(&mut State),
    ) -> Mode {
        let mut state = self.state();
        let old = replace(&mut state.mode, mode);
        change(&mut state);
        self.publish(&mut state, memory);
        old
    }

    /// Publishes a plan with flows on the right ports, unless the present one is such a plan. Waits for
    /// memory, because a stale plan may send where no partner collects. Returns whether it was stale.
    pub(super) fn publish_if_stale(&self) -> bool {
        let is_stale = self.state().has_stale_plan();
        if is_stale {
            self.change(|_| ());
        }
        is_stale
    }

    /// Publishes a plan of the state as it is now. `memory` fits.
    fn publish(&self, state: &mut State, memory: PlanMemory) {
        state.monitors = self.is_monitor();
        // Packets of a lagg without VLANs do not pay for this.
        let is_on_vlans = state.is_on_vlans();
        if is_on_vlans {
            self.ifp.guard(true);
        }
        if let Some(plan) = state.plan(memory) {
            trace::publishes(self, state, &plan);
            // D-2: the old plan, including its protocol, lives as long as a packet uses it
            self.plan.replace(plan);
        }
        if !is_on_vlans {
            self.ifp.guard(false);
        }
    }

    /// Wakes the LACP task and, when that is done, the protocol task, which publishes link state and baud
    /// rate.
    pub(super) fn wake_protocol(softc: &Ref<Self>) {
        softc.publishes.store(true, Release);
        Softc::wake_lacp(softc);
    }

    /// Wakes the LACP task for a frame. It wakes the protocol task only if there is something to do.
    pub(super) fn wake_lacp(softc: &Ref<Self>) {
        softc.lacp_task.enqueue(softc);
    }

    /// Whether the protocol task was woken since the last call. The LACP task's.
    pub(super) fn take_publishes(&self) -> bool {
        self.publishes.swap(false, Acquire)
    }

    /// Wakes the protocol task alone, from the LACP task.
    pub(super) fn wake_publisher(softc: &Ref<Self>) {
        softc.protocol_task.enqueue(softc);
    }

    /// Wakes the configuration task, which applies to the ports what is wanted of them.
    pub(super) fn wake_configuration(softc: &Ref<Self>) {
        softc.configuration_task.enqueue(softc);
    }

    /// Wakes both when [`uptime_ms`](crate::kpi::uptime_ms) is `at`, instead of at the time that was set before.
    pub(super) fn wake_protocol_at(softc: &Ref<Self>, at: u64) {
        softc.protocol_callout.reset(softc, at);
    }

    /// Waits until no task is queued or running, nor will be. Sleeps; the lagg is being destroyed.
    pub(super) fn drain_tasks(&self) {
        self.lacp_task.drain();
        self.protocol_task.drain();
        // From here on the tasks see that the lagg is being destroyed, and do not set the callout again.
        self.protocol_callout.drain();
        self.lacp_task.drain();
        self.configuration_task.drain();
    }

    /// Waits for the configuration token. Sleeps; the caller holds no lock of a lagg.
    ///
    /// # Errors
    /// ENXIO: the lagg is being destroyed.
    pub(super) fn token(&self) -> Result<Token<'_>> {
        let mut state = self.state.lock();
        // D-12: requests that wait are refused when the lagg is destroyed
        while state.configuring && !state.destroying {
            state = self.token_returned.wait(state);
        }
        self.take(state)
    }

    /// The token, if it is free. Does not wait.
    ///
    /// # Errors
    /// ENXIO: the lagg is being destroyed.
    pub(super) fn free_token(&self) -> Result<Option<Token<'_>>> {
        let state = self.state.lock();
        if state.configuring && !state.destroying {
            return Ok(None);
        }
        self.take(state).map(Some)
    }

    /// Waits for the token for at most `ms` milliseconds; none if that was not enough.
    ///
    /// # Errors
    /// ENXIO: the lagg is being destroyed.
    pub(super) fn token_within(&self, ms: u32) -> Result<Option<Token<'_>>> {
        let deadline = Deadline::after_ms(ms);
        let mut state = self.state.lock();
        while state.configuring && !state.destroying {
            let (again, over) = self.token_returned.wait_until(state, &deadline);
            state = again;
            if over && state.configuring {
                return Ok(None);
            }
        }
        self.take(state).map(Some)
    }

    /// Gives back the token that the lagg's creator has held.
    pub(super) fn attached(&self) {
        self.state().attached = true;
        drop(Token(self));
    }

    /// The lagg may be in another vnet now. Waits for tasks that began in the old one, which may end next;
    /// tasks that begin later are in the new one. Sleeps; the caller holds no lock of a lagg, nor the
    /// token.
    pub(super) fn arrival(&self) {
        // Until then the creator of the lagg has the token, for which a task may wait.
        if self.state().attached {
            // D-30: tasks that began in the old vnet
            self.lacp_task.drain();
            self.protocol_task.drain();
            self.configuration_task.drain();
        }
    }

    fn take(&self, mut state: MtxGuard<'_, State>) -> Result<Token<'_>> {
        if state.destroying {
            return Err(Errno::ENXIO);
        }
        state.configuring = true;
        Ok(Token(self))
    }

    /// The last token: refuses all new requests, then waits until the present ones have ended. Sleeps.
    pub(super) fn last_token(&self) -> Token<'_> {
        let mut state = self.state.lock();
        state.destroying = true;
        self.token_returned.broadcast();
        while state.configuring {
            state = self.token_returned.wait(state);
        }
        state.configuring = true;
        Token(self)
    }
}

/// The configuration token. Its holder may sleep and call port drivers, and no other thread does so for
/// this lagg. It is not a lock: nothing that the stack calls with its own locks held waits for it.
pub(super) struct Token<'a>(&'a Softc);

impl Token<'_> {
    /// The ports that are in the plan, in ascending order of `if_index`. Only the holder of the token
    /// changes them, except that a port which would send to the lagg itself is taken out at once.
    pub fn ports(&self) -> ArrayVec<Ref<Port>, { Slot::COUNT }> {
        let mut ports: ArrayVec<_, { Slot::COUNT }> = ArrayVec::new();
        for port in self.0.plan_ref().ports_by_index() {
            let _ = ports.try_push(port.clone());
        }
        ports
    }
}

/// Tries until there is memory. Sleeps.
pub(super) fn insist<T>(allocate: impl Fn() -> Result<T>) -> T {
    loop {
        match allocate() {
            Ok(memory) => return memory,
            Err(_) => epoch::drain(),
        }
    }
}

impl Drop for Token<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.configuring = false;
        self.0.token_returned.broadcast();
    }
}
