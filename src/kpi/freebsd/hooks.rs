//! The functions that the kernel calls: the methods of laggs and ports, and the stack's hooks.
//!
//! Those that are not called in the network epoch count their thread ([`Inside`]), so the module is not
//! unloaded meanwhile (D-29). The stack's hooks count it only for ports; unloading waits for callers that
//! have found none.

use core::ffi::{c_char, c_int, c_ulong, c_void};

use super::bindings as c;
use super::ifnet::Ifnet;
use super::mbuf::Mbuf;
use super::{names, ways};
use crate::kpi::errno::to_c;
use crate::kpi::gate::Inside;
use crate::kpi::mem::Ref;
use crate::kpi::{
    Counter, Driver, Epoch, Errno, Ioctl, MAX_STACKING, Module, TagRequest, epoch, iff,
};

/// `if_transmit` of a lagg.
///
/// # Safety
/// The kernel calls it in the network epoch, with a lagg and a packet that it gives away.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) unsafe extern "C" fn lagg_rs_transmit(ifp: *mut c::ifnet, m: *mut c::mbuf) -> c_int {
    // SAFETY: the kernel calls this in the epoch, so `ifp` is there and the section lasts until this returns.
    // `ifp` is or was a lagg, as only laggs have this method, and the packet is given away.
    unsafe { ways::transmit(ifp, m, &Epoch::assume()) }
}

/// Distinguishes our marks on packets from others'.
const COOKIE: u32 = u32::from_be_bytes(*b"lagg");

/// `if_transmit` of a lagg that stands on VLANs. A packet that comes back, because a VLAN was just given
/// another parent, stops here. The kernel records on the packet which laggs it has passed.
///
/// # Safety
/// As for [`lagg_rs_transmit`].
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn lagg_rs_transmit_guarded(
    ifp: *mut c::ifnet,
    m: *mut c::mbuf,
) -> c_int {
    // SAFETY: the kernel calls this with an interface that is there and a packet that is given away, which is
    // marked and stays ours.
    let error = unsafe { c::if_tunnel_check_nesting(ifp, m, COOKIE, MAX_STACKING as c_int) };
    if error == 0 {
        // SAFETY: this was called as `lagg_rs_transmit` is, and the packet is still ours to give away.
        return unsafe { lagg_rs_transmit(ifp, m) };
    }
    // SAFETY: the interface is there, as the kernel calls this in the epoch. The packet is ours, and used
    // here alone.
    let (ifp, m) = unsafe { (Ifnet::from_ptr(ifp), Mbuf::from_ptr(m)) };
    ifp.count(Counter::Oerrors, 1);
    drop(m);
    error
}

/// `lagg_input_ethernet_p`, `lagg_input_infiniband_p`: returns the packet if it continues up the stack.
///
/// # Safety
/// The kernel calls it in the network epoch, with an interface and a packet that it gives away.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) unsafe extern "C" fn lagg_rs_input(ifp: *mut c::ifnet, m: *mut c::mbuf) -> *mut c::mbuf {
    // SAFETY: the kernel calls this in the epoch, so `ifp` is there and the section lasts until this returns.
    // The packet is given away.
    unsafe { ways::input(ifp, m, &Epoch::assume()) }
}

/// `if_qflush` of a lagg, which has no queue.
pub(super) unsafe extern "C" fn lagg_qflush(_: *mut c::ifnet) {}

/// `if_init` of a lagg.
///
/// # Safety
/// The kernel calls it with the lagg's `if_softc`. Only `ether_ioctl` does, called from our own ioctl,
/// which keeps the lagg.
pub(super) unsafe extern "C" fn lagg_init(softc: *mut c_void) {
    let _inside = Inside::enter();
    let Some(object) = ways::there(softc.cast()) else { return };
    // SAFETY: the kernel passes `if_softc` of a lagg, which came from `into_raw`. Our own ioctl, below which
    // this is called, has a reference to the object, so it is not freed before the section or in it.
    if let Some(softc) = epoch::section(|epoch| unsafe { Ref::upgrade(object, epoch) }) {
        Module::init(&softc);
    }
}

/// `if_get_counter` of a lagg.
///
/// # Safety
/// The kernel calls it with a lagg and one of its counters' numbers.
pub(super) unsafe extern "C" fn lagg_get_counter(ifp: *mut c::ifnet, which: c::ift_counter) -> u64 {
    let _inside = Inside::enter();
    // SAFETY: a thread that asks the kernel for a counter has a reference to the interface, or is in the
    // epoch.
    let ifp = unsafe { Ifnet::from_ptr(ifp) };
    let Some(counter) = Counter::from_number(which) else { return 0 };
    // SAFETY: the kernel calls this with a lagg, as only laggs have this method.
    let slot = unsafe { ifp.softc_slot() };
    epoch::section(|epoch| match slot.load(epoch) {
        Some(softc) => Module::counter(softc, counter, epoch),
        None => ifp.own_counter(counter),
    })
}

