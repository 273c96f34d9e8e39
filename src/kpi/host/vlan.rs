//! vlan(4), whose configuration is under `vlan_sx`: a lagg may have VLANs, and may have them as
//! ports.

mod follow;
mod packets;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::attach::{self, Attached};
use super::driver::{Kind, requested_mtu};
use super::event::{self, Event};
use super::locks::VLAN;
use super::methods::OutputMethod;
use super::sync::Mutex;
use super::tasks::{THREAD, Work};
use super::witness::lock;
use super::{methods, multicast, offloads, vnet};
use crate::kpi::driver::{Driver, Module};
use crate::kpi::gate::Inside;
use crate::kpi::ioctl::{
    InterfaceRequest, SIOCADDMULTI, SIOCDELMULTI, SIOCGIFMEDIA, SIOCSETVLAN, SIOCSIFADDR,
    SIOCSIFFLAGS, SIOCSIFMEDIA, SIOCSIFMTU,
};
use crate::kpi::{
    Epoch, Errno, IfType, Ifnet, IfnetRef, Ioctl, LinkAddr, LinkState, MacAddr, Name, Result,
    epoch, iff,
};

pub use follow::vlan_refreshes;
pub(super) use follow::{parent_link_state, parent_lladdr, refresh};
pub use packets::filter_vlans;
pub(super) use packets::{input, lets_in};

/// A VLAN of an interface.
pub(super) struct Vlan {
    tag: AtomicU16,
    parent: Mutex<Option<IfnetRef>>,
    /// IFF_PROMISC and IFF_ALLMULTI that the parent has because of this VLAN.
    flags: Mutex<u32>,
    /// Groups that the parent is in because of this VLAN.
    groups: Mutex<Vec<LinkAddr>>,
    lladdr_work: Arc<Work>,
}

/// All VLANs that have a parent: parent and VLAN.
static VLANS: Mutex<Vec<(IfnetRef, IfnetRef)>> = Mutex::new(Vec::new());

fn of_parent(parent: &Ifnet) -> Vec<IfnetRef> {
    if !parent.has_vlans.load(Ordering::Relaxed) {
        return Vec::new();
    }
    lock(&VLANS).iter().filter(|(p, _)| p.same(parent)).map(|(_, vlan)| vlan.clone()).collect()
}

/// Makes the VLAN `tag` of `parent`, in the current vnet. Sleeps.
///
/// # Errors
/// EPROTONOSUPPORT for a parent that can have none, EINVAL for a bad tag, EEXIST for one that the
/// parent has or a name that is taken.
pub fn vlan_create(parent: &Ifnet, tag: u16, name: &str) -> Result<Attached> {
    check(parent, tag)?;
    let _vlan_sx = VLAN.lock();
    is_free(parent, tag)?;
    let attached = link(name, parent.lladdr())?;
    vlan_config(&attached, parent, tag)?;
    Ok(attached)
}

/// Makes a VLAN that has no parent yet, in the current vnet. Sleeps.
///
/// # Errors
/// EEXIST for a name that is taken.
pub fn vlan_create_alone(name: &str, lladdr: MacAddr) -> Result<Attached> {
    link(name, lladdr.into())
}

fn link(name: &str, lladdr: LinkAddr) -> Result<Attached> {
    let vlan = Vlan {
        tag: AtomicU16::new(0),
        parent: Mutex::new(None),
        flags: Mutex::new(0),
        groups: Mutex::default(),
        lladdr_work: Arc::default(),
    };
    let name = Name::new(name).ok_or(Errno::EINVAL)?;
    attach::link(IfnetRef::new(name, Kind::Vlan(vlan), IfType::Vlan, lladdr))
}

