//! kpi in FreeBSD's kernel, over bindgen's bindings and the C shim in `kmod/`.

mod bindings;
mod callout;
mod clone;
mod epoch;
mod events;
mod groups;
mod hooks;
mod ifnet;
mod inbox;
mod leaves;
mod lladdr;
mod locks;
mod mbuf;
mod media;
mod memory;
mod misc;
#[cfg(lagg_mistakes)]
mod mistakes;
mod module;
mod names;
mod offloads;
mod panic;
mod peers;
mod percpu;
mod port;
pub mod probe;
mod sysctl;
mod tags;
mod tasks;
mod vlans;
mod ways;

pub use callout::Callout;
pub use groups::Group;
pub use ifnet::{Ifnet, IfnetRef, Outlet};
pub use inbox::Inbox;
pub use locks::{Cv, Deadline, DetachGuard, Mtx, MtxGuard, detach_lock};
pub use mbuf::Mbuf;
pub use media::Media;
pub use misc::{
    copyout, defaults, failover_rx_all, lacp_debug, log, notify, priv_check_lagg, random, uptime_ms,
};
pub use peers::announce_carp;
pub use percpu::{Counters, PerCpu};
pub use port::PortMethods;
pub use tags::{SendTag, TagParams, TagWrapper};
pub use tasks::Task;
pub use ways::Ways;

pub(super) use epoch::{EPOCH_CONTEXT, EpochContext, epoch_call, epoch_drain, epoch_wait, section};
pub(super) use media::media_baudrate;
pub(super) use memory::{allocate, release};
pub(super) use percpu::{processor, processors};
