//! TAP interfaces of Linux. Only the request that makes one is here, because it is not safe by itself.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use super::super::IFNAMSIZ;

/// The device that makes them.
pub const NODE: &str = "/dev/net/tun";

/// Creates a TAP interface, down, and removed when the file is closed. Frames are read from it and written
/// to it, one at a time; neither blocks.
///
/// # Errors
/// InvalidInput if the name does not fit into [`IFNAMSIZ`]; EBUSY if there is an interface of that name;
/// else what Linux returned, for [`NODE`] or for the request.
pub fn create(name: &str) -> io::Result<File> {
    if name.len() >= IFNAMSIZ {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_TUN_EXCL;
    let mut request = libc::ifreq {
        ifr_name: [0; IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: flags as i16 },
    };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    let file =
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(NODE)?;
    // SAFETY: TUNSETIFF reads an `ifreq`, with a name that ends within it and flags, and writes it back.
    // `request` is one, initialised, and lives until the call returns. The file is open.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if done == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}
