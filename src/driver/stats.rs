//! How a lagg's counters are reported: to ifnet(9), and as text (`net.link.lagg.stats.<if_index>`).

use core::fmt::{self, Write};

use super::drops::{REFUSED_NAMES, unsent};
use super::{Port, Softc, lacp, reason};
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

/// Writes all records: words, with a number or a word at the end. Holds no lock while it writes, because
/// `to` may sleep.
///
/// # Errors
/// Those of `to`.
pub(super) fn write(softc: &Softc, to: &mut dyn Write) -> fmt::Result {
    writeln!(to, "lagg {}", softc.ifp().name())?;
    writeln!(to, "protocol {}", softc.plan_ref().protocol().about().name)?;
    for (place, (protocol, why)) in unsent().enumerate() {
        let count = softc.unsent.fetch(place);
        writeln!(to, "dropped {} {} {count}", protocol.name, why.name())?;
    }
    let ledger = softc.ledger.get();
    for port in ledger.ports() {
        write_port(port, to)?;
    }
    for (name, count) in REFUSED_NAMES.iter().zip(ledger.refused_by_left()) {
        writeln!(to, "left dropped {name} {count}")?;
    }
    Ok(())
}

/// The records of a port.
fn write_port(port: &Port, to: &mut dyn Write) -> fmt::Result {
    let name = port.ifp().name();
    for (reason, count) in REFUSED_NAMES.iter().zip(port.refused.fetch()) {
        writeln!(to, "port {name} dropped {reason} {count}")?;
    }
    if let Some(reason) = reason::of(port.softc(), port) {
        // A record has no spaces in its last word.
        write!(to, "port {name} reason ")?;
        for (place, word) in reason.text().split(' ').enumerate() {
            let space = if place == 0 { "" } else { "_" };
            write!(to, "{space}{word}")?;
        }
        writeln!(to)?;
    }
    lacp::write(port, to)
}
