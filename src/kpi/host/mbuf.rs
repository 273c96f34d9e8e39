//! Packets (mbuf(9)).

use super::faults;
use crate::kpi::{Ifnet, SendTag};

/// A packet, owned: a chain of segments under one header. Freed when it is dropped.
pub struct Mbuf(Box<Packet>);

struct Packet {
    first: Vec<u8>,
    rest: Vec<Vec<u8>>,
    len: usize,
    flow: Option<u32>,
    vlan_tag: Option<u16>,
    numa_domain: Option<u8>,
    tag: Option<SendTag>,
    /// Valid in the section of the epoch in which it was set.
    receiver: *const Ifnet,
    receiver_index: u32,
}

// SAFETY: `receiver` is read by `receiver()` alone, whose caller has set it in the same section.
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// A packet of one segment.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Mbuf::from_vec(bytes.to_vec())
    }

    /// A multicast packet with these bytes, in one mbuf; none if there is no memory.
    pub fn multicast(bytes: &[u8]) -> Option<Mbuf> {
        faults::packet().ok()?;
        Some(Mbuf::from_bytes(bytes))
    }

    /// A packet of one segment, not copied.
    pub fn from_vec(first: Vec<u8>) -> Self {
        let len = first.len();
        Mbuf(Box::new(Packet {
            first,
            rest: Vec::new(),
            len,
            flow: None,
            vlan_tag: None,
            numa_domain: None,
            tag: None,
            receiver: std::ptr::null(),
            receiver_index: 0,
        }))
    }

    /// A packet cut into segments.
    pub fn from_segments<'a>(segments: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut segments = segments.into_iter().map(<[u8]>::to_vec);
        let mut mbuf = Mbuf::from_vec(segments.next().unwrap_or_default());
        mbuf.0.rest.extend(segments);
        mbuf.0.len = mbuf.segments().map(<[u8]>::len).sum();
        mbuf
    }

    /// All of its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len);
        self.segments().for_each(|segment| bytes.extend_from_slice(segment));
        bytes
    }

    /// All of its bytes; a packet of one segment is not copied.
    pub fn into_vec(mut self) -> Vec<u8> {
        if self.0.rest.is_empty() { std::mem::take(&mut self.0.first) } else { self.to_bytes() }
    }

    /// Its segments.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.0.first.as_slice()).chain(self.0.rest.iter().map(Vec::as_slice))
    }

    /// Its first bytes, as many as are in one piece.
    pub fn first(&self) -> &[u8] {
        &self.0.first
    }

    /// Copies `to.len()` bytes from `offset`. Returns false if the packet is shorter.
    pub fn copy_to(&self, mut offset: usize, mut to: &mut [u8]) -> bool {
        for segment in self.segments() {
            let from = segment.get(offset..).unwrap_or_default();
            offset = offset.saturating_sub(segment.len());
            let (now, later) = to.split_at_mut(from.len().min(to.len()));
            now.copy_from_slice(&from[..now.len()]);
            to = later;
        }
        to.is_empty()
    }

    /// A copy of it, which may share the data and must only be read; none if there is no memory.
    pub fn copy(&self) -> Option<Mbuf> {
        faults::copy().ok()?;
        let mut copy = Mbuf::from_segments(self.segments());
        copy.0.flow = self.0.flow;
        copy.0.vlan_tag = self.0.vlan_tag;
        copy.0.numa_domain = self.0.numa_domain;
        copy.0.tag = self.0.tag.clone();
        Some(copy)
    }

    /// Its length in bytes, the link-level header included.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// The flow id that the receiving NIC or the sender gave it, if it has one.
    pub fn flow(&self) -> Option<u32> {
        self.0.flow
    }

    /// Sets the flow id.
    pub fn set_flow(&mut self, flow: Option<u32>) {
        self.0.flow = flow;
    }

    /// The NUMA domain that its sender prefers, if it does.
    pub fn numa_domain(&self) -> Option<u8> {
        self.0.numa_domain
    }

    /// Sets the NUMA domain.
    pub fn set_numa_domain(&mut self, domain: Option<u8>) {
        self.0.numa_domain = domain;
    }

    /// Whether it carries a send tag (CSUM_SND_TAG).
    #[inline]
    pub fn has_tag(&self) -> bool {
        self.0.tag.is_some()
    }

    /// The send tag that it carries.
    pub fn tag(&self) -> Option<&SendTag> {
        self.0.tag.as_ref()
    }

    /// Puts a send tag on it.
    pub fn set_tag(&mut self, tag: SendTag) {
        self.0.tag = Some(tag);
    }

    /// The VLAN tag that it carries outside of its bytes (M_VLANTAG).
    pub fn vlan_tag(&self) -> Option<u16> {
        self.0.vlan_tag
    }

    /// Sets the VLAN tag.
    pub fn set_vlan_tag(&mut self, tag: Option<u16>) {
        self.0.vlan_tag = tag;
    }

    /// Whether it is a multicast frame. For received frames.
    pub fn is_multicast(&self) -> bool {
        const GROUP: u8 = 1;
        self.first().first().is_some_and(|first| first & GROUP != 0)
    }

    /// The index of the interface on which it was received (`rcvif`); 0 for none.
    pub fn receiver_index(&self) -> u32 {
        self.0.receiver_index
    }

    /// Sets the interface on which it was received.
    #[inline]
    pub fn set_receiver(&mut self, ifp: &Ifnet) {
        self.0.receiver = ifp;
        self.0.receiver_index = ifp.index();
    }

    /// The interface on which it was received.
    ///
    /// # Safety
    /// It was set in the section of the epoch that the caller is in for `'e`.
    #[inline]
    pub(super) unsafe fn receiver<'e>(&self, _: &'e crate::kpi::Epoch) -> &'e Ifnet {
        // SAFETY: the caller promises that it was set in this section, so the interface was there then, and
        // it is freed through the epoch.
        unsafe { &*self.0.receiver }
    }
}