/// `if_snd_tag_alloc` of a lagg.
///
/// # Safety
/// The kernel calls it with a lagg, what is wanted of the tag, and a place for it.
pub(super) unsafe extern "C" fn lagg_snd_tag_alloc(
    ifp: *mut c::ifnet,
    params: *mut c::if_snd_tag_alloc_params,
    made: *mut *mut c::m_snd_tag,
) -> c_int {
    let _inside = Inside::enter();
    // SAFETY: the caller has a reference to the interface for the call. It is a lagg, as only laggs have this
    // method.
    let softc = unsafe { Ifnet::from_ptr(ifp).softc_slot() }.get();
    // SAFETY: the kernel passes what is wanted of a tag, which is the callee's while it runs.
    let request = unsafe { TagRequest::from_ptr(params) };
    let (Some(softc), Some(mut request)) = (softc, request) else {
        return Errno::EOPNOTSUPP.number();
    };
    match Module::allocate_tag(&softc, &mut request) {
        Ok(tag) => {
            // SAFETY: the kernel passes a place for the tag, which takes over the reference.
            unsafe { *made = tag.into_ptr() };
            0
        }
        Err(errno) => errno.number(),
    }
}

/// `if_ratelimit_query` of a lagg. It has no limits of its own: ask its ports.
///
/// # Safety
/// The kernel calls it with a place for the answer.
pub(super) unsafe extern "C" fn lagg_ratelimit_query(
    _: *mut c::ifnet,
    answer: *mut c::if_ratelimit_query_results,
) {
    // SAFETY: the kernel passes a place for the answer, the callee's while it runs. Zeros are an answer: a
    // table that is not there, and no numbers.
    unsafe {
        *answer = core::mem::zeroed();
        (*answer).flags = c::RT_IS_INDIRECT;
    }
}

/// `if_ioctl` of a lagg.
///
/// # Safety
/// The kernel calls it with a lagg, a command, and what it hands to drivers with that.
pub(super) unsafe extern "C" fn lagg_ioctl(
    ifp: *mut c::ifnet,
    command: c_ulong,
    data: *mut c_char,
) -> c_int {
    let _inside = Inside::enter();
    // SAFETY: the caller has a reference to the interface for the call. It is a lagg, as only laggs have this
    // method.
    let softc = unsafe { Ifnet::from_ptr(ifp).softc_slot() }.get();
    // SAFETY: command and data are what the kernel hands to a driver's `if_ioctl`, and the callee's while it
    // runs.
    let mut request = unsafe { Ioctl::new(command as usize, data.cast()) };
    match softc {
        Some(softc) => to_c(Module::ioctl(&softc, &mut request)),
        None => Errno::ENXIO.number(),
    }
}

/// `if_ioctl` of a port.
///
/// # Safety
/// As for [`lagg_ioctl`], with an interface that is or was a port.
pub(super) unsafe extern "C" fn port_ioctl(
    ifp: *mut c::ifnet,
    command: c_ulong,
    data: *mut c_char,
) -> c_int {
    let _inside = Inside::enter();
    // SAFETY: the caller has a reference to the interface for the call.
    let ifp = unsafe { Ifnet::from_ptr(ifp) };
    // SAFETY: command and data are what the kernel hands to a driver's `if_ioctl`, and the callee's while it
    // runs.
    let mut request = unsafe { Ioctl::new(command as usize, data.cast()) };
    // D-11: if the port has left, its driver answers below
    if let Some(port) = ifp.lagg_port() {
        return to_c(Module::port_ioctl(&port, &mut request));
    }
    // The caller read the method while the interface was still a port.
    let methods = ifp.methods();
    if methods.is_ours() {
        return Errno::EINVAL.number();
    }
    to_c(methods.forward(ifp, &mut request))
}

