//! A plan can be changed until it is shared, which gives it away.

use lagg_rs::driver::Plan;
use lagg_rs::kpi::Unique;

fn share_and_edit(mut plan: Unique<Plan>, other: Plan) {
    let _shared = plan.share();
    *plan = other;
}

fn main() {}
