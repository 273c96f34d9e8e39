//! Virtual network stacks, and which of them a thread is in (vnet(9)).

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use super::IfnetRef;
use super::clock::Clock;
use super::sync::{Mutex, thread_local};
use super::witness::lock;
use crate::kpi::{Defaults, Name};

pub(super) struct State {
    /// In the order of attachment.
    pub(super) interfaces: Mutex<Vec<IfnetRef>>,
    /// Units in use by the cloner of this vnet.
    pub(super) units: Mutex<BTreeSet<u32>>,
    pub(super) failover_rx_all: AtomicBool,
    defaults: Mutex<Defaults>,
    lacp_debug: AtomicI32,
    shutting_down: AtomicBool,
    protocols_gone: AtomicBool,
    pub(super) clock: Clock,
}

impl Default for State {
    fn default() -> Self {
        State {
            interfaces: Mutex::default(),
            units: Mutex::default(),
            failover_rx_all: AtomicBool::default(),
            defaults: Mutex::new(Defaults::USUAL),
            lacp_debug: AtomicI32::default(),
            shutting_down: AtomicBool::default(),
            protocols_gone: AtomicBool::default(),
            clock: Clock::default(),
        }
    }
}

/// A virtual network stack. It lives as long as the process, so make few.
#[derive(Clone, Copy)]
pub struct Vnet(&'static State);

/// All of them.
static VNETS: Mutex<Vec<Vnet>> = Mutex::new(Vec::new());

/// The vnet in which threads start.
static VNET0: LazyLock<Vnet> = LazyLock::new(Vnet::new);

thread_local! {
    /// None stands for the first one, which most threads never leave.
    static CURRENT: Cell<Option<Vnet>> = const { Cell::new(None) };
    /// Whether the thread is one of the kernel's own, which is in no vnet except those that it enters.
    static NOWHERE: Cell<bool> = const { Cell::new(false) };
}

impl Vnet {
    /// A new one, without interfaces.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        let vnet = Vnet(Box::leak(Box::default()));
        lock(&VNETS).push(vnet);
        vnet
    }

    /// The one that the calling thread is in.
    pub fn current() -> Self {
        CURRENT.with(Cell::get).unwrap_or_else(|| {
            assert!(!NOWHERE.with(Cell::get), "the thread is in no vnet");
            *VNET0
        })
    }

    /// Runs `f` in this vnet (CURVNET_SET).
    #[inline]
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Restore(Option<Vnet>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.with(|current| current.set(self.0));
            }
        }
        let _restore = Restore(CURRENT.with(|current| current.replace(Some(*self))));
        f()
    }

    /// The interface of that name, if there is one.
    pub fn interface(&self, name: &str) -> Option<IfnetRef> {
        self.find(&Name::new(name)?)
    }

    /// All interfaces, in the order of attachment.
    pub fn interfaces(&self) -> Vec<IfnetRef> {
        lock(&self.0.interfaces).clone()
    }

    /// Sets `net.link.lagg.failover_rx_all`.
    pub fn set_failover_rx_all(&self, on: bool) {
        self.0.failover_rx_all.store(on, Ordering::Relaxed);
    }

    /// Sets `net.link.lagg.lacp.debug`.
    pub fn set_lacp_debug(&self, level: i32) {
        self.0.lacp_debug.store(level, Ordering::Relaxed);
    }

    /// Sets `net.link.lagg.default_*`.
    pub fn set_defaults(&self, defaults: Defaults) {
        *lock(&self.0.defaults) = defaults;
    }

    pub(super) fn shut_down(&self) {
        self.0.shutting_down.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_shutting_down(&self) -> bool {
        self.0.shutting_down.load(Ordering::Relaxed)
    }

    /// What IP has in the vnet is freed, before its laggs are destroyed.
    pub(super) fn free_protocols(&self) {
        self.0.protocols_gone.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_protocols(&self) -> bool {
        !self.0.protocols_gone.load(Ordering::Relaxed)
    }

    /// All vnets that there ever were.
    pub(super) fn all() -> Vec<Vnet> {
        lock(&VNETS).clone()
    }

    pub(super) fn find(&self, name: &Name) -> Option<IfnetRef> {
        lock(&self.0.interfaces).iter().find(|ifp| ifp.name() == *name).cloned()
    }

    #[inline]
    pub(super) fn from_state(state: &'static State) -> Self {
        Vnet(state)
    }

    pub(super) fn state(&self) -> &'static State {
        self.0
    }
}

impl PartialEq for Vnet {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

/// The sysctl `net.link.lagg.failover_rx_all` of the current vnet.
#[inline]
pub fn failover_rx_all() -> bool {
    Vnet::current().0.failover_rx_all.load(Ordering::Relaxed)
}

/// The options of new laggs in the current vnet.
pub fn defaults() -> Defaults {
    *lock(&Vnet::current().0.defaults)
}

/// The sysctl `net.link.lagg.lacp.debug` of the current vnet.
pub fn lacp_debug() -> i32 {
    Vnet::current().0.lacp_debug.load(Ordering::Relaxed)
}

/// Runs `f` as if on a thread of the kernel's own.
#[cfg(loom)]
pub(super) fn nowhere(f: impl FnOnce()) {
    let before = CURRENT.with(Cell::take);
    NOWHERE.with(|nowhere| nowhere.set(true));
    f();
    NOWHERE.with(|nowhere| nowhere.set(false));
    CURRENT.with(|current| current.set(before));
}

/// The vnet that the calling thread is in, if it is in one.
#[cfg(feature = "testing")]
pub(super) fn here() -> Option<Vnet> {
    CURRENT.with(Cell::get)
}

/// Makes the calling thread one of the kernel's own.
pub(super) fn leave_all() {
    NOWHERE.with(|nowhere| nowhere.set(true));
}

/// Whether the calling thread is one of the kernel's own.
#[cfg(feature = "testing")]
pub(super) fn is_kernel_thread() -> bool {
    NOWHERE.with(Cell::get)
}