/// `if_output` of a port. The packet may be another interface's: a VLAN on the port passes its own packets
/// to its parent's method. This calls no method of that interface, because it may lead back here.
///
/// # Safety
/// The kernel calls it in the network epoch with the interface that a packet goes out on, a packet that
/// it gives away, its destination and perhaps a route.
pub(super) unsafe extern "C" fn port_output(
    ifp: *mut c::ifnet,
    m: *mut c::mbuf,
    to: *const c::sockaddr,
    route: *mut c::route,
) -> c_int {
    // SAFETY: the kernel calls this in the epoch, so `ifp` is there and the section lasts until this returns.
    // The packet is given away, and the destination is a sockaddr that is there for the call.
    let (interface, m, family, epoch) =
        unsafe { (Ifnet::from_ptr(ifp), Mbuf::from_ptr(m), (*to).sa_family, Epoch::assume()) };
    // D-34: the packet may be a VLAN's on what was a port
    let Some(port) = interface.shared_port(&epoch) else {
        return Errno::ENETDOWN.number();
    };
    if let Err(errno) = Module::port_output(port, family) {
        return errno.number();
    }
    match Module::port_methods(port).output() {
        // SAFETY: the stack's own method for interfaces of that type, in the epoch, with what this was called
        // with: the packet is still ours to give away.
        Some(output) => unsafe { output(ifp, m.into_ptr(), to, route) },
        None => Errno::ENETDOWN.number(),
    }
}

/// `lagg_linkstate_p`.
///
/// # Safety
/// The kernel calls it with an interface, on `taskqueue_swi`.
pub(super) unsafe extern "C" fn link_state(ifp: *mut c::ifnet, _: c_int) {
    // SAFETY: the kernel calls this on the interface's link task, which detaching the interface waits for.
    // D-10: a counted reference, or the port has gone
    if let Some(port) = unsafe { Ifnet::from_ptr(ifp) }.lagg_port() {
        let _inside = Inside::enter();
        Module::port_link_state(&port);
    }
}

/// `vlan_config`.
///
/// # Safety
/// The kernel calls it with an interface, with `vlan_sx` held.
pub(super) unsafe extern "C" fn vlan_config(_: *mut c_void, ifp: *mut c::ifnet, id: u16) {
    // SAFETY: the interface that the event is of is there until its handlers have returned.
    let ifp = unsafe { Ifnet::from_ptr(ifp) };
    if let Some(vlan) = epoch::section(|epoch| ifp.vlan(id, epoch)) {
        let _inside = Inside::enter();
        Module::vlan_moved(&vlan, ifp, id);
    }
    vlan(ifp, id, true);
}

/// `vlan_unconfig`.
///
/// # Safety
/// As for [`vlan_config`].
pub(super) unsafe extern "C" fn vlan_unconfig(_: *mut c_void, ifp: *mut c::ifnet, id: u16) {
    // SAFETY: the interface that the event is of is there until its handlers have returned.
    vlan(unsafe { Ifnet::from_ptr(ifp) }, id, false);
}

fn vlan(ifp: &Ifnet, id: u16, configured: bool) {
    if let Some(softc) = ifp.lagg_softc() {
        let _inside = Inside::enter();
        Module::vlan(&softc, id, configured);
    } else if !configured && let Some(port) = ifp.lagg_port() {
        let _inside = Inside::enter();
        Module::port_vlan_gone(&port, id);
    }
}

/// `ifnet_departure_event`.
///
/// # Safety
/// The kernel calls it with an interface that goes away, or is renamed.
pub(super) unsafe extern "C" fn departure(_: *mut c_void, ifp: *mut c::ifnet) {
    // SAFETY: the interface that the event is of is freed after its handlers have returned.
    let ifp = unsafe { Ifnet::from_ptr(ifp) };
    // A rename at the same time as a detach counts as the detach. D-32: IFF_DYING counts first
    if ifp.flags() & (iff::RENAMING | iff::DYING) == iff::RENAMING {
        return;
    }
    if let Some(port) = ifp.lagg_port() {
        let _inside = Inside::enter();
        Module::departure(&port);
    }
}

/// `ifnet_arrival_event`.
///
/// # Safety
/// The kernel calls it with an interface that is new in its vnet, or is renamed.
pub(super) unsafe extern "C" fn arrival(_: *mut c_void, ifp: *mut c::ifnet) {
    // SAFETY: the interface that the event is of is not detached before its handlers have returned.
    let ifp = unsafe { Ifnet::from_ptr(ifp) };
    let _inside = Inside::enter();
    if ifp.flags() & iff::RENAMING != 0 {
        if ifp.is_lagg() {
            names::renamed(ifp);
        } else if let Some(port) = ifp.lagg_port() {
            names::port_renamed(ifp);
            Module::port_renamed(&port);
        }
        return;
    }
    if let Some(softc) = ifp.lagg_softc() {
        Module::arrival(&softc);
    }
}
