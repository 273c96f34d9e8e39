//! Formats of frames.

pub mod flow;
pub mod lacpdu;
pub mod marker;
pub mod slow;
