//! broadcast: every active port sends each packet. The data path makes the copies.

use super::{About, Unsent};

/// Number, name and reasons of the protocol.
pub const ABOUT: About = About {
    number: 5,
    name: "broadcast",
    unsent: &[Unsent::NoPorts, Unsent::NoActivePort, Unsent::NoCopy],
};
