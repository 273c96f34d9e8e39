//! A callout runs after the function that has set it is gone: what it uses is its owner, which it holds.

use lagg_rs::driver::Softc;
use lagg_rs::kpi::{Callout, Errno};

fn count_calls() -> Result<Callout<Softc>, Errno> {
    let calls = std::cell::Cell::new(0);
    Callout::try_new(|_softc| calls.set(calls.get() + 1))
}

fn main() {}
