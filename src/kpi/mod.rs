//! The kernel's programming interfaces as safe types, and the only place with `unsafe`.
//!
//! One API with two backends: `freebsd` over bindgen's output and the C shim in `kmod/`, `host` over std.
//! What both share is here.
//!
//! | type | what it is | in the kernel |
//! | --- | --- | --- |
//! | [`Ref`], [`EpochCell`], [`EpochOption`], [`epoch`] | counted objects, published and freed through the epoch | malloc(9), epoch(9) |
//! | [`Mtx`], [`Cv`], [`Deadline`] | a mutex over the data that it guards, and a condition to wait for under it | mutex(9), condvar(9) |
//! | [`Task`], [`Queue`] | work for one of the module's threads | taskqueue(9) |
//! | [`Callout`] | a function at a later time | taskqueue(9) |
//! | [`Ifnet`], [`IfnetRef`], [`PortMethods`] | an interface, a counted reference to one, a port driver's own methods | ifnet(9) |
//! | [`Ways`], [`Outlet`] | the functions for a plan's packets, and where these go | |
//! | [`LinkAddr`] | a link-level address, of Ethernet or of InfiniBand | sockaddr_dl |
//! | [`Mbuf`], [`Inbox`] | a packet, owned; packets for a task | mbuf(9) |
//! | [`SendTag`] | a counted reference to what a port's driver has set up for a flow | m_snd_tag, `sys/mbuf.h` |
//! | [`Counters`] | counters that packets add to | counter(9) |
//! | [`Media`], [`Ioctl`] | media status, a request | ifmedia(4), ioctl(2) |
//! | [`DetachGuard`] | `ifnet_detach_sxlock`, held | sx(9) |

pub mod driver;
pub mod epoch;
pub mod errno;
pub mod ioctl;
pub mod offloads;
pub mod tags;

mod atomic;
mod cell;
mod devctl;
mod gate;
mod ifreq;
mod iftype;
mod lladdr;
mod mem;
mod name;
mod packet;
mod part;
mod requests;
mod setting;
mod tallies;

#[cfg(not(feature = "kernel"))]
pub mod host;
#[cfg(not(feature = "kernel"))]
use host as backend;

#[cfg(feature = "kernel")]
mod freebsd;
#[cfg(feature = "kernel")]
use freebsd as backend;

#[cfg(loom)]
pub use atomic::publish_relaxed;
pub use backend::{
    Callout, Counters, Cv, Deadline, DetachGuard, Group, Ifnet, IfnetRef, Inbox, Mbuf, Media, Mtx,
    MtxGuard, Outlet, PerCpu, PortMethods, SendTag, TagWrapper, Task, Ways, announce_carp, copyout,
    defaults, detach_lock, failover_rx_all, lacp_debug, log, notify, priv_check_lagg, probe,
    random, uptime_ms,
};
pub use cell::{EpochCell, EpochOption};
pub use devctl::Value;
pub use driver::{Driver, Module, Receiving, Sending};
pub use epoch::Epoch;
pub use errno::{Errno, Result};
pub use iftype::IfType;
pub use ioctl::Ioctl;
pub use lladdr::{InfinibandAddr, LinkAddr, MacAddr};
pub use mem::{Array, Boxed, Ref, Unique, live};
pub use name::Name;
pub use offloads::Offloads;
pub use part::Part;
pub use setting::{Holds, LONGEST, LONGEST_STATE, Leaf, Setting, Shows};
pub use tags::{TagHeader, TagRequest, TagType};
pub use tallies::Tallies;

/// Length of an interface name, its NUL included (IFNAMSIZ).
pub const IFNAMSIZ: usize = 16;

/// How many interfaces may be stacked beneath a lagg. A packet needs kernel stack for each of them.
pub const MAX_STACKING: u32 = 8;

/// Size of a cache line, in bytes.
pub const CACHE_LINE: usize = 64;

