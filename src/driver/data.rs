//! The data path. Nothing here takes a lock, sleeps, allocates (but for broadcast's copies), or reaches a
//! port except through the plan.

use core::hint::cold_path;

use super::by_flow::{ByFlow, ByFlowOrId};
use super::drops::Refused;
use super::mode::Rules;
use super::receive::Usual;
use super::{Plan, Port, Softc, tags};
use crate::kpi::{Counter, Epoch, Errno, Ifnet, Mbuf, Result, Sending, Ways, probe};
use crate::policy::{Flows, Packet, Ports, Protocol, Unsent};
use crate::slots::Slot;
use crate::wire::flow::{Bytes, layers};

/// What is done with the packets of a plan with this protocol.
///
/// What most packets need is in the ways themselves and in inlined functions. The rest is in functions that
/// are called last, so no register has to be saved across a call.
pub(super) fn ways(protocol: &Rules, has_ports: bool) -> Ways {
    match protocol {
        _ if !has_ports => const { Ways::new::<Choosing, Usual<false>>() },
        Protocol::None => const { Ways::new::<Choosing, Usual<false>>() },
        Protocol::Failover => const { Ways::new::<OnOne, Usual<false>>() },
        Protocol::RoundRobin(_) => const { Ways::new::<InTurn, Usual<false>>() },
        Protocol::Broadcast => const { Ways::new::<OnAll, Usual<false>>() },
        Protocol::LoadBalance(flows) => match how(flows, false) {
            How::Usual => const { Ways::new::<ByFlow<false>, Usual<false>>() },
            How::Masked => const { Ways::new::<ByFlow<true>, Usual<false>>() },
            How::Closer => const { Ways::new::<ByFlowOrId, Usual<false>>() },
            How::Closest => const { Ways::new::<Choosing, Usual<false>>() },
        },
        Protocol::Lacp(lacp) => match how(&lacp.flows, lacp.exceptions.is_some()) {
            How::Usual => const { Ways::new::<ByFlow<false>, Usual<true>>() },
            How::Masked => const { Ways::new::<ByFlow<true>, Usual<true>>() },
            How::Closer => const { Ways::new::<ByFlowOrId, Usual<true>>() },
            How::Closest => const { Ways::new::<Choosing, Usual<true>>() },
        },
    }
}

/// How flows are to be looked at.
enum How {
    Usual,
    Masked,
    Closer,
    Closest,
}

fn how<T>(flows: &Flows<T>, has_exceptions: bool) -> How {
    let all = layers::ALL as u8;
    match flows.layers {
        more if more & !all != 0 => How::Closest,
        _ if has_exceptions || flows.flowid_shift.is_some() => How::Closer,
        layers if layers != all => How::Masked,
        _ => How::Usual,
    }
}

/// failover.
struct OnOne;

impl Sending for OnOne {
    #[inline(always)]
    fn send(ifp: &Ifnet, softc: &Softc, m: Mbuf, plan: &Plan, epoch: &Epoch) -> Result {
        let Some(port) = plan.outlet().active() else {
            cold_path();
            return choose_and_send(ifp, m, None, plan, softc, epoch);
        };
        send_on(ifp, m, port, softc, epoch)
    }
}

/// roundrobin.
struct InTurn;

impl Sending for InTurn {
    #[inline(always)]
    fn send(ifp: &Ifnet, softc: &Softc, m: Mbuf, plan: &Plan, epoch: &Epoch) -> Result {
        let Protocol::RoundRobin(turns) = plan.protocol() else {
            return choose_and_send(ifp, m, None, plan, softc, epoch);
        };
        let turn = Slot::from_low_bits(turns.next() as u8);
        let Some(port) = plan.outlet_of(turn).active() else {
            cold_path();
            return choose_and_send(ifp, m, plan.at(turn.into()), plan, softc, epoch);
        };
        send_on(ifp, m, port, softc, epoch)
    }
}

/// none; also the way of plans without ports, or in which each packet needs the closest look.
struct Choosing;

impl Sending for Choosing {
    #[inline(always)]
    fn send(ifp: &Ifnet, softc: &Softc, m: Mbuf, plan: &Plan, epoch: &Epoch) -> Result {
        choose_and_send(ifp, m, None, plan, softc, epoch)
    }
}

/// broadcast.
struct OnAll;

impl Sending for OnAll {
    #[inline(always)]
    fn send(_: &Ifnet, softc: &Softc, m: Mbuf, plan: &Plan, epoch: &Epoch) -> Result {
        send_on_all(softc, m, plan, epoch)
    }
}

/// Sends a packet on its port, which is active.
#[inline(always)]
pub(super) fn send_on(ifp: &Ifnet, m: Mbuf, port: &Ifnet, softc: &Softc, epoch: &Epoch) -> Result {
    if ifp.has_listeners() || m.has_tag() {
        cold_path();
        return show_and_send(ifp, m, port, softc, epoch);
    }
    port.transmit(m, epoch)
}

/// Sends a packet that bpf(4) listens to, or that has a send tag, on its port.
#[inline(never)]
fn show_and_send(ifp: &Ifnet, m: Mbuf, port: &Ifnet, softc: &Softc, epoch: &Epoch) -> Result {
    softc.bpf_tap_on(ifp, &m);
    if m.has_tag() { tags::transmit(port, m, epoch) } else { port.transmit(m, epoch) }
}

