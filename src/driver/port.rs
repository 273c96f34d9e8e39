//! A port: an interface that belongs to a lagg.

use core::sync::atomic::{AtomicU32, Ordering};

use super::Softc;
use super::drops::RefusedCounters;
use crate::kpi::{
    CACHE_LINE, Epoch, Ifnet, IfnetRef, LinkAddr, PortMethods, Ref, Result, Unique, log,
};
use crate::policy;
use crate::slots::{Slot, SlotSet};

/// A port of a lagg. Immutable except for its counters: all else that changes belongs to the interface, or
/// is in the lagg's state.
///
/// `if_lagg` of the port's interface points at it; the kernel's LRO code reads the first two words.
#[repr(C)]
pub struct Port {
    ifp: IfnetRef,
    softc: Ref<Softc>,
    /// Its slot alone, for packets.
    set: SlotSet,
    slot: Slot,
    lladdr: LinkAddr,
    number: u32,
    mtu: u32,
    enabled: u64,
    methods: PortMethods,
    pub(super) refused: RefusedCounters,
    /// Counts frames of slow protocols other than LACP's.
    unknown: AtomicU32,
}

static_assertions::assert_eq_size!(IfnetRef, *const ());
static_assertions::assert_eq_size!(Ref<Softc>, *const ());
static_assertions::const_assert_eq!(core::mem::offset_of!(Port, ifp), 0);
static_assertions::const_assert_eq!(core::mem::offset_of!(Port, softc), size_of::<*const ()>());
// With its reference count it fills 128 bytes of malloc(9); one more byte would take 256.
#[cfg(feature = "kernel")]
static_assertions::const_assert!(size_of::<Port>() <= 104);
// Packets write `unknown`, and read the fields before it.
static_assertions::const_assert!(core::mem::offset_of!(Port, unknown) >= CACHE_LINE);

impl Port {
    /// The port that `ifp` will be in slot `slot` of `softc`, with this number. `remember` adds what the
    /// interface was before. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn try_new(
        ifp: IfnetRef,
        softc: &Ref<Softc>,
        slot: Slot,
        number: u32,
    ) -> Result<Unique<Self>> {
        Unique::try_new(Port {
            set: slot.into(),
            slot,
            number,
            lladdr: LinkAddr::Ethernet([0; 6]),
            mtu: 0,
            enabled: 0,
            methods: ifp.methods(),
            unknown: AtomicU32::new(0),
            refused: RefusedCounters::try_new()?,
            softc: softc.clone(),
            ifp,
        })
    }

    /// Remembers the interface's own settings, to restore them later. Called in the epoch section in which
    /// it is claimed, so it is not detached, and no other lagg has claimed or changed it.
    pub(super) fn remember(&mut self, _: &Epoch) {
        self.lladdr = self.ifp.lladdr();
        self.mtu = self.ifp.mtu();
        self.enabled = self.ifp.enabled();
        self.methods = self.ifp.methods();
    }

    /// The interface.
    #[inline]
    pub fn ifp(&self) -> &Ifnet {
        &self.ifp
    }

    /// The lagg.
    #[inline]
    pub fn softc(&self) -> &Ref<Softc> {
        &self.softc
    }

    /// The port's slot, which never changes.
    #[inline]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The set that has its slot alone.
    #[inline(always)]
    pub(super) fn set(&self) -> SlotSet {
        self.set
    }

    /// Its number: those of ports that joined later are greater.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Whether packets can be sent on it now: it is administratively up, and its link is up.
    #[inline]
    pub fn is_active(&self) -> bool {
        self.ifp.is_active()
    }

    /// The link-level address that the interface had before it joined.
    pub fn original_lladdr(&self) -> LinkAddr {
        self.lladdr
    }

    /// Whether it has the lagg's address. An InfiniBand port keeps its own, which counts too.
    pub(super) fn has_lladdr(&self, lladdr: &LinkAddr) -> bool {
        !matches!(lladdr, LinkAddr::Ethernet(_)) || self.ifp.lladdr() == *lladdr
    }

    /// Gives the interface another address. Returns false if its driver refuses it or restores the old one.
    /// An InfiniBand interface keeps what the fabric gave it. May sleep.
    pub(super) fn set_lladdr(&self, to: &LinkAddr) -> bool {
        self.has_lladdr(to) || (self.ifp.set_lladdr(to).is_ok() && self.has_lladdr(to))
    }

    /// Gives the interface the lagg's address, and logs if it keeps its own: it may not receive what is
    /// sent to the lagg. Returns whether its address has changed. May sleep.
    pub(super) fn share_lladdr(&self, lladdr: &LinkAddr) -> bool {
        if self.has_lladdr(lladdr) {
            return false;
        }
        self.softc.state().readdressed = Some(self.slot());
        let shares =
            self.restarting(|| self.ifp.set_lladdr(lladdr).is_ok() && self.has_lladdr(lladdr));
        self.softc.state().readdressed = None;
        // F-47: logged
        if !shares {
            let name = self.ifp.name();
            log(self.softc.ifp(), format_args!("{name} keeps its own address"));
        }
        shares
    }

    /// Makes a request to the driver by which the card may restart. May sleep, as `ask` does.
    pub(super) fn restarting<R>(&self, ask: impl FnOnce() -> R) -> R {
        self.softc.state().begin_restart(self);
        let answer = ask();
        let is_awaited = self.softc.state().end_restart(self);
        if is_awaited {
            Softc::wake_protocol(&self.softc);
        }
        answer
    }

    /// Brings the interface administratively up, and starts its driver. May sleep.
    pub(super) fn up(&self) {
        self.ifp.up();
        let _ = self.methods.set_flags(&self.ifp);
    }

    /// The MTU that the interface had before it joined.
    pub fn original_mtu(&self) -> u32 {
        self.mtu
    }

    /// The capabilities that were enabled on the interface before it joined.
    pub fn original_enabled(&self) -> u64 {
        self.enabled
    }

    /// The methods of the interface's own driver.
    pub fn methods(&self) -> &PortMethods {
        &self.methods
    }

    /// Counts a frame of a slow protocol other than LACP's.
    pub(super) fn count_unknown(&self) {
        self.unknown.fetch_add(1, Ordering::Relaxed);
    }

    /// The count of those frames.
    pub(super) fn unknown(&self) -> u32 {
        self.unknown.load(Ordering::Relaxed)
    }

    /// The interface that this one is a VLAN of now. Takes the mutex.
    pub(super) fn parent(&self, epoch: &Epoch) -> Option<IfnetRef> {
        let (parent, id) = self.softc.state().parent(self)?;
        let vlan = parent.vlan(id, epoch)?;
        vlan.same(&self.ifp).then_some(parent)
    }
}

impl policy::Port for Port {
    #[inline(always)]
    fn slot(&self) -> Slot {
        self.slot()
    }

    #[inline(always)]
    fn is_active(&self) -> bool {
        self.is_active()
    }
}
