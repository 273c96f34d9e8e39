//! What a packet reads of a plan is there for as long as the section of the epoch, and no longer.

use lagg_rs::driver::{Port, Softc};
use lagg_rs::kpi::epoch;

fn first_port(softc: &Softc) -> Option<&Port> {
    epoch::section(|epoch| softc.plan(epoch).sender())
}

fn main() {}
