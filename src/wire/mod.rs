//! Formats of frames.

pub mod flow;
pub mod lacpdu;
pub mod marker;
pub mod slow;

/// An Ethernet address, in the order in which it is sent.
pub type MacAddr = [u8; 6];
