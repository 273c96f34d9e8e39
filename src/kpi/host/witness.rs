//! Where threads may sleep, and in which order locks are taken: what WITNESS and INVARIANTS check in the
//! kernel.
//!
//! Locks are identified by class, which is their name. A class that is taken while another is held comes
//! after that one, for good: the reverse order panics, even if no thread waited this time. A task's queue
//! is such a class too, held by the task that runs and taken by threads that drain it, and so is what a
//! sleeping call waits for.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{LazyLock, PoisonError};
use std::time::{Duration, Instant};

use super::epoch;
use super::sync::{Condvar, Mutex, MutexGuard, thread, thread_local};

/// Locks a mutex of the model itself. A panic in a thread that held it is ignored.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a thread holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A mutex(9): its holder must not sleep.
    Mutex,
    /// An sx(9), or something else with which its holder may sleep.
    Sleepable,
}

thread_local! {
    /// Whether the thread runs callbacks of the epoch.
    static CALLBACK: Cell<bool> = const { Cell::new(false) };
    /// The laggs that the packet which the thread sends has passed.
    static PASSED: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    /// How many [`Nested`] there are.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static HELD: RefCell<Vec<(usize, Kind)>> = const { RefCell::new(Vec::new()) };
}

#[derive(Default)]
struct Classes {
    numbers: BTreeMap<String, usize>,
    names: Vec<String>,
    /// `after[a]` are the classes that were taken with `a` held, each with the first thread that did so.
    after: Vec<BTreeMap<usize, String>>,
}

/// Orders of the kernel itself, which hold from the start.
const KERNEL: &[(&str, &str)] = &[
    ("ifnet_detach_sxlock", "in6_multi_sx"),
    ("in6_multi_sx", "in_multi_sx"),
    ("in_multi_sx", "vlan_sx"),
];

/// Always std's, even with loom: it does not matter which thread makes a class first.
static CLASSES: LazyLock<std::sync::Mutex<Classes>> = LazyLock::new(|| {
    let mut classes = Classes::default();
    for (first, second) in KERNEL {
        let (first, second) = (classes.number(first), classes.number(second));
        classes.after[first].insert(second, "the kernel".into());
    }
    std::sync::Mutex::new(classes)
});

fn classes() -> std::sync::MutexGuard<'static, Classes> {
    CLASSES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Classes {
    fn number(&mut self, name: &str) -> usize {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.names.len();
        self.numbers.insert(name.into(), number);
        self.names.push(name.into());
        self.after.push(BTreeMap::new());
        number
    }

    /// A chain of orders already seen that leads from `from` to `to`.
    fn path(&self, from: usize, to: usize) -> Option<Vec<usize>> {
        let mut came_from = BTreeMap::from([(from, from)]);
        let mut reached = vec![from];
        while let Some(class) = reached.pop() {
            if class == to {
                let mut path = vec![to];
                while path[path.len() - 1] != from {
                    path.push(came_from[&path[path.len() - 1]]);
                }
                path.reverse();
                return Some(path);
            }
            for &next in self.after[class].keys() {
                if let std::collections::btree_map::Entry::Vacant(entry) = came_from.entry(next) {
                    entry.insert(class);
                    reached.push(next);
                }
            }
        }
        None
    }
}

/// The class of that name.
pub(super) fn class(name: &str) -> usize {
    classes().number(name)
}

/// The calling thread is about to take `class`. Panics if that closes a circle.
pub(super) fn ask(class: usize) {
    if std::thread::panicking() {
        return;
    }
    let reversal = HELD.with(|held| {
        let held = held.borrow();
        if held.is_empty() {
            return None;
        }
        let mut classes = classes();
        for &(holder, _) in held.iter() {
            if holder == class {
                return Some(format!("{} is taken twice", classes.names[class]));
            }
            if classes.after[holder].contains_key(&class) {
                continue;
            }
            if let Some(path) = classes.path(class, holder) {
                return Some(reversal(&classes, &path));
            }
            classes.after[holder].insert(class, thread());
        }
        None
    });
    if let Some(text) = reversal {
        panic!("{text} (thread {})", thread());
    }
}

fn reversal(classes: &Classes, path: &[usize]) -> String {
    let name = |class: &usize| classes.names[*class].as_str();
    let seen: Vec<String> = path
        .windows(2)
        .map(|step| {
            let who = &classes.after[step[0]][&step[1]];
            format!("{} -> {} ({who})", name(&step[0]), name(&step[1]))
        })
        .collect();
    let (first, last) = (&path[0], &path[path.len() - 1]);
    format!(
        "lock order reversal: now {} -> {}, before {}",
        name(last),
        name(first),
        seen.join(", ")
    )
}

/// The calling thread has taken it.
pub(super) fn hold(class: usize, kind: Kind) {
    HELD.with(|held| held.borrow_mut().push((class, kind)));
}

/// Whether the calling thread holds `class`.
pub(super) fn holds(class: usize) -> bool {
    HELD.with(|held| held.borrow().iter().any(|entry| entry.0 == class))
}

