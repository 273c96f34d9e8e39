//! Tests of tasks and their queues.

use super::*;

pub(super) struct Owner {
    pub(super) task: Task<Owner>,
    pub(super) runs: AtomicU32,
    pub(super) mtx: Mtx<()>,
}

impl Owner {
    fn make(queue: Queue, name: &'static std::ffi::CStr) -> Ref<Self> {
        let run = |owner: &Ref<Owner>| {
            let _guard = owner.mtx.lock();
            owner.runs.fetch_add(1, Ordering::SeqCst);
        };
        let task = Task::try_new(queue, run).unwrap();
        let mtx = Mtx::try_new(name, ()).unwrap();
        Ref::try_new(Owner { task, runs: AtomicU32::new(0), mtx }).unwrap()
    }
}

#[test]
fn a_task_runs_at_least_once_after_it_was_asked_for() {
    let owner = Owner::make(Queue::Protocol, c"task runs");
    for n in 1..100 {
        owner.task.enqueue(&owner);
        owner.task.drain();
        assert_eq!(owner.runs.load(Ordering::SeqCst), n);
    }
    // A task may be enqueued in the epoch and under a mutex.
    epoch::section(|_| owner.task.enqueue(&owner));
    let guard = owner.mtx.lock();
    owner.task.enqueue(&owner);
    drop(guard);
    settle();
    assert!(owner.runs.load(Ordering::SeqCst) > 99);
}

#[test]
fn draining_with_what_the_task_needs_panics() {
    let text = panic_of(|| {
        let owner = Owner::make(Queue::Configuration, c"task needs");
        owner.task.enqueue(&owner);
        owner.task.drain();
        let _guard = owner.mtx.lock();
        owner.task.drain();
    });
    assert!(text.contains("taskqueue_drain sleeps with task needs held"), "{text}");
}
