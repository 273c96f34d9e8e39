//! The protocols: how a plan chooses the port to send on, and from which ports it accepts.
//!
//! A file a protocol, of functions of an immutable [`Plan`](crate::driver::Plan) alone. What is live
//! outside it is the ports' own state ([`Port::is_active`](crate::driver::Port::is_active)), and
//! roundrobin's sequence.

pub mod broadcast;
pub mod buckets;
pub mod failover;
pub mod flows;
pub mod hash;
pub mod lacp;
pub mod loadbalance;
pub mod roundrobin;

use crate::kpi::ioctl::proto;
pub use flows::Flows;
pub use lacp::Lacp;
pub use roundrobin::RoundRobin;

/// A protocol with all that its rules need.
#[derive(Clone)]
// Or packets would have to find out from a field of flows which it is.
#[repr(u8)]
pub enum Protocol {
    /// Sends nothing and accepts nothing.
    None,
    /// Sends on the primary port, or on the next active one (lagg(4)).
    Failover,
    /// Sends on each port in turn.
    RoundRobin(RoundRobin),
    /// Sends each flow on a port of its own.
    LoadBalance(Flows),
    /// Sends each flow on one of the ports that LACP lets distribute.
    Lacp(Lacp),
    /// Sends on all ports.
    Broadcast,
}

impl Protocol {
    /// Its number in the ABI (`LAGG_PROTO_*`).
    pub fn number(&self) -> u32 {
        match self {
            Protocol::None => proto::NONE,
            Protocol::Failover => proto::FAILOVER,
            Protocol::RoundRobin(_) => proto::ROUNDROBIN,
            Protocol::LoadBalance(_) => proto::LOADBALANCE,
            Protocol::Lacp(_) => proto::LACP,
            Protocol::Broadcast => proto::BROADCAST,
        }
    }

    /// Its name, as ifconfig(8) has it.
    pub fn name(&self) -> &'static str {
        name(self.number())
    }
}

/// The name of a protocol (`LAGG_PROTO_*`), as ifconfig(8) has it.
pub fn name(number: u32) -> &'static str {
    match number {
        proto::NONE => "none",
        proto::FAILOVER => "failover",
        proto::ROUNDROBIN => "roundrobin",
        proto::LOADBALANCE => "loadbalance",
        proto::LACP => "lacp",
        proto::BROADCAST => "broadcast",
        _ => "unknown",
    }
}
