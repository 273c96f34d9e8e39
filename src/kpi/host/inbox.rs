//! Packets for a task, from any number of threads.

use super::super::Mbuf;
use super::sync::Mutex;
use super::witness::lock;

/// Packets that wait to be looked at.
pub struct Inbox(Mutex<Vec<(Mbuf, u64)>>);

impl Inbox {
    /// Packets that it holds at the most.
    pub const LIMIT: u32 = 128;

    /// Without packets.
    #[expect(clippy::new_without_default, reason = "const")]
    pub const fn new() -> Self {
        Inbox(Mutex::new(Vec::new()))
    }

    /// Puts a packet in, and a number that goes with it; false if there is no room, and it is freed.
    pub fn put(&self, m: Mbuf, number: u64) -> bool {
        let mut packets = lock(&self.0);
        let fits = packets.len() < Self::LIMIT as usize;
        if fits {
            packets.push((m, number));
        }
        fits
    }

    /// Takes all packets out, and hands each to `f` with its number, in the order in which they came.
    pub fn take(&self, mut f: impl FnMut(Mbuf, u64)) {
        let packets = std::mem::take(&mut *lock(&self.0));
        packets.into_iter().for_each(|(m, number)| f(m, number));
    }
}
