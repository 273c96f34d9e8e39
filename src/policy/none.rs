//! none: nothing is sent, and nothing accepted.

use super::{About, Unsent};

/// Number, name and reasons of the protocol.
pub const ABOUT: About =
    About { number: 0, name: "none", unsent: &[Unsent::NoPorts, Unsent::Disabled] };
