//! LACP's frames: on their way in, from the data path to the machines, and out.

use super::drops::Refused;
use super::lacp_state::{Control, Frames, Inboxes, Machines, now};
use super::{Port, Softc};
use crate::kpi::{Epoch, Errno, Mbuf, Result, epoch, lacp_debug, log, probe, uptime_ms};
use crate::lacp::Time;
use crate::lacp::order::Order;
use crate::slots::Slot;
use crate::wire::lacpdu::Lacpdu;
use crate::wire::marker;
use crate::wire::slow::{self, FRAME, Subtype};

/// Whether a frame is of a slow protocol. Its first 14 bytes are contiguous: ether_input(9) ensures that.
#[inline]
pub(super) fn is_slow(m: &Mbuf) -> bool {
    // Frames of slow protocols are multicast, so others need no further look.
    m.is_multicast() && m.vlan_tag().is_none() && slow::is_slow(m.first())
}

/// A frame of a slow protocol was received. LACP's own go to the LACP task; any other is returned, to
/// be treated as a usual frame.
#[cold]
pub(super) fn receive(port: &Port, m: Mbuf, frames: &Frames) -> Option<Mbuf> {
    // Bytes after the header may be in other mbufs (F-49).
    let mut number = [0];
    m.copy_to(Subtype::OFFSET, &mut number);
    let [number] = number;
    let Some(subtype) = Subtype::numbered(number) else {
        port.count_unknown();
        return Some(m);
    };
    // D-3: LACP's state of a port is reached through the plan
    let Inboxes { pdus, markers } = frames.of(port.slot())?;
    let inbox = match subtype {
        Subtype::Lacp => pdus,
        Subtype::Marker => markers,
    };
    for _ in 0..inbox.put(m, Arrival::of(port).pack()) {
        let (lagg, why) = (port.softc().ifp(), Refused::NoRoom.c_name());
        probe::drop(lagg, Some(port.ifp()), None, why);
        port.refused.count(Refused::NoRoom);
    }
    Softc::wake_lacp(port.softc());
    None
}

/// When and where a frame was received.
#[derive(Clone, Copy)]
struct Arrival {
    /// The port's `if_index`, because the slot may be another port's when the task runs.
    index: u32,
    /// The low bits of the milliseconds, on the lagg's clock.
    ms: u32,
}

impl Arrival {
    fn of(port: &Port) -> Self {
        let ms = port.softc().ifp().in_vnet(uptime_ms) as u32;
        Arrival { index: port.ifp().index(), ms }
    }

    fn pack(self) -> u64 {
        u64::from(self.ms) << 32 | u64::from(self.index)
    }

    fn unpack(number: u64) -> Self {
        Arrival { index: number as u32, ms: (number >> 32) as u32 }
    }

    fn time(self) -> Time {
        let now = uptime_ms();
        Time::new(now.saturating_sub((now as u32).wrapping_sub(self.ms).into()))
    }
}

/// Gives the machines the frames received, and sends their responses.
pub(super) fn take_frames(softc: &Softc) {
    let Some(frames) = softc.state().mode.lacp().map(|lacp| lacp.frames.clone()) else { return };
    let inboxes = Slot::all().filter_map(|slot| Some((slot, frames.of(slot)?)));
    for (slot, Inboxes { pdus, markers }) in inboxes {
        for inbox in [pdus, markers] {
            inbox.take(|m, number| take_pieces(softc, slot, Arrival::unpack(number), &m));
        }
    }
}

fn take_pieces(softc: &Softc, slot: Slot, arrival: Arrival, m: &Mbuf) {
    let mut copy = [0; FRAME];
    let mut frame = m.first();
    if frame.len() < m.len().min(FRAME)
        && let Some(place) = copy.get_mut(..m.len().min(FRAME))
    {
        m.copy_to(0, place);
        frame = place;
    }
    take_frame(softc, slot, arrival, frame);
}

/// Gives the machines one frame, received on the port in `slot`.
fn take_frame(softc: &Softc, slot: Slot, arrival: Arrival, frame: &[u8]) {
    trace(softc, slot, true, frame);
    let answer = {
        let mut state = softc.state();
        let port = state.claimed(slot);
        let port = port.filter(|port| port.ifp().index() == arrival.index);
        let (Some(_), Some(lacp)) = (port, state.mode.lacp_mut()) else { return };
        let machines = &mut lacp.machines;
        let taken = match Subtype::of(frame) {
            None => return,
            Some(Subtype::Lacp) => Lacpdu::parse(frame).map(|pdu| {
                // A task that is late does not make the partner's next LACPDU due later.
                machines.receive(slot, slow::source(frame), &pdu, arrival.time());
                None
            }),
            Some(Subtype::Marker) => marker::Frame::parse(frame)
                .map(|(frame, kind)| machines.receive_marker(slot, frame, kind, now())),
        };
        taken.unwrap_or_else(|why| {
            machines.receive_malformed(slot, why);
            None
        })
    };
    if let Some(answer) = answer {
        let _ = epoch::section(|epoch| send_on(softc, slot, &answer, epoch));
    }
}

