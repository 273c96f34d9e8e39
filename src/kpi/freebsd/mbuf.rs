//! Packets (mbuf(9)).

use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use super::bindings as c;
use super::ifnet::Ifnet;

/// A packet, owned: freed when dropped.
///
/// # Invariants
/// The pointer is to the first mbuf of a chain with a packet header, which is nobody else's.
pub struct Mbuf(NonNull<c::mbuf>);

// SAFETY: who owns a packet may use it on any thread.
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// Takes over a packet.
    ///
    /// # Safety
    /// The caller gives away a packet with a header.
    #[inline(always)]
    pub(super) unsafe fn from_ptr(m: *mut c::mbuf) -> Self {
        // INVARIANT: by contract.
        // SAFETY: by contract not NULL.
        Mbuf(unsafe { NonNull::new_unchecked(m) })
    }

    /// Gives the packet away.
    #[inline(always)]
    pub(super) fn into_ptr(self) -> *mut c::mbuf {
        ManuallyDrop::new(self).as_ptr()
    }

    #[inline(always)]
    pub(super) fn as_ptr(&self) -> *mut c::mbuf {
        self.0.as_ptr()
    }

    #[inline(always)]
    fn header(&self) -> *mut c::pkthdr {
        // SAFETY: by the invariant the mbuf is there and has a header, first in the union of what
        // follows the mbuf's own fields.
        unsafe { (&raw mut (*self.as_ptr()).__bindgen_anon_3).cast() }
    }

    /// Its length in bytes, the link-level header included.
    #[expect(clippy::len_without_is_empty, reason = "no packet is")]
    #[inline(always)]
    pub fn len(&self) -> usize {
        // SAFETY: the header is there and ours.
        let length = unsafe { (*self.header()).len };
        // The kernel has it signed; it is never negative.
        length as usize
    }

    /// Says on which interface it was received.
    #[inline(always)]
    pub fn set_receiver(&mut self, ifp: &Ifnet) {
        // SAFETY: the header is there and ours; the interface outlives the packet's way through the
        // stack, by the epoch.
        unsafe { (*self.header()).__bindgen_anon_1.rcvif = ifp.as_ptr() };
    }
}

impl Drop for Mbuf {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        unsafe { c::m_freem(self.as_ptr()) };
    }
}
