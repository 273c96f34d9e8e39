//! Packets (mbuf(9)).

use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use super::bindings as c;
use super::ifnet::Ifnet;
use super::tags::SendTag;
use crate::kpi::packet;

/// A packet, owned: freed when dropped.
///
/// # Invariants
/// The pointer is to the first mbuf of a chain with a packet header, which nothing else owns.
pub struct Mbuf(NonNull<c::mbuf>);

// SAFETY: a packet belongs to its owner and to no thread.
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// A multicast packet with these bytes, in one mbuf; none if there is no memory.
    pub fn multicast(bytes: &[u8]) -> Option<Mbuf> {
        // SAFETY: as many bytes as said are there, and are copied before this returns. Does not sleep.
        let m = unsafe { c::lagg_rs_mbuf(bytes.as_ptr(), bytes.len()) };
        // INVARIANT: one mbuf with a packet header, made just now.
        NonNull::new(m).map(Mbuf)
    }

    /// Takes over a packet.
    ///
    /// # Safety
    /// The caller gives away a packet with a header.
    #[inline(always)]
    pub(super) unsafe fn from_ptr(m: *mut c::mbuf) -> Self {
        // INVARIANT: the caller gives away a packet with a header.
        // SAFETY: a packet's address is not NULL.
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
        // SAFETY: by the invariant the header is there and ours.
        let length = unsafe { (*self.header()).len };
        // The kernel has it signed; it is never negative.
        length as usize
    }

    /// Its first bytes, as many as are in one piece.
    #[inline(always)]
    pub fn first(&self) -> &[u8] {
        let m = self.as_ptr();
        // SAFETY: the data of the first mbuf is there for as long as the packet, and the kernel keeps
        // pointer and length right.
        unsafe {
            let data = (*m).m_data.cast::<u8>();
            core::slice::from_raw_parts(data, (*m).m_len as usize)
        }
    }

    /// Copies `to.len()` bytes from `offset`. Returns false if the packet is shorter.
    pub fn copy_to(&self, offset: usize, to: &mut [u8]) -> bool {
        let fits = offset.checked_add(to.len()).is_some_and(|end| end <= self.len());
        if fits {
            let (offset, len) = (offset as i32, to.len() as i32);
            // SAFETY: the packet has these bytes, as its length says, and `to` has room for them.
            unsafe { c::m_copydata(self.as_ptr(), offset, len, to.as_mut_ptr().cast()) };
        }
        fits
    }

    /// A copy of it, which may share the data and must only be read; none if there is no memory.
    pub fn copy(&self) -> Option<Mbuf> {
        // SAFETY: the whole packet, which stays as it is; does not sleep.
        let copy = unsafe { c::m_copypacket(self.as_ptr(), c::M_NOWAIT as i32) };
        // INVARIANT: a packet of its own, with a header as the original has.
        NonNull::new(copy).map(Mbuf)
    }

    /// The flow id that the receiving NIC or the sender gave it, if it has one.
    #[inline(always)]
    pub fn flow(&self) -> Option<u32> {
        let header = self.header();
        // SAFETY: by the invariant the header is there and ours.
        let (kind, flow) = unsafe { ((*header).rsstype, (*header).flowid) };
        packet::flow_id(kind, flow)
    }

    /// The NUMA domain that its sender prefers, if it does.
    #[inline(always)]
    pub fn numa_domain(&self) -> Option<u8> {
        // SAFETY: by the invariant the header is there and ours.
        let domain = unsafe { (*self.header()).numa_domain };
        packet::numa_domain(domain)
    }

    /// Whether it carries a send tag (CSUM_SND_TAG).
    #[inline(always)]
    pub fn has_tag(&self) -> bool {
        // SAFETY: by the invariant the header is there and ours.
        let flags = unsafe { (*self.header()).csum_flags };
        flags & c::CSUM_SND_TAG != 0
    }

    /// Where the send tag is, if it carries one.
    fn tag_place(&self) -> *mut *mut c::m_snd_tag {
        // SAFETY: by the invariant the header is there and ours.
        unsafe { &raw mut (*self.header()).__bindgen_anon_1.snd_tag }
    }

    /// The send tag that it carries.
    pub fn tag(&self) -> Option<&SendTag> {
        // SAFETY: with the flag a counted reference is there, which is what a `SendTag` is.
        self.has_tag().then(|| unsafe { &*self.tag_place().cast() })
    }

    /// Puts a send tag on it.
    pub fn set_tag(&mut self, tag: SendTag) {
        let had = self.has_tag();
        // SAFETY: the header is there and ours; the flag says that a counted reference is in the place.
        unsafe {
            let before = self.tag_place().replace(tag.into_ptr());
            (*self.header()).csum_flags |= c::CSUM_SND_TAG;
            if had && let Some(before) = NonNull::new(before) {
                drop(SendTag::from_ptr(before));
            }
        }
    }

    /// The VLAN tag that it carries outside of its bytes (M_VLANTAG).
    #[inline(always)]
    pub fn vlan_tag(&self) -> Option<u16> {
        // SAFETY: by the invariant the mbuf is there and ours.
        let tagged = unsafe { (*self.as_ptr()).m_flags() } & c::M_VLANTAG != 0;
        // SAFETY: the header is there and ours; ether_vtag is the first of these.
        tagged.then(|| unsafe { (*self.header()).PH_per.sixteen[0] })
    }

    /// Whether it is a multicast frame. For received frames.
    #[inline(always)]
    pub fn is_multicast(&self) -> bool {
        // SAFETY: by the invariant the mbuf is there and ours.
        unsafe { (*self.as_ptr()).m_flags() & c::M_MCAST != 0 }
    }

    /// Stores a number in it, for its owner (PH_loc).
    pub(super) fn set_local(&self, number: u64) {
        // SAFETY: the header is there and ours, and so is the place for the packet's owner.
        unsafe { (*self.header()).__bindgen_anon_4.PH_loc.sixtyfour = [number] };
    }

    /// The number that was stored.
    pub(super) fn local(&self) -> u64 {
        // SAFETY: by the invariant the header is there and ours; any bits are a number.
        let [number] = unsafe { (*self.header()).__bindgen_anon_4.PH_loc.sixtyfour };
        number
    }

    /// Sets the interface on which it was received.
    #[inline(always)]
    pub fn set_receiver(&mut self, ifp: &Ifnet) {
        // SAFETY: the header is there and ours; the interface outlives the packet's way through the
        // stack, by the epoch.
        unsafe { (*self.header()).__bindgen_anon_1.rcvif = ifp.as_ptr() };
    }
}

impl Drop for Mbuf {
    fn drop(&mut self) {
        // SAFETY: by the invariant the whole chain is ours, and it is not used again.
        unsafe { c::m_freem(self.as_ptr()) };
    }
}
