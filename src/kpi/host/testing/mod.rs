//! A card for tests. It keeps what is sent, refuses what it is told to refuse, and blocks where it is told
//! to block.

mod cards;
pub(super) mod injection;
pub(super) mod shortage;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::kpi::host::attach::{Attached, attach};
use crate::kpi::host::driver::{Kind, MOST_MTU, Nic, default_ioctl};
#[cfg(not(loom))]
use crate::kpi::host::epoch;
use crate::kpi::host::event::{self, Event};
use crate::kpi::host::locks::{self, DetachGuard};
use crate::kpi::host::media::media_of;
use crate::kpi::host::methods::IoctlMethod;
use crate::kpi::host::offloads;
use crate::kpi::host::sync::{Condvar, Mutex, MutexGuard, thread};
use crate::kpi::host::tags::CardTag;
use crate::kpi::host::witness::{self, lock};
use crate::kpi::{Epoch, Errno, IfType, Ifnet, Ioctl, MacAddr, Mbuf, Result, TagRequest, TagType};

pub use cards::{MODELS, Model};

/// The number that stands for a change of the link-level address in [`TestNic`].
pub const SET_LLADDR: usize = 0;

/// The number that stands for sending a packet, which can block.
pub const TRANSMIT: usize = 1;

#[derive(Default)]
struct State {
    sent: Vec<Vec<u8>>,
    transmit_error: Option<Errno>,
    ioctls: Vec<usize>,
    /// The command, how many of it pass first, the errno, and whether it is refused for ever.
    refusals: Vec<(usize, u32, Errno, bool)>,
    /// Commands that block, and how many threads each has blocked.
    blocked: Vec<(usize, u32)>,
    tags: Option<Result<Methods>>,
    tagged: Vec<TagType>,
}

type Guard<'a> = MutexGuard<'a, State>;

/// The methods of a [`TestNic`]'s send tag, besides the one that frees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Methods {
    /// All.
    All,
    /// None: all others are NULL.
    None,
}

struct TestTag {
    methods: Methods,
    max_rate: AtomicU64,
    /// The number of tags of the card.
    count: Arc<AtomicUsize>,
}

impl TestTag {
    fn with<T>(&self, answer: impl FnOnce() -> T) -> Option<T> {
        (self.methods == Methods::All).then(answer)
    }
}

impl CardTag for TestTag {
    /// A rate of 0 is refused.
    fn modify(&self, max_rate: u64) -> Option<Result> {
        self.with(|| {
            if max_rate == 0 {
                return Err(Errno::EINVAL);
            }
            self.max_rate.store(max_rate, Ordering::Relaxed);
            Ok(())
        })
    }

    fn query(&self) -> Option<Result<u64>> {
        self.with(|| Ok(self.max_rate.load(Ordering::Relaxed)))
    }

    fn status(&self) -> Option<Result<String>> {
        self.with(|| Ok(format!("{} bytes a second", self.max_rate.load(Ordering::Relaxed))))
    }
}

impl Drop for TestTag {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Release);
    }
}

/// Takes `ifnet_detach_sxlock`, as drivers and the stack may do at any time. Sleeps.
pub fn detach_lock() -> DetachGuard {
    locks::stack_detach_lock()
}

/// Sends a signal to a thread: its present or next wait for `ifnet_detach_sxlock` ends with EINTR.
pub fn interrupt(thread: thread::ThreadId) {
    locks::interrupt(thread);
}

/// Whether a thread waits for a [`Cv`](super::Cv), as for a lagg's token.
pub fn waits(thread: thread::ThreadId) -> bool {
    locks::WAITING.has(thread)
}

/// Whether a thread waits for sections of the epoch to end.
#[cfg(not(loom))]
pub fn waits_for_epoch(thread: thread::ThreadId) -> bool {
    epoch::waits(thread)
}

/// A card without a wire.
#[derive(Default)]
pub struct TestNic {
    state: Mutex<State>,
    changed: Condvar,
    count: AtomicU64,
    keep_none: bool,
    is_slow: bool,
    /// The media that the card reports; 0 for the usual ones.
    media: AtomicU32,
    tags: Arc<AtomicUsize>,
}

impl TestNic {
    /// A card that keeps what is sent.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A card that only counts what is sent, and sends it whether it runs or not.
    pub fn counting() -> Arc<Self> {
        Arc::new(TestNic { keep_none: true, ..TestNic::default() })
    }

