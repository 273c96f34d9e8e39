//! Packets for a task, from any number of threads.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use arrayvec::ArrayVec;

use super::bindings as c;
use super::mbuf::Mbuf;

/// The last packets that wait to be looked at. Putting one in takes no lock and never waits.
///
/// # Invariants
/// What `places` point at are packets that are nobody else's, or they are NULL.
pub struct Inbox {
    places: [AtomicPtr<c::mbuf>; Inbox::LIMIT],
    /// How many have come so far: each packet has its number, and its place by that.
    came: AtomicU64,
    /// What came before this one has been looked at, or never will be.
    taken: AtomicU64,
}

impl Inbox {
    /// Packets that it holds at the most.
    pub const LIMIT: usize = 4;

    /// Without packets.
    #[expect(clippy::new_without_default, reason = "const")]
    pub const fn new() -> Self {
        // INVARIANT: all are NULL.
        Inbox {
            places: [const { AtomicPtr::new(ptr::null_mut()) }; Inbox::LIMIT],
            came: AtomicU64::new(0),
            taken: AtomicU64::new(0),
        }
    }

    /// Puts a packet in; false if an older one had to go for it.
    pub fn put(&self, mut m: Mbuf) -> bool {
        let mut number = self.came.fetch_add(1, Ordering::Relaxed);
        m.set_local(number);
        let Some(place) = self.place(number) else { return false };
        let mut fits = true;
        // INVARIANT: it is the place's from here on, and what was there is ours.
        while let Some(old) = Self::owned(place.swap(m.into_ptr(), Ordering::AcqRel)) {
            fits = false;
            if old.local() < number {
                break;
            }
            // This thread was overtaken: the newer one comes back.
            (number, m) = (old.local(), old);
        }
        fits
    }

    /// Takes all packets out, and hands each to `f`, in the order in which they came. One taker at a time.
    pub fn take(&self, f: impl FnMut(Mbuf)) {
        let came = self.came.load(Ordering::Relaxed);
        let mut packets: ArrayVec<(u64, Mbuf), { Inbox::LIMIT }> = ArrayVec::new();
        // The last one first: who puts one in meanwhile does so behind what is still looked at.
        for back in 1..=Inbox::LIMIT as u64 {
            let Some(place) = self.place(came.wrapping_sub(back)) else { continue };
            // INVARIANT: what was there is ours.
            if let Some(m) = Self::owned(place.swap(ptr::null_mut(), Ordering::AcqRel)) {
                let number = m.local();
                let behind = packets.iter().position(|(other, _)| *other > number);
                let _ = packets.try_insert(behind.unwrap_or(packets.len()), (number, m));
            }
        }
        // One that was overtaken says what no longer holds.
        let taken = self.taken.load(Ordering::Relaxed);
        if let Some((last, _)) = packets.last() {
            self.taken.store(taken.max(last.wrapping_add(1)), Ordering::Relaxed);
        }
        packets.into_iter().filter(|(number, _)| *number >= taken).map(|(_, m)| m).for_each(f);
    }

    /// The place of the packet that came as this one. There is one for each.
    fn place(&self, number: u64) -> Option<&AtomicPtr<c::mbuf>> {
        self.places.get((number % Inbox::LIMIT as u64) as usize)
    }

    fn owned(m: *mut c::mbuf) -> Option<Mbuf> {
        // SAFETY: by the invariant a packet that was nobody else's, and that the swap has made ours.
        NonNull::new(m).map(|m| unsafe { Mbuf::from_ptr(m.as_ptr()) })
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.take(drop);
    }
}
