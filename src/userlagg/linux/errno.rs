//! Linux's error numbers, and FreeBSD's, which the driver uses.

use std::io;

use lagg_rs::kpi::Errno;

/// The error with which Linux refused a request, as FreeBSD numbers it.
pub fn from_linux(error: &io::Error) -> Errno {
    let number = match error.raw_os_error() {
        Some(libc::ENETDOWN) => return Errno::ENETDOWN,
        Some(libc::ENOBUFS | libc::EAGAIN) => return Errno::ENOBUFS,
        Some(libc::EOPNOTSUPP) => return Errno::EOPNOTSUPP,
        Some(libc::EPROTONOSUPPORT) => return Errno::EPROTONOSUPPORT,
        Some(number @ 1..=34) => number,
        _ => return Errno::EIO,
    };
    // These have the same numbers in both systems.
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
