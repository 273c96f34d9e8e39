//! Time, and functions at a later time (callout(9)). Time is virtual: a vnet's clock moves when a test
//! moves it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::sync::{Condvar, Mutex};
use super::vnet::Vnet;
use super::witness::lock;
use super::{memory, witness};
use crate::kpi::{Ref, Result};

/// How long a clock that follows real time waits, at most, before it checks again.
const IDLE_MS: u64 = 200;

/// A vnet's clock. It does not begin at 0, because a system has been up for a while when its interfaces
/// come.
pub(super) struct Clock {
    ms: AtomicU64,
    calls: Mutex<Vec<Call>>,
    /// A callout was set.
    set: Condvar,
}

impl Default for Clock {
    fn default() -> Self {
        Clock { ms: AtomicU64::new(1_000), calls: Mutex::default(), set: Condvar::new() }
    }
}

/// A call that is due later.
struct Call {
    deadline: u64,
    callout: Arc<Mutex<()>>,
    run: Box<dyn FnOnce() + Send>,
}

impl Vnet {
    /// Milliseconds since it was made.
    pub fn uptime_ms(&self) -> u64 {
        self.state().clock.ms.load(Ordering::Acquire)
    }

    /// When the next callout is due, on the same clock.
    pub fn next_callout(&self) -> Option<u64> {
        lock(&self.state().clock.calls).iter().map(|call| call.deadline).min()
    }

    /// Moves the clock to `ms`, and makes the calls that are due by then, each at its time.
    pub fn advance_to(&self, ms: u64) {
        let clock = &self.state().clock;
        loop {
            let due = {
                let mut calls = lock(&clock.calls);
                let next = (0..calls.len()).min_by_key(|&place| calls[place].deadline);
                let next = next.filter(|&place| calls[place].deadline <= ms);
                next.map(|place| calls.remove(place))
            };
            let Some(due) = due else { break };
            clock.ms.fetch_max(due.deadline, Ordering::AcqRel);
            // A thread that drains it waits for this.
            let _running = lock(&due.callout);
            (due.run)();
        }
        clock.ms.fetch_max(ms, Ordering::AcqRel);
    }

    /// Runs the clock in real time until `ends` returns true. `ends` is called a few times a second.
    pub fn run_clock(&self, ends: impl Fn() -> bool) {
        let clock = &self.state().clock;
        let (began, first) = (Instant::now(), self.uptime_ms());
        while !ends() {
            let now = first + u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.advance_to(now);
            let calls = lock(&clock.calls);
            let next = calls.iter().map(|call| call.deadline.saturating_sub(now)).min();
            let wait = Duration::from_millis(next.unwrap_or(IDLE_MS).min(IDLE_MS));
            let woken = clock.set.wait_timeout(calls, wait);
            drop(woken.unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn call_off(&self, callout: &Arc<Mutex<()>>) {
        let mut calls = lock(&self.state().clock.calls);
        let gone = take_out(&mut calls, callout);
        drop(calls);
        drop(gone);
    }
}

fn take_out(calls: &mut Vec<Call>, callout: &Arc<Mutex<()>>) -> Option<Call> {
    let place = calls.iter().position(|call| Arc::ptr_eq(&call.callout, callout))?;
    Some(calls.remove(place))
}

/// Milliseconds since the system was started.
///
/// On the host each vnet has a clock of its own, since it was made.
pub fn uptime_ms() -> u64 {
    Vnet::current().uptime_ms()
}

/// A function that is called for its owner at a later time, on a thread that may not sleep.
pub struct Callout<T: Send + Sync + 'static> {
    run: fn(&Ref<T>),
    running: Arc<Mutex<()>>,
    /// The vnet by whose clock it was last set.
    vnet: Mutex<Option<Vnet>>,
}

impl<T: Send + Sync> Callout<T> {
    /// One that calls `run`. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new(run: fn(&Ref<T>)) -> Result<Self> {
        memory::may_fail()?;
        Ok(Callout { run, running: Arc::default(), vnet: Mutex::default() })
    }

    /// Calls it for `owner`, which holds this, when [`uptime_ms`] is `at`, instead of at the time that was
    /// set before. Never sleeps.
    pub fn reset(&self, owner: &Ref<T>, at: u64) {
        let vnet = Vnet::current();
        let mut set_by = lock(&self.vnet);
        if let Some(before) = set_by.replace(vnet).filter(|before| *before != vnet) {
            before.call_off(&self.running);
        }
        let (run, owner) = (self.run, owner.clone());
        let (callout, run) = (self.running.clone(), Box::new(move || run(&owner)));
        let clock = &vnet.state().clock;
        let mut calls = lock(&clock.calls);
        // At once: a clock that moves meanwhile finds the one or the other.
        let gone = take_out(&mut calls, &callout);
        calls.push(Call { deadline: at, callout, run });
        drop(calls);
        drop(gone);
        clock.set.notify_all();
    }

    /// Cancels the call, and waits until it is not running. Sleeps; no other thread sets a time any more.
    pub fn drain(&self) {
        witness::may_sleep("callout_drain");
        if let Some(before) = lock(&self.vnet).take() {
            before.call_off(&self.running);
        }
        drop(lock(&self.running));
    }
}
