//! loom explores the interleavings and weak memory orderings of packets and the control side, with the real
//! code over loom's atomics.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --profile prove --test loom`; other builds have no test here.
#![cfg(loom)]

mod cells;
mod laggs;
mod module;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Explores a model with at most `preemptions` preemptions of threads. Three show nearly all defects, and
/// each further one multiplies the work.
fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    // One at a time, because parts of the host belong to the process.
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
