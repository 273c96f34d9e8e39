//! The rest: user memory, privileges, sysctls, messages, the clock.

use core::ffi::CStr;
use core::fmt::{self, Write};

use super::bindings as c;
use super::ifnet::Ifnet;
use crate::kpi::{Defaults, Errno, Result, Value};

/// Copies `bytes` to the address `to` of the calling process. Sleeps.
///
/// # Errors
/// EFAULT.
pub fn copyout(bytes: &[u8], to: u64) -> Result {
    let to = core::ptr::with_exposed_provenance_mut(to as usize);
    // SAFETY: the source is borrowed; the kernel checks the destination.
    Errno::check(unsafe { c::copyout(bytes.as_ptr().cast(), to, bytes.len()) })
}

/// Whether the calling thread may configure laggs (PRIV_NET_LAGG).
///
/// # Errors
/// EPERM.
pub fn priv_check_lagg() -> Result {
    // SAFETY: it reads the credentials of the thread that asks, in any context.
    Errno::check(unsafe { c::lagg_rs_priv_check() })
}

/// The sysctl `net.link.lagg.failover_rx_all` of the current vnet.
#[inline(always)]
pub fn failover_rx_all() -> bool {
    // SAFETY: the thread is in a vnet, as it is for all packets and requests; the sysctl is a word of that.
    unsafe { c::lagg_rs_failover_rx_all() != 0 }
}

/// The options of new laggs in the current vnet.
pub fn defaults() -> Defaults {
    // SAFETY: the thread is in a vnet, as it is where a lagg is made; the sysctls are words of that.
    unsafe {
        Defaults {
            use_flowid: c::lagg_rs_default_use_flowid() != 0,
            use_numa: c::lagg_rs_default_use_numa() != 0,
            flowid_shift: c::lagg_rs_default_flowid_shift(),
            lacp_strict: c::lagg_rs_default_strict_mode() != 0,
            min_links: c::lagg_rs_default_min_links(),
            up_delay: c::lagg_rs_default_up_delay(),
            down_delay: c::lagg_rs_default_down_delay(),
            notify_peers: c::lagg_rs_default_notify_peers(),
        }
    }
}

/// The sysctl `net.link.lagg.lacp.debug` of the current vnet.
pub fn lacp_debug() -> i32 {
    // SAFETY: the thread is in a vnet, as tasks and requests of laggs are; the sysctl is a word of that.
    unsafe { c::lagg_rs_debug() }
}

/// Milliseconds since the system was started.
pub fn uptime_ms() -> u64 {
    // SAFETY: it reads the clock, in any context.
    unsafe { c::lagg_rs_uptime_ms() }
}

/// Logs a line that begins with the interface's name.
pub fn log(ifp: &Ifnet, text: fmt::Arguments<'_>) {
    // A name has 15 bytes at most.
    let (mut name, mut line) = (Line::<33>::new(), Line::<160>::new());
    // What does not fit is left out. D-38: not by if_log, which takes the name for a format
    let _ = (write!(name, "{}", ifp.name()), line.write_fmt(text));
    // SAFETY: both are strings that end in a NUL, which are copied.
    unsafe { c::lagg_rs_log(name.as_ptr(), line.as_ptr()) };
}

/// Tells devctl(4) of an event of the interface, if it is in the default vnet: its type, and its variables.
/// The thread is in the interface's vnet. Not under a mutex.
pub fn notify(ifp: &Ifnet, kind: &'static CStr, data: fmt::Arguments<'_>) {
    // A name has 15 bytes at most.
    let (mut lagg, mut line) = (Line::<33>::new(), Line::<160>::new());
    // What does not fit is left out.
    let _ = (write!(lagg, "{}", Value(&ifp.name())), line.write_fmt(data));
    // SAFETY: all are strings that end in a NUL, which are copied.
    unsafe { c::lagg_rs_notify(lagg.as_ptr(), kind.as_ptr(), line.as_ptr()) };
}

/// Random bytes.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // SAFETY: the place is ours, and as long as said.
    unsafe { c::arc4random_buf(bytes.as_mut_ptr().cast(), bytes.len()) };
    bytes
}

/// A string for C, truncated to what fits.
///
/// # Invariants
/// A NUL is at `len`, and `len < N`.
pub(super) struct Line<const N: usize> {
    text: [u8; N],
    len: usize,
}

impl<const N: usize> Line<N> {
    pub(super) const fn new() -> Self {
        // INVARIANT: all NULs.
        Line { text: [0; N], len: 0 }
    }

    /// Appends a byte that is not NUL, if there is room.
    pub(super) fn push(&mut self, byte: u8) {
        // INVARIANT: the last byte stays the NUL that it was.
        if self.len + 1 < N
            && let Some(place) = self.text.get_mut(self.len)
        {
            *place = byte;
            self.len += 1;
        }
    }

    /// The string, which ends in a NUL.
    pub(super) fn as_ptr(&self) -> *const core::ffi::c_char {
        self.text.as_ptr().cast()
    }
}

impl<const N: usize> Write for Line<N> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        s.bytes().for_each(|byte| self.push(byte));
        Ok(())
    }
}
