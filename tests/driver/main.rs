//! The driver on the host backend, through the entry points that the kernel calls.

mod concurrency;
mod counters;
mod data;
mod deadlocks;
mod debug;
mod defects;
mod generic_requests;
mod groups;
mod infiniband;
mod infiniband_frames;
mod join_requests;
mod lab;
mod lacp;
mod lacp_defects;
mod lagg_requests;
mod netmap;
mod offloads;
mod options;
mod pair;
mod port_requests;
mod ports;
mod protocols;
mod records;
mod stats;
mod vlans;
mod vnets;
