//! The parts of a lab: systems, cables, and the frames on them.

use lagg_rs::lacp::{Link, System as Id};
use lagg_rs::wire::lacpdu::Lacpdu;
use lagg_rs::wire::slow::FRAME;

use crate::lab::DELAY;
use crate::whole::Lacp;

/// The last LACPDU that a port has sent or received.
#[derive(Clone, Copy, Debug)]
pub struct Last {
    pub at: u64,
    pub pdu: Lacpdu,
    /// Whether the partner in it was its receiver.
    pub knew: bool,
}

/// A port's history.
#[derive(Clone, Default)]
pub struct Record {
    /// When LACPDUs were sent, the last 3.
    pub sent: Vec<u64>,
    pub said: Option<Last>,
    pub heard: Option<Last>,
    /// Until when a LACPDU that txtest has suppressed counts in the limit.
    pub hushed: Option<u64>,
}

pub struct System {
    pub lacp: Lacp,
    pub id: Id,
    /// The lagg's `if_index`: part of the ports' keys.
    pub lagg: u32,
    pub answers_markers: bool,
    pub records: Vec<Record>,
    /// Something has happened to it since it ran.
    pub touched: bool,
}

impl System {
    pub fn touch(&mut self) -> &mut Lacp {
        self.touched = true;
        &mut self.lacp
    }
}

/// One direction of a cable, from the end with the same number to the other.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Nothing comes through, and neither end notices.
    pub cut: bool,
    /// Delay in milliseconds.
    pub delay: u64,
    /// Up to this many milliseconds more, so that frames overtake each other.
    pub jitter: u64,
    /// Percentage of frames.
    pub lost: u64,
    /// Percentage of frames.
    pub doubled: u64,
}

pub const STRAIGHT: Way = Way { cut: false, delay: DELAY, jitter: 0, lost: 0, doubled: 0 };

pub struct End {
    pub system: usize,
    pub slot: u8,
    pub link: Link,
    pub present: bool,
    /// Since when it has not collected, if it does not.
    pub deaf: Option<u64>,
}

pub struct Cable {
    pub ends: [End; 2],
    pub ways: [Way; 2],
    /// Until when a frame of this direction may have been harmed.
    pub disturbed: [u64; 2],
}

/// A frame in flight.
pub struct Flight {
    pub cable: usize,
    pub to: usize,
    pub frame: [u8; FRAME],
}
