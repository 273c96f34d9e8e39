//! Packets for a task, from any number of threads.

use std::collections::VecDeque;

use super::super::Mbuf;
use super::sync::Mutex;
use super::witness::lock;

/// The last packets that wait to be looked at.
pub struct Inbox(Mutex<VecDeque<Mbuf>>);

impl Inbox {
    /// Packets that it holds at the most.
    pub const LIMIT: usize = 4;

    /// Without packets.
    #[expect(clippy::new_without_default, reason = "as the other backend's")]
    pub fn new() -> Self {
        Inbox(Mutex::new(VecDeque::new()))
    }

    /// Puts a packet in; false if an older one had to go for it.
    pub fn put(&self, m: Mbuf) -> bool {
        let mut packets = lock(&self.0);
        packets.push_back(m);
        let fits = packets.len() <= Self::LIMIT;
        if !fits {
            packets.pop_front();
        }
        fits
    }

    /// Takes all packets out, and hands each to `f`, in the order in which they came. One taker at a time.
    pub fn take(&self, f: impl FnMut(Mbuf)) {
        let packets = std::mem::take(&mut *lock(&self.0));
        packets.into_iter().for_each(f);
    }
}
