//! Interfaces (ifnet(9)).

mod packets;
mod reference;

use std::cell::UnsafeCell;
use std::collections::BTreeSet;
use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::{self, AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use super::capture::Tap;
use super::driver::Kind;
use super::epoch::EpochContext;
use super::percpu::PerThread;
use super::sync::Mutex;
use super::tasks::{SWI, Work};
use super::vnet::{self, Vnet};
use super::witness::lock;
use super::{event, lladdr, multicast, offloads, peers, stack};
use crate::kpi::atomic::AtomicU8;
use crate::kpi::driver::{Driver, Module};
use crate::kpi::{
    Boxed, Counter, EpochOption, IfType, Ioctl, LinkAddr, LinkState, Mbuf, Name, Offloads, Ref,
    Result, iff, packet,
};

pub use reference::{IfnetRef, Outlet, lookups};

pub(super) type Softc = <Module as Driver>::Softc;
pub(super) type Port = <Module as Driver>::Port;

/// The receiver of frames for the interface itself.
pub(super) type Input = Arc<dyn Fn(Mbuf) + Send + Sync>;

/// An interface. It exists only behind `&` or an [`IfnetRef`].
pub struct Ifnet {
    // What packets read.
    flags: AtomicU32,
    link_state: atomic::AtomicU8,
    if_type: AtomicU8,
    pub(super) dead: AtomicBool,
    pub(super) has_taps: AtomicBool,
    /// Whether bpf(4) knows it (bpfattach); before, the kernel's `if_bpf` is NULL.
    pub(super) has_bpf: AtomicBool,
    pub(super) has_vlans: AtomicBool,
    pub(super) has_netmap: AtomicBool,
    pub(super) guarded: AtomicBool,
    running: AtomicBool,
    pub(super) lagg: EpochOption<Port>,
    /// The ports of a lagg that sysctl(8) shows. The kernel needs memory for each.
    pub(super) shown: Mutex<Vec<Boxed<IfnetRef>>>,
    pub(super) softc: EpochOption<Softc>,
    pub(super) kind: Kind,
    counters: PerThread<[AtomicU64; 12]>,
    pub(super) input: RwLock<Option<Input>>,
    pub(super) netmap: RwLock<Option<Input>>,

    index: u32,
    mtu: AtomicU32,
    baudrate: AtomicU64,
    /// The NUMA domain, or `NO_DOMAIN`.
    numa_domain: atomic::AtomicU8,
    pub(super) lladdr: Mutex<LinkAddr>,
    pub(super) broadcast: Mutex<LinkAddr>,
    pub(super) ioctl_method: AtomicU8,
    pub(super) output_method: AtomicU8,
    name: Mutex<Name>,
    vnet: AtomicPtr<vnet::State>,
    pub(super) home: Vnet,
    pub(super) taps: Mutex<Vec<Arc<Tap>>>,
    pub(super) listeners: Mutex<Vec<event::Listener>>,
    link_work: Arc<Work>,
    pub(super) has_ipv6: AtomicBool,
    pub(super) membership: Mutex<multicast::Membership>,
    pub(super) addresses: Mutex<Vec<peers::Address>>,
    pub(super) offloads: Mutex<Offloads>,
    pub(super) coupled: Mutex<offloads::Coupled>,
    /// How often the capabilities of its VLANs were updated.
    pub(super) vlan_refreshes: AtomicU64,
    /// How often it has been looked up by its name.
    pub(super) lookups: AtomicU64,
    /// How often its capabilities were read.
    pub(super) offload_looks: AtomicU64,
    /// Whether its hardware filters what comes in: VLANs, if that is enabled, and groups.
    pub(super) filters: AtomicBool,
    /// A set without counts, as in real cards.
    pub(super) vlan_filter: Mutex<BTreeSet<u16>>,

    count: AtomicUsize,
    context: UnsafeCell<EpochContext>,
    /// The pointer of its references.
    this: NonNull<Ifnet>,
}

// SAFETY: `context` is used by the last reference alone, and `this` is never changed; all else is
// `Sync`.
unsafe impl Sync for Ifnet {}
// SAFETY: `this` points at the interface itself, which stays where it is; all else is `Send`.
unsafe impl Send for Ifnet {}

impl fmt::Debug for Ifnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.name(), f)
    }
}

impl Ifnet {
    /// Whether `other` is the same interface.
    #[inline]
    pub fn same(&self, other: &Ifnet) -> bool {
        std::ptr::eq(self, other)
    }

    /// Its name.
    pub fn name(&self) -> Name {
        *lock(&self.name)
    }

    pub(super) fn set_name(&self, name: Name) {
        *lock(&self.name) = name;
    }

    /// Its index, which is unique among interfaces.
    #[inline]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Its type.
    #[inline]
    pub fn if_type(&self) -> IfType {
        IfType::from_number(self.if_type.load(Ordering::Acquire))
    }

    /// Whether it is an InfiniBand interface, whether it is a port or not.
    #[inline]
    pub(super) fn is_infiniband(&self) -> bool {
        matches!(self.if_type(), IfType::Infiniband | IfType::InfinibandLaggPort)
    }

    pub(super) fn set_if_type(&self, if_type: IfType) {
        self.if_type.store(if_type.number(), Ordering::Release);
    }

