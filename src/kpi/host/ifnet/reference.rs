//! How interfaces are made and freed, and references to them (if_ref, if_rele).

use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::fmt;
use std::mem::offset_of;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{self, AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use super::{Ifnet, lladdr};
use crate::kpi::atomic::AtomicU8;
use crate::kpi::host::driver::Kind;
use crate::kpi::host::epoch::{EPOCH_CONTEXT, EpochContext, epoch_call};
use crate::kpi::host::memory;
use crate::kpi::host::methods::{IoctlMethod, OutputMethod};
use crate::kpi::host::sync::Mutex;
use crate::kpi::host::vnet::Vnet;
use crate::kpi::{EpochOption, IfType, LinkAddr, LinkState, Name, iff, packet};

/// A counted reference to an interface (if_ref, if_rele): its address, and nothing else.
///
/// # Invariants
/// The pointer is to an `Ifnet` of `IfnetRef::new`, in which this reference is counted.
#[repr(transparent)]
pub struct IfnetRef(NonNull<Ifnet>);

// SAFETY: a reference gives shared access alone, and any thread may drop the last one.
unsafe impl Send for IfnetRef {}
// SAFETY: a shared one gives `&Ifnet`, which is `Sync`, and no more.
unsafe impl Sync for IfnetRef {}

static_assertions::assert_eq_size!(Option<IfnetRef>, usize);

/// The next index, from 1.
static INDEX: AtomicU32 = AtomicU32::new(1);

impl IfnetRef {
    /// An interface of the current vnet, not yet in its list.
    pub(in crate::kpi::host) fn new(
        name: Name,
        kind: Kind,
        if_type: IfType,
        lladdr: LinkAddr,
    ) -> Self {
        let home = Vnet::current();
        let memory = NonNull::from(Box::leak(Box::<Ifnet>::new_uninit()));
        let this = memory.cast::<Ifnet>();
        let ifnet = Ifnet {
            flags: AtomicU32::new(iff::BROADCAST | iff::SIMPLEX | iff::MULTICAST),
            link_state: atomic::AtomicU8::new(LinkState::Unknown as u8),
            if_type: AtomicU8::new(if_type.number()),
            dead: AtomicBool::new(false),
            has_taps: AtomicBool::new(false),
            has_bpf: AtomicBool::new(false),
            has_vlans: AtomicBool::new(false),
            has_netmap: AtomicBool::new(false),
            guarded: AtomicBool::new(false),
            running: AtomicBool::new(false),
            lagg: EpochOption::new(),
            shown: Mutex::default(),
            softc: EpochOption::new(),
            kind,
            counters: Default::default(),
            input: RwLock::new(None),
            netmap: RwLock::new(None),
            index: INDEX.fetch_add(1, Ordering::Relaxed),
            mtu: AtomicU32::new(1500),
            baudrate: AtomicU64::new(10_000_000),
            numa_domain: atomic::AtomicU8::new(packet::NO_DOMAIN),
            lladdr: Mutex::new(lladdr),
            broadcast: Mutex::new(lladdr::broadcast(if_type)),
            ioctl_method: AtomicU8::new(IoctlMethod::Own as u8),
            output_method: AtomicU8::new(OutputMethod::Own as u8),
            name: Mutex::new(name),
            vnet: AtomicPtr::new(std::ptr::from_ref(home.state()).cast_mut()),
            home,
            taps: Mutex::default(),
            listeners: Mutex::default(),
            link_work: Arc::default(),
            has_ipv6: AtomicBool::new(false),
            membership: Mutex::default(),
            addresses: Mutex::default(),
            offloads: Mutex::default(),
            coupled: Mutex::default(),
            vlan_refreshes: AtomicU64::new(0),
            lookups: AtomicU64::new(0),
            offload_looks: AtomicU64::new(0),
            filters: AtomicBool::new(false),
            vlan_filter: Mutex::default(),
            count: AtomicUsize::new(1),
            context: UnsafeCell::new(EPOCH_CONTEXT),
            this,
        };
        // SAFETY: memory for this type, allocated just now, which nothing else owns.
        unsafe { this.write(ifnet) };
        // INVARIANT: made here; the count of 1 is this reference.
        IfnetRef(this)
    }

    /// The interface of that name in the current vnet.
    pub fn by_name(name: &Name) -> Option<IfnetRef> {
        let ifp = if name.is_empty() { None } else { Vnet::current().find(name) }?;
        ifp.lookups.fetch_add(1, Ordering::Relaxed);
        Some(ifp)
    }

    /// Frees the interface.
    ///
    /// # Safety
    /// `context` is that of an interface whose last reference has gone a grace period ago.
    unsafe extern "C" fn free(context: *mut EpochContext) {
        // SAFETY: the caller promises the context of an interface, from which its address follows. No
        // reference is left and the grace period is over, so nothing uses it any more.
        let ifnet = unsafe { &mut *context.byte_sub(offset_of!(Ifnet, context)).cast::<Ifnet>() };
        let name = ifnet.name();
        assert!(ifnet.lagg.is_empty(), "{name} is freed, and still a port");
        assert!(ifnet.softc.is_empty(), "{name} is freed, and still a lagg");
        assert!(
            super::lock(&ifnet.shown).is_empty(),
            "{name} is freed, and still has leaves of ports"
        );
        let this = ifnet.this;
        // SAFETY: nothing uses the interface any more, and its memory is from a `Box`, which allocates like
        // `memory`.
        unsafe {
            this.drop_in_place();
            memory::release(this.cast(), Layout::new::<Ifnet>());
        }
    }
}

impl Clone for IfnetRef {
    fn clone(&self) -> Self {
        self.to_ref()
    }
}

impl Deref for IfnetRef {
    type Target = Ifnet;

    #[inline]
    fn deref(&self) -> &Ifnet {
        // SAFETY: `self` is counted, so the interface is there.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for IfnetRef {
    fn drop(&mut self) {
        if self.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: no reference is left, and sections in which the interface was found are waited for.
            unsafe { epoch_call((&raw mut (*self.0.as_ptr()).context).cast(), Self::free) };
        }
    }
}

impl fmt::Debug for IfnetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl Ifnet {
    /// A counted reference to it.
    pub fn to_ref(&self) -> IfnetRef {
        self.count.fetch_add(1, Ordering::Relaxed);
        // INVARIANT: every `Ifnet` is made by `IfnetRef::new`, and its count is one more since just now.
        IfnetRef(self.this)
    }
}

/// Where packets go: an interface, with a counted reference to it, or nowhere.
pub struct Outlet(Option<IfnetRef>);

impl Outlet {
    /// Nowhere.
    pub const NOWHERE: Outlet = Outlet(None);

    /// To this interface.
    pub fn to(ifp: &Ifnet) -> Self {
        Outlet(Some(ifp.to_ref()))
    }

    /// The interface, if packets can be sent on it now.
    #[inline(always)]
    pub fn active(&self) -> Option<&Ifnet> {
        self.0.as_deref().filter(|ifp| ifp.is_active())
    }
}

/// How often `ifp` has been looked up by its name.
pub fn lookups(ifp: &Ifnet) -> u64 {
    ifp.lookups.load(Ordering::Relaxed)
}
