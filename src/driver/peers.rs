//! What peers are told. After the lagg's address has changed, hosts must learn the new one. After another
//! port is in service, switches must learn where the lagg's addresses are now.
//!
//! That is so with failover, and with lacp when another aggregator is in service. With the other protocols,
//! and within an aggregator, switches learn the lagg's address on all ports, or on one for all.
//!
//! The protocol task tells them: on the lagg, and on all that stands on it.

use super::state::{NO_LLADDR, State};
use super::{Plan, Softc, link, stacking};
use crate::kpi::{LaggType, LinkAddr, Ref, announce_carp, epoch, uptime_ms};
use crate::lacp::LagId;
use crate::policy::{Protocol, failover};

/// How often a new address is announced at least. A partner that has just been found may need a moment
/// before it accepts frames.
const NEW_ADDRESS: u32 = 2;

/// Milliseconds after which a new address is announced once more, at most.
const AGAIN_MS: u64 = 1000;

/// For so many milliseconds IPv6 asks whether an address is a duplicate.
const DETECTION_MS: u64 = 1000;

/// What peers have been told, and what they are still to be told.
pub(super) struct Peers {
    /// The address that was last announced while something could be sent.
    lladdr: LinkAddr,
    /// Where it was announced.
    place: Option<Place>,
    round: Option<Round>,
    silence: Option<Silence>,
    /// How often another port, or aggregator, has taken over.
    pub failovers: u32,
}

/// Where switches learn the lagg's addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The port of failover, by the index of its interface.
    Port(u32),
    /// The aggregator of lacp.
    Aggregator(LagId),
}

/// An announcement and its repetitions.
#[derive(Clone, Copy)]
struct Round {
    /// How often it was made.
    made: u32,
    /// How often it is made at least, whatever the settings say.
    least: u32,
    /// When it is made again, in milliseconds since boot.
    next: u64,
}

/// A time in which nothing could be sent.
#[derive(Clone, Copy)]
struct Silence {
    /// When it began, in milliseconds since boot.
    since: u64,
    /// Whether the lagg was down in it.
    down: bool,
}

impl Peers {
    /// Those of a new lagg.
    pub const NEW: Self = Peers {
        lladdr: NO_LLADDR,
        place: None,
        round: None,
        silence: Some(Silence { since: 0, down: true }),
        failovers: 0,
    };

    /// The lagg's address has changed, and is announced by others.
    pub fn set_lladdr(&mut self, to: LinkAddr) {
        self.lladdr = to;
    }

    /// Nothing that is sent now can reach a host. What is to be told is told from the beginning when hosts
    /// can hear it.
    pub fn cannot_hear(&mut self, running: bool) {
        if let Some(round) = &mut self.round {
            *round = Round { made: 0, next: 0, ..*round };
        }
        let begin = || Silence { since: uptime_ms(), down: false };
        self.silence.get_or_insert_with(begin).down |= !running;
    }

    /// Hosts can hear what is sent. Returns since when IPv6 addresses may have been made without being heard,
    /// in seconds of uptime.
    fn end_silence(&mut self, now: u64) -> Option<u64> {
        let Silence { since, down } = self.silence.take()?;
        // IPv6 asks anew about all addresses of an interface that was down, and was not heard either.
        let all = down && now.saturating_sub(since) >= DETECTION_MS;
        Some(if all { 0 } else { since.saturating_sub(DETECTION_MS) / 1000 })
    }

