//! Tasks and their queues (taskqueue(9)).

use core::ffi::{CStr, c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use super::bindings as c;
use super::ifnet::Ifnet;
use super::memory::Pinned;
use crate::kpi::{EpochOption, Errno, Queue, Ref, Result};

/// The kernel's queues: NULL while the module is not loaded.
static QUEUES: [AtomicPtr<c::taskqueue>; 5] = [const { AtomicPtr::new(ptr::null_mut()) }; 5];

const ALL: [(Queue, &CStr); 5] = [
    (Queue::Lacp, c"lagg lacp"),
    (Queue::Protocol, c"lagg proto"),
    (Queue::Configuration, c"lagg config"),
    (Queue::Names, c"lagg names"),
    (Queue::Timer, c"lagg timer"),
];

impl Queue {
    fn place(self) -> &'static AtomicPtr<c::taskqueue> {
        &QUEUES[self as usize]
    }

    /// Network interrupts may take all that a processor does, for as long as packets come. What keeps time runs
    /// before them (F-83). Nobody need wait for the nodes of ports.
    fn urgency(self) -> u32 {
        match self {
            Queue::Lacp | Queue::Timer => 2,
            Queue::Protocol | Queue::Configuration => 1,
            Queue::Names => 0,
        }
    }

    pub(super) fn get(self) -> *mut c::taskqueue {
        self.place().load(Ordering::Acquire)
    }
}

/// Makes the queues and starts their threads. Sleeps.
///
/// # Errors
/// ENOMEM; [`stop`] then frees what there is.
pub(super) fn start() -> Result {
    for (queue, name) in ALL {
        // The kernel's thread reads the queue from there as long as it runs.
        let place = queue.place().as_ptr();
        // SAFETY: the caller may sleep, and the name is a string that lives for ever. The place is static,
        // and the queue is stored in it before the thread starts.
        unsafe {
            // With a fast one, the clock's interrupt queues what is due. Otherwise a thread does, which runs
            // after network interrupts.
            let create = match queue {
                Queue::Timer => c::taskqueue_create_fast,
                _ => c::taskqueue_create,
            };
            let made = create(
                name.as_ptr(),
                c::M_WAITOK as c_int,
                Some(c::taskqueue_thread_enqueue),
                place.cast(),
            );
            queue.place().store(made, Ordering::Release);
            let (threads, urgency) = (queue.threads(), queue.urgency());
            Errno::check(c::lagg_rs_taskqueue_start(place, threads, urgency, name.as_ptr()))?;
        }
    }
    Ok(())
}

/// Ends the threads and frees the queues. Sleeps. No task is left.
pub(super) fn stop() {
    for (queue, _) in ALL {
        let made = queue.get();
        if !made.is_null() {
            // SAFETY: made by `start`, with no task left, and freed once, as the place is cleared. That comes
            // after: the threads read the place until they have ended.
            unsafe { c::taskqueue_free(made) };
            queue.place().store(ptr::null_mut(), Ordering::Release);
        }
    }
}

/// A function that runs for its owner on one of the queues.
///
/// # Invariants
/// While the kernel has it queued, `stage` is not IDLE, `owner` holds a reference to the owner, and the owner
/// holds this.
pub struct Task<T: Send + Sync + 'static>(Pinned<Inner<T>>);

struct Inner<T: Send + Sync + 'static> {
    task: c::task,
    queue: Queue,
    run: fn(&Ref<T>),
    /// The reference that the next run takes. The thread that has moved `stage` from IDLE puts it in.
    owner: EpochOption<T>,
    stage: AtomicU8,
}

/// Neither queued nor running.
const IDLE: u8 = 0;
/// Running; what was asked for before it began is done with that.
const RUNS: u8 = 1;
/// Queued, or to be queued when the present run ends.
const ASKED: u8 = 2;

// SAFETY: the kernel's part is used by its own functions alone, the function is plain, and the
// reference is `Send` and `Sync` as `T` is.
unsafe impl<T: Send + Sync> Send for Task<T> {}
// SAFETY: the kernel locks its part, and the reference is swapped atomically and is `Sync` as `T` is.
unsafe impl<T: Send + Sync> Sync for Task<T> {}

