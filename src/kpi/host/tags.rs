//! Send tags (m_snd_tag_alloc and so on, `kern/kern_mbuf.c`): a card's own, and a lagg's, which wrap those.

use std::sync::Arc;

use super::driver::Kind;
use super::faults;
use super::module;
use crate::kpi::driver::{Driver, Module};
use crate::kpi::gate::Inside;
use crate::kpi::{Errno, Ifnet, IfnetRef, Result, TagHeader, TagRequest, TagType};

/// The parameters of a request for a tag, besides the header.
#[derive(Clone, Copy, Debug, Default)]
pub struct TagParams {
    /// Bytes per second, for tags that pace.
    pub max_rate: u64,
}

impl TagRequest<'_> {
    /// The parameters for the card.
    pub fn for_card(&mut self) -> TagParams {
        *self.params()
    }
}

/// A card's send tag, freed when it is dropped. A method that returns none is one that the driver lacks:
/// NULL in its `struct if_snd_tag_sw`.
pub trait CardTag: Send + Sync {
    /// Sets the rate, in bytes a second (`snd_tag_modify`).
    fn modify(&self, _max_rate: u64) -> Option<Result> {
        None
    }

    /// The rate, in bytes a second (`snd_tag_query`).
    fn query(&self) -> Option<Result<u64>> {
        None
    }

    /// The driver's text about it (`snd_tag_status_str`).
    fn status(&self) -> Option<Result<String>> {
        None
    }
}

enum Methods {
    Card(Box<dyn CardTag>),
    /// The wrapped tag is dropped first, then what keeps the module loaded.
    Lagg(SendTag, Inside),
}

struct Tag {
    methods: Methods,
    kind: TagType,
    ifp: IfnetRef,
}

impl Drop for Tag {
    fn drop(&mut self) {
        if let Methods::Lagg(..) = self.methods {
            assert!(module::is_loaded(), "snd_tag_free of a module that is not there is called");
        }
    }
}

/// A counted reference to a send tag.
#[derive(Clone)]
pub struct SendTag(Arc<Tag>);

impl SendTag {
    /// The interface whose driver made it.
    pub fn ifp(&self) -> &Ifnet {
        &self.0.ifp
    }

    /// The port's tag that this one wraps; none if this is not a lagg's tag.
    pub fn inner(&self) -> Option<&SendTag> {
        match &self.0.methods {
            Methods::Card(_) => None,
            Methods::Lagg(inner, _) => Some(inner),
        }
    }

    /// What it is for.
    pub fn kind(&self) -> TagType {
        self.0.kind
    }

    /// The number of references to it.
    pub fn references(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// Whether both are the same.
    pub fn same(&self, other: &SendTag) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Calls `snd_tag_modify` without checking that there is one, as ktls_modify_txrtlmt does.
    ///
    /// # Errors
    /// What the driver returned.
    ///
    /// # Panics
    /// If the driver has none.
    pub fn modify(&self, max_rate: u64) -> Result {
        self.try_modify(max_rate).expect("snd_tag_modify is NULL")
    }

    /// Calls `snd_tag_query` in the same way.
    ///
    /// # Errors
    /// What the driver returned.
    ///
    /// # Panics
    /// If the driver has none.
    pub fn query(&self) -> Result<u64> {
        self.try_query().expect("snd_tag_query is NULL")
    }

    /// Calls `snd_tag_status_str` in the same way.
    ///
    /// # Errors
    /// What the driver returned.
    ///
    /// # Panics
    /// If the driver has none.
    pub fn status(&self) -> Result<String> {
        self.try_status().expect("snd_tag_status_str is NULL")
    }

    fn try_modify(&self, max_rate: u64) -> Option<Result> {
        match &self.0.methods {
            Methods::Card(card) => card.modify(max_rate),
            Methods::Lagg(inner, _) => Some(or_unsupported(inner.try_modify(max_rate))),
        }
    }

    fn try_query(&self) -> Option<Result<u64>> {
        match &self.0.methods {
            Methods::Card(card) => card.query(),
            Methods::Lagg(inner, _) => Some(or_unsupported(inner.try_query())),
        }
    }

    fn try_status(&self) -> Option<Result<String>> {
        match &self.0.methods {
            Methods::Card(card) => card.status(),
            Methods::Lagg(inner, _) => Some(or_unsupported(inner.try_status())),
        }
    }
}

/// What a lagg's method returns. The port's driver may lack the method (D-24).
fn or_unsupported<T>(answer: Option<Result<T>>) -> Result<T> {
    answer.unwrap_or(Err(Errno::EOPNOTSUPP))
}

/// Memory for a lagg's send tag.
pub struct TagWrapper(());

impl TagWrapper {
    /// Does not sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn try_new() -> Result<Self> {
        faults::allocation().map(TagWrapper)
    }

    /// A tag of `lagg` that wraps `inner`, a port's tag.
    pub fn wrap(self, inner: SendTag, kind: TagType, lagg: &Ifnet) -> SendTag {
        let methods = Methods::Lagg(inner, Inside::enter());
        SendTag(Arc::new(Tag { methods, kind, ifp: lagg.to_ref() }))
    }
}

impl Ifnet {
    /// Asks its driver for a send tag (m_snd_tag_alloc).
    ///
    /// # Errors
    /// What the driver returned; EOPNOTSUPP if it makes none.
    pub fn allocate_tag(&self, request: &mut TagRequest<'_>) -> Result<SendTag> {
        match &self.kind {
            _ if self.is_dead() => Err(Errno::EOPNOTSUPP),
            Kind::Nic(nic) => {
                let methods = Methods::Card(nic.allocate_tag(self, request)?);
                Ok(SendTag(Arc::new(Tag { methods, kind: request.kind(), ifp: self.to_ref() })))
            }
            Kind::Lagg => {
                let _inside = Inside::enter();
                let softc = self.lagg_softc().ok_or(Errno::EOPNOTSUPP)?;
                Module::allocate_tag(&softc, request)
            }
            Kind::Vlan(_) | Kind::Bridge(_) => Err(Errno::EOPNOTSUPP),
        }
    }
}

/// Asks `ifp` for a send tag, as a connection does (m_snd_tag_alloc).
///
/// # Errors
/// What its driver returned; EOPNOTSUPP if it makes none, or does not know the type.
pub fn allocate_tag(ifp: &Ifnet, header: TagHeader, mut params: TagParams) -> Result<SendTag> {
    let mut request = TagRequest::new(header, &mut params).ok_or(Errno::EOPNOTSUPP)?;
    ifp.allocate_tag(&mut request)
}