fn check(parent: &Ifnet, tag: u16) -> Result {
    let kinds = [IfType::Ethernet, IfType::Vlan, IfType::Bridge];
    let needed = iff::BROADCAST | iff::MULTICAST;
    if !kinds.contains(&parent.if_type()) || parent.flags() & needed != needed {
        return Err(Errno::EPROTONOSUPPORT);
    }
    if tag == 0 || tag >= 0xfff {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

fn is_free(parent: &Ifnet, tag: u16) -> Result {
    let taken = of_parent(parent).iter().any(|other| other.tag() == Some(tag));
    if taken { Err(Errno::EEXIST) } else { Ok(()) }
}

/// Gives a VLAN a parent, as netlink(4) does: its driver's ioctl is not asked. Sleeps.
///
/// # Errors
/// As [`vlan_create`]; EBUSY if it has another.
pub fn vlan_config(ifp: &Ifnet, parent: &Ifnet, tag: u16) -> Result {
    check(parent, tag)?;
    let Kind::Vlan(vlan) = &ifp.kind else { return Err(Errno::EOPNOTSUPP) };
    if vlan.parent().is_some_and(|other| !other.same(parent)) {
        return Err(Errno::EBUSY);
    }
    let _vlan_sx = VLAN.lock();
    is_free(parent, tag)?;
    vlan.tag.store(tag, Ordering::Relaxed);
    if vlan.parent().is_none() {
        ifp.store_mtu(parent.mtu());
        ifp.store_offloads(&parent.offloads());
        ifp.set_baudrate(parent.baudrate());
        ifp.change_link_state(parent.link_state());
        ifp.set_running(true);
        // vlan_output, whosever it was.
        ifp.output_method.store(OutputMethod::Own as u8, Ordering::Release);
        *lock(&vlan.parent) = Some(parent.to_ref());
        lock(&VLANS).push((parent.to_ref(), ifp.to_ref()));
        parent.has_vlans.store(true, Ordering::Relaxed);
    }
    parent.vlan_events(tag, 1, true);
    Ok(())
}

fn by_index(index: u32) -> Option<IfnetRef> {
    let interfaces = vnet::Vnet::current().interfaces();
    interfaces.into_iter().find(|ifp| ifp.index() == index)
}

/// Takes its parent from a VLAN, as netlink(4) could and SIOCSETVLAN does. Sleeps.
pub fn vlan_unconfig(ifp: &Ifnet) {
    unconfigure(ifp, false);
}

impl Ifnet {
    /// Reports that VLANs were configured on it or removed (`vlan_config`, `vlan_unconfig`), to drivers
    /// with a hardware filter. The bits of `ids` stand for `first` and the ids that follow. May sleep.
    pub fn vlan_events(&self, first: u16, ids: u64, configured: bool) {
        (0..64).filter(|n| ids & 1 << n != 0).for_each(|n| self.vlan_event(first + n, configured));
    }

    /// Those of `ids`, in the same form, for which it has a VLAN now.
    pub fn vlans(&self, first: u16, ids: u64) -> u64 {
        let own = of_parent(self).into_iter().filter_map(|vlan| vlan.tag()?.checked_sub(first));
        ids & own.filter(|n| *n < 64).fold(0, |own, n| own | 1 << n)
    }

    fn vlan_event(&self, id: u16, configured: bool) {
        event::tell(self, &Event::Vlan(id, configured));
        if configured {
            lock(&self.vlan_filter).insert(id);
        } else {
            lock(&self.vlan_filter).remove(&id);
        }
        if offloads::couplings(self).at_vlans {
            offloads::restart(self);
        }
        if configured && let Some(vlan) = epoch::section(|epoch| self.vlan(id, epoch)) {
            let _inside = Inside::enter();
            Module::vlan_moved(&vlan, self, id);
        }
        if let Some(softc) = self.lagg_softc() {
            let _inside = Inside::enter();
            Module::vlan(&softc, id, configured);
        } else if !configured && let Some(port) = self.lagg_port() {
            let _inside = Inside::enter();
            Module::port_vlan_gone(&port, id);
        }
    }

    fn tag(&self) -> Option<u16> {
        match &self.kind {
            Kind::Vlan(vlan) => Some(vlan.tag()),
            _ => None,
        }
    }

    /// Its VLAN of that id.
    pub fn vlan(&self, id: u16, _: &Epoch) -> Option<IfnetRef> {
        of_parent(self).into_iter().find(|vlan| vlan.tag() == Some(id))
    }

    /// Its parent and id as a VLAN; none if it is not one. The kernel recognises a VLAN by its type, so a
    /// VLAN that is a lagg's port is not one. The interface was found in this section of the epoch, or the
    /// caller keeps it from being detached.
    pub fn vlan_of(&self, _: &Epoch) -> Option<(IfnetRef, u16)> {
        match &self.kind {
            Kind::Vlan(vlan) if self.if_type() == IfType::Vlan => {
                Some((vlan.parent()?, vlan.tag()))
            }
            _ => None,
        }
    }
}

impl Vlan {
    fn tag(&self) -> u16 {
        self.tag.load(Ordering::Relaxed)
    }

    /// All that it has of its parent, for tests to compare.
    #[cfg(feature = "testing")]
    pub(super) fn describe(&self) -> String {
        let Some(parent) = self.parent() else { return format!("{} of nobody", self.tag()) };
        let (flags, groups) = (*lock(&self.flags), lock(&self.groups));
        format!("{} of {parent:?}, flags {flags:#x}, groups {groups:x?}", self.tag())
    }

    pub(super) fn parent(&self) -> Option<IfnetRef> {
        lock(&self.parent).clone()
    }

    pub(super) fn ioctl(&self, ifp: &Ifnet, r: &mut Ioctl<'_>) -> Result {
        let parent = || self.parent().ok_or(Errno::EINVAL);
        match r.command() {
            SIOCSIFMTU => {
                let _vlan_sx = VLAN.lock_shared();
                let mtu = requested_mtu(r)?;
                if mtu > parent()?.mtu() {
                    return Err(Errno::EINVAL);
                }
                ifp.store_mtu(mtu);
                Ok(())
            }
            SIOCGIFMEDIA => {
                let _vlan_sx = VLAN.lock_shared();
                methods::run_current(&*parent()?, r)
            }
            SIOCSETVLAN => {
                let request: &mut InterfaceRequest = r.argument()?;
                let (parent, tag) = request.vlan();
                match by_index(parent) {
                    Some(parent) => vlan_config(ifp, &parent, tag),
                    None => {
                        vlan_unconfig(ifp);
                        Ok(())
                    }
                }
            }
            SIOCSIFMEDIA => Err(Errno::EINVAL),
            SIOCSIFFLAGS => {
                let _vlan_sx = VLAN.lock_shared();
                self.parent().map_or(Ok(()), |parent| self.pass_flags(&parent, ifp.flags()))
            }
            SIOCADDMULTI | SIOCDELMULTI => {
                let _vlan_sx = VLAN.lock();
                self.parent()
                    .map_or(Ok(()), |parent| self.pass_groups(&parent, multicast::groups(ifp)))
            }
            SIOCSIFADDR => {
                ifp.change_flags(iff::UP, 0);
                Ok(())
            }
            _ => ifp.ether_ioctl(r),
        }
    }
}

/// An interface goes: its VLANs have no parent any more, and a VLAN leaves its parent.
pub(super) fn departure(ifp: &Ifnet) {
    let _vlan_sx = VLAN.lock();
    for vlan in of_parent(ifp) {
        unconfigure(&vlan, true);
    }
}

/// A VLAN that is detached leaves its parent too.
pub(super) fn destroy(ifp: &Ifnet) {
    let Kind::Vlan(vlan) = &ifp.kind else { return };
    unconfigure(ifp, false);
    THREAD.drain(&vlan.lladdr_work);
}

/// Takes a VLAN from its parent; `departs`: that is detached itself, and in no groups any more.
fn unconfigure(ifp: &Ifnet, departs: bool) {
    let _vlan_sx = VLAN.lock();
    let Kind::Vlan(vlan) = &ifp.kind else { return };
    let Some(parent) = vlan.parent() else { return };
    if departs {
        lock(&vlan.groups).clear();
    } else {
        let _ = vlan.pass_groups(&parent, Vec::new());
    }
    if vlan.pass_flags(&parent, 0).is_err() {
        event::log(ifp, format_args!("vlan_unconfig_locked: ifv_pflags unclean"));
    }
    *lock(&vlan.parent) = None;
    let mut vlans = lock(&VLANS);
    let gone = vlans.extract_if(.., |(_, other)| other.same(ifp)).collect::<Vec<_>>();
    let more = vlans.iter().any(|(other, _)| other.same(&parent));
    drop(vlans);
    drop(gone);
    parent.has_vlans.store(more, Ordering::Relaxed);
    parent.vlan_event(vlan.tag(), false);
    ifp.set_running(false);
    ifp.init_link_state(LinkState::Unknown);
}
