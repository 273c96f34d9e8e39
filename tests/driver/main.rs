//! The driver on the host backend, through the entry points that the kernel calls.

mod concurrency;
mod counters;
mod data;
mod defects;
mod groups;
mod ioctls;
mod lab;
mod offloads;
mod ports;
mod protocols;
mod vlans;
