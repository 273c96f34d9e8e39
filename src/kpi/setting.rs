//! What sysctl(8) reads and writes of one lagg: settings that ifconfig(8) has no word for, and its state.

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

/// What sysctl(8) only reads: `net.link.lagg.iface.<lagg>.<name>` or, of a port,
/// `net.link.lagg.iface.<lagg>.port.<port>.<name>`.
pub struct Leaf {
    /// Its name, with a dot after each node.
    pub name: &'static CStr,
    /// What it is, in a few words for `sysctl -d`.
    pub about: &'static CStr,
    /// What it shows.
    pub shows: Shows,
}

/// What a leaf shows. The driver gives it as text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shows {
    /// What is below it.
    Nodes,
    /// A number from 0 to `u64::MAX`, in decimal.
    Number,
    /// The same; the last part of its name is a reason, by which programs add up.
    Reason,
    /// Text, of less than [`LONGEST_STATE`] bytes.
    Text,
}

/// No leaf has as many bytes of text.
pub const LONGEST_STATE: usize = 64;
