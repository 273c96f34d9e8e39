//! Byte formats: checked views of what comes off the wire. No input makes them panic.

pub mod flow;
