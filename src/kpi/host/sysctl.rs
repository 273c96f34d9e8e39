//! sysctl(3), for what is more than a variable.

use super::IfnetRef;
use super::vnet::Vnet;
use super::{privilege, witness};
use crate::kpi::driver::{Driver, Module};
use crate::kpi::gate::Inside;
use crate::kpi::{Errno, LONGEST, Ref, Result};

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

/// Reads `net.link.lagg.iface.<lagg>.<name>` of a lagg in the current vnet. Sleeps.
///
/// # Errors
/// ENOENT: there is no such lagg or no such setting.
pub fn sysctl_get(lagg: &str, name: &str) -> Result<String> {
    with_setting(lagg, name, |softc, place| {
        let mut text = Short(String::new());
        Module::setting(softc, place, &mut text)?;
        Ok(text.0)
    })
}

/// Writes it. Sleeps.
///
/// # Errors
/// The same; EPERM: the calling thread may not; those of [`Driver::set_setting`].
pub fn sysctl_set(lagg: &str, name: &str, to: &str) -> Result {
    privilege::check()?;
    with_setting(lagg, name, |softc, place| Module::set_setting(softc, place, to))
}

/// The names of all settings.
pub fn settings() -> impl Iterator<Item = &'static str> {
    // They are ASCII.
    Module::SETTINGS.iter().map(|setting| setting.name.to_str().unwrap_or_default())
}

fn with_setting<R>(
    lagg: &str,
    name: &str,
    f: impl FnOnce(&Ref<Softc>, usize) -> Result<R>,
) -> Result<R> {
    witness::may_sleep("sysctl");
    let _inside = Inside::enter();
    let place = settings().position(|there| there == name).ok_or(Errno::ENOENT)?;
    let ifp: Option<IfnetRef> = Vnet::current().interface(lagg);
    let softc = ifp.and_then(|ifp| ifp.lagg_softc()).ok_or(Errno::ENOENT)?;
    f(&softc, place)
}

type Softc = <Module as Driver>::Softc;

/// As long as the buffer of the kernel's backend.
struct Short(String);

impl std::fmt::Write for Short {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        self.0.push_str(s);
        if self.0.len() < LONGEST { Ok(()) } else { Err(std::fmt::Error) }
    }
}

/// Writing to a user program may sleep.
struct Sleeping<'a>(&'a mut String);

impl std::fmt::Write for Sleeping<'_> {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        witness::may_sleep("SYSCTL_OUT");
        self.0.write_str(s)
    }
}