/// The options of a vnet's new laggs, from its sysctls (`net.link.lagg.default_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Defaults {
    /// `default_use_flowid`.
    pub use_flowid: bool,
    /// `default_use_numa`.
    pub use_numa: bool,
    /// `default_flowid_shift`, which may be any number.
    pub flowid_shift: i32,
    /// `lacp.default_strict_mode`.
    pub lacp_strict: bool,
    /// `default_min_links`, which may be any number.
    pub min_links: i32,
    /// `default_up_delay`, which may be any number.
    pub up_delay: i32,
    /// `default_down_delay`, which may be any number.
    pub down_delay: i32,
    /// `default_notify_peers`, which may be any number.
    pub notify_peers: i32,
}

impl Defaults {
    /// What they are unless an administrator has set them.
    pub const USUAL: Defaults = Defaults {
        use_flowid: false,
        use_numa: true,
        flowid_shift: 16,
        lacp_strict: true,
        min_links: 0,
        up_delay: 0,
        down_delay: 0,
        notify_peers: 1,
    };
}

/// The media in use on an interface (ifmedia(4)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortMedia {
    /// Whether they are Ethernet's (IFM_ETHER).
    pub ethernet: bool,
    /// IFM_HDX. Many drivers report neither this nor IFM_FDX.
    pub half_duplex: bool,
    /// Bits per second; 0 if unknown.
    pub baudrate: u64,
}

/// The module's taskqueues. A task never runs on two threads at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queue {
    /// Runs LACP; waits for nothing.
    Lacp,
    /// Publishes states; never waits for a port's driver.
    Protocol,
    /// Applies to ports what is wanted of them.
    Configuration,
    /// Makes and removes the nodes of sysctl(8), for whose readers it may wait long.
    #[cfg(feature = "kernel")]
    Names,
    /// Calls the functions of [`Callout`]s.
    #[cfg(feature = "kernel")]
    Timer,
}

impl Queue {
    /// How many threads it has: a few laggs whose tasks wait, or are stuck in drivers, hold up no other.
    const fn threads(self) -> u32 {
        match self {
            Queue::Lacp | Queue::Protocol | Queue::Configuration => 4,
            #[cfg(feature = "kernel")]
            Queue::Names | Queue::Timer => 1,
        }
    }
}

/// The kinds of lagg (`struct iflaggparam`, `lagg_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LaggType {
    /// LAGG_TYPE_ETHERNET.
    Ethernet,
    /// LAGG_TYPE_INFINIBAND.
    Infiniband,
}

/// An interface's link state (LINK_STATE_*).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum LinkState {
    /// Not known; not up.
    Unknown = 0,
    /// Down.
    Down = 1,
    /// Up.
    Up = 2,
}

/// Flags of an interface (IFF_*) that the driver reads.
pub mod iff {
    /// Administratively up.
    pub const UP: u32 = 0x1;
    /// Broadcast address valid.
    pub const BROADCAST: u32 = 0x2;
    /// Debug output wanted.
    pub const DEBUG: u32 = 0x4;
    /// Receives all packets.
    pub const PROMISC: u32 = 0x100;
    /// Receives all multicast packets.
    pub const ALLMULTI: u32 = 0x200;
    /// Does not receive its own transmissions.
    pub const SIMPLEX: u32 = 0x800;
    /// Supports multicast.
    pub const MULTICAST: u32 = 0x8000;
    /// Received packets go no further than bpf(4).
    pub const MONITOR: u32 = 0x40000;
    /// Being destroyed.
    pub const DYING: u32 = 0x20_0000;
    /// Being renamed.
    pub const RENAMING: u32 = 0x40_0000;
}

/// An interface's counters (ift_counter).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
#[expect(missing_docs, reason = "ifnet(9) describes them")]
pub enum Counter {
    Ipackets = 0,
    Ierrors,
    Opackets,
    Oerrors,
    Collisions,
    Ibytes,
    Obytes,
    Imcasts,
    Omcasts,
    Iqdrops,
    Oqdrops,
    Noproto,
}

impl Counter {
    /// All of them, in the order of their numbers.
    pub const ALL: [Counter; 12] = [
        Counter::Ipackets,
        Counter::Ierrors,
        Counter::Opackets,
        Counter::Oerrors,
        Counter::Collisions,
        Counter::Ibytes,
        Counter::Obytes,
        Counter::Imcasts,
        Counter::Omcasts,
        Counter::Iqdrops,
        Counter::Oqdrops,
        Counter::Noproto,
    ];

    /// The counter of a number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }
}