    /// A card whose requests take long: other threads run meanwhile.
    pub fn slow() -> Arc<Self> {
        Arc::new(TestNic { is_slow: true, ..TestNic::default() })
    }

    /// Attaches this card as `name`, Ethernet, with an MTU of 1500 and a gigabit a second.
    pub fn attach(self: &Arc<Self>, name: &str, mac: MacAddr) -> Attached {
        attach(name, IfType::Ethernet, mac, 1500, 1_000_000_000, self.clone())
    }

    /// Frames sent since the last call.
    pub fn take_sent(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut lock(&self.state).sent)
    }

    /// The number of frames sent so far.
    pub fn sent(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// What sending returns from now on.
    pub fn refuse_transmit(&self, errno: Option<Errno>) {
        lock(&self.state).transmit_error = errno;
    }

    /// Commands that came since the last call, [`SET_LLADDR`] among them.
    pub fn take_ioctls(&self) -> Vec<usize> {
        std::mem::take(&mut lock(&self.state).ioctls)
    }

    /// Refuses only the `n`-th such command from now on; 1 is the next.
    pub fn refuse(&self, command: usize, n: u32, errno: Errno) {
        lock(&self.state).refusals.push((command, n - 1, errno, false));
    }

    /// Refuses all such commands from now on.
    pub fn refuse_all(&self, command: usize, errno: Errno) {
        lock(&self.state).refusals.push((command, 0, errno, true));
    }

    /// Refuses nothing from now on.
    pub fn accept(&self) {
        lock(&self.state).refusals.clear();
    }

    /// Makes such commands, or [`TRANSMIT`], block in the card until the returned object is dropped.
    pub fn block(self: &Arc<Self>, command: usize) -> Blocked {
        lock(&self.state).blocked.push((command, 0));
        Blocked { nic: self.clone(), command }
    }

    /// Sets the media that the card reports (`ifm_active`).
    pub fn set_media(&self, media: u32) {
        self.media.store(media, Ordering::Relaxed);
    }

    /// Makes send tags with these methods from now on, or refuses with this error.
    pub fn make_tags(&self, how: Result<Methods>) {
        lock(&self.state).tags = Some(how);
    }

    /// The number of send tags of this card.
    pub fn tags(&self) -> usize {
        self.tags.load(Ordering::Acquire)
    }

    /// The types of the send tags of frames sent since the last call.
    pub fn take_tagged(&self) -> Vec<TagType> {
        std::mem::take(&mut lock(&self.state).tagged)
    }

    /// Waits as long as such commands block.
    fn wait_in<'a>(&'a self, command: usize, mut state: Guard<'a>) -> Guard<'a> {
        let Some(block) = state.blocked.iter_mut().find(|block| block.0 == command) else {
            return state;
        };
        block.1 += 1;
        self.changed.notify_all();
        let free = |state: &mut State| !state.blocked.iter().any(|block| block.0 == command);
        let who = |_: &State| format!("a card that is blocked in {command:#x}");
        witness::wait_until(&self.changed, state, free, who)
    }

    fn called(&self, command: usize) -> Result {
        for _ in 0..if self.is_slow { 100 } else { 0 } {
            thread::yield_now();
        }
        let mut state = lock(&self.state);
        state.ioctls.push(command);
        state = self.wait_in(command, state);
        let mut refused = None;
        state.refusals.retain_mut(|(which, before, errno, for_good)| {
            if *which != command || refused.is_some() {
                return true;
            }
            if *before > 0 {
                *before -= 1;
                return true;
            }
            refused = Some(*errno);
            *for_good
        });
        refused.map_or(Ok(()), Err)
    }
}

/// A command that blocks. It continues when this is dropped.
pub struct Blocked {
    nic: Arc<TestNic>,
    command: usize,
}

impl Blocked {
    /// Waits until a thread is blocked.
    pub fn wait(&self) {
        let stopped = |state: &mut State| {
            state.blocked.iter().any(|block| block.0 == self.command && block.1 > 0)
        };
        let who = |_: &State| format!("{:#x} to come to a card", self.command);
        drop(witness::wait_until(&self.nic.changed, lock(&self.nic.state), stopped, who));
    }

    /// Lets it continue.
    pub fn release(self) {}
}

impl Drop for Blocked {
    fn drop(&mut self) {
        lock(&self.nic.state).blocked.retain(|block| block.0 != self.command);
        self.nic.changed.notify_all();
    }
}

