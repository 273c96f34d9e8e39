//! The data path. Nothing here takes a lock, sleeps, allocates (but for broadcast's copies), or reaches a
//! port except through the plan.

use super::drops::Refused;
use super::{Plan, Port, Softc, lacp_frames, tags};
use crate::kpi::{Counter, Epoch, Errno, Mbuf, Result, failover_rx_all, iff, probe};
use crate::policy::{self, Look, Packet, Ports, Protocol, Unsent};
use crate::wire::flow::Bytes;

/// Sends a packet on the port that the plan's protocol chooses.
///
/// What most packets need is here and in inlined functions. The rest is in functions that are called last,
/// so no register has to be saved across a call.
///
/// # Errors
/// ENXIO without ports; ENETDOWN without an active port, ENOENT for broadcast; ENOBUFS while lacp makes the
/// packet's flow wait; EAGAIN for a send tag of another port; else what the port's driver returns.
#[inline]
pub(super) fn transmit(softc: &Softc, m: Mbuf, epoch: &Epoch) -> Result {
    // D-1: count, list and ports belong to one plan
    let plan = softc.plan(epoch);
    if plan.protocol().sends_on_all() {
        return send_on_all(softc, m, plan, epoch);
    }
    if let Protocol::Failover = plan.protocol() {
        // Apart, so that its port is one load.
        return send_usual(softc, m, plan.sender(), plan, epoch);
    }
    let first = policy::first!(plan.protocol(), plan, &m);
    send_usual(softc, m, first, plan, epoch)
}

/// Sends a packet on its first port if that is all it needs.
#[inline(always)]
fn send_usual(softc: &Softc, m: Mbuf, first: Option<&Port>, plan: &Plan, epoch: &Epoch) -> Result {
    match first {
        Some(port) if port.is_active() && !softc.ifp().has_listeners() && !m.has_tag() => {
            port.ifp().transmit(m, epoch)
        }
        first if softc.ifp().has_listeners() || m.has_tag() => {
            choose_and_send(softc, m, first, plan, epoch)
        }
        first => look_closer(softc, m, first, plan, epoch),
    }
}

/// Sends a packet whose flow or port takes longer to find. What it calls is called last too.
#[inline(never)]
fn look_closer(softc: &Softc, m: Mbuf, first: Option<&Port>, plan: &Plan, epoch: &Epoch) -> Result {
    if plan.count().is_none() {
        return choose_and_send(softc, m, first, plan, epoch);
    }
    match plan.protocol().near(plan, &m) {
        Some(Ok(port)) => port.ifp().transmit(m, epoch),
        Some(Err(why)) => unsent(softc, m, why),
        None => choose_and_send(softc, m, first, plan, epoch),
    }
}

/// Sends a packet that bpf(4) listens to, that has a send tag, whose headers are in pieces, or whose port is
/// down and chosen by no flow.
#[inline(never)]
fn choose_and_send(
    softc: &Softc,
    m: Mbuf,
    first: Option<&Port>,
    plan: &Plan,
    epoch: &Epoch,
) -> Result {
    if plan.count().is_none() {
        return unsent(softc, m, Unsent::NoPorts);
    }
    softc.bpf_tap(&m);
    match plan.protocol().select(first, plan, &m) {
        Ok(port) if m.has_tag() => tags::transmit(port, m, epoch),
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

/// Receives a frame from a port. If the plan's protocol accepts it, the lagg is its receiver from here on.
#[inline]
pub(super) fn input(port: &Port, mut m: Mbuf, epoch: &Epoch) -> Option<Mbuf> {
    let softc: &Softc = port.softc();
    let (plan, ifp) = (softc.plan(epoch), softc.ifp());
    let is_usual = plan.is_running()
        && plan.has(port)
        && plan.protocol().accepts(plan, port, &m, Look::Usual)
        && ifp.shares_vnet(port.ifp())
        && !ifp.has_netmap()
        && !ifp.has_listeners()
        && ifp.flags() & iff::MONITOR == 0;
    if !is_usual {
        return consider(port, m, plan, epoch);
    }
    m.set_receiver(ifp);
    Some(m)
}

/// Receives a frame that needs a closer look than most.
#[cold]
#[inline(never)]
fn consider(port: &Port, mut m: Mbuf, plan: &Plan, epoch: &Epoch) -> Option<Mbuf> {
    if !plan.is_running() {
        return refuse(port, m, Refused::NotRunning);
    }
    if !plan.has(port) {
        return refuse(port, m, Refused::NotMember);
    }
    if let Some(frames) = plan.frames().filter(|_| lacp_frames::is_slow(&m)) {
        m = lacp_frames::receive(port, m, frames)?;
    }
    let look = Look::Closer { rx_all: failover_rx_all };
    if !plan.protocol().accepts(plan, port, &m, look) {
        return refuse(port, m, Refused::NotAccepted);
    }
    let softc = port.softc();
    let ifp = softc.ifp();
    m.set_receiver(ifp);
    if !ifp.shares_vnet(port.ifp()) || ifp.has_netmap() {
        return hand_over(port, m, epoch);
    }
    softc.bpf_tap(&m);
    if ifp.flags() & iff::MONITOR != 0 {
        return refuse(port, m, Refused::Monitor);
    }
    Some(m)
}

/// Hands a frame to the lagg's own `if_input`. It is needed if the lagg is in another vnet than the port,
/// where the stack would continue in the port's (F-31), and if netmap(4) has the lagg. The stack's
/// `if_input` shows the frame to bpf(4), and drops it if the lagg is a monitor; netmap's does neither.
#[cold]
#[inline(never)]
fn hand_over(port: &Port, m: Mbuf, epoch: &Epoch) -> Option<Mbuf> {
    let ifp = port.softc().ifp();
    let monitors = ifp.flags() & iff::MONITOR != 0;
    if ifp.has_netmap() {
        port.softc().bpf_tap(&m);
        if monitors {
            return refuse(port, m, Refused::Monitor);
        }
    } else if monitors {
        probe::drop(ifp, Some(port.ifp()), Some(&m), Refused::Monitor.c_name());
        port.refused.count(Refused::Monitor);
    }
    ifp.input(m, epoch);
    None
}

/// Drops a frame that is not accepted.
#[cold]
#[inline(never)]
fn refuse(port: &Port, m: Mbuf, why: Refused) -> Option<Mbuf> {
    probe::drop(port.softc().ifp(), Some(port.ifp()), Some(&m), why.c_name());
    drop(m);
    port.refused.count(why);
    None
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

    #[inline]
    fn is_multicast(&self) -> bool {
        self.is_multicast()
    }
}
