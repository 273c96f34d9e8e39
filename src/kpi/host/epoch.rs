//! The network epoch: sections, grace periods, and the thread that calls back after them.
//!
//! A thread in a section stores in a slot of its own in which epoch it entered. A thread that waits begins
//! a new epoch, then waits until every slot is empty or has that epoch or a later one. After that, no
//! section sees what was unlinked before. A section that the wait did not see began after it: both sides
//! have a fence between their store and their load.

/// The memory that epoch(9) needs in an object to call back for it.
pub(in crate::kpi) type EpochContext = [usize; 2];

/// A context that is not in use.
pub(in crate::kpi) const EPOCH_CONTEXT: EpochContext = [0; 2];

/// What is called back.
type Callback = unsafe extern "C" fn(*mut EpochContext);

struct Call {
    context: *mut EpochContext,
    callback: Callback,
}

// SAFETY: `epoch_call`'s caller gave the object away, to be used by one thread, once.
unsafe impl Send for Call {}

impl Call {
    fn run(self) {
        // SAFETY: `epoch_call`'s caller promised that the callback may be called with the context, once, when
        // the grace period is over, as it is.
        super::witness::callback(|| unsafe { (self.callback)(self.context) });
    }
}

#[cfg(all(feature = "testing", not(loom)))]
pub(super) use real::waits;
#[cfg(not(loom))]
pub(super) use real::{drain_round, in_section};
#[cfg(not(loom))]
pub(in crate::kpi) use real::{epoch_call, epoch_drain, epoch_wait, section};

#[cfg(loom)]
pub(super) use explored::{drain_round, in_section};
#[cfg(loom)]
pub(in crate::kpi) use explored::{epoch_call, epoch_drain, epoch_wait, section};

#[cfg(not(loom))]
mod real {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
    use std::sync::{Condvar, Mutex};

    use super::{Call, Callback, EpochContext};
    use crate::kpi::host::locks::Waiters;
    use crate::kpi::host::witness::{self, lock};

    /// Where a thread stores its section. Slots live for ever, and pass from thread to thread.
    #[repr(align(64))]
    struct Slot {
        /// The epoch in which the thread's section began; 0: it is in none.
        entered: AtomicU64,
        taken: AtomicBool,
    }

    static EPOCH: AtomicU64 = AtomicU64::new(1);
    static SLOTS: Mutex<Vec<&'static Slot>> = Mutex::new(Vec::new());

    /// The threads that wait for sections to end.
    static WAITERS: AtomicUsize = AtomicUsize::new(0);
    static WAITING: Mutex<()> = Mutex::new(());
    static SECTION_ENDED: Condvar = Condvar::new();
    static WAITING_THREADS: Waiters = Waiters::none();

    thread_local! {
        /// How many sections the thread is in.
        static DEPTH: Cell<u32> = const { Cell::new(0) };
        static SLOT: Cell<Option<&'static Slot>> = const { Cell::new(None) };
        static GIVE_BACK: GiveBack = const { GiveBack };
    }

    /// Gives the thread's slot back when the thread ends.
    struct GiveBack;

    impl Drop for GiveBack {
        fn drop(&mut self) {
            if let Some(slot) = SLOT.take() {
                slot.taken.store(false, Ordering::Release);
            }
        }
    }