impl Nic for TestNic {
    fn transmit(&self, ifp: &Ifnet, m: Mbuf, _: &Epoch) -> Result {
        if self.keep_none {
            self.count.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        // Its driver has stopped it, whether IFF_UP is set or not.
        if !ifp.is_running() {
            return Err(Errno::ENETDOWN);
        }
        let mut state = self.wait_in(TRANSMIT, lock(&self.state));
        if let Some(errno) = state.transmit_error {
            return Err(errno);
        }
        state.tagged.extend(m.tag().map(|tag| tag.kind()));
        state.sent.push(m.into_vec());
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn ioctl(&self, ifp: &Ifnet, r: &mut Ioctl<'_>) -> Result {
        self.called(r.command())?;
        default_ioctl(ifp, r)
    }

    fn allocate_tag(&self, _: &Ifnet, request: &mut TagRequest<'_>) -> Result<Box<dyn CardTag>> {
        let methods = lock(&self.state).tags.unwrap_or(Err(Errno::EOPNOTSUPP))?;
        self.tags.fetch_add(1, Ordering::Relaxed);
        let max_rate = AtomicU64::new(request.for_card().max_rate);
        Ok(Box::new(TestTag { methods, max_rate, count: self.tags.clone() }))
    }

    fn media(&self, ifp: &Ifnet) -> u32 {
        match self.media.load(Ordering::Relaxed) {
            0 => media_of(ifp.baudrate()),
            media => media,
        }
    }

    fn set_lladdr(&self, _: &Ifnet, _: &MacAddr) -> Result {
        self.called(SET_LLADDR)
    }
}

/// Removes an interface's `if_ioctl` (NULL). It must not be a port.
pub fn remove_ioctl(ifp: &Ifnet) {
    assert_eq!(ifp.ioctl_method(), IoctlMethod::Own, "{ifp:?} has its driver's ioctl");
    ifp.ioctl_method.store(IoctlMethod::None as u8, Ordering::Release);
}

/// The largest MTU that a card takes.
pub fn max_mtu(ifp: &Ifnet) -> u32 {
    offloads::couplings(ifp).max_mtu.unwrap_or(MOST_MTU)
}

/// All that the stack has of an interface, by name, except its counters and its port. A request that is
/// refused must not change any of it.
pub fn attributes(ifp: &Ifnet) -> Vec<(&'static str, String)> {
    let mut attributes = vec![
        ("type", format!("{:?}", ifp.if_type())),
        ("flags", format!("{:#x}", ifp.flags())),
        ("running", ifp.is_running().to_string()),
        ("link", format!("{:?}", ifp.link_state())),
        ("mtu", ifp.mtu().to_string()),
        ("baudrate", ifp.baudrate().to_string()),
        ("address", format!("{:x?}, for all {:x?}", ifp.lladdr(), ifp.broadcast_lladdr())),
        ("offloads", format!("{:x?}", ifp.offloads())),
        ("membership", format!("{:x?}", lock(&ifp.membership))),
        ("methods", format!("{:?}", ifp.methods())),
        ("IPv6", ifp.has_ipv6_lladdr().to_string()),
    ];
    if let Kind::Vlan(vlan) = &ifp.kind {
        attributes.push(("VLAN", vlan.describe()));
    }
    attributes
}

/// Records the events of an interface.
#[derive(Clone)]
pub struct Events(Arc<Mutex<Vec<Event>>>);

impl Events {
    /// Records the events of `ifp` from now on.
    pub fn of(ifp: &Ifnet) -> Self {
        let events = Events(Arc::default());
        let keep = events.0.clone();
        event::listen(ifp, move |_, event| lock(&keep).push(event.clone()));
        events
    }

    /// The events since the last call, without probes.
    pub fn take(&self) -> Vec<Event> {
        let is_event = |event: &mut Event| !matches!(event, Event::Probe(_));
        lock(&self.0).extract_if(.., is_event).collect()
    }

    /// The probes of DTrace since the last call.
    pub fn take_probes(&self) -> Vec<String> {
        let is_probe = |event: &mut Event| matches!(event, Event::Probe(_));
        let probes = lock(&self.0).extract_if(.., is_probe).collect::<Vec<_>>().into_iter();
        probes
            .filter_map(|event| if let Event::Probe(probe) = event { Some(probe) } else { None })
            .collect()
    }
}
