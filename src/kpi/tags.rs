//! Send tags (`struct m_snd_tag`, `net/if_var.h`): what a port's driver has set up for the packets of one flow, to
//! pace them or to encrypt their TLS.

use super::backend::TagParams;
use super::packet;

/// What a send tag is for (IF_SND_TAG_TYPE_*).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum TagType {
    /// Packets are paced.
    RateLimit = 0,
    /// Packets are not paced, but use the queue of those that are.
    Unlimited = 1,
    /// The card encrypts TLS.
    Tls = 2,
    /// Both.
    TlsRateLimit = 3,
    /// The card decrypts received TLS. No packet carries such a tag.
    TlsRx = 4,
}

impl TagType {
    /// All of them, in the order of their numbers.
    pub const ALL: [TagType; 5] = [
        TagType::RateLimit,
        TagType::Unlimited,
        TagType::Tls,
        TagType::TlsRateLimit,
        TagType::TlsRx,
    ];
}

/// The part of a request that is there for all types (`struct if_snd_tag_alloc_header`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TagHeader {
    /// The type's number.
    pub kind: u32,
    /// The flow id that the packets will have.
    pub flow_id: u32,
    /// The type of that hash (M_HASHTYPE_*); 0 if the packets will have none.
    pub flow_kind: u32,
    /// The NUMA domain that the packets will have; 255 is none.
    pub numa_domain: u8,
}

/// A request for a send tag (`union if_snd_tag_alloc_params`).
pub struct TagRequest<'a> {
    kind: TagType,
    flow: Option<u32>,
    numa_domain: Option<u8>,
    params: &'a mut TagParams,
}

impl<'a> TagRequest<'a> {
    /// A request; none if its type is not known.
    pub fn new(header: TagHeader, params: &'a mut TagParams) -> Option<Self> {
        Some(TagRequest {
            kind: *TagType::ALL.get(usize::try_from(header.kind).ok()?)?,
            flow: packet::flow_id(header.flow_kind as u8, header.flow_id),
            numa_domain: packet::numa_domain(header.numa_domain),
            params,
        })
    }

    /// What the tag is to be for.
    pub fn kind(&self) -> TagType {
        self.kind
    }

    /// The flow id that the packets will have, if they will.
    pub fn flow(&self) -> Option<u32> {
        self.flow
    }

    /// The NUMA domain that the packets will have, if they will.
    pub fn numa_domain(&self) -> Option<u8> {
        self.numa_domain
    }

    /// All of it, for a driver.
    pub(super) fn params(&mut self) -> &mut TagParams {
        self.params
    }
}
