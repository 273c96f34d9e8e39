//! broadcast: every active port sends each packet (spec B.12).

use crate::driver::{Plan, Port};
use crate::kpi::{Epoch, Errno, Mbuf, Result};

/// Sends `m` on every active port, a copy on all but the last.
///
/// # Errors
/// ENOENT: no port is active. Else the first error of a port's driver, or ENOBUFS if a copy could
/// not be made; the other ports have sent theirs. `failed` is called for each but the last's.
#[inline]
pub fn transmit(plan: &Plan, m: Mbuf, epoch: &Epoch, mut failed: impl FnMut()) -> Result {
    let mut active = plan.ports().iter().map(|port| &**port).filter(|port| port.is_active());
    let mut last: &Port = active.next().ok_or(Errno::ENOENT)?;
    let mut first_error = Ok(());
    for port in active {
        let sent = m.copy().ok_or(Errno::ENOBUFS).and_then(|copy| last.ifp().transmit(copy, epoch));
        if sent.is_err() {
            failed();
            first_error = first_error.and(sent);
        }
        last = port;
    }
    first_error.and(last.ifp().transmit(m, epoch))
}
