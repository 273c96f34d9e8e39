//! How a lagg's counters are reported to ifnet(9).

use super::Softc;
use crate::kpi::{Counter, Epoch};

/// A counter of the lagg (`if_get_counter`).
pub(super) fn counter(softc: &Softc, counter: Counter, epoch: &Epoch) -> u64 {
    let ledger = softc.ledger.load(epoch);
    let ports = ledger.ports().iter().map(|port| port.ifp().counter(counter));
    let balance = ledger.balance(counter);
    let own = match counter {
        // The port has counted these. The stack counts them again for a lagg whose `if_input` is called
        // (F-31).
        Counter::Ibytes | Counter::Imcasts => 0,
        _ => softc.ifp().own_counter(counter),
    };
    let own = own.wrapping_add(balance);
    softc.high_water.at_least(counter, ports.fold(own, u64::wrapping_add))
}
