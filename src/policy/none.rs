//! none: nothing is sent, and nothing accepted.

use super::About;

/// Number and name of the protocol.
pub const ABOUT: About = About { number: 0, name: "none" };
