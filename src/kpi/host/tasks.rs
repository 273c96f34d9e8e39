//! taskqueue(9): the module's threads, and the stack's own.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};

use super::sync::{Condvar, Mutex, MutexGuard, lazy};
use super::witness::{self, Kind, lock};
use super::{epoch, memory, vnet};
use crate::kpi::{Ifnet, Queue, Ref, Result};

/// Work for a thread, which can be queued again and again.
#[derive(Default)]
pub(super) struct Work {
    // Both under the thread's lock.
    pending: AtomicBool,
    running: AtomicBool,
}

struct Job {
    work: Arc<Work>,
    run: Box<dyn FnOnce() + Send>,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    asked: u64,
    done: u64,
    running: usize,
    started: bool,
}

/// A taskqueue with its threads.
pub(super) struct Worker {
    name: &'static str,
    threads: u32,
    class: usize,
    jobs: Mutex<Jobs>,
    changed: Condvar,
}

impl Worker {
    fn new(name: &'static str, threads: u32) -> Self {
        let class = witness::class(name);
        Worker { name, threads, class, jobs: Mutex::default(), changed: Condvar::new() }
    }

    /// Queues `run` once, unless `work` is queued already.
    pub(super) fn enqueue(&'static self, work: &Arc<Work>, run: impl FnOnce() + Send + 'static) {
        let mut jobs = lock(&self.jobs);
        if work.pending.swap(true, Relaxed) {
            return;
        }
        jobs.waiting.push_back(Job { work: work.clone(), run: Box::new(run) });
        jobs.asked += 1;
        if !cfg!(loom) && !std::mem::replace(&mut jobs.started, true) {
            (0..self.threads).for_each(|_| witness::kernel_thread(self.name, || self.work()));
        }
        self.changed.notify_all();
    }

