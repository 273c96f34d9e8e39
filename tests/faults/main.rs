//! Checks that an operation leaves nothing behind when any one of its calls fails. This is a process of its
//! own, because calls of the module's tasks count too, and no object of the driver may be left at the end.

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
