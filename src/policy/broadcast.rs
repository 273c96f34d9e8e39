//! broadcast: every active port sends each packet.

use crate::driver::{Plan, Port, Unsent};
use crate::kpi::{Epoch, Errno, Mbuf, Result};

/// Sends `m` on every active port, a copy on all but the last.
///
/// # Errors
/// ENOENT: no port is active. Else the first error of a port's driver, or ENOBUFS if a copy could
/// not be made; the other ports have sent theirs. `failed` is called for each but the last's, with
/// the reason unless it was the driver's.
#[inline]
pub fn transmit(
    plan: &Plan,
    m: Mbuf,
    epoch: &Epoch,
    mut failed: impl FnMut(Option<Unsent>),
) -> Result {
    let mut active = plan.ports().map(|port| &**port).filter(|port| port.is_active());
    let Some(mut last): Option<&Port> = active.next() else {
        failed(Some(Unsent::NoActivePort));
        return Err(Errno::ENOENT);
    };
    let mut first_error = Ok(());
    active.for_each(|port| {
        if let Some(copy) = m.copy() {
            let sent = last.ifp().transmit(copy, epoch);
            if sent.is_err() {
                failed(None);
                first_error = first_error.and(sent);
            }
        } else {
            failed(Some(Unsent::NoCopy));
            first_error = first_error.and(Err(Errno::ENOBUFS));
        }
        last = port;
    });
    first_error.and(last.ifp().transmit(m, epoch))
}
