//! priv(9): whether the calling thread has root's privileges.

use std::cell::Cell;

use crate::kpi::{Errno, Result};

thread_local! {
    static PRIVILEGED: Cell<bool> = const { Cell::new(true) };
}

/// Sets whether the calling thread has all privileges, as at its start, or none.
pub fn set_privileged(privileged: bool) {
    PRIVILEGED.set(privileged);
}

pub(super) fn check() -> Result {
    if PRIVILEGED.get() { Ok(()) } else { Err(Errno::EPERM) }
}

/// Whether the calling thread may configure laggs (PRIV_NET_LAGG).
///
/// # Errors
/// EPERM.
pub fn priv_check_lagg() -> Result {
    check()
}
