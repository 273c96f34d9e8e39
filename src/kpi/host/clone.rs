//! The cloner (`net/if_clone.c`), which creates and destroys laggs.

use super::driver::Kind;
use super::locks::DETACH;
use super::vnet::Vnet;
use super::witness::{self, lock};
use super::{attach, module, privilege};
use crate::kpi::driver::{Driver, Module};
use crate::kpi::gate::{self, Inside};
use crate::kpi::offloads::capability;
use crate::kpi::{Errno, IfType, Ifnet, IfnetRef, LaggType, LinkAddr, Name, Offloads, Result};

const MAX_UNIT: u32 = 32767;

/// Creates an interface in the current vnet, for `lagg` with a free number, else with the given one
/// (SIOCIFCREATE2). `params` is its `struct iflaggparam`; without it the type is Ethernet. Returns the
/// name. Sleeps.
///
/// # Errors
/// EPERM; EINVAL for a name that no cloner knows or bad params, EFAULT for short ones; EEXIST; EBUSY in a
/// vnet that ends; ENOSPC for a number over 32767; ENXIO once the module is being unloaded; what the driver
/// returns.
pub fn clone_create(name: &str, params: Option<&[u8]>) -> Result<String> {
    witness::may_sleep("clone_create");
    privilege::check()?;
    let digits = name.strip_prefix("lagg").ok_or(Errno::EINVAL)?;
    if !module::is_loaded() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Errno::EINVAL);
    }
    Name::new(name).ok_or(Errno::EINVAL)?;
    let vnet = Vnet::current();
    if vnet.is_shutting_down() {
        return Err(Errno::EBUSY);
    }
    if vnet.interface(name).is_some() {
        return Err(Errno::EEXIST);
    }
    let unit = take_unit(&vnet, digits)?;
    let name = format!("lagg{unit}");
    match create(&name, params) {
        Ok(()) => Ok(name),
        Err(error) => {
            lock(&vnet.state().units).remove(&unit);
            Err(error)
        }
    }
}

fn take_unit(vnet: &Vnet, digits: &str) -> Result<u32> {
    if digits.len() > 1 && digits.starts_with('0') {
        return Err(Errno::EINVAL);
    }
    let mut units = lock(&vnet.state().units);
    if digits.is_empty() {
        let free =
            |unit: &u32| !units.contains(unit) && vnet.interface(&format!("lagg{unit}")).is_none();
        let unit = (0..=MAX_UNIT).find(free).ok_or(Errno::ENOSPC)?;
        units.insert(unit);
        return Ok(unit);
    }
    // The kernel's is an int.
    let unit = digits.parse::<i32>().map_err(|_| Errno::EINVAL)?.cast_unsigned();
    if unit > MAX_UNIT {
        return Err(Errno::ENOSPC);
    }
    if units.insert(unit) { Ok(unit) } else { Err(Errno::EEXIST) }
}

/// The driver's part (`ifc_create_f`).
fn create(name: &str, params: Option<&[u8]>) -> Result {
    let inside = Inside::try_enter()?;
    let kind = match params {
        None => LaggType::Ethernet,
        Some(params) if params.len() < 16 => return Err(Errno::EFAULT),
        Some(params) => match params[0] {
            0 => LaggType::Ethernet,
            1 => LaggType::Infiniband,
            _ => return Err(Errno::EINVAL),
        },
    };
    let name = Name::new(name).expect("a unit has 5 digits at most");
    let (if_type, none) = match kind {
        LaggType::Ethernet => (IfType::Ethernet, LinkAddr::Ethernet([0; 6])),
        LaggType::Infiniband => (IfType::Infiniband, LinkAddr::Infiniband([0; 20])),
    };
    let ifp = IfnetRef::new(name, Kind::Lagg, if_type, none);
    let softc = Module::create(&ifp, kind)?;
    ifp.softc.put(&softc);
    let can = capability::HWSTATS;
    ifp.store_offloads(&Offloads { capabilities: can, enabled: can, ..Offloads::default() });
    // As ether_ifattach does for an interface without a speed.
    ifp.set_baudrate(10_000_000);
    // No other thread creates one with this unit.
    attach::link(ifp).expect("the name is not taken").keep();
    Module::attached(&softc);
    inside.stay();
    Ok(())
}

/// Destroys the interface `name` of the current vnet (SIOCIFDESTROY). Sleeps.
///
/// # Errors
/// EPERM; ENXIO without such an interface; EINVAL for one that no cloner has created.
pub fn clone_destroy(name: &str) -> Result {
    witness::may_sleep("clone_destroy");
    privilege::check()?;
    let ifp = Vnet::current().interface(name).ok_or(Errno::ENXIO)?;
    if !matches!(ifp.kind, Kind::Lagg) {
        return Err(Errno::EINVAL);
    }
    let _detach = DETACH.lock();
    destroy(&ifp)
}

/// Destroys all that the cloner of `vnet` has created, wherever they are.
pub(super) fn destroy_all(vnet: Vnet) {
    for ifp in Vnet::all().iter().flat_map(Vnet::interfaces) {
        if ifp.home == vnet && matches!(ifp.kind, Kind::Lagg) {
            // This cannot fail: no other thread destroys it, because the caller holds the lock.
            let _ = destroy(&ifp);
        }
    }
}

/// The driver's part (`ifc_destroy_f`).
fn destroy(ifp: &Ifnet) -> Result {
    let _inside = Inside::enter();
    // Another thread may have destroyed it.
    let softc = ifp.lagg_softc().ok_or(Errno::ENXIO)?;
    ifp.in_vnet(|| {
        Module::destroy(&softc);
        attach::detach(ifp, false);
    });
    ifp.softc.take(&softc);
    drop(softc);
    let unit = ifp.name().to_string();
    if let Some(unit) = unit.strip_prefix("lagg").and_then(|unit| unit.parse().ok()) {
        lock(&ifp.home.state().units).remove(&unit);
    }
    gate::leave();
    Ok(())
}
