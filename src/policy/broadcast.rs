//! broadcast: every active port sends each packet. The data path makes the copies.

use super::About;

/// Number and name of the protocol.
pub const ABOUT: About = About { number: 5, name: "broadcast" };
