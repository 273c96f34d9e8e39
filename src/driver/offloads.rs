//! The lagg can do what all of its ports can, and they do what all of them are wanted to (spec B.8).

use super::Softc;
use super::softc::Token;
use crate::kpi::offloads::{Offloads, capability};

/// Each round takes something off that a port refused; drivers that never agree are left at that.
const ROUNDS: usize = 8;

/// What a lagg without ports has.
const ALONE: Offloads = Offloads {
    capabilities: capability::HWSTATS,
    enabled: capability::HWSTATS,
    hwassist: 0,
    tso: [0; 3],
};

/// Has all ports do what each of them is wanted to, and the lagg what all of them do. What a port was
/// wanted to do when it joined is not forgotten: it does so again when one that could not has left.
pub(super) fn update(softc: &Softc, token: &Token<'_>) {
    let ifp = softc.ifp();
    let ports = token.ports();
    let mut enabled = softc.state().wanted();
    let mut common = ALONE;
    for _ in 0..ROUNDS {
        for port in ports.iter().filter(|port| port.ifp().enabled() != enabled) {
            // What it refuses is found below.
            let _ = port.methods().enable(port.ifp(), enabled);
        }
        let each = ports.iter().map(|port| port.ifp().offloads());
        common = each.reduce(Offloads::common).unwrap_or(ALONE);
        if common.enabled & enabled == enabled {
            break;
        }
        enabled &= common.enabled;
    }
    common.capabilities &= !capability::IPSEC_OFFLOAD;
    common.enabled &= !(capability::IPSEC_OFFLOAD | capability::NETMAP);
    let now = ifp.offloads();
    // netmap(4) has the lagg or not, whatever of its ports it has.
    common.enabled |= now.enabled & capability::NETMAP;
    if common != now {
        ifp.store_offloads(&common);
        let Offloads { capabilities, enabled, hwassist, tso: [bytes, segments, size] } = common;
        softc.debug(format_args!(
            "capabilities {capabilities:#x}, enabled {enabled:#x}, hwassist {hwassist:#x}, TSO {bytes} bytes in {segments} segments of {size}"
        ));
    }
}
