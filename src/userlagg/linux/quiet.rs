//! Keeping Linux's own network stack away from a port.
//!
//! The stack sees each frame that the packet socket sees, and would answer for the lagg's addresses as
//! well.

use std::path::PathBuf;
use std::{fs, io};

use nix::net::if_::if_indextoname;

/// The settings of a port: no IPv6, as in lagg(4); no ARP; and no IPv4 packet whose return path is another
/// interface. That leaves none, because no route uses a port.
const SETTINGS: [(&str, &str, &str); 3] =
    [("ipv6", "disable_ipv6", "1"), ("ipv4", "arp_ignore", "8"), ("ipv4", "rp_filter", "1")];

/// The settings that a port had before. Dropping this restores them.
pub struct Quiet {
    index: u32,
    /// The family, name and old value of each.
    old: Vec<(&'static str, &'static str, String)>,
}

impl Quiet {
    /// Quiets Linux's stack on an interface.
    ///
    /// # Errors
    /// If a setting cannot be made.
    pub fn new(index: u32) -> io::Result<Quiet> {
        let mut quiet = Quiet { index, old: Vec::new() };
        for (family, name, value) in SETTINGS {
            let path = quiet.settings(family)?;
            // A kernel without IPv6 lacks the setting.
            if path.exists() {
                let path = path.join(name);
                let old = fs::read_to_string(&path)?;
                fs::write(&path, value)?;
                quiet.old.push((family, name, old));
            }
        }
        Ok(quiet)
    }

    /// The directory of the interface's settings, by its current name.
    fn settings(&self, family: &str) -> io::Result<PathBuf> {
        let interface = if_indextoname(self.index)?.into_string().map_err(io::Error::other)?;
        Ok(PathBuf::from("/proc/sys/net").join(family).join("conf").join(interface))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        for (family, name, old) in &self.old {
            // The interface may be gone.
            let _ = self.settings(family).and_then(|path| fs::write(path.join(name), old));
        }
    }
}
