//! The protocols: how a plan chooses the port to send on, and from which ports it accepts.
//!
//! A file a protocol, of functions of an immutable [`Plan`](crate::driver::Plan) alone. What is live
//! outside it is the ports' own state ([`Port::is_active`](crate::driver::Port::is_active)).

pub mod failover;

use crate::kpi::ioctl::proto;

/// A protocol with all that its rules need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// Sends nothing and accepts nothing.
    None,
    /// Sends on the primary port, or on the next active one (lagg(4)).
    Failover,
}

impl Protocol {
    /// The protocol of a number of the ABI (`LAGG_PROTO_*`), if it is served.
    pub fn from_number(number: u32) -> Option<Self> {
        match number {
            proto::NONE => Some(Protocol::None),
            proto::FAILOVER => Some(Protocol::Failover),
            _ => None,
        }
    }

    /// Its number in the ABI (`LAGG_PROTO_*`).
    pub fn number(self) -> u32 {
        match self {
            Protocol::None => proto::NONE,
            Protocol::Failover => proto::FAILOVER,
        }
    }
}
