//! What each operation leaves behind when any one of the calls that it makes fails. A process of its
//! own: the calls of the module's tasks count too, and what is left of the driver at the end is
//! nothing.

#[allow(dead_code, reason = "the driver's tests use the rest")]
#[path = "../driver/lab.rs"]
mod lab;
#[allow(dead_code, reason = "the driver's tests use the rest")]
#[path = "../driver/pair.rs"]
mod pair;

mod alone;
mod infiniband;
mod joined;
mod trial;
