//! sysctl(3), for what is more than a variable.

use super::vnet::Vnet;
use super::witness;
use crate::kpi::driver::{Driver, Module};
use crate::kpi::gate::Inside;
use crate::kpi::{Errno, Result};

/// The sysctl `net.link.lagg.stats.<index>`, read in the current vnet. Sleeps.
///
/// # Errors
/// ENOENT: no lagg of this vnet has that index.
pub fn sysctl_stats(index: u32) -> Result<String> {
    witness::may_sleep("sysctl");
    let _inside = Inside::enter();
    let ifp = Vnet::current().interfaces().into_iter().find(|ifp| ifp.index() == index);
    let softc = ifp.and_then(|ifp| ifp.lagg_softc()).ok_or(Errno::ENOENT)?;
    let mut text = String::new();
    Module::stats(&softc, &mut Sleeping(&mut text)).map_err(|_| Errno::ENOMEM)?;
    Ok(text)
}

/// Writing to a user program may sleep.
struct Sleeping<'a>(&'a mut String);

impl std::fmt::Write for Sleeping<'_> {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        witness::may_sleep("SYSCTL_OUT");
        self.0.write_str(s)
    }
}
