//! The probes of DTrace, which are events for tests here.

use std::ffi::CStr;
use std::fmt::Display;

use super::event::{Event, tell};
use super::ifnet::Ifnet;
use super::mbuf::Mbuf;
use crate::kpi::{Name, Result};

fn fire(lagg: &Ifnet, probe: &'static str, arguments: &[&dyn Display]) {
    if cfg!(all(feature = "testing", not(loom))) {
        let words: Vec<_> = arguments.iter().map(|argument| format!(" {argument}")).collect();
        tell(lagg, &Event::Probe(format!("{probe}{}", words.concat())));
    }
}

/// The name of an interface, or none.
fn name(ifp: Option<&Ifnet>) -> Name {
    ifp.map_or(Name::default(), Ifnet::name)
}

/// `plan-publish`: a plan of this protocol is published, with so many ports, of which so many are in service.
pub fn plan_publish(lagg: &Ifnet, protocol: &str, ports: usize, active: usize) {
    fire(lagg, "plan-publish", &[&protocol, &ports, &active]);
}

/// `port-join`: an interface has joined, or was refused.
pub fn port_join(lagg: &Ifnet, port: &Name, joined: Result) {
    let error = joined.err().map_or(0, |errno| errno.number());
    fire(lagg, "port-join", &[port, &error]);
}

/// `port-leave`: a port has left.
pub fn port_leave(lagg: &Ifnet, port: &Ifnet) {
    fire(lagg, "port-leave", &[&port.name()]);
}

/// `port-state`: a port has gone in or out of service, or is out of it for another reason.
pub fn port_state(lagg: &Ifnet, port: &Ifnet, from: &str, to: &str) {
    fire(lagg, "port-state", &[&port.name(), &from, &to]);
}

/// `failover`: failover sends on another port.
pub fn failover(lagg: &Ifnet, from: &Name, to: &Name, why: &str) {
    fire(lagg, "failover", &[from, to, &why]);
}

/// `link-state`: the lagg's link goes up or down.
pub fn link_state(lagg: &Ifnet, up: bool, active: usize, min_links: usize) {
    fire(lagg, "link-state", &[&up, &active, &min_links]);
}

/// `lacp-mux`: the mux machine of a port has moved.
pub fn lacp_mux(lagg: &Ifnet, port: &Ifnet, from: &str, to: &str) {
    fire(lagg, "lacp-mux", &[&port.name(), &from, &to]);
}

/// `lacp-receive`: the receive machine of a port has moved.
pub fn lacp_receive(lagg: &Ifnet, port: &Ifnet, from: &str, to: &str) {
    fire(lagg, "lacp-receive", &[&port.name(), &from, &to]);
}

/// `lacp-pdu-in`, `lacp-pdu-out`: a LACPDU was received, or is sent.
pub fn lacp_pdu(lagg: &Ifnet, port: &Ifnet, is_in: bool, frame: &[u8]) {
    let probe = if is_in { "lacp-pdu-in" } else { "lacp-pdu-out" };
    fire(lagg, probe, &[&port.name(), &frame.len()]);
}

/// `lacp-select`: another aggregator is chosen, by number; -1 is none.
pub fn lacp_select(lagg: &Ifnet, from: i32, to: i32) {
    fire(lagg, "lacp-select", &[&from, &to]);
}

/// `lacp-pause`: so many buckets of flows that leave this port wait.
pub fn lacp_pause(lagg: &Ifnet, port: Option<&Ifnet>, buckets: u32) {
    fire(lagg, "lacp-pause", &[&name(port), &buckets]);
}

/// `lacp-resume`: so many of them go on, on this port, after so many milliseconds.
pub fn lacp_resume(lagg: &Ifnet, port: Option<&Ifnet>, buckets: u32, ms: u32) {
    fire(lagg, "lacp-resume", &[&name(port), &buckets, &ms]);
}

/// `bucket-move`: so many buckets of flows go from one port to another.
pub fn bucket_move(lagg: &Ifnet, from: Option<&Ifnet>, to: Option<&Ifnet>, buckets: u32) {
    fire(lagg, "bucket-move", &[&name(from), &name(to), &buckets]);
}

/// `drop`: a packet is dropped, for this reason.
pub fn drop(lagg: &Ifnet, port: Option<&Ifnet>, m: Option<&Mbuf>, why: &'static CStr) {
    let length = m.map_or(0, Mbuf::len);
    fire(lagg, "drop", &[&name(port), &length, &why.to_str().unwrap_or_default()]);
}