/// Sends a packet of a flow with this hash whose first port is down, or not for this packet.
#[inline(never)]
pub(super) fn send_elsewhere(
    ifp: &Ifnet,
    m: Mbuf,
    bucket: u32,
    plan: &Plan,
    softc: &Softc,
    epoch: &Epoch,
) -> Result {
    if ifp.has_listeners() || m.has_tag() {
        return choose_and_send(ifp, m, None, plan, softc, epoch);
    }
    match plan.protocol().select_in_bucket(plan, &m, bucket) {
        Ok(port) => port.ifp().transmit(m, epoch),
        Err(why) => unsent(softc, m, why),
    }
}

/// Sends a packet whose port is down and chosen by no flow, or whose headers are in pieces. `turn` is the port whose
/// turn it is with roundrobin.
#[inline(never)]
pub(super) fn choose_and_send(
    ifp: &Ifnet,
    m: Mbuf,
    turn: Option<&Port>,
    plan: &Plan,
    softc: &Softc,
    epoch: &Epoch,
) -> Result {
    if plan.count().is_none() {
        return unsent(softc, m, Unsent::NoPorts);
    }
    softc.bpf_tap_on(ifp, &m);
    match plan.protocol().select(turn, plan, &m) {
        Ok(port) if m.has_tag() => tags::transmit(port.ifp(), m, epoch),
        Ok(port) => port.ifp().transmit(m, epoch),
        Err(why) => unsent(softc, m, why),
    }
}

/// Sends a packet on every active port, as a copy on all but the last. If one port fails, the others still
/// send; the first error is returned.
#[inline(never)]
fn send_on_all(softc: &Softc, m: Mbuf, plan: &Plan, epoch: &Epoch) -> Result {
    if m.has_tag() {
        // The tag belongs to one port, from before the protocol was broadcast. Its owner drops it on
        // EAGAIN.
        return Err(Errno::EAGAIN);
    }
    if plan.count().is_none() {
        return unsent(softc, m, Unsent::NoPorts);
    }
    softc.bpf_tap(&m);
    let is_active = |port: &&Port| port.is_active();
    let mut active = plan.iter().take(plan.in_service()).filter(is_active);
    // Ports that wait are for when there is no other.
    let Some(mut last) = active.next().or_else(|| plan.iter().find(is_active)) else {
        return unsent(softc, m, Unsent::NoActivePort).or(Err(Errno::ENOENT));
    };
    // F-28: the first one is returned
    let mut first_error = Ok(());
    active.for_each(|port| {
        if let Some(copy) = m.copy() {
            let sent = last.ifp().transmit(copy, epoch);
            if sent.is_err() {
                count_unsent(softc, None);
                first_error = first_error.and(sent);
            }
        } else {
            not_copied(softc, last, &m);
            first_error = first_error.and(Err(errno(Unsent::NoCopy)));
        }
        last = port;
    });
    first_error.and(last.ifp().transmit(m, epoch))
}

/// Drops a packet for which no port was chosen.
#[cold]
#[inline(never)]
fn unsent(softc: &Softc, m: Mbuf, why: Unsent) -> Result {
    probe::drop(softc.ifp(), None, Some(&m), why.c_name());
    drop(m);
    count_unsent(softc, Some(why));
    Err(errno(why))
}

/// The errno that the sender gets.
fn errno(why: Unsent) -> Errno {
    match why {
        Unsent::NoPorts => Errno::ENXIO,
        Unsent::NoActivePort | Unsent::Disabled => Errno::ENETDOWN,
        Unsent::NoCopy | Unsent::Paused => Errno::ENOBUFS,
    }
}

/// Broadcast has no memory for a port's copy of a packet.
#[cold]
#[inline(never)]
fn not_copied(softc: &Softc, port: &Port, m: &Mbuf) {
    probe::drop(softc.ifp(), Some(port.ifp()), Some(m), Unsent::NoCopy.c_name());
    count_unsent(softc, Some(Unsent::NoCopy));
}

/// Counts an output error, and its reason unless a port's driver refused the packet.
#[cold]
#[inline(never)]
fn count_unsent(softc: &Softc, why: Option<Unsent>) {
    softc.ifp().count(Counter::Oerrors, 1);
    if let Some(why) = why {
        softc.unsent.count(why);
    }
}

/// Asks whether a packet of this address family may be sent on a port itself. Only frames whose header the
/// sender wrote may, as bpf(4) does; no protocol's packets may.
///
/// # Errors
/// ENETDOWN: it may not.
pub(super) fn port_output(port: &Port, family: u8) -> Result {
    const AF_UNSPEC: u8 = 0;
    const PSEUDO_AF_HDRCMPLT: u8 = 31;
    if matches!(family, AF_UNSPEC | PSEUDO_AF_HDRCMPLT) {
        return Ok(());
    }
    probe::drop(port.softc().ifp(), Some(port.ifp()), None, Refused::OwnOutput.c_name());
    port.refused.count(Refused::OwnOutput);
    Err(Errno::ENETDOWN)
}

impl Bytes for Mbuf {
    #[inline]
    fn head(&self) -> &[u8] {
        self.first()
    }

    fn gather<'a>(&'a self, room: &'a mut [u8]) -> &'a [u8] {
        let length = self.len().min(room.len());
        let (room, _) = room.split_at_mut(length);
        if self.copy_to(0, room) { room } else { self.first() }
    }
}

impl Packet for Mbuf {
    fn length(&self) -> usize {
        self.len()
    }

    #[inline]
    fn vlan_tag(&self) -> Option<u16> {
        self.vlan_tag()
    }

    #[inline]
    fn flow_id(&self) -> Option<u32> {
        self.flow()
    }

    #[inline]
    fn numa_domain(&self) -> Option<u8> {
        self.numa_domain()
    }
}
