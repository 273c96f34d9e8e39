//! Send tags: a lagg's stand for those that its ports' drivers make.

use super::{Port, Softc};
use crate::kpi::{
    Epoch, Errno, Mbuf, Ref, Result, SendTag, TagRequest, TagType, TagWrapper, epoch,
};

/// Makes a send tag for a flow, of the port that its packets are sent on now. What receives is the port
/// itself, so a tag for that is the port's own. Sleeps only if the port's driver does.
///
/// # Errors
/// EOPNOTSUPP: there is no such port, or none at all; ENOMEM; what the port's driver returned.
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
/// EAGAIN: the tag is none of this port's, and its owner is to ask for another; else what the port's driver
/// returns.
#[cold]
#[inline(never)]
pub(super) fn transmit(port: &Port, mut m: Mbuf, epoch: &Epoch) -> Result {
    // Any interface's may come here: a bridge sends a member's packets on another one.
    let inner = m.tag().and_then(SendTag::inner).filter(|tag| tag.ifp().same(port.ifp()));
    let inner = inner.ok_or(Errno::EAGAIN)?.clone();
    m.set_tag(inner);
    port.ifp().transmit(m, epoch)
}
