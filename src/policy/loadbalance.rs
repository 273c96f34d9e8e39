//! loadbalance: a flow stays on its port, and the flows are spread over all ([`Flows`](super::Flows)).

use super::About;

/// Number and name of the protocol.
pub const ABOUT: About = About { number: 3, name: "loadbalance" };