impl<T: Send + Sync> Task<T> {
    /// A task that calls `run`. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new(queue: Queue, run: fn(&Ref<T>)) -> Result<Self> {
        // SAFETY: all fields are made in their final place, which is what the function is called with.
        let inner = unsafe {
            Pinned::try_new(|place: *mut Inner<T>| {
                (&raw mut (*place).queue).write(queue);
                (&raw mut (*place).run).write(run);
                (&raw mut (*place).owner).write(EpochOption::new());
                (&raw mut (*place).stage).write(AtomicU8::new(IDLE));
                c::lagg_rs_task_init(&raw mut (*place).task, Some(run_task::<T>), place.cast());
            })?
        };
        Ok(Task(inner))
    }

    /// Makes the task run once more, for `owner`, which holds it. Never sleeps.
    pub fn enqueue(&self, owner: &Ref<T>) {
        let place = self.0.get();
        // SAFETY: the place is there for as long as the task, which `self` borrows. The queue does not change.
        let (stage, queue) = unsafe { (&(*place).stage, (*place).queue) };
        // A task that runs is queued when it ends, so it never runs on two of the queue's threads.
        if stage.swap(ASKED, Ordering::AcqRel) == IDLE {
            // SAFETY: the place is there. No other thread writes the owner until it is IDLE again.
            // INVARIANT: the reference is there before the task is queued.
            unsafe { (*place).owner.replace(owner.clone()) };
            // SAFETY: `try_new` has initialised the task. The queue is there: unloading the module stops it
            // after the last counted object is gone, and the owner is one.
            unsafe { c::taskqueue_enqueue(queue.get(), &raw mut (*place).task) };
        }
    }

    /// Waits until it is neither queued nor running. Sleeps.
    pub fn drain(&self) {
        let place = self.0.get();
        // SAFETY: `try_new` has initialised the task, and the queue is there for as long as the owner. The
        // caller may sleep, and holds nothing that the task wants.
        unsafe { c::taskqueue_drain((*place).queue.get(), &raw mut (*place).task) };
    }
}

impl Ifnet {
    /// Runs `ask` on the stack's own thread (`taskqueue_thread`), after what is queued there, and waits for
    /// it. Sleeps. The caller may hold `ifnet_detach_sxlock`, as vlan(4) does when it waits for that
    /// thread.
    ///
    /// # Errors
    /// What `ask` returns.
    pub fn on_stack_thread(&self, ask: fn(&Ifnet, bool) -> Result, on: bool) -> Result {
        // SAFETY: a task has integers and pointers alone, for which zeros are values.
        let task = unsafe { core::mem::zeroed() };
        let mut errand = Errand { task, ifp: self, ask, on, result: Ok(()) };
        let place = &raw mut errand;
        // SAFETY: the errand stays in its place until the kernel has run it, for which the last call waits.
        // The queue is there as long as the kernel.
        unsafe {
            c::lagg_rs_task_init(&raw mut (*place).task, Some(run_errand), place.cast());
            c::taskqueue_enqueue(c::taskqueue_thread, &raw mut (*place).task);
            c::taskqueue_drain(c::taskqueue_thread, &raw mut (*place).task);
            (*place).result
        }
    }
}

/// A call for which a thread waits, on that thread's stack.
struct Errand {
    task: c::task,
    ifp: *const Ifnet,
    ask: fn(&Ifnet, bool) -> Result,
    on: bool,
    result: Result,
}

/// # Safety
/// The kernel calls it with an [`Errand`], whose owner waits, with the interface, until it has returned.
unsafe extern "C" fn run_errand(errand: *mut c_void, _: c_int) {
    let errand: *mut Errand = errand.cast();
    // SAFETY: the kernel passes the errand that was queued. Its owner waits until this has returned, and keeps the
    // interface; only this writes the result.
    unsafe { (*errand).result = ((*errand).ask)(&*(*errand).ifp, (*errand).on) };
}

/// # Safety
/// The kernel calls it with the `Inner<T>` of a task that was queued.
unsafe extern "C" fn run_task<T: Send + Sync + 'static>(inner: *mut c_void, _: c_int) {
    let inner: *mut Inner<T> = inner.cast();
    // SAFETY: the task was queued, so by the invariant its owner keeps it: by the reference there, and then
    // by the one that is taken here. The queue and the function do not change.
    let (stage, place, queue, run) =
        unsafe { (&(*inner).stage, &(*inner).owner, (*inner).queue, (*inner).run) };
    // Acquire: this run sees what was done before it was asked for.
    stage.swap(RUNS, Ordering::AcqRel);
    let Some(owner) = place.clear() else { return };
    run(&owner);
    if stage.compare_exchange(RUNS, IDLE, Ordering::AcqRel, Ordering::Acquire).is_err() {
        // INVARIANT: the reference is there before the task is queued. No other thread writes it: the stage
        // is not IDLE.
        place.replace(owner);
        // SAFETY: `try_new` has initialised the task. The queue is there, because this runs on it.
        unsafe { c::taskqueue_enqueue(queue.get(), &raw mut (*inner).task) };
    }
    // Without it the task may go with the owner: it is not touched again, and the kernel uses no more than
    // its address.
}
