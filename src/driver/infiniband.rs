//! InfiniBand: the fabric gives a port its address. So the lagg has the address of the port that sends, and
//! announces it to its peers.

use super::Softc;
use super::state::State;
use crate::kpi::{LaggType, LinkAddr};
use crate::policy::failover;

/// How often the address is polled, in milliseconds. Changes of a port's IFF_UP, and what the fabric does,
/// are reported late or not at all.
const POLL_MS: u64 = 1000;

/// In how many milliseconds the protocol task polls the address; none for an Ethernet lagg, or one that is
/// down.
pub(super) fn until_due(kind: LaggType, state: &State) -> Option<u64> {
    (kind == LaggType::Infiniband && state.running).then_some(POLL_MS)
}

/// Gives an InfiniBand lagg the address of the port that sends, or that of the primary until a port does.
/// Without ports it has no address. Does nothing for an Ethernet lagg. May sleep.
///
/// While no port is active, the address stays if it is still a port's. A change is announced only once, so
/// it must be when peers can receive that.
pub(super) fn follow_address(softc: &Softc) {
    const NONE: LinkAddr = LinkAddr::Infiniband([0; 20]);
    if softc.kind == LaggType::Ethernet {
        return;
    }
    let ifp = softc.ifp();
    {
        // Under the mutex, so that no other thread writes the address at the same time, or later from an
        // older plan.
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
    // D-23: with no lock held
    ifp.lladdr_event();
}
