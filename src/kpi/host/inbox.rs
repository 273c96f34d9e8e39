//! Packets for a task, from any number of threads.

use super::sync::Mutex;
use super::witness::lock;
use crate::kpi::Mbuf;

/// The last packets that wait to be processed.
pub struct Inbox(Mutex<Vec<(Mbuf, u64)>>);

impl Inbox {
    /// Packets that it holds at most.
    pub const LIMIT: u32 = 4;

    /// An empty inbox.
    #[expect(clippy::new_without_default, reason = "as the other backend's")]
    pub fn new() -> Self {
        Inbox(Mutex::new(Vec::new()))
    }

    /// Puts in a packet with a number. If there is no room, the packets that wait are freed, because the
    /// newest one has the present state. Returns how many were freed.
    pub fn put(&self, m: Mbuf, number: u64) -> u32 {
        let mut packets = lock(&self.0);
        let mut freed = 0;
        if packets.len() >= Self::LIMIT as usize {
            freed = packets.drain(..).count();
        }
        packets.push((m, number));
        freed as u32
    }

    /// Takes all packets out, and hands each to `f` with its number, in the order in which they came.
    pub fn take(&self, mut f: impl FnMut(Mbuf, u64)) {
        let packets = std::mem::take(&mut *lock(&self.0));
        packets.into_iter().for_each(|(m, number)| f(m, number));
    }
}