    #[cold]
    fn take_slot() -> &'static Slot {
        let mut slots = lock(&SLOTS);
        let free = slots.iter().copied().find(|slot| !slot.taken.swap(true, Ordering::Acquire));
        let slot = free.unwrap_or_else(|| {
            let new = Slot { entered: AtomicU64::new(0), taken: AtomicBool::new(true) };
            let new: &'static Slot = Box::leak(Box::new(new));
            slots.push(new);
            new
        });
        SLOT.set(Some(slot));
        // Fails if the thread is about to end; then the slot is not used again.
        let _ = GIVE_BACK.try_with(|_| ());
        slot
    }

    struct Section(&'static Slot);

    impl Section {
        #[inline]
        fn enter() -> Self {
            let slot = SLOT.get().unwrap_or_else(take_slot);
            let depth = DEPTH.get();
            DEPTH.set(depth + 1);
            if depth == 0 {
                // Release: a thread that sees this section sees the end of the one before.
                slot.entered.store(EPOCH.load(Ordering::Relaxed), Ordering::Release);
                fence(Ordering::SeqCst);
            }
            Section(slot)
        }
    }

    impl Drop for Section {
        #[inline]
        fn drop(&mut self) {
            let depth = DEPTH.get() - 1;
            DEPTH.set(depth);
            if depth == 0 {
                self.0.entered.store(0, Ordering::SeqCst);
                if WAITERS.load(Ordering::SeqCst) != 0 {
                    section_ended();
                }
            }
        }
    }

    /// Whether the calling thread is in a section.
    pub(in crate::kpi::host) fn in_section() -> bool {
        DEPTH.get() != 0
    }

    #[cold]
    fn section_ended() {
        drop(lock(&WAITING));
        SECTION_ENDED.notify_all();
    }

    #[inline]
    pub(in crate::kpi) fn section<R>(f: impl FnOnce() -> R) -> R {
        let _section = Section::enter();
        f()
    }

    /// Whether a thread waits for sections to end.
    #[cfg(feature = "testing")]
    pub(in crate::kpi::host) fn waits(thread: std::thread::ThreadId) -> bool {
        WAITING_THREADS.has(thread)
    }

    pub(in crate::kpi) fn epoch_wait() {
        witness::may_sleep("NET_EPOCH_WAIT");
        let epoch = EPOCH.fetch_add(1, Ordering::SeqCst) + 1;
        fence(Ordering::SeqCst);
        WAITERS.fetch_add(1, Ordering::SeqCst);
        let slots = lock(&SLOTS).clone();
        let ended = |_: &mut ()| {
            slots.iter().all(|slot| {
                let entered = slot.entered.load(Ordering::SeqCst);
                entered == 0 || entered >= epoch
            })
        };
        let who = |_: &()| "the sections of the epoch to end".into();
        WAITING_THREADS.during(|| {
            drop(witness::wait_until(&SECTION_ENDED, lock(&WAITING), ended, who));
        });
        WAITERS.fetch_sub(1, Ordering::SeqCst);
    }

    struct Calls {
        waiting: Vec<Call>,
        /// The numbers of calls so far: requested and made.
        asked: u64,
        done: u64,
        started: bool,
    }

    static CALLS: Mutex<Calls> =
        Mutex::new(Calls { waiting: Vec::new(), asked: 0, done: 0, started: false });
    static CALLS_CHANGED: Condvar = Condvar::new();

    pub(in crate::kpi) unsafe fn epoch_call(context: *mut EpochContext, callback: Callback) {
        let mut calls = lock(&CALLS);
        calls.waiting.push(Call { context, callback });
        calls.asked += 1;
        if !std::mem::replace(&mut calls.started, true) {
            witness::kernel_thread("epoch", call_back);
        }
        CALLS_CHANGED.notify_all();
    }

    /// The epoch's thread.
    fn call_back() {
        let mut calls = lock(&CALLS);
        loop {
            let now = std::mem::take(&mut calls.waiting);
            if now.is_empty() {
                calls =
                    CALLS_CHANGED.wait(calls).unwrap_or_else(std::sync::PoisonError::into_inner);
                continue;
            }
            drop(calls);
            epoch_wait();
            let count = now.len() as u64;
            now.into_iter().for_each(Call::run);
            calls = lock(&CALLS);
            calls.done += count;
            CALLS_CHANGED.notify_all();
        }
    }

    /// Waits for the calls requested so far. Returns whether there were none.
    pub(in crate::kpi::host) fn drain_round() -> bool {
        witness::may_sleep("NET_EPOCH_DRAIN_CALLBACKS");
        let calls = lock(&CALLS);
        let asked = calls.asked;
        if calls.done == asked {
            return true;
        }
        let who = |_: &Calls| "the callbacks of the epoch".into();
        drop(witness::wait_until(&CALLS_CHANGED, calls, |calls| calls.done >= asked, who));
        false
    }

    pub(in crate::kpi) fn epoch_drain() {
        // A callback may drop the last reference to the next object: plan, port, lagg, ifnet. The rounds
        // are limited, because other threads may make requests for ever.
        let _ = (0..8).any(|_| drain_round());
    }
}

/// The same for loom. Sections have numbers, and the thread that ends the last section that a callback
/// waits for makes the call.
#[cfg(loom)]
mod explored {
    use std::cell::Cell;

    use loom::sync::{Mutex, MutexGuard};

    use super::{Call, Callback, EpochContext};
    use crate::kpi::host::sync::thread_local;

    #[derive(Default)]
    struct State {
        next: usize,
        open: Vec<usize>,
        /// Each call with the sections that were open when it was requested.
        calls: Vec<(Vec<usize>, Call)>,
    }

    loom::lazy_static! {
        static ref STATE: Mutex<State> = Mutex::new(State::default());
    }

    thread_local! {
        /// How many sections the thread is in.
        static DEPTH: Cell<u32> = const { Cell::new(0) };
    }

    fn state() -> MutexGuard<'static, State> {
        STATE.lock().expect("loom stops at a panic")
    }

    pub(in crate::kpi) fn section<R>(f: impl FnOnce() -> R) -> R {
        let number = {
            let mut state = state();
            state.next += 1;
            let number = state.next;
            state.open.push(number);
            number
        };
        DEPTH.with(|depth| depth.set(depth.get() + 1));
        let result = f();
        DEPTH.with(|depth| depth.set(depth.get() - 1));
        let ready: Vec<_> = {
            let mut state = state();
            state.open.retain(|&open| open != number);
            state.calls.iter_mut().for_each(|call| call.0.retain(|&open| open != number));
            state.calls.extract_if(.., |call| call.0.is_empty()).collect()
        };
        ready.into_iter().for_each(|call| call.1.run());
        result
    }

    pub(in crate::kpi) unsafe fn epoch_call(context: *mut EpochContext, callback: Callback) {
        let call = Call { context, callback };
        {
            let mut state = state();
            if !state.open.is_empty() {
                let open = state.open.clone();
                state.calls.push((open, call));
                return;
            }
        }
        call.run();
    }

    pub(in crate::kpi) fn epoch_wait() {
        while !state().open.is_empty() {
            loom::thread::yield_now();
        }
    }

    pub(in crate::kpi) fn epoch_drain() {
        while !drain_round() {
            loom::thread::yield_now();
        }
    }

    pub(in crate::kpi::host) fn drain_round() -> bool {
        state().calls.is_empty()
    }

    /// Whether the calling thread is in a section.
    pub(in crate::kpi::host) fn in_section() -> bool {
        DEPTH.with(Cell::get) != 0
    }
}
