//! What packets and requests for send tags say alike, of their flow and of where they belong.

/// The bit of a hash's type (M_HASHTYPE_*) that says of which header it is.
const INNER: u8 = 0x40;

/// What interfaces and packets have that belong to no NUMA domain (IF_NODOM, M_NODOM).
pub(super) const NO_DOMAIN: u8 = 0xff;

/// The flow id, if there is a hash that it is from (M_HASHTYPE_NONE).
#[inline(always)]
pub(super) fn flow_id(hash_type: u8, flow_id: u32) -> Option<u32> {
    (hash_type & !INNER != 0).then_some(flow_id)
}

/// The NUMA domain, if there is one.
#[inline(always)]
pub(super) fn numa_domain(domain: u8) -> Option<u8> {
    (domain != NO_DOMAIN).then_some(domain)
}
