//! Packets for a task, from any number of threads.

use super::sync::Mutex;
use super::witness::lock;
use crate::kpi::Mbuf;

/// The last packets that wait to be looked at.
pub struct Inbox(Mutex<Vec<(Mbuf, u64)>>);

impl Inbox {
    /// Packets that it holds at the most.
    pub const LIMIT: u32 = 4;

    /// Without packets.
    #[expect(clippy::new_without_default, reason = "as the other backend's")]
    pub fn new() -> Self {
        Inbox(Mutex::new(Vec::new()))
    }

    /// Puts a packet in, and a number that goes with it. Where there is no room those that wait are freed:
    /// the newest says what holds. Returned: how many were.
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