/// A LACPDU comes or goes: its probe, and a line if that is enabled (`net.link.lagg.lacp.debug` above 1).
fn trace(softc: &Softc, slot: Slot, is_in: bool, frame: &[u8]) {
    if Subtype::of(frame) != Some(Subtype::Lacp) {
        return;
    }
    // Outside of the mutex, because a console is slow.
    let port = softc.state().claimed(slot);
    let Some(port) = port else { return };
    probe::lacp_pdu(softc.ifp(), port.ifp(), is_in, frame);
    if lacp_debug() > 1
        && let Ok(Lacpdu { actor, partner }) = Lacpdu::parse(frame)
    {
        let (name, way) = (port.ifp().name(), if is_in { "in" } else { "out" });
        log(softc.ifp(), format_args!("{name} {way}: actor {actor} partner {partner}"));
    }
}

/// A frame from the machines, and the slot of the port that sends it.
type Said = (Slot, [u8; FRAME]);

/// Sends the farewells of ports that are no longer used, after all packets and LACPDUs of plans that had
/// these ports. Sleeps if there are any.
pub(super) fn send_farewells(softc: &Softc) {
    send_behind(softc, Machines::has_farewell, Machines::poll_farewell, Machines::farewell_failed);
}

/// Sends the markers that are due, after all packets of the plans before those that asked for them. Sleeps
/// if there are any.
pub(super) fn send_markers(softc: &Softc) {
    send_behind(softc, Machines::has_marker, Machines::poll_marker, Machines::marker_failed);
}

/// Sends the machines' markers or farewells after the packets of the plans before the present one.
fn send_behind(
    softc: &Softc,
    has: fn(&Machines, Order) -> bool,
    poll: fn(&mut Machines, Order) -> Option<Said>,
    failed: fn(&mut Machines, Slot),
) {
    let due = || {
        let state = softc.state();
        let lacp = state.mode.lacp()?;
        Some(lacp.last_order()).filter(|last| has(&lacp.machines, *last))
    };
    // F-67: what is ordered during this wait must wait for packets of later plans too
    while let Some(last) = due() {
        epoch::wait();
        // Another thread that has waited too may have sent it.
        while send_next(softc, |lacp| poll(&mut lacp.machines, last), failed) {}
    }
}

/// Sends the LACPDUs that are due. Those of ports that have begun or ceased to collect or to distribute wait
/// for the plan in which they do.
pub(super) fn send_pdus(softc: &Softc) {
    let poll = |lacp: &mut Control| {
        let told = lacp.told();
        lacp.machines.poll_transmit_on(told, now())
    };
    let failed = |lacp: &mut Machines, slot| lacp.transmit_failed(slot, now());
    while send_next(softc, poll, failed) {}
}

/// Sends the machines' next frame, all in one epoch section. So after a thread has removed a port from the
/// machines and waited for the epoch, none of their frames will be sent on it.
fn send_next(
    softc: &Softc,
    poll: impl Fn(&mut Control) -> Option<Said>,
    failed: impl Fn(&mut Machines, Slot),
) -> bool {
    epoch::section(|epoch| {
        let own = softc.ifp().lladdr().ethernet();
        let next = softc.state().mode.lacp_mut().and_then(|lacp| {
            let (slot, mut frame) = poll(lacp)?;
            slow::set_source(&mut frame, lacp.machines.source(slot, own)?);
            Some((slot, frame))
        });
        let Some((slot, frame)) = next else { return false };
        trace(softc, slot, false, &frame);
        if send_on(softc, slot, &frame, epoch).is_err()
            && let Some(lacp) = softc.state().mode.lacp_mut()
        {
            failed(&mut lacp.machines, slot);
        }
        true
    })
}

fn send_on(softc: &Softc, slot: Slot, frame: &[u8; FRAME], epoch: &Epoch) -> Result {
    let port = softc.state().claimed(slot).ok_or(Errno::ENXIO)?;
    transmit(&port, frame, epoch)
}

pub(super) fn transmit(port: &Port, frame: &[u8; FRAME], epoch: &Epoch) -> Result {
    let m = Mbuf::multicast(frame).ok_or(Errno::ENOBUFS)?;
    port.ifp().transmit(m, epoch)
}
