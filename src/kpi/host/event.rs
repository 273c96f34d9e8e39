//! The events of an interface (eventhandler(9), and the log).

use std::ffi::CStr;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::witness::{self, lock};
use crate::kpi::{Ifnet, LinkAddr, LinkState};

/// Something that happened to an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is administratively up.
    Up,
    /// It is about to be administratively down.
    Down,
    /// Its link state has changed; reported on `taskqueue_swi`.
    Link(LinkState),
    /// It has another link-level address (`iflladdr_event`).
    Lladdr(LinkAddr),
    /// Its neighbours were told where it is.
    Announced,
    /// Its groups are reported again (IGMP, MLD).
    GroupsReported,
    /// It is detected again whether its address is a duplicate (IPv6).
    Detecting(IpAddr),
    /// Its baud rate has changed (`ifnet_event`).
    Baudrate(u64),
    /// The network layers were told of its MTU (if_notifymtu).
    Mtu(u32),
    /// It is new in its vnet (`ifnet_arrival_event`).
    Arrival,
    /// It leaves its vnet (`ifnet_departure_event`), or its name.
    Departure,
    /// A VLAN was configured on it or removed (`vlan_config`, `vlan_unconfig`).
    Vlan(u16, bool),
    /// Its driver has logged a line (if_log).
    Log(String),
    /// A probe of DTrace, with its arguments but the first.
    Probe(String),
    /// Its driver has told devctl(4) of an event: its type, and its variables.
    Notified(&'static str, String),
}

pub(super) type Listener = Arc<dyn Fn(&Ifnet, &Event) + Send + Sync>;

/// Calls `listener` with every event of `ifp` from now on, in the thread that causes the event and with the
/// locks that it holds.
pub fn listen(ifp: &Ifnet, listener: impl Fn(&Ifnet, &Event) + Send + Sync + 'static) {
    lock(&ifp.listeners).push(Arc::new(listener));
}

pub(super) fn tell(ifp: &Ifnet, event: &Event) {
    let listeners = lock(&ifp.listeners).clone();
    listeners.iter().for_each(|listener| listener(ifp, event));
}

/// Logs a line that begins with the interface's name.
///
/// # Panics
/// If the thread holds a mutex, because a console is slow.
pub fn log(ifp: &Ifnet, text: fmt::Arguments<'_>) {
    witness::without_mutex("the log is written");
    let text = text.to_string();
    let line = format!("{}: {text}\n", ifp.name());
    // One write: a process that gives up its stderr meanwhile cuts no line.
    eprint!("{line}");
    tell(ifp, &Event::Log(text));
}

/// Tells devctl(4) of an event of the interface, if it is in the default vnet: its type, and its variables.
/// The thread is in the interface's vnet. Not under a mutex.
///
/// The host tells of those of all vnets.
///
/// # Panics
/// If the thread holds a mutex.
pub fn notify(ifp: &Ifnet, kind: &'static CStr, data: fmt::Arguments<'_>) {
    witness::without_mutex("devctl(4) is told");
    tell(ifp, &Event::Notified(kind.to_str().unwrap_or_default(), data.to_string()));
}
