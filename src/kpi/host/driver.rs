//! The drivers of interfaces: cards, VLANs, and the lagg.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::bridge::Members;
use super::media::media_of;
use super::offloads;
use super::tags::CardTag;
use super::vlan::Vlan;
use super::witness;
use crate::kpi::driver::{Driver, Module};
use crate::kpi::epoch::section;
use crate::kpi::gate::Inside;
use crate::kpi::ioctl::{
    InterfaceRequest, SIOCADDMULTI, SIOCDELMULTI, SIOCGIFMEDIA, SIOCGIFXMEDIA, SIOCSIFCAP,
    SIOCSIFCAPNV, SIOCSIFFLAGS, SIOCSIFMTU,
};
use crate::kpi::requests::MediaRequest;
use crate::kpi::{
    Counter, Epoch, Errno, Ifnet, Ioctl, MAX_STACKING, MacAddr, Mbuf, Result, TagRequest, iff,
};

/// The driver of a network card.
pub trait Nic: Send + Sync {
    /// Sends a frame. The stack has counted and captured it; an error is counted too. In the
    /// network epoch.
    ///
    /// # Errors
    /// Any error.
    fn transmit(&self, ifp: &Ifnet, m: Mbuf, epoch: &Epoch) -> Result;

    /// `if_ioctl`. May sleep.
    ///
    /// # Errors
    /// Any error.
    fn ioctl(&self, ifp: &Ifnet, r: &mut Ioctl<'_>) -> Result {
        default_ioctl(ifp, r)
    }

    /// Makes a send tag (`if_snd_tag_alloc`). Called with locks of the stack held.
    ///
    /// # Errors
    /// Any error; most cards have no such method.
    fn allocate_tag(
        &self,
        _ifp: &Ifnet,
        _request: &mut TagRequest<'_>,
    ) -> Result<Box<dyn CardTag>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// The media in use (`ifm_active`): Ethernet of the interface's baud rate, full duplex, unless a card
    /// reports otherwise.
    fn media(&self, ifp: &Ifnet) -> u32 {
        media_of(ifp.baudrate())
    }

    /// The interface gets another link-level address; SIOCSIFFLAGS follows if it is up. The kernel
    /// has no such method: it is for cards that must be told, or that refuse. May sleep.
    ///
    /// # Errors
    /// The error that if_setlladdr must return.
    fn set_lladdr(&self, _ifp: &Ifnet, _lladdr: &MacAddr) -> Result {
        Ok(())
    }
}

/// The MTU in a SIOCSIFMTU.
///
/// # Errors
/// EINVAL if it is another command.
pub fn requested_mtu(r: &mut Ioctl<'_>) -> Result<u32> {
    Ok(r.argument::<InterfaceRequest>()?.mtu())
}

/// The largest MTU of most cards.
pub const MOST_MTU: u32 = 9216;

/// What most cards do with an ioctl: any MTU up to [`MOST_MTU`] is taken, IFF_UP starts and stops them, and
/// so on.
///
/// # Errors
/// As `ether_ioctl`.
pub fn default_ioctl(ifp: &Ifnet, r: &mut Ioctl<'_>) -> Result {
    match r.command() {
        SIOCSIFMTU => {
            let mtu = requested_mtu(r)?;
            if mtu > offloads::couplings(ifp).max_mtu.unwrap_or(MOST_MTU) {
                return Err(Errno::EINVAL);
            }
            if ifp.mtu() != mtu {
                ifp.store_mtu(mtu);
                offloads::restart(ifp);
            }
            Ok(())
        }
        SIOCSIFFLAGS => {
            let up = ifp.flags() & iff::UP != 0;
            if up && !ifp.is_running() {
                offloads::start(ifp);
            }
            ifp.set_running(up);
            offloads::look_at_flags(ifp);
            Ok(())
        }
        SIOCADDMULTI | SIOCDELMULTI => Ok(()),
        SIOCSIFCAP | SIOCSIFCAPNV => offloads::switch(ifp, r),
        SIOCGIFXMEDIA | SIOCGIFMEDIA => {
            let Kind::Nic(nic) = &ifp.kind else { return Err(Errno::EINVAL) };
            // SAFETY: `Ioctl::new` was promised a `struct ifmediareq` for both commands, which is the
            // callee's while it runs.
            let request = unsafe { &mut *r.data().cast::<MediaRequest>() };
            request.active = nic.media(ifp);
            Ok(())
        }
        _ => ifp.ether_ioctl(r),
    }
}