    /// A thread.
    fn work(&self) {
        vnet::leave_all();
        let mut jobs = lock(&self.jobs);
        loop {
            jobs = self.run(jobs);
            jobs = self.changed.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Runs what waits, except what runs on another thread.
    fn run<'a>(&'a self, mut jobs: MutexGuard<'a, Jobs>) -> MutexGuard<'a, Jobs> {
        let next = |jobs: &mut Jobs| {
            let place = jobs.waiting.iter().position(|job| !job.work.running.load(Relaxed))?;
            jobs.waiting.remove(place)
        };
        while let Some(job) = next(&mut jobs) {
            job.work.pending.store(false, Relaxed);
            job.work.running.store(true, Relaxed);
            jobs.running += 1;
            drop(jobs);
            // A thread that drains it waits for the locks that are taken here.
            witness::hold(self.class, Kind::Sleepable);
            (job.run)();
            witness::unhold(self.class);
            assert!(witness::held() == "nothing", "a task has kept {}", witness::held());
            jobs = lock(&self.jobs);
            job.work.running.store(false, Relaxed);
            jobs.done += 1;
            jobs.running -= 1;
            self.changed.notify_all();
        }
        jobs
    }

    /// loom allows few threads, so the thread that waits for the tasks runs them.
    #[cfg(loom)]
    fn help(&self) {
        let held = witness::put_down();
        vnet::nowhere(|| drop(self.run(lock(&self.jobs))));
        witness::take_up(held);
    }

    /// Waits until `work` neither waits nor runs. Sleeps.
    pub(super) fn drain(&self, work: &Work) {
        witness::may_sleep("taskqueue_drain");
        witness::ask(self.class);
        #[cfg(loom)]
        self.help();
        let idle = |_: &mut Jobs| !work.pending.load(Relaxed) && !work.running.load(Relaxed);
        let who = |_: &Jobs| format!("a task of {} to end", self.name);
        drop(witness::wait_until(&self.changed, lock(&self.jobs), idle, who));
    }

    /// Waits until no more than so many tasks run, which are stuck, and no other waits.
    #[cfg(feature = "testing")]
    fn settle_but(&self, stuck: usize) {
        let is_stuck = |job: &Job| job.work.running.load(Relaxed);
        let rest = |jobs: &mut Jobs| jobs.running <= stuck && jobs.waiting.iter().all(is_stuck);
        let who = |_: &Jobs| format!("{} to be idle", self.name);
        drop(witness::wait_until(&self.changed, lock(&self.jobs), rest, who));
    }

    /// Waits for the work queued so far. Returns whether there was none.
    fn settle(&self) -> bool {
        #[cfg(loom)]
        self.help();
        let jobs = lock(&self.jobs);
        let asked = jobs.asked;
        if jobs.done == asked {
            return true;
        }
        let who = |_: &Jobs| format!("{} to be idle", self.name);
        drop(witness::wait_until(&self.changed, jobs, |jobs| jobs.done >= asked, who));
        false
    }
}

lazy! {
    static LACP: Worker = Worker::new("lagg LACP taskqueue", Queue::Lacp.threads());
    static PROTOCOL: Worker = Worker::new("lagg protocol taskqueue", Queue::Protocol.threads());
    static CONFIGURATION: Worker = Worker::new("lagg configuration taskqueue", Queue::Configuration.threads());
    /// The thread that reports link changes, one for the whole host.
    static SWI: Worker = Worker::new("taskqueue_swi", 1);
    /// The thread of the stack's own work.
    static THREAD: Worker = Worker::new("taskqueue_thread", 1);
}

/// Whether the caller runs on the stack's own thread.
pub(super) fn is_stack_thread() -> bool {
    witness::holds(THREAD.class)
}

/// Waits until the tasks of the module and the stack, the epoch's callbacks, and all that they cause are
/// done. Tests do this instead of sleeping.
pub fn settle() {
    witness::may_sleep("settle");
    let workers: [&Worker; 5] = [&LACP, &PROTOCOL, &CONFIGURATION, &SWI, &THREAD];
    for _ in 0..64 {
        let idle = workers.map(Worker::settle) == [true; 5];
        if epoch::drain_round() && idle {
            break;
        }
    }
}

/// Waits until the LACP tasks have done what can be done, while so many of them are stuck in drivers, and
/// other tasks in anything.
#[cfg(feature = "testing")]
pub fn settle_lacp(stuck: usize) {
    SWI.settle();
    LACP.settle_but(stuck);
}

impl Ifnet {
    /// Runs `ask` on the stack's own thread (`taskqueue_thread`), after what is queued there, and waits for
    /// it. Sleeps. The caller may hold `ifnet_detach_sxlock`, as vlan(4) does when it waits for that
    /// thread.
    ///
    /// # Errors
    /// What `ask` returns.
    pub fn on_stack_thread(&self, ask: fn(&Ifnet, bool) -> Result, on: bool) -> Result {
        let (ifp, work, result) = (self.to_ref(), Arc::default(), Arc::new(Mutex::new(Ok(()))));
        let place = result.clone();
        THREAD.enqueue(&work, move || *lock(&place) = ask(&ifp, on));
        THREAD.drain(&work);
        *lock(&result)
    }
}

/// Work of an object for one of the module's threads (taskqueue(9)).
pub struct Task<T: Send + Sync + 'static> {
    worker: &'static Worker,
    run: fn(&Ref<T>),
    work: Arc<Work>,
}

impl<T: Send + Sync> Task<T> {
    /// A task that calls `run`. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new(queue: Queue, run: fn(&Ref<T>)) -> Result<Self> {
        memory::may_fail()?;
        let worker = match queue {
            Queue::Lacp => &*LACP,
            Queue::Protocol => &*PROTOCOL,
            Queue::Configuration => &*CONFIGURATION,
        };
        Ok(Task { worker, run, work: Arc::default() })
    }

    /// Makes the task run once more, for `owner`, which holds it. Never sleeps.
    pub fn enqueue(&self, owner: &Ref<T>) {
        let (run, owner) = (self.run, owner.clone());
        self.worker.enqueue(&self.work, move || run(&owner));
    }

    /// Waits until it is neither queued nor running. Sleeps.
    pub fn drain(&self) {
        self.worker.drain(&self.work);
    }
}
