//! Makes calls fail for tests, in any thread, including the module's tasks. So a test that uses this is
//! alone in its process, or the others wait.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::kpi::host::faults::Fault;
use crate::kpi::host::sync::Mutex;
use crate::kpi::host::vnet;
use crate::kpi::host::witness::lock;
use crate::kpi::{Errno, Ifnet, Result};

thread_local! {
    static ALLOCATION: Cell<usize> = const { Cell::new(0) };
    static COPY: Cell<usize> = const { Cell::new(0) };
}

/// Makes only the `n`-th allocation from now on in the calling thread fail; 1 is the next, 0 cancels.
/// Returns what was left of the last `n`: 0 if that allocation came.
pub fn fail_allocation(n: usize) -> usize {
    ALLOCATION.replace(n)
}

/// The same for the `n`-th copy of a packet.
pub fn fail_copy(n: usize) -> usize {
    COPY.replace(n)
}

fn here(left: &Cell<usize>) -> Result {
    let before = left.get();
    if before == 0 {
        return Ok(());
    }
    left.set(before - 1);
    if before == 1 { Err(Errno::ENOMEM) } else { Ok(()) }
}

/// Called at each allocation, in its thread.
pub(in crate::kpi::host) fn allocation_here() -> Result {
    ALLOCATION.with(here)
}

/// Called at each copy of a packet, in its thread.
pub(in crate::kpi::host) fn copy_here() -> Result {
    COPY.with(here)
}

/// What has failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failed {
    /// The interface; none for memory.
    pub ifp: Option<String>,
    /// The command; 0 if there is none.
    pub command: usize,
    /// In a thread of the kernel's own, which has no caller to return it to.
    pub in_task: bool,
}

struct State {
    fault: Fault,
    /// How many calls are left, including the one that fails; 0 if it has failed.
    left: usize,
    errno: Errno,
    failed: Option<Failed>,
}

/// Set while a call is to fail, so that other calls check only this.
static ARMED: AtomicBool = AtomicBool::new(false);
static STATE: Mutex<Option<State>> = Mutex::new(None);

/// Makes only the `n`-th such call from now on fail with `errno`; 1 is the next.
///
/// # Panics
/// If another one is still to fail.
pub fn fail(fault: Fault, n: usize, errno: Errno) {
    let state = State { fault, left: n, errno, failed: None };
    assert!(lock(&STATE).replace(state).is_none(), "one at a time");
    ARMED.store(true, Ordering::SeqCst);
}

/// Cancels that. Returns what has failed, if that call came.
pub fn failed() -> Option<Failed> {
    ARMED.store(false, Ordering::SeqCst);
    lock(&STATE).take()?.failed
}

/// Such a call comes: on this interface, by this command.
pub(in crate::kpi::host) fn may_fail(fault: Fault, ifp: Option<&Ifnet>, command: usize) -> Result {
    if !ARMED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let mut state = lock(&STATE);
    let Some(state) = state.as_mut().filter(|state| state.fault == fault && state.left > 0) else {
        return Ok(());
    };
    state.left -= 1;
    if state.left > 0 {
        return Ok(());
    }
    let ifp = ifp.map(|ifp| ifp.name().to_string());
    state.failed = Some(Failed { ifp, command, in_task: vnet::is_kernel_thread() });
    Err(state.errno)
}
