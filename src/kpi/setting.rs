//! Settings that ifconfig(8) has no word for: what sysctl(8) reads and writes of one lagg.

use core::ffi::CStr;

/// A setting, `net.link.lagg.iface.<lagg>.<name>`.
pub struct Setting {
    /// Its name, with a dot after each node.
    pub name: &'static CStr,
    /// What it is, in a line for `sysctl -d`.
    pub about: &'static CStr,
    /// What it holds.
    pub holds: Holds,
}

/// What a setting holds. The driver gets and gives both as text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holds {
    /// A number from 0 to `u32::MAX`, in decimal.
    Number,
    /// Text, of less than [`LONGEST`] bytes.
    Text,
}

/// No setting has as many bytes of text.
pub const LONGEST: usize = 1024;
