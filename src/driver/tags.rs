//! Send tags: a lagg's tag wraps one that a port's driver made.

use super::Softc;
use crate::kpi::{
    Epoch, Errno, Ifnet, Mbuf, Ref, Result, SendTag, TagRequest, TagType, TagWrapper, epoch,
};

/// Makes a send tag for a flow, of the port that its packets are sent on now. A tag for receiving is the
/// port's own, because the port itself receives. Sleeps only if the port's driver does.
///
/// # Errors
/// EOPNOTSUPP: there is no such port; ENOMEM; what the port's driver returned.
pub(super) fn allocate(softc: &Ref<Softc>, request: &mut TagRequest<'_>) -> Result<SendTag> {
    let (flow, domain) = (request.flow(), request.numa_domain());
    let found = epoch::section(|epoch| {
        let plan = softc.plan(epoch);
        Some(plan.protocol().port_of_flow(plan, flow, domain)?.ifp().to_ref())
    });
    let port = found.ok_or(Errno::EOPNOTSUPP)?;
    if request.kind() == TagType::TlsRx {
        return port.allocate_tag(request);
    }
    let wrapper = TagWrapper::try_new()?;
    let inner = port.allocate_tag(request)?;
    Ok(wrapper.wrap(inner, request.kind(), softc.ifp()))
}

/// Sends a packet that carries a send tag on `port`, with the port's own tag.
///
/// # Errors
/// EAGAIN: the tag is not this port's, and its owner should ask for another; else what the port's driver
/// returns.
#[cold]
#[inline(never)]
pub(super) fn transmit(port: &Ifnet, mut m: Mbuf, epoch: &Epoch) -> Result {
    // The tag may be any interface's: a bridge sends one member's packets on another.
    let inner = m.tag().and_then(SendTag::inner).filter(|tag| tag.ifp().same(port));
    let inner = inner.ok_or(Errno::EAGAIN)?.clone();
    m.set_tag(inner);
    port.transmit(m, epoch)
}
