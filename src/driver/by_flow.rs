//! The way to send of protocols that choose a port for each flow.

use core::hint::cold_path;

use super::data::{choose_and_send, send_elsewhere, send_on};
use super::mode::SharedTable;
use super::{Plan, Softc};
use crate::kpi::{Epoch, Ifnet, Mbuf, Result, Sending};
use crate::policy::Flows;
use crate::policy::buckets::Table;
use crate::wire::flow::{Flow, Masks, Unusual, Vlans};

/// loadbalance and lacp, if each flow has its port. `MASKED`: not all layers tell flows apart.
pub(super) struct ByFlow<const MASKED: bool>;

impl<const MASKED: bool> Sending for ByFlow<MASKED> {
    #[inline(always)]
    fn send(ifp: &Ifnet, softc: &Softc, m: Mbuf, plan: &Plan, epoch: &Epoch) -> Result {
        match m.vlan_tag() {
            None => send_by_flow::<MASKED>(ifp, m, Vlans::NONE, plan, softc, epoch),
            tag => {
                cold_path();
                send_tagged::<MASKED>(ifp, m, Vlans::of(tag), plan, softc, epoch)
            }
        }
    }
}

/// The layers of a plan in which each flow has its port.
#[inline(always)]
fn masks<const MASKED: bool>(plan: &Plan) -> &Masks {
    if MASKED { plan.masks() } else { Masks::ALL }
}

/// [`ByFlow`] for packets with a tag.
#[inline(never)]
fn send_tagged<const MASKED: bool>(
    ifp: &Ifnet,
    m: Mbuf,
    vlans: Vlans,
    plan: &Plan,
    softc: &Softc,
    epoch: &Epoch,
) -> Result {
    send_by_flow::<MASKED>(ifp, m, vlans, plan, softc, epoch)
}

#[inline(always)]
fn send_by_flow<const MASKED: bool>(
    ifp: &Ifnet,
    m: Mbuf,
    vlans: Vlans,
    plan: &Plan,
    softc: &Softc,
    epoch: &Epoch,
) -> Result {
    let Some(flows) = plan.protocol().flows() else {
        cold_path();
        return choose_and_send(ifp, m, None, plan, softc, epoch);
    };
    let unusual = match Flow::usual(m.first(), vlans, flows.by(masks::<MASKED>(plan))) {
        Ok(hash) => return send_by_hash(ifp, m, hash, flows, plan, softc, epoch),
        Err(unusual) => unusual,
    };
    cold_path();
    match unusual {
        Unusual::Portless => send_portless::<MASKED>(ifp, m, vlans, plan, softc, epoch),
        Unusual::Options => send_with_options::<MASKED>(ifp, m, vlans, plan, softc, epoch),
        Unusual::Ipv6 => send_ipv6::<MASKED>(ifp, m, vlans, plan, softc, epoch),
        Unusual::Tag => send_with_tag::<MASKED>(ifp, m, vlans, plan, softc, epoch),
        Unusual::Foreign => send_foreign::<MASKED>(ifp, m, vlans, plan, softc, epoch),
        Unusual::Short => send_short::<MASKED>(ifp, m, vlans, plan, softc, epoch),
    }
}

/// [`ByFlow`] for packets that are short, or whose first piece is.
#[inline(never)]
fn send_short<const MASKED: bool>(
    ifp: &Ifnet,
    m: Mbuf,
    vlans: Vlans,
    plan: &Plan,
    softc: &Softc,
    epoch: &Epoch,
) -> Result {
    let Some(flows) = plan.protocol().flows() else {
        cold_path();
        return choose_and_send(ifp, m, None, plan, softc, epoch);
    };
    let is_all = || m.first().len() == m.len();
    match Flow::short(m.first(), vlans, is_all, flows.by(masks::<MASKED>(plan))) {
        Some(hash) => send_by_hash(ifp, m, hash, flows, plan, softc, epoch),
        None => look_closer::<MASKED>(ifp, m, plan, softc, epoch),
    }
}

/// Makes [`ByFlow`] for the packets that are unusual for one reason: a function that is jumped to.
macro_rules! send_unusual {
    ($($function:ident = $flow:ident;)*) => {$(
        #[inline(never)]
        fn $function<const MASKED: bool>(
            ifp: &Ifnet,
            m: Mbuf,
            vlans: Vlans,
            plan: &Plan,
            softc: &Softc,
            epoch: &Epoch,
        ) -> Result {
            let Some(flows) = plan.protocol().flows() else {
                cold_path();
                return choose_and_send(ifp, m, None, plan, softc, epoch);
            };
            match Flow::$flow(m.first(), vlans, flows.by(masks::<MASKED>(plan))) {
                Some(hash) => send_by_hash(ifp, m, hash, flows, plan, softc, epoch),
                None => {
                    cold_path();
                    look_closer::<MASKED>(ifp, m, plan, softc, epoch)
                }
            }
        }
    )*};
}

