//! The softc: a lagg, its configuration token, and the publication of plans.

use core::fmt;
use core::mem::offset_of;

use arrayvec::ArrayVec;

use super::counters::{Ledger, Told};
use super::state::{Needs, PlanMemory, Setting, State};
use super::stats::UnsentCounters;
use super::{Plan, Port, config, counters, link};
use crate::kpi::{
    CACHE_LINE, Callout, Cv, Deadline, Epoch, EpochCell, Errno, Ifnet, IfnetRef, LaggType,
    LinkAddr, Mbuf, Media, Mtx, MtxGuard, Queue, Ref, Result, Task, Unique, epoch, iff, log,
};
use crate::policy::Protocol;
use crate::slots::Slot;

/// A lagg.
///
/// `if_softc` of its interface points at it; the kernel's LRO code reads the first word.
/// What packets read of it is in its first cache line; what packets or readers of counters write is not.
#[repr(C)]
pub struct Softc {
    ifp: IfnetRef,
    plan: EpochCell<Plan>,
    kind: LaggType,
    ledger: EpochCell<Ledger>,
    state: Mtx<State>,
    /// Signalled when the configuration token is given back.
    token_returned: Cv,
    protocol_task: Task<Softc>,
    /// Wakes the protocol task when LACP has something to do, and each second for InfiniBand.
    protocol_callout: Callout<Softc>,
    configuration_task: Task<Softc>,
    /// None for InfiniBand.
    media: Option<Media>,
    unsent: UnsentCounters,
    told: Told,
}

static_assertions::const_assert_eq!(offset_of!(Softc, ifp), 0);
static_assertions::const_assert!(offset_of!(Softc, plan) < CACHE_LINE);
static_assertions::const_assert!(offset_of!(Softc, told) >= CACHE_LINE);

