//! sysctl(3), for what is more than a variable.

use super::IfnetRef;
use super::vnet::Vnet;
use super::witness::lock;
use super::{privilege, witness};
use crate::kpi::driver::{Driver, Module};
use crate::kpi::gate::Inside;
use crate::kpi::{Boxed, Errno, Ifnet, LONGEST, LONGEST_STATE, Leaf, Name, Ref, Result};

/// Reads `net.link.lagg.iface.<lagg>.<name>` of a lagg in the current vnet: a setting, a leaf or, as
/// `port.<port>.<name>`, that of a port. Sleeps.
///
/// # Errors
/// ENOENT: there is no such lagg, setting or leaf, or the leaf has nothing to say now.
pub fn sysctl_get(lagg: &str, name: &str) -> Result<String> {
    witness::may_sleep("sysctl");
    let _inside = Inside::try_enter()?;
    let softc = softc(lagg)?;
    if let Some(place) = settings().position(|there| there == name) {
        let mut text = Short(String::new(), LONGEST);
        Module::setting(&softc, place, &mut text)?;
        return Ok(text.0);
    }
    let mut text = Short(String::new(), LONGEST_STATE);
    match name.strip_prefix("port.").and_then(|name| name.split_once('.')) {
        None => Module::leaf(&softc, place_in(Module::LEAVES, name)?, &mut text)?,
        Some((port, name)) => {
            let mut shown = shown(lagg).into_iter();
            let is_it = |shown: &Name| shown.node().to_string() == port;
            let port = shown.find(is_it).ok_or(Errno::ENOENT)?;
            let place = place_in(Module::PORT_LEAVES, name)?;
            Module::port_leaf(&softc, &port, place, &mut text)?;
        }
    }
    Ok(text.0)
}

/// Writes a setting. Sleeps.
///
/// # Errors
/// ENOENT: there is no such lagg or no such setting. EPERM: the calling thread may not. Those of
/// [`Driver::set_setting`].
pub fn sysctl_set(lagg: &str, name: &str, to: &str) -> Result {
    privilege::check()?;
    witness::may_sleep("sysctl");
    let _inside = Inside::enter();
    let place = settings().position(|there| there == name).ok_or(Errno::ENOENT)?;
    Module::set_setting(&softc(lagg)?, place, to)
}

/// The names of all settings.
pub fn settings() -> impl Iterator<Item = &'static str> {
    // They are ASCII.
    Module::SETTINGS.iter().map(|setting| setting.name.to_str().unwrap_or_default())
}

/// The names of all leaves of a lagg, with what they show.
pub fn leaves() -> impl Iterator<Item = (&'static str, &'static Leaf)> {
    named(Module::LEAVES)
}

/// Those of a port.
pub fn port_leaves() -> impl Iterator<Item = (&'static str, &'static Leaf)> {
    named(Module::PORT_LEAVES)
}

/// What `sysctl net.link.lagg.iface.<lagg>` shows of a lagg in the current vnet: the name and the value of
/// each setting and leaf that has one. Sleeps.
pub fn sysctl_all(lagg: &str) -> Vec<(String, String)> {
    let own = settings().chain(leaves().map(|(name, _)| name)).map(str::to_owned);
    let of_ports = shown(lagg).into_iter().flat_map(|port| {
        port_leaves().map(move |(name, _)| format!("port.{}.{name}", port.node()))
    });
    let values = own.chain(of_ports).map(|name| (sysctl_get(lagg, &name), name));
    values.filter_map(|(value, name)| Some((name, value.ok()?))).collect()
}

type Softc = <Module as Driver>::Softc;

fn softc(lagg: &str) -> Result<Ref<Softc>> {
    let ifp: Option<IfnetRef> = Vnet::current().interface(lagg);
    ifp.and_then(|ifp| ifp.lagg_softc()).ok_or(Errno::ENOENT)
}

fn named(leaves: &'static [Leaf]) -> impl Iterator<Item = (&'static str, &'static Leaf)> {
    leaves.iter().map(|leaf| (leaf.name.to_str().unwrap_or_default(), leaf))
}

fn place_in(leaves: &'static [Leaf], name: &str) -> Result<usize> {
    named(leaves).position(|(there, _)| there == name).ok_or(Errno::ENOENT)
}

impl Ifnet {
    /// Makes the leaves of a port of `lagg`, which show nothing before it is one, and are there a moment later.
    /// May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn show_leaves(&self, lagg: &Ifnet) -> Result {
        let entry = Boxed::try_new(self.to_ref())?;
        let mut shown = lock(&lagg.shown);
        assert!(!shown.iter().any(|port| port.same(self)), "{self:?} has leaves already");
        shown.push(entry);
        Ok(())
    }

    /// Removes the leaves of what was to be a port, if it has any. Does not wait.
    pub fn hide_leaves(&self, lagg: &Ifnet) {
        let hidden = lock(&lagg.shown).extract_if(.., |port| port.same(self)).next();
        drop(hidden);
    }
}

/// The names of the ports of a lagg that are shown.
fn shown(lagg: &str) -> Vec<Name> {
    let lagg = Vnet::current().interface(lagg);
    lagg.map(|lagg| lock(&lagg.shown).iter().map(|port| port.name()).collect()).unwrap_or_default()
}

/// As long as the buffer of the kernel's backend.
struct Short(String, usize);

impl std::fmt::Write for Short {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        self.0.push_str(s);
        if self.0.len() < self.1 { Ok(()) } else { Err(std::fmt::Error) }
    }
}