/// The kind of an interface, with its driver's data.
pub(super) enum Kind {
    Nic(Arc<dyn Nic>),
    Lagg,
    Vlan(Vlan),
    Bridge(Members),
}

impl Kind {
    #[inline]
    pub(super) fn transmit(&self, ifp: &Ifnet, m: Mbuf, epoch: &Epoch) -> Result {
        if ifp.is_dead() {
            return Err(Errno::ENXIO);
        }
        match self {
            Kind::Nic(nic) => {
                let len = m.len() as u64;
                let own = m.tag().is_none_or(|tag| tag.ifp().same(ifp));
                assert!(own, "{ifp:?} is given a packet with a send tag of another interface");
                if ifp.is_infiniband() {
                    ifp.infiniband_bpf_tap(&m);
                } else {
                    ifp.bpf_tap(&m);
                }
                let result = nic.transmit(ifp, m, epoch);
                if result.is_ok() {
                    ifp.count(Counter::Opackets, 1);
                    ifp.count(Counter::Obytes, len);
                } else {
                    ifp.count(Counter::Oerrors, 1);
                }
                result
            }
            Kind::Lagg => {
                let softc = ifp.softc.load(epoch).ok_or(Errno::ENXIO)?;
                if !ifp.guarded.load(Ordering::Acquire) {
                    return Module::transmit(ifp, softc, m, epoch);
                }
                // if_tunnel_check_nesting
                let Some(_passing) = witness::pass(ifp.index(), MAX_STACKING) else {
                    ifp.count(Counter::Oerrors, 1);
                    return Err(Errno::EIO);
                };
                Module::transmit(ifp, softc, m, epoch)
            }
            Kind::Vlan(vlan) => vlan.transmit(ifp, m, epoch),
            Kind::Bridge(members) => members.transmit(m, epoch),
        }
    }

    pub(super) fn ioctl(&self, ifp: &Ifnet, r: &mut Ioctl<'_>) -> Result {
        match self {
            Kind::Nic(nic) => nic.ioctl(ifp, r),
            Kind::Lagg => {
                let _inside = Inside::enter();
                Module::ioctl(&ifp.lagg_softc().ok_or(Errno::ENXIO)?, r)
            }
            Kind::Vlan(vlan) => vlan.ioctl(ifp, r),
            Kind::Bridge(_) => default_ioctl(ifp, r),
        }
    }

    /// `if_get_counter`.
    pub(super) fn counter(&self, ifp: &Ifnet, c: Counter) -> u64 {
        let lagg = matches!(self, Kind::Lagg);
        let _inside = lagg.then(Inside::enter);
        section(|epoch| match ifp.softc.load(epoch) {
            Some(softc) if lagg => Module::counter(softc, c, epoch),
            _ => ifp.own_counter(c),
        })
    }

    /// `if_init`.
    pub(super) fn init(&self, ifp: &Ifnet) {
        match self {
            Kind::Nic(_) => ifp.set_running(true),
            Kind::Lagg => {
                let _inside = Inside::enter();
                if let Some(softc) = ifp.lagg_softc() {
                    Module::init(&softc);
                }
            }
            Kind::Vlan(_) | Kind::Bridge(_) => {}
        }
    }
}

impl Ifnet {
    /// Whether it is detached, and its driver is gone.
    #[inline]
    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// Panics if it is detached: its driver has freed what `what` needs of it, and the stack its address.
    pub(super) fn assert_attached(&self, what: &str) {
        assert!(!self.is_dead(), "{what} of {self:?}, which is detached and its driver gone");
    }
}
