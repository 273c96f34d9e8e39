//! The fuzzers' targets. Each takes arbitrary bytes, and panics if the driver violates what must hold.
//! tests/fuzz.rs replays the kept inputs with them.

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
