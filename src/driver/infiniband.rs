//! InfiniBand: the fabric gives a port its address, so the lagg takes over that of the port that sends,
//! and its peers are told.

use super::Softc;
use crate::kpi::{LaggType, LinkAddr, Ref};
use crate::policy::failover;

/// How often it is looked whether the address is another one, in milliseconds: neither a port's
/// IFF_UP nor what the fabric does is told of in time, or at all.
const POLL_MS: u32 = 1000;

/// The protocol task's part.
pub(super) fn run(softc: &Ref<Softc>) {
    follow_address(softc);
    if softc.kind == LaggType::Infiniband && softc.state().running {
        Softc::wake_protocol_in(softc, POLL_MS);
    }
}

/// Gives an InfiniBand lagg the address of the port that sends, or the primary's before one does. Without
/// ports it has no address. Does nothing for an Ethernet lagg. The caller may sleep.
///
/// While no port is active the address stays if it is still a port's: a change is announced once, which has
/// to be when a peer can hear it.
pub(super) fn follow_address(softc: &Softc) {
    const NONE: LinkAddr = LinkAddr::Infiniband([0; 20]);
    if softc.kind == LaggType::Ethernet {
        return;
    }
    let ifp = softc.ifp();
    {
        // So no other thread writes it at the same time, or uses an older plan later.
        let _state = softc.state();
        let (plan, now) = (softc.plan_ref(), ifp.lladdr());
        let stays = || plan.ports().any(|port| port.ifp().lladdr() == now);
        let followed = match failover::select(&*plan) {
            None if stays() => return,
            None => plan.primary(),
            active => active,
        };
        let (lladdr, broadcast) = followed
            .map_or((NONE, NONE), |port| (port.ifp().lladdr(), port.ifp().broadcast_lladdr()));
        if now == lladdr && ifp.broadcast_lladdr() == broadcast {
            return;
        }
        ifp.store_lladdr(&lladdr);
        ifp.store_broadcast_lladdr(&broadcast);
    }
    // D-23: with nothing held
    ifp.lladdr_event();
}