    /// Whether to announce the lagg now, which has this address and place, and how often it was announced
    /// before.
    fn poll(
        &mut self,
        now: u64,
        lladdr: Option<LinkAddr>,
        place: Option<Place>,
        times: &Times,
    ) -> Option<u32> {
        let lladdr = lladdr.unwrap_or(self.lladdr);
        // F-64: this one has not been announced
        let is_new = self.lladdr != lladdr;
        let place = place.or(self.place);
        let moved = self.place.is_some() && self.place != place;
        // Another protocol is none.
        if moved
            && matches!(
                (self.place, place),
                (Some(Place::Port(_)), Some(Place::Port(_)))
                    | (Some(Place::Aggregator(_)), Some(Place::Aggregator(_)))
            )
        {
            self.failovers = self.failovers.saturating_add(1);
        }
        (self.lladdr, self.place) = (lladdr, place);
        if is_new || moved {
            let present = self.round.map_or(0, |round| round.least);
            let least = if is_new { NEW_ADDRESS } else { present };
            self.round = Some(Round { made: 0, least, next: now });
        }
        let round = self.round.as_mut()?;
        let (before, least) = (round.made, round.least);
        let wanted = times.peers.max(least);
        // What a new address needs does not wait longer for the setting.
        let gap = |made| if made < least { times.interval.min(AGAIN_MS) } else { times.interval };
        // The interval may have been made shorter.
        round.next = round.next.min(now.saturating_add(gap(before)));
        let is_due = before < wanted && round.next <= now;
        if is_due {
            round.made = before.saturating_add(1);
            round.next = now.saturating_add(gap(round.made));
        }
        self.round = self.round.filter(|round| round.made < wanted);
        is_due.then_some(before)
    }

    /// In how many milliseconds an announcement is made again.
    pub fn until_due(&self) -> Option<u64> {
        let round = self.round.filter(|round| round.made > 0)?;
        Some(round.next.saturating_sub(uptime_ms()))
    }
}

/// How often peers are told, and how many milliseconds apart.
struct Times {
    peers: u32,
    interval: u64,
}

/// Tells peers what is due. The protocol task's function; may sleep.
pub(super) fn tell(softc: &Ref<Softc>, plan: &Plan) {
    if !can_be_heard(plan) {
        return;
    }
    let now = uptime_ms();
    let (unheard, announced) = {
        let mut guard = softc.state();
        let state = &mut *guard;
        // That of InfiniBand changes with the port, and is announced with each change.
        let is_ethernet = softc.kind == LaggType::Ethernet;
        let lladdr = is_ethernet.then(|| softc.ifp().lladdr());
        let settings = &state.settings;
        let times =
            Times { peers: settings.notify_peers, interval: settings.notify_interval.into() };
        let place = place(plan, state);
        (state.peers.end_silence(now), state.peers.poll(now, lladdr, place, &times))
    };
    if let Some(since) = unheard {
        stacking::each_above(softc.ifp(), &mut |ifp| ifp.detect_duplicates(since));
    }
    if let Some(before) = announced {
        announce(softc, before == 0);
    }
}

fn place(plan: &Plan, state: &State) -> Option<Place> {
    match plan.protocol() {
        Protocol::Failover => failover::select(plan).map(|port| Place::Port(port.ifp().index())),
        Protocol::Lacp(_) => {
            let lacp = state.mode.lacp()?;
            lacp.machines.sends_to().map(Place::Aggregator)
        }
        _ => None,
    }
}

/// Announces the addresses of the lagg, and of all that stands on it. `iflladdr_event` would do more: give
/// the VLANs the lagg's address. carp(4) announces its own again each second or so.
fn announce(softc: &Softc, is_first: bool) {
    let mut has_carp = false;
    stacking::each_above(softc.ifp(), &mut |ifp| {
        has_carp |= epoch::section(|epoch| ifp.announce(epoch));
    });
    if has_carp && is_first {
        announce_carp();
    }
}

/// Whether what is sent now can reach other hosts.
pub(super) fn can_be_heard(plan: &Plan) -> bool {
    // Below `min_links` the link is down, but ports send.
    link::in_service(plan) > 0
}

/// Reports a new address of the lagg (`iflladdr_event`), which the stack announces to its peers. If nothing
/// can be sent, that is lost, and the protocol task announces it when something can. May sleep.
pub(super) fn tell_lladdr(softc: &Softc) {
    if !can_be_heard(&softc.plan_ref()) {
        softc.state().peers.set_lladdr(NO_LLADDR);
    }
    softc.ifp().lladdr_event();
}
