//! Linux's error numbers and FreeBSD's, which the driver speaks.

use std::io;

use lagg_rs::kpi::Errno;

/// What Linux refused a request with, as FreeBSD would.
pub fn from_linux(error: &io::Error) -> Errno {
    let number = match error.raw_os_error() {
        Some(libc::ENETDOWN) => return Errno::ENETDOWN,
        Some(libc::ENOBUFS | libc::EAGAIN) => return Errno::ENOBUFS,
        Some(libc::EOPNOTSUPP) => return Errno::EOPNOTSUPP,
        Some(libc::EPROTONOSUPPORT) => return Errno::EPROTONOSUPPORT,
        Some(number @ 1..=34) => number,
        _ => return Errno::EIO,
    };
    // These have had the same numbers since before there was either system.
    Errno::check(number).err().unwrap_or(Errno::EIO)
}

/// As strerror(3) has it.
pub fn text(errno: Errno) -> String {
    errno.text().map_or_else(|| format!("Unknown error: {}", errno.number()), str::to_owned)
}

/// What Linux says, without the number that Rust adds.
pub fn describe(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}
