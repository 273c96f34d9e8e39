//! none: nothing is sent, and nothing accepted.

use super::{About, Unsent};

/// What is known of it without a lagg.
pub const ABOUT: About =
    About { number: 0, name: "none", unsent: &[Unsent::NoPorts, Unsent::Disabled] };
