//! The probes of DTrace, provider `lagg` (`kmod/probes.c`). Each may be called in any context. What does not fit
//! into a string is left out.

use core::ffi::{CStr, c_int};
use core::fmt::{Display, Write};
use core::ptr;

use super::bindings as c;
use super::ifnet::Ifnet;
use super::mbuf::Mbuf;
use super::misc::Line;
use crate::kpi::{Name, Result};

/// This text for C.
fn string(text: impl Display) -> Line<32> {
    let mut line = Line::new();
    let _ = write!(line, "{text}");
    line
}

fn pointer(ifp: Option<&Ifnet>) -> *mut c::ifnet {
    ifp.map_or(ptr::null_mut(), Ifnet::as_ptr)
}

/// `plan-publish`: a plan of this protocol is published, with so many ports, of which so many are in service.
pub fn plan_publish(lagg: &Ifnet, protocol: &str, ports: usize, active: usize) {
    let protocol = string(protocol);
    // SAFETY: the ifnet is there, and the string ends in a NUL; a probe keeps nothing.
    unsafe {
        c::lagg_rs_probe_plan_publish(
            lagg.as_ptr(),
            protocol.as_ptr(),
            ports as u32,
            active as u32,
        );
    }
}

/// `port-join`: an interface has joined, or was refused.
pub fn port_join(lagg: &Ifnet, port: &Name, joined: Result) {
    let port = string(port);
    let error = joined.err().map_or(0, |errno| errno.number());
    // SAFETY: the ifnet is there, and the string ends in a NUL; a probe keeps nothing.
    unsafe { c::lagg_rs_probe_port_join(lagg.as_ptr(), port.as_ptr(), error) };
}

/// `port-leave`: a port has left.
pub fn port_leave(lagg: &Ifnet, port: &Ifnet) {
    // SAFETY: both ifnets are there; a probe keeps nothing.
    unsafe { c::lagg_rs_probe_port_leave(lagg.as_ptr(), port.as_ptr()) };
}

/// `port-state`: a port has gone in or out of service, or is out of it for another reason.
pub fn port_state(lagg: &Ifnet, port: &Ifnet, from: &str, to: &str) {
    let (from, to) = (string(from), string(to));
    let (lagg, port) = (lagg.as_ptr(), port.as_ptr());
    // SAFETY: both ifnets are there, and the strings end in a NUL; a probe keeps nothing.
    unsafe { c::lagg_rs_probe_port_state(lagg, port, from.as_ptr(), to.as_ptr()) };
}

/// `failover`: failover sends on another port.
pub fn failover(lagg: &Ifnet, from: &Name, to: &Name, why: &str) {
    let (from, to, why) = (string(from), string(to), string(why));
    // SAFETY: the ifnet is there, and the strings end in a NUL; a probe keeps nothing.
    unsafe {
        c::lagg_rs_probe_failover(lagg.as_ptr(), from.as_ptr(), to.as_ptr(), why.as_ptr());
    }
}

/// `link-state`: the lagg's link goes up or down.
pub fn link_state(lagg: &Ifnet, up: bool, active: usize, min_links: usize) {
    // SAFETY: the ifnet is there; a probe keeps nothing.
    unsafe { c::lagg_rs_probe_link_state(lagg.as_ptr(), up, active as u32, min_links as u32) };
}

/// `lacp-mux`: the mux machine of a port has moved.
pub fn lacp_mux(lagg: &Ifnet, port: &Ifnet, from: &str, to: &str) {
    let (from, to) = (string(from), string(to));
    let (lagg, port) = (lagg.as_ptr(), port.as_ptr());
    // SAFETY: both ifnets are there, and the strings end in a NUL; a probe keeps nothing.
    unsafe { c::lagg_rs_probe_lacp_mux(lagg, port, from.as_ptr(), to.as_ptr()) };
}

/// `lacp-receive`: the receive machine of a port has moved.
pub fn lacp_receive(lagg: &Ifnet, port: &Ifnet, from: &str, to: &str) {
    let (from, to) = (string(from), string(to));
    let (lagg, port) = (lagg.as_ptr(), port.as_ptr());
    // SAFETY: both ifnets are there, and the strings end in a NUL; a probe keeps nothing.
    unsafe { c::lagg_rs_probe_lacp_receive(lagg, port, from.as_ptr(), to.as_ptr()) };
}

/// `lacp-pdu-in`, `lacp-pdu-out`: a LACPDU was received, or is sent.
pub fn lacp_pdu(lagg: &Ifnet, port: &Ifnet, is_in: bool, frame: &[u8]) {
    let (lagg, port) = (lagg.as_ptr(), port.as_ptr());
    // SAFETY: both ifnets are there, and as many bytes as said; a probe keeps nothing.
    unsafe { c::lagg_rs_probe_lacp_pdu(lagg, port, is_in, frame.as_ptr(), frame.len()) };
}

/// `lacp-select`: another aggregator is chosen, by number; -1 is none.
pub fn lacp_select(lagg: &Ifnet, from: i32, to: i32) {
    // SAFETY: the ifnet is there; a probe keeps nothing.
    unsafe { c::lagg_rs_probe_lacp_select(lagg.as_ptr(), from as c_int, to as c_int) };
}

/// `lacp-pause`: so many buckets of flows that leave this port wait.
pub fn lacp_pause(lagg: &Ifnet, port: Option<&Ifnet>, buckets: u32) {
    // SAFETY: the ifnets are there, or NULL; a probe keeps nothing.
    unsafe { c::lagg_rs_probe_lacp_pause(lagg.as_ptr(), pointer(port), buckets) };
}

/// `lacp-resume`: so many of them go on, on this port, after so many milliseconds.
pub fn lacp_resume(lagg: &Ifnet, port: Option<&Ifnet>, buckets: u32, ms: u32) {
    // SAFETY: the ifnets are there, or NULL; a probe keeps nothing.
    unsafe { c::lagg_rs_probe_lacp_resume(lagg.as_ptr(), pointer(port), buckets, ms) };
}

/// `bucket-move`: so many buckets of flows go from one port to another.
pub fn bucket_move(lagg: &Ifnet, from: Option<&Ifnet>, to: Option<&Ifnet>, buckets: u32) {
    // SAFETY: the ifnets are there, or NULL; a probe keeps nothing.
    unsafe { c::lagg_rs_probe_bucket_move(lagg.as_ptr(), pointer(from), pointer(to), buckets) };
}

/// `drop`: a packet is dropped, for this reason.
pub fn drop(lagg: &Ifnet, port: Option<&Ifnet>, m: Option<&Mbuf>, why: &'static CStr) {
    let m = m.map_or(ptr::null_mut(), Mbuf::as_ptr);
    // SAFETY: the ifnets and the packet are there, or NULL, and the string is static; a probe keeps nothing.
    unsafe { c::lagg_rs_probe_drop(lagg.as_ptr(), pointer(port), m, why.as_ptr()) };
}