impl Softc {
    /// The lagg behind `ifp`. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn try_new(ifp: &IfnetRef, kind: LaggType) -> Result<Ref<Self>> {
        let state = State::try_new()?;
        let media = match kind {
            LaggType::Ethernet => Some(Media::try_new()?),
            LaggType::Infiniband => None,
        };
        Ref::try_new(Softc {
            ifp: ifp.clone(),
            plan: EpochCell::new(Plan::try_new(Protocol::Failover)?.share()),
            kind,
            ledger: EpochCell::new(Ref::try_new(Ledger::NEW)?),
            state: Mtx::try_new(c"lagg", state)?,
            token_returned: Cv::try_new(c"laggtoken")?,
            protocol_task: Task::try_new(Queue::Protocol, link::publish)?,
            protocol_callout: Callout::try_new(Softc::wake_protocol)?,
            configuration_task: Task::try_new(Queue::Configuration, config::reconcile)?,
            media,
            unsent: UnsentCounters::try_new()?,
            told: Told::default(),
        })
    }

    /// The lagg's own interface.
    #[inline]
    pub fn ifp(&self) -> &Ifnet {
        &self.ifp
    }

    /// Its kind, which never changes.
    #[inline]
    pub(super) fn kind(&self) -> LaggType {
        self.kind
    }

    /// Whether an administrator has given the lagg its address.
    pub(super) fn has_given_lladdr(&self, state: &mut State) -> bool {
        self.kind == LaggType::Ethernet && state.has_given_lladdr(self.ifp.lladdr())
    }

    /// Gives the lagg an address of a port's, or none, unless it has one that was given. True: it has
    /// another one now.
    pub(super) fn take_lladdr(&self, state: &mut State, lladdr: LinkAddr) -> bool {
        if self.has_given_lladdr(state) {
            return false;
        }
        state.lladdr = Setting::Taken(lladdr);
        state.lladdr_seen = lladdr.ethernet();
        self.ifp.store_lladdr(&lladdr);
        true
    }

    /// Shows a packet of the lagg's to bpf(4), if anybody listens.
    pub(super) fn bpf_tap(&self, m: &Mbuf) {
        match self.kind {
            LaggType::Ethernet => self.ifp.bpf_tap(m),
            LaggType::Infiniband => self.ifp.infiniband_bpf_tap(m),
        }
    }

    /// Whether IFF_DEBUG is set.
    pub(super) fn is_debugged(&self) -> bool {
        self.ifp.flags() & iff::DEBUG != 0
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

    /// The plan as it is now, to be kept.
    pub fn plan_ref(&self) -> Ref<Plan> {
        self.plan.get()
    }

    pub(super) fn ledger(&self) -> &EpochCell<Ledger> {
        &self.ledger
    }

    pub(super) fn told(&self) -> &Told {
        &self.told
    }

    pub(super) fn media(&self) -> Option<&Media> {
        self.media.as_ref()
    }

    pub(super) fn unsent(&self) -> &UnsentCounters {
        &self.unsent
    }

    pub(super) fn state(&self) -> MtxGuard<'_, State> {
        self.state.lock()
    }

    /// Publishes a plan of the state as it is now. `memory` was at hand before the mutex was taken.
    pub(super) fn publish(&self, state: &mut State, memory: PlanMemory) {
        // Packets of a lagg without VLANs have no part in this.
        let is_on_vlans = state.is_on_vlans();
        if is_on_vlans {
            self.ifp.guard(true);
        }
        self.plan.replace(state.plan(memory));
        if !is_on_vlans {
            self.ifp.guard(false);
        }
    }

    /// Memory for the next plan. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn plan_memory(&self) -> Result<PlanMemory> {
        let needs = Needs::of(&self.state().protocol);
        PlanMemory::try_new(needs)
    }

    /// Has the protocol task publish what follows from the ports: link state, baud rate.
    pub(super) fn wake_protocol(softc: &Ref<Self>) {
        softc.protocol_task.enqueue(softc);
    }

    /// Has the configuration task bring the ports to what is wanted of them.
    pub(super) fn wake_configuration(softc: &Ref<Self>) {
        softc.configuration_task.enqueue(softc);
    }

    /// Wakes the protocol task in `ms` milliseconds, and not when that was said before.
    pub(super) fn wake_protocol_in(softc: &Ref<Self>, ms: u32) {
        softc.protocol_callout.reset(softc, ms);
    }

    /// Waits until neither task is queued or running, nor will be. Sleeps; the lagg is being destroyed.
    pub(super) fn drain_tasks(&self) {
        self.protocol_task.drain();
        // From here on the task sees that it is, and sets the callout no more.
        self.protocol_callout.drain();
        self.protocol_task.drain();
        self.configuration_task.drain();
    }

    /// Waits for the configuration token. Sleeps; no lock of lagg may be held.
    ///
    /// # Errors
    /// ENXIO: the lagg is being destroyed.
    pub(super) fn token(&self) -> Result<Token<'_>> {
        let mut state = self.state.lock();
        while state.configuring && !state.destroying {
            state = self.token_returned.wait(state);
        }
        self.take(state)
    }

    /// The token, if nobody has it. Does not wait.
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

    /// Waits for the token for `ms` milliseconds at most; none if it did not come by then.
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

    /// Gives back the token that the lagg was made with.
    pub(super) fn attached(&self) {
        self.state().attached = true;
        drop(Token(self));
    }

    /// The lagg is in another vnet, perhaps: waits for tasks that began in the one before, which may end
    /// now. Those that begin later are in this one. Sleeps; no lock of lagg may be held, nor the token.
    pub(super) fn arrival(&self) {
        // Who makes the lagg has the token yet, which a task may wait for.
        if self.state().attached {
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

    /// The last token: refuses everything new, then waits until what is under way has ended.
    /// Sleeps.
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

/// The configuration token: who has it may sleep and call port drivers, and nobody else does for
/// this lagg. Not a lock: nothing that the stack calls with its own locks held waits for it.
pub(super) struct Token<'a>(&'a Softc);

impl Token<'_> {
    /// The ports that are in the plan, in ascending order of `if_index`. Only the holder of the
    /// token changes them, but for one that would send to the lagg itself: that is out at once.
    pub fn ports(&self) -> ArrayVec<Ref<Port>, { Slot::COUNT }> {
        let mut ports: ArrayVec<_, { Slot::COUNT }> = ArrayVec::new();
        for port in self.0.plan_ref().ports() {
            let _ = ports.try_push(port.clone());
        }
        ports
    }

    /// Memory for a plan; waits for it where a refusal cannot be passed on. Sleeps.
    pub fn plan_memory(&self) -> PlanMemory {
        insist(|| self.0.plan_memory())
    }

    /// Memory for a ledger, likewise.
    pub fn ledger_memory(&self) -> Unique<Ledger> {
        insist(counters::memory)
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