/// The calling thread has released it.
pub(super) fn unhold(class: usize) {
    HELD.with(|held| {
        let mut held = held.borrow_mut();
        if let Some(at) = held.iter().rposition(|entry| entry.0 == class) {
            held.remove(at);
        }
    });
}

/// Takes away all that the calling thread holds, which is about to act as another thread for a while.
#[cfg(loom)]
pub(super) fn put_down() -> Vec<(usize, Kind)> {
    HELD.with(std::cell::RefCell::take)
}

/// Gives back what [`put_down`] returned.
#[cfg(loom)]
pub(super) fn take_up(before: Vec<(usize, Kind)>) {
    HELD.with(|held| held.replace(before));
}

/// Panics if the calling thread must not sleep: in the epoch, in one of its callbacks, or with a
/// mutex held.
pub(super) fn may_sleep(what: &str) {
    if std::thread::panicking() {
        return;
    }
    assert!(!epoch::in_section(), "{what} sleeps in the network epoch (thread {})", thread());
    assert!(!CALLBACK.with(Cell::get), "{what} sleeps in a callback of the epoch");
    without_mutex(&format!("{what} sleeps"));
}

/// Panics if the calling thread, which does this, holds a mutex.
pub(super) fn without_mutex(does: &str) {
    if std::thread::panicking() {
        return;
    }
    let held = HELD.with(|held| {
        held.borrow().iter().find(|entry| entry.1 == Kind::Mutex).map(|entry| entry.0)
    });
    if let Some(class) = held {
        let name = classes().names[class].clone();
        panic!("{does} with {name} held (thread {})", thread());
    }
}

/// How often methods that call each other may be on a thread's stack, because a kernel's is small.
const STACK: u32 = 64;

/// A call on the calling thread's stack, for as long as this lives.
pub(super) struct Nested;

/// The calling thread enters a method that may come back to itself. Panics if it has done so too often.
pub(super) fn nest(what: &str) -> Nested {
    let depth = DEPTH.with(|depth| depth.replace(depth.get() + 1));
    let nested = Nested;
    assert!(depth < STACK, "{what} has called itself until the stack is full");
    nested
}

impl Drop for Nested {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get() - 1));
    }
}

/// A packet is passing a lagg on the calling thread, for as long as this lives.
pub(super) struct Passing;

/// The packet that the calling thread sends passes this lagg; none if it has before, or too many.
pub(super) fn pass(lagg: u32, limit: u32) -> Option<Passing> {
    PASSED.with(|passed| {
        let mut passed = passed.borrow_mut();
        if passed.contains(&lagg) || passed.len() >= limit as usize {
            return None;
        }
        passed.push(lagg);
        Some(Passing)
    })
}

impl Drop for Passing {
    fn drop(&mut self) {
        PASSED.with(|passed| passed.borrow_mut().pop());
    }
}

/// The names of what the calling thread holds.
pub(super) fn held() -> String {
    let held = HELD.with(|held| held.borrow().clone());
    let classes = classes();
    let names: Vec<&str> = held.iter().map(|entry| classes.names[entry.0].as_str()).collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

/// Runs `f` as a callback of the epoch, which must not sleep.
pub(super) fn callback<R>(f: impl FnOnce() -> R) -> R {
    CALLBACK.with(|callback| callback.set(true));
    let result = f();
    CALLBACK.with(|callback| callback.set(false));
    result
}

/// The name of the calling thread.
pub(super) fn thread() -> String {
    let thread = thread::current();
    thread.name().map_or_else(|| format!("{:?}", thread.id()), str::to_owned)
}

/// How long a wait may last before it counts as a deadlock: two minutes, or `LAGG_WATCHDOG` seconds.
pub(super) fn patience() -> Duration {
    static PATIENCE: LazyLock<Duration> = LazyLock::new(|| {
        let seconds = std::env::var("LAGG_WATCHDOG").ok().and_then(|value| value.parse().ok());
        Duration::from_secs(seconds.unwrap_or(120))
    });
    *PATIENCE
}

/// Waits under `guard` until `done` returns true; panics with the text of `who` if that takes too long.
pub(super) fn wait_until<'a, T>(
    condition: &Condvar,
    mut guard: MutexGuard<'a, T>,
    mut done: impl FnMut(&mut T) -> bool,
    who: impl FnOnce(&T) -> String,
) -> MutexGuard<'a, T> {
    let mut deadline = None;
    while !done(&mut guard) {
        let now = Instant::now();
        let until = *deadline.get_or_insert(now + patience());
        if now >= until {
            let text = who(&guard);
            drop(guard);
            panic!("deadlock? thread {} holds {} and waits for {text}", thread(), held());
        }
        guard =
            condition.wait_timeout(guard, until - now).unwrap_or_else(PoisonError::into_inner).0;
    }
    guard
}

/// Runs a kernel thread's work. A panic there ends the process, as it ends the kernel, so no test can miss
/// it.
pub(super) fn kernel_thread(name: &'static str, work: impl FnOnce() + Send + 'static) {
    let run = move || {
        if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("?");
            // Not by a macro, whose output a test harness captures.
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "panic: {name}: {text}");
            std::process::abort();
        }
    };
    thread::Builder::new().name(name.into()).spawn(run).expect("a thread can be made");
}
