//! loom explores the interleavings, and the weak orderings, of what packets and the control side
//! share: the real code over loom's atomics.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --profile prove --test loom`; other builds have no test here.
#![cfg(loom)]

mod cells;
mod laggs;
mod module;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Explores a model, with this many preemptions of threads at the most: what three of them do not show is
/// hardly there, and each one more multiplies the work.
fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    // One at a time: the host has things that are the process's.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 100_000;
    let times = Arc::new(AtomicU64::new(0));
    builder.check({
        let times = times.clone();
        move || {
            times.fetch_add(1, Ordering::Relaxed);
            model();
        }
    });
    println!("{} interleavings", times.load(Ordering::Relaxed));
}
