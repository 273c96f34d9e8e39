//! How interfaces are attached, detached, moved and renamed (if_attach, if_detach, if_vmove, `net/if.c`).

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::driver::{Kind, Nic};
use super::event::{self, Event};
use super::locks::DETACH;
use super::methods::{IoctlMethod, OutputMethod};
use super::vnet::Vnet;
use super::witness::{self, lock};
use super::{clone, multicast, peers, vlan};
use crate::kpi::driver::{Driver, Module};
use crate::kpi::gate::Inside;
use crate::kpi::{Errno, IfType, Ifnet, IfnetRef, LinkAddr, Name, Result, epoch, iff};

/// An interface. Dropping this detaches it, as its driver would.
pub struct Attached(IfnetRef);

impl Attached {
    /// Detaches the interface (if_detach). Sleeps.
    pub fn detach(self) {}

    /// A reference to the interface.
    pub fn ifp(&self) -> IfnetRef {
        self.0.clone()
    }
}

impl Deref for Attached {
    type Target = Ifnet;

    fn deref(&self) -> &Ifnet {
        &self.0
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // A test that fails must not panic again here.
        if !std::thread::panicking() {
            {
                let _detach = DETACH.lock();
                detach(&self.0, false);
            }
            vlan::destroy(&self.0);
        }
    }
}

/// Attaches a card to the current vnet (if_attach). It is down, and its link state is not known.
///
/// # Panics
/// If the vnet has an interface of that name.
pub fn attach(
    name: &str,
    if_type: IfType,
    lladdr: impl Into<LinkAddr>,
    mtu: u32,
    baudrate: u64,
    nic: Arc<dyn Nic>,
) -> Attached {
    let name = Name::new(name).expect("a name has 1 to 15 bytes");
    let ifp = IfnetRef::new(name, Kind::Nic(nic), if_type, lladdr.into());
    ifp.store_mtu(mtu);
    ifp.set_baudrate(baudrate);
    link(ifp).expect("the name is not taken")
}

/// Puts an interface into the list of its vnet.
pub(super) fn link(ifp: IfnetRef) -> Result<Attached> {
    let mut list = lock(&ifp.vnet().state().interfaces);
    let name = ifp.name();
    if list.iter().any(|other| other.name() == name) {
        // Before the interface is freed, which takes other locks.
        drop(list);
        return Err(Errno::EEXIST);
    }
    list.push(ifp.clone());
    drop(list);
    arrive(&ifp);
    ifp.has_bpf.store(true, Ordering::Relaxed);
    Ok(Attached(ifp))
}

impl Attached {
    /// The interface, which the caller need not detach.
    pub(super) fn keep(self) -> IfnetRef {
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: the reference is moved out of `this`, which is not used again, and not dropped.
        unsafe { std::ptr::read(&raw const this.0) }
    }
}

/// if_detach, and its part in if_vmove. The caller has `ifnet_detach_sxlock`.
pub(super) fn detach(ifp: &Ifnet, moves: bool) {
    assert!(DETACH.is_held());
    ifp.in_vnet(|| {
        {
            let mut list = lock(&ifp.vnet().state().interfaces);
            let at = list.iter().position(|other| other.same(ifp));
            let at = at.unwrap_or_else(|| panic!("{ifp:?} is not on the active list"));
            let in_list = list.remove(at);
            drop(list);
            drop(in_list);
        }
        if !moves {
            ifp.change_flags(iff::DYING, 0);
        }
        epoch::wait();
        epoch::drain();
        ifp.drain_link_task();
        ifp.down();
        if ifp.vnet().is_shutting_down() {
            // The rest is done for all interfaces at once.
            depart(ifp);
            return;
        }
        peers::purge(ifp);
        multicast::in6_detach(ifp);
        multicast::purge(ifp);
        depart(ifp);
        if !moves {
            ifp.ioctl_method.store(IoctlMethod::Dead as u8, Ordering::Release);
            ifp.output_method.store(OutputMethod::Dead as u8, Ordering::Release);
            ifp.dead.store(true, Ordering::Release);
        }
        epoch::wait();
    });
}

/// The event `ifnet_departure_event`.
fn depart(ifp: &Ifnet) {
    event::tell(ifp, &Event::Departure);
    if ifp.flags() & iff::RENAMING == 0 {
        vlan::departure(ifp);
    }
    // A rename at the same time as a detach counts as the detach. vlan(4) does not check that.
    if ifp.flags() & (iff::RENAMING | iff::DYING) == iff::RENAMING {
        return;
    }
    let _inside = Inside::enter();
    if let Some(port) = ifp.lagg_port() {
        Module::departure(&port);
        let gone = ifp.lagg_port().is_none_or(|now| !now.is(&port));
        assert!(gone, "{ifp:?} has departed, and is still a port");
    }
}

/// Gives the interface another name (SIOCSIFNAME). Sleeps.
///
/// # Errors
/// EEXIST for a name that is taken, EINVAL for an invalid one.
pub fn rename(ifp: &Ifnet, name: &str) -> Result {
    witness::may_sleep("if_rename");
    let name = Name::new(name).ok_or(Errno::EINVAL)?;
    if ifp.name() == name {
        return Ok(());
    }
    if ifp.vnet().find(&name).is_some() {
        return Err(Errno::EEXIST);
    }
    ifp.in_vnet(|| {
        ifp.change_flags(iff::RENAMING, 0);
        depart(ifp);
        ifp.set_name(name);
        arrive(ifp);
        ifp.change_flags(0, iff::RENAMING);
    });
    Ok(())
}

/// Moves the interface to another vnet (SIOCSIFVNET). Sleeps.
///
/// # Errors
/// EEXIST if that vnet has an interface of its name, or has this one.
pub fn vmove(ifp: &Ifnet, to: &Vnet) -> Result {
    let _detach = DETACH.lock();
    if to.find(&ifp.name()).is_some() {
        return Err(Errno::EEXIST);
    }
    move_to(ifp, *to);
    Ok(())
}

fn move_to(ifp: &Ifnet, to: Vnet) {
    detach(ifp, true);
    ifp.set_vnet(to);
    to.enter(|| {
        lock(&to.state().interfaces).push(ifp.to_ref());
        arrive(ifp);
    });
}

/// The event `ifnet_arrival_event`.
fn arrive(ifp: &Ifnet) {
    event::tell(ifp, &Event::Arrival);
    if ifp.flags() & iff::RENAMING != 0 {
        if let Some(port) = ifp.lagg_port() {
            let _inside = Inside::enter();
            Module::port_renamed(&port);
        }
        return;
    }
    if let Some(softc) = ifp.lagg_softc() {
        let _inside = Inside::enter();
        Module::arrival(&softc);
    }
}

impl Vnet {
    /// Ends the vnet, as the end of its jail does (vnet_destroy). Interfaces of other vnets return to
    /// these, then the vnet's laggs are destroyed, wherever they are. Its cards stay. Sleeps.
    pub fn destroy(&self) {
        self.shut_down();
        // vnet_lagg_shutdown of kmod/module.c
        epoch::wait();
        let _detach = DETACH.lock();
        self.enter(|| {
            for ifp in self.interfaces() {
                if ifp.home != *self {
                    move_to(&ifp, ifp.home);
                }
            }
            self.free_protocols();
            clone::destroy_all(*self);
        });
    }
}