send_unusual! {
    send_portless = portless;
    send_with_options = with_options;
    send_ipv6 = ipv6;
    send_with_tag = tagged;
    send_foreign = foreign;
}

/// Sends a packet of a flow with this hash.
#[inline(always)]
fn send_by_hash(
    ifp: &Ifnet,
    m: Mbuf,
    hash: u32,
    flows: &Flows<SharedTable>,
    plan: &Plan,
    softc: &Softc,
    epoch: &Epoch,
) -> Result {
    // It takes the place of the hash, so that one register is enough.
    let bucket = Table::bucket_of(hash);
    let Some(port) = plan.outlet_of(flows.table.slot(bucket)).active() else {
        cold_path();
        return send_elsewhere(ifp, m, bucket, plan, softc, epoch);
    };
    send_on(ifp, m, port, softc, epoch)
}

/// [`ByFlow`] for packets whose flow takes longer to find.
#[inline(never)]
fn look_closer<const MASKED: bool>(
    ifp: &Ifnet,
    m: Mbuf,
    plan: &Plan,
    softc: &Softc,
    epoch: &Epoch,
) -> Result {
    let Some(flows) = plan.protocol().flows() else {
        cold_path();
        return choose_and_send(ifp, m, None, plan, softc, epoch);
    };
    let (vlans, is_all) = (Vlans::of(m.vlan_tag()), || m.first().len() == m.len());
    match Flow::near(m.first(), vlans, is_all, flows.by(masks::<MASKED>(plan))) {
        Some(hash) => send_by_hash(ifp, m, hash, flows, plan, softc, epoch),
        None => choose_and_send(ifp, m, None, plan, softc, epoch),
    }
}

/// loadbalance and lacp, if packets may have flow ids that count, or flows may wait or keep to a NUMA domain.
pub(super) struct ByFlowOrId;

impl Sending for ByFlowOrId {
    #[inline(always)]
    fn send(ifp: &Ifnet, softc: &Softc, m: Mbuf, plan: &Plan, epoch: &Epoch) -> Result {
        let Some(flows) = plan.protocol().flows() else {
            cold_path();
            return choose_and_send(ifp, m, None, plan, softc, epoch);
        };
        let hash = match flows.usual_flow_id(&m) {
            Some(hash) => Ok(hash),
            None => Flow::usual(m.first(), Vlans::of(m.vlan_tag()), flows.by(plan.masks())),
        };
        match hash {
            Ok(hash) => send_unless_excepted(ifp, m, hash, flows, plan, softc, epoch),
            Err(_) => look_closer_still(ifp, m, plan, softc, epoch),
        }
    }
}

/// [`ByFlowOrId`] for packets whose flow takes longer to find.
#[inline(never)]
fn look_closer_still(ifp: &Ifnet, m: Mbuf, plan: &Plan, softc: &Softc, epoch: &Epoch) -> Result {
    let Some(flows) = plan.protocol().flows() else {
        cold_path();
        return choose_and_send(ifp, m, None, plan, softc, epoch);
    };
    let (vlans, is_all) = (Vlans::of(m.vlan_tag()), || m.first().len() == m.len());
    match Flow::near(m.first(), vlans, is_all, flows.by(plan.masks())) {
        Some(hash) => send_unless_excepted(ifp, m, hash, flows, plan, softc, epoch),
        None => choose_and_send(ifp, m, None, plan, softc, epoch),
    }
}

/// Sends a packet of a flow with this hash, which may have to wait, or to stay in its NUMA domain.
#[inline(always)]
fn send_unless_excepted(
    ifp: &Ifnet,
    m: Mbuf,
    hash: u32,
    flows: &Flows<SharedTable>,
    plan: &Plan,
    softc: &Softc,
    epoch: &Epoch,
) -> Result {
    let bucket = Table::bucket_of(hash);
    if let Some(exceptions) = plan.protocol().exceptions()
        && !exceptions.allow(bucket, flows.table.slot(bucket), m.numa_domain())
    {
        return send_elsewhere(ifp, m, bucket, plan, softc, epoch);
    }
    send_by_hash(ifp, m, hash, flows, plan, softc, epoch)
}
