//! What the fuzzers run. Each takes any bytes, and panics where the driver does not do what must
//! hold. The driver's own tests replay with it what the fuzzers have found worth keeping.

pub mod events;
pub mod frames;
pub mod pdus;
pub mod requests;

mod agreed;
#[allow(dead_code, reason = "the driver's tests use the rest")]
#[path = "../../tests/driver/lab.rs"]
mod lab;
mod model;
#[path = "../../tests/lacp/whole.rs"]
mod whole;
mod world;
