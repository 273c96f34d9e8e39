//! lagg(4), FreeBSD's link aggregation, in Rust.
//!
//! The same driver runs in FreeBSD's kernel and in a process. [`driver`] is the lagg itself,
//! [`policy`] its protocols, [`lacp`] the machines of one of them, [`wire`] the formats of frames, [`slots`] the
//! places of ports, and [`kpi`] what they stand on: each uses only those named after it.

#![cfg_attr(feature = "kernel", no_std)]
#![deny(missing_docs, unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

#[allow(unsafe_code, reason = "the one place for it")]
pub mod kpi;

#[deny(unsafe_code)]
pub mod driver;
#[forbid(unsafe_code)]
pub mod lacp;
#[forbid(unsafe_code)]
pub mod policy;
#[forbid(unsafe_code)]
pub mod slots;
#[forbid(unsafe_code)]
pub mod wire;
