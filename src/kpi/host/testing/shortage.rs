//! Makes allocations wait, as malloc(9) with M_WAITOK does when there is no memory.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::kpi::host::Vnet;
use crate::kpi::host::sync::{Condvar, Mutex};
use crate::kpi::host::vnet;
use crate::kpi::host::witness::{self, lock};

/// The vnets without memory, and how many threads have waited there.
static SHORT: Mutex<Vec<(Vnet, usize)>> = Mutex::new(Vec::new());
static CHANGED: Condvar = Condvar::new();
/// How many vnets are, so that other calls check only this.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// There is no memory in a vnet until this is dropped.
pub struct Shortage(Vnet);

/// Makes allocations in the current vnet that may sleep wait, until the returned object is dropped.
pub fn exhaust_memory() -> Shortage {
    let vnet = Vnet::current();
    lock(&SHORT).push((vnet, 0));
    COUNT.fetch_add(1, Ordering::SeqCst);
    Shortage(vnet)
}

impl Shortage {
    /// Waits until a thread waits for memory.
    pub fn wait(&self) {
        let met = |short: &mut Vec<(Vnet, usize)>| {
            short.iter().any(|(vnet, waiters)| *vnet == self.0 && *waiters > 0)
        };
        let who = |_: &Vec<_>| "a thread that wants memory".to_owned();
        drop(witness::wait_until(&CHANGED, lock(&SHORT), met, who));
    }
}

impl Drop for Shortage {
    fn drop(&mut self) {
        lock(&SHORT).retain(|(vnet, _)| *vnet != self.0);
        COUNT.fetch_sub(1, Ordering::SeqCst);
        CHANGED.notify_all();
    }
}

/// Called at each allocation that may sleep.
pub(in crate::kpi::host) fn wait() {
    if COUNT.load(Ordering::SeqCst) == 0 {
        return;
    }
    let Some(current) = vnet::here() else { return };
    let mut short = lock(&SHORT);
    let Some(entry) = short.iter_mut().find(|(vnet, _)| *vnet == current) else { return };
    entry.1 += 1;
    CHANGED.notify_all();
    let over = |short: &mut Vec<(Vnet, usize)>| short.iter().all(|(vnet, _)| *vnet != current);
    let who = |_: &Vec<_>| "memory".to_owned();
    drop(witness::wait_until(&CHANGED, short, over, who));
}
