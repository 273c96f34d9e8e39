//! Packets for a task, from any number of threads.

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::bindings as c;
use super::mbuf::Mbuf;

/// The last packets that wait to be processed. Putting one in takes no lock and never waits.
///
/// # Invariants
/// `head` is a list, linked by `m_nextpkt`, of packets that only it has, the last one first.
pub struct Inbox {
    head: AtomicPtr<c::mbuf>,
    len: AtomicU32,
}

impl Inbox {
    /// Packets that it holds at most, plus one for each thread that is putting one in.
    pub const LIMIT: u32 = 4;

    /// An empty inbox.
    #[expect(clippy::new_without_default, reason = "const")]
    pub const fn new() -> Self {
        // INVARIANT: an empty list.
        Inbox { head: AtomicPtr::new(ptr::null_mut()), len: AtomicU32::new(0) }
    }

    /// Puts in a packet with a number. If there is no room, the packets that wait are freed, because the
    /// newest one has the present state. Returns how many were freed.
    pub fn put(&self, m: Mbuf, number: u64) -> u32 {
        let mut freed: u32 = 0;
        if self.len.fetch_add(1, Ordering::Relaxed) >= Self::LIMIT {
            self.take(|_, _| freed = freed.saturating_add(1));
        }
        m.set_local(number);
        let m = m.into_ptr();
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: `into_ptr` has given up a packet, which is this thread's until it is in the list.
            unsafe { (*m).__bindgen_anon_2.m_nextpkt = head };
            // INVARIANT: the list so far follows it.
            match self.head.compare_exchange_weak(head, m, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return freed,
                Err(now) => head = now,
            }
        }
    }

    /// Takes all packets out, and hands each to `f` with its number, in the order in which they came.
    pub fn take(&self, mut f: impl FnMut(Mbuf, u64)) {
        let mut from = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        let mut first = ptr::null_mut();
        while !from.is_null() {
            // SAFETY: by the invariant the list is this thread's since the swap, and so are both links.
            unsafe {
                let next = (*from).__bindgen_anon_2.m_nextpkt;
                (*from).__bindgen_anon_2.m_nextpkt = first;
                (first, from) = (from, next);
            }
        }
        while !first.is_null() {
            // SAFETY: by the invariant the list is this thread's since the swap. Each packet is taken out
            // once, and its link cleared, so that it is a packet by itself.
            let m = unsafe {
                let next = (*first).__bindgen_anon_2.m_nextpkt;
                (*first).__bindgen_anon_2.m_nextpkt = ptr::null_mut();
                let m = Mbuf::from_ptr(first);
                first = next;
                m
            };
            self.len.fetch_sub(1, Ordering::Relaxed);
            let number = m.local();
            f(m, number);
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.take(|_, _| {});
    }
}
