//! kpi in a process: FreeBSD's network stack as far as the driver sees it, modelled over std.
//!
//! Where the kernel would misbehave, this panics with the reason: sleeping in the epoch or with a mutex
//! held, locks taken in two orders, a wait that does not end, memory used after it is freed. The stack's
//! own locks are held where the kernel holds them.
//!
//! Besides the backend of [`kpi`](super), here is what surrounds the driver: [`Vnet`]s, cards ([`attach`],
//! [`Nic`]), the cloner, ioctls, VLANs, and `testing` for tests, behind the feature of that name. Any
//! number of threads can use it. Vnets are separate from each other.

mod attach;
mod bridge;
mod capture;
mod clock;
mod clone;
mod driver;
mod epoch;
mod event;
mod faults;
mod ifnet;
mod inbox;
mod input;
mod lladdr;
mod locks;
mod mbuf;
mod media;
mod memory;
mod methods;
mod module;
mod multicast;
mod offloads;
mod peers;
mod percpu;
mod privilege;
pub mod probe;
mod request;
mod stack;
mod sync;
mod sysctl;
mod tags;
#[cfg(all(target_os = "linux", feature = "userlagg"))]
pub mod tap;
mod tasks;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(all(test, not(loom)))]
mod tests;
mod vlan;
mod vnet;
mod ways;
mod witness;

pub(super) use epoch::{EPOCH_CONTEXT, EpochContext, epoch_call, epoch_drain, epoch_wait, section};
pub(super) use media::media_baudrate;
pub(super) use memory::{allocate, release};
pub(super) use percpu::{processor, processors};

pub use super::requests::{IFM_ETHER, IFM_HDX, MediaRequest};
pub use clock::{Callout, uptime_ms};
pub use event::{log, notify};
pub use ifnet::{Ifnet, IfnetRef, Outlet, lookups};
pub use inbox::Inbox;
pub use locks::{Cv, Deadline, DetachGuard, Mtx, MtxGuard, detach_lock};
pub use mbuf::Mbuf;
pub use media::Media;
pub use memory::copyout;
pub use methods::PortMethods;
pub use multicast::Group;
pub use peers::announce_carp;
pub use percpu::{Counters, PerCpu};
pub use privilege::priv_check_lagg;
pub use tasks::Task;
pub use vnet::{defaults, failover_rx_all, lacp_debug};
pub use ways::Ways;

pub use attach::{Attached, attach, rename, vmove};
pub use bridge::{bridge_add, bridge_create};
pub use capture::{Capture, capture};
pub use clone::{clone_create, clone_destroy};
pub use driver::{MOST_MTU, Nic, default_ioctl, requested_mtu};
pub use event::{Event, listen};
pub use input::{netmap_register, netmap_unregister, output, receive, set_input, transmit};
pub use media::{IFM_ACTIVE, IFM_AVALID, IFM_ETHER_AUTO, IFM_FDX, media_of};
pub use memory::UserMemory;
pub use module::{is_loaded, kldload, kldunload};
pub use multicast::{
    groups, join_all_groups, join_group, leave_group, set_allmulti, set_ipv6, set_promisc,
};
pub use offloads::{Couplings, couple, offload_looks, restarts};
pub use peers::{IpState, ip_state, set_ip};
pub use privilege::set_privileged;
pub use request::{SIOCGIFFLAGS, SIOCGIFMTU, SIOCSIFLLADDR, ifioctl};
pub use stack::{set_address, set_link};
pub use sysctl::{leaves, port_leaves, settings, sysctl_all, sysctl_get, sysctl_set};
pub use tags::{CardTag, SendTag, TagParams, TagWrapper, allocate_tag};
pub use tasks::settle;
pub use vlan::{
    filter_vlans, vlan_config, vlan_create, vlan_create_alone, vlan_refreshes, vlan_unconfig,
};
pub use vnet::Vnet;

#[cfg(feature = "testing")]
pub use {
    faults::Fault,
    tasks::settle_lacp,
    testing::injection::{Failed, fail, fail_allocation, fail_copy, failed},
    testing::shortage::{Shortage, exhaust_memory},
};

use std::hash::{BuildHasher, Hasher, RandomState};

/// Random bytes.
///
/// On the host they are the same each time for loom, whose interleavings must not differ in anything else.
pub fn random<const N: usize>() -> [u8; N] {
    if cfg!(loom) {
        return [7; N];
    }
    std::array::from_fn(|_| RandomState::new().build_hasher().finish() as u8)
}
