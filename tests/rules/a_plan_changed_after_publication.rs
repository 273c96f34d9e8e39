//! Packets read a published plan, so it cannot be changed: a change makes a new one.

use lagg_rs::driver::Plan;
use lagg_rs::kpi::Ref;

fn edit(published: &mut Ref<Plan>) -> &mut Plan {
    published
}

fn main() {}
