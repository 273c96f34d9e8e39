//! Send tags: a lagg's stand for those that its ports' drivers make.

use super::{Plan, Port, Softc};
use crate::kpi::{
    Epoch, Errno, Mbuf, Ref, Result, SendTag, TagRequest, TagType, TagWrapper, epoch,
};
use crate::policy::{Protocol, failover};

/// Makes a send tag for a flow, of the port that its packets are sent on now. What receives is the port
/// itself, so a tag for that is the port's own. Sleeps only if the port's driver does.
///
/// # Errors
/// EOPNOTSUPP: there is no such port, or none at all; ENOMEM; what the port's driver returned.
pub(super) fn allocate(softc: &Ref<Softc>, request: &mut TagRequest<'_>) -> Result<SendTag> {
    let (flow, domain) = (request.flow(), request.numa_domain());
    let found = epoch::section(|epoch| Some(port(softc.plan(epoch), flow, domain)?.ifp().to_ref()));
    let port = found.ok_or(Errno::EOPNOTSUPP)?;
    if request.kind() == TagType::TlsRx {
        return port.allocate_tag(request);
    }
    let wrapper = TagWrapper::try_new()?;
    let inner = port.allocate_tag(request)?;
    Ok(wrapper.wrap(inner, request.kind(), softc.ifp()))
}

/// The port that the flow's packets are sent on, if that is for the flow to say. A flow that waits for
/// LACP has one: that on which it will go on.
fn port(plan: &Plan, flow: Option<u32>, domain: Option<u8>) -> Option<&Port> {
    match plan.protocol() {
        Protocol::Failover => failover::select(plan),
        Protocol::LoadBalance(flows) => flows.port(plan, flows.hash_of_id(flow?)?, Port::is_active),
        Protocol::Lacp(lacp) => {
            let hash = lacp.flows.hash_of_id(flow?)?;
            lacp.port(plan, hash, domain)
        }
        Protocol::None | Protocol::RoundRobin(_) | Protocol::Broadcast => None,
    }
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
