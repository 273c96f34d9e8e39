//! Keeping Linux's own network stack away from a port.
//!
//! It sees each frame that the packet socket sees, and would answer for the lagg's addresses a second
//! time.

use std::path::PathBuf;
use std::{fs, io};

/// What is set on a port: no IPv6 at all, as lagg(4) has it; no ARP; and no IPv4 packet whose way back is not
/// this interface, which leaves none, since no route goes over a port.
const SETTINGS: [(&str, &str, &str); 3] =
    [("ipv6", "disable_ipv6", "1"), ("ipv4", "arp_ignore", "8"), ("ipv4", "rp_filter", "1")];

/// The settings of a port as they were; they are restored when this is dropped.
pub struct Quiet(Vec<(PathBuf, String)>);

impl Quiet {
    /// Quiets Linux's stack on an interface.
    ///
    /// # Errors
    /// If a setting cannot be made.
    pub fn new(interface: &str) -> io::Result<Quiet> {
        let mut quiet = Quiet(Vec::new());
        for (family, name, value) in SETTINGS {
            let path = PathBuf::from("/proc/sys/net").join(family).join("conf").join(interface);
            // A kernel without IPv6 has nothing to be kept away.
            if path.exists() {
                let path = path.join(name);
                let old = fs::read_to_string(&path)?;
                fs::write(&path, value)?;
                quiet.0.push((path, old));
            }
        }
        Ok(quiet)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        for (path, old) in &self.0 {
            // The interface may be gone.
            let _ = fs::write(path, old);
        }
    }
}