    /// Its flags (IFF_*).
    #[inline]
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Sets and clears flags, without any notification.
    pub(super) fn change_flags(&self, set: u32, clear: u32) {
        let change = |flags: u32| Some((flags | set) & !clear);
        let _ = self.flags.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// Whether packets can be sent on it: its link is up, and it is administratively up.
    #[inline]
    pub fn is_active(&self) -> bool {
        self.link_state.load(Ordering::Relaxed) == LinkState::Up as u8
            && self.flags.load(Ordering::Relaxed) & iff::UP != 0
    }

    /// Whether it is running (IFF_DRV_RUNNING).
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// Sets whether it is running. For a lagg's own interface, by one thread at a time.
    pub fn set_running(&self, running: bool) {
        self.running.store(running, Ordering::Relaxed);
    }

    /// Its link state.
    pub fn link_state(&self) -> LinkState {
        match self.link_state.load(Ordering::Relaxed) {
            1 => LinkState::Down,
            2 => LinkState::Up,
            _ => LinkState::Unknown,
        }
    }

    /// Announces a link state. Its handlers are called later, on `taskqueue_swi`.
    pub fn change_link_state(&self, state: LinkState) {
        if self.link_state.swap(state as u8, Ordering::Relaxed) != state as u8 {
            let ifp = self.to_ref();
            SWI.enqueue(&self.link_work, move || stack::link_task(&ifp));
        }
    }

    /// Sets its link state before other threads can find it.
    pub(super) fn init_link_state(&self, state: LinkState) {
        self.link_state.store(state as u8, Ordering::Relaxed);
    }

    /// Waits until its link state has been reported to all.
    pub(super) fn drain_link_task(&self) {
        SWI.drain(&self.link_work);
    }

    /// Its MTU.
    pub fn mtu(&self) -> u32 {
        self.mtu.load(Ordering::Relaxed)
    }

    /// Stores an MTU, and does nothing else.
    pub fn store_mtu(&self, mtu: u32) {
        self.mtu.store(mtu, Ordering::Relaxed);
    }

    /// Reports a changed MTU to the protocols above. May sleep.
    pub fn notify_mtu(&self) {
        event::tell(self, &event::Event::Mtu(self.mtu()));
    }

    /// The NUMA domain that it is attached to, if it is to one.
    pub fn numa_domain(&self) -> Option<u8> {
        packet::numa_domain(self.numa_domain.load(Ordering::Relaxed))
    }

    /// Attaches it to a NUMA domain.
    pub fn set_numa_domain(&self, domain: u8) {
        self.numa_domain.store(domain, Ordering::Relaxed);
    }

    /// Its speed in bits a second.
    pub fn baudrate(&self) -> u64 {
        self.baudrate.load(Ordering::Relaxed)
    }

    /// Sets its speed, and tells its VLANs if that has changed. May sleep.
    pub fn set_baudrate(&self, bits_per_second: u64) {
        if self.baudrate.swap(bits_per_second, Ordering::Relaxed) != bits_per_second {
            event::tell(self, &event::Event::Baudrate(bits_per_second));
        }
    }

    /// Brings it administratively up. May sleep.
    pub fn up(&self) {
        self.change_flags(iff::UP, 0);
        event::tell(self, &event::Event::Up);
    }

    /// Brings it administratively down. May sleep.
    pub fn down(&self) {
        event::tell(self, &event::Event::Down);
        self.change_flags(0, iff::UP);
    }

    /// Adds to one of its counters.
    #[inline]
    pub fn count(&self, c: Counter, n: u64) {
        self.counters.own()[c as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// One of its counters.
    pub fn counter(&self, c: Counter) -> u64 {
        self.kind.counter(self, c)
    }

    /// The kernel's own counter, whatever the driver reports.
    pub fn own_counter(&self, c: Counter) -> u64 {
        self.counters.all().map(|counters| counters[c as usize].load(Ordering::Relaxed)).sum()
    }

    /// What any Ethernet interface does with an ioctl. May sleep.
    ///
    /// # Errors
    /// EINVAL for what it does not know.
    pub fn ether_ioctl(&self, request: &mut Ioctl<'_>) -> Result {
        stack::ether_ioctl(self, request)
    }

    /// Runs `f` in the interface's vnet.
    #[inline]
    pub fn in_vnet<R>(&self, f: impl FnOnce() -> R) -> R {
        self.vnet().enter(f)
    }

    /// Whether `other` is in the same vnet.
    #[inline]
    pub fn shares_vnet(&self, other: &Ifnet) -> bool {
        self.vnet() == other.vnet()
    }

    /// Its vnet.
    #[inline]
    pub fn vnet(&self) -> Vnet {
        // SAFETY: `new` and `set_vnet` alone write the pointer, each from a `&'static`.
        Vnet::from_state(unsafe { &*self.vnet.load(Ordering::Relaxed) })
    }

    pub(super) fn set_vnet(&self, vnet: Vnet) {
        self.vnet.store(std::ptr::from_ref(vnet.state()).cast_mut(), Ordering::Relaxed);
    }

    /// Whether it has a link-local (or interface-local) IPv6 address, and IPv6 is not disabled on it.
    pub fn has_ipv6_lladdr(&self) -> bool {
        self.has_ipv6.load(Ordering::Relaxed)
    }

    /// Detaches IPv6 from the interface. Sleeps for tasks that may call back into the driver.
    pub fn in6_detach(&self) {
        multicast::in6_detach(self);
    }

    /// The interface's parent, whether it is a port or not; none if it is not a VLAN.
    pub fn vlan_parent(&self) -> Option<IfnetRef> {
        match &self.kind {
            Kind::Vlan(vlan) => vlan.parent(),
            _ => None,
        }
    }

    /// The port that this interface is or will be, which includes one that is claimed and not yet a port.
    pub fn lagg_port(&self) -> Option<Ref<Port>> {
        self.lagg.get()
    }

    /// The lagg that this interface is; none if it is no lagg of this driver.
    pub fn lagg_softc(&self) -> Option<Ref<Softc>> {
        self.softc.get()
    }
}
