//! FreeBSD's lagg(4), link aggregation and failover, in Rust.
//!
//! The same driver is built as the kernel module `if_lagg_rs.ko`, and as a library that runs in a process:
//! under `cargo test`, and as the program `userlagg` on Linux.
//!
//! # A tour
//!
//! Each of these uses only what comes after it:
//!
//! 1. [`driver`] is the lagg itself: ports, requests, link state, the data path. Its page lists contexts,
//!    locks and lifetimes. [`driver::Plan`] is the object from which a packet decides everything.
//! 2. [`policy`] has the protocols: which port sends a packet, and from which ports frames are accepted.
//! 3. [`lacp`] has the state machines of IEEE 802.1AX. Events and the time go in; what to send, and which
//!    ports are in service, comes out.
//! 4. [`wire`] has the formats of frames: what tells flows apart, LACPDUs, markers.
//! 5. [`slots`] numbers the places of ports, and has sets of them.
//! 6. [`kpi`] has the kernel's interfaces as safe types, and the only `unsafe` code. It has two backends:
//!    `freebsd` for the kernel, and `host`, which models FreeBSD's network stack in a process.
//!
//! To follow a packet, start at `driver/data.rs`; to follow a request, at `driver/ioctl.rs`. The documents in
//! `docs/` go on from here: `architecture.md` explains the design, `glossary.md` the terms, `compared.md` the
//! numbers of defects (D-1, F-1) that comments cite, and `proof.md` what checks each claim.

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
