//! The flow id and NUMA domain, which packets and requests for send tags have in the same form.

/// The bit of a hash's type (M_HASHTYPE_*) that marks one of an inner header.
const INNER: u8 = 0x40;

/// The domain of interfaces and packets that have none (IF_NODOM, M_NODOM).
pub(super) const NO_DOMAIN: u8 = 0xff;

/// The flow id, unless the hash type is none (M_HASHTYPE_NONE).
#[inline(always)]
pub(super) fn flow_id(hash_type: u8, flow_id: u32) -> Option<u32> {
    (hash_type & !INNER != 0).then_some(flow_id)
}

/// The NUMA domain, if there is one.
#[inline(always)]
pub(super) fn numa_domain(domain: u8) -> Option<u8> {
    (domain != NO_DOMAIN).then_some(domain)
}
