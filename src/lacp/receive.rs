//! LACPDUs that are received, and the receive machine (802.1AX-2008 5.4.12; in 802.1AX-2014, 6.4.12).

use super::mux::{MuxState, Waits};
use super::time::Time;
use super::{Lacp, LagId, Memory, Port, Report, Selected, System};
use crate::slots::Slot;
use crate::wire::MacAddr;
use crate::wire::lacpdu::{Info, Lacpdu, StateBits};

/// The state of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// The link is down. The partner's information is kept: if it is still right when the link comes back,
    /// nothing has to be negotiated again.
    #[default]
    PortDisabled,
    /// The link cannot be aggregated: half duplex, or not Ethernet.
    LacpDisabled,
    /// The partner has timed out; it is asked for LACPDUs every second.
    Expired,
    /// There is no partner, so the configured one is used.
    Defaulted,
    /// A LACPDU was received within the timeout.
    Current,
}

/// The events of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The link went down.
    Down,
    /// The link is up, but cannot be aggregated.
    Unfit,
    /// The link is up.
    Up,
    /// A LACPDU was received.
    Pdu,
    /// `current_while` has expired.
    Timeout,
    /// The partner's LACPDU arrived on another port while this one is down (`port_moved`).
    Moved,
}

/// Milliseconds until a partner times out that was asked for a LACPDU every second (Short_Timeout_Time).
pub const SHORT_TIMEOUT: u32 = 3_000;
/// The same for a partner that sends every 30 seconds (Long_Timeout_Time).
pub const LONG_TIMEOUT: u32 = 90_000;

impl State {
    /// Its name in the standard.
    pub fn name(self) -> &'static str {
        match self {
            State::PortDisabled => "PORT_DISABLED",
            State::LacpDisabled => "LACP_DISABLED",
            State::Expired => "EXPIRED",
            State::Defaulted => "DEFAULTED",
            State::Current => "CURRENT",
        }
    }

    /// The next state after an event; none if it changes nothing. Figure 5-10, in which INITIALIZE is what
    /// [`Event::Moved`] does.
    pub fn next(self, event: Event) -> Option<State> {
        use State::{Current, Defaulted, Expired, LacpDisabled, PortDisabled};
        match (self, event) {
            (PortDisabled, Event::Down) | (LacpDisabled, Event::Unfit) => None,
            (_, Event::Down) => Some(PortDisabled),
            (_, Event::Unfit) => Some(LacpDisabled),
            (PortDisabled | LacpDisabled, Event::Up) => Some(Expired),
            (PortDisabled, Event::Moved) => Some(PortDisabled),
            (Expired | Defaulted | Current, Event::Pdu) => Some(Current),
            (Expired, Event::Timeout) => Some(Defaulted),
            (Current, Event::Timeout) => Some(Expired),
            _ => None,
        }
    }
}

/// The partner that is assumed while there is none (the administrative values of 5.4.7). If not strict, it
/// agrees to everything, which still brings no port into service. It has our own timeout, so that a system
/// that asks for LACPDUs every second also sends them every second, and soon finds a partner (F-58).
fn default_partner(strict: bool, short: bool) -> Info {
    let agreeing =
        StateBits::AGGREGATION | StateBits::SYNC | StateBits::COLLECTING | StateBits::DISTRIBUTING;
    let mut state = if strict { StateBits::empty() } else { agreeing };
    state.set(StateBits::TIMEOUT, short);
    Info { system_priority: 0xffff, port_priority: 0xffff, state, ..Info::default() }
}

/// A link is looped until so many LACPDUs in a row have not come back.
pub const LOOPED: u8 = 3;

/// Milliseconds between two LACPDUs by which another system is known to have our identifier: longer than the
/// last ones of a port that has left can take, and no longer than the first is remembered.
const TWIN_LEAST: u64 = 500;
const TWIN_MEMORY: u64 = 60_000;

impl<P: Memory<Port>, A: Memory<LagId>> Lacp<P, A> {
    /// A LACPDU from the Ethernet address `source` was received on a port. Ignored while the link is down, and
    /// if it is our own.
    pub fn receive(&mut self, slot: Slot, source: MacAddr, pdu: &Lacpdu, now: Time) {
        let (options, own) = (self.options, self.system);
        let Some(port) = self.port_mut(slot) else { return };
        port.statistics.pdus_in = port.statistics.pdus_in.saturating_add(1);
        let is_heard = port.is_enabled() && !options.rxtest;
        let is_own = System::of(&pdu.actor) == own;
        // Our own: the link is looped.
        if is_own && !(is_heard && self.gives_way(source, now)) {
            let Some(port) = self.port_mut(slot) else { return };
            port.statistics.looped = port.statistics.looped.saturating_add(1);
            port.reporter.add(Report::Looped, now);
            port.looped = LOOPED;
            return;
        }
        if !is_heard {
            return;
        }
        self.heard = Some(now);
        let Some(port) = self.port_mut(slot) else { return };
        let is_new = !port.partner.is_same_port(&pdu.actor);
        if is_new {
            port.marker.forget();
        }
        port.looped = 0;
        port.statistics.heard = Some(now);
        port.notice_pdu(&pdu.actor, &pdu.partner, now);
        let known = |port: &Port| (port.partner, port.receive, port.partner_has_our_sync, port.ntt);
        let before = known(port);
        port.receive_pdu(pdu, now);
        let is_news = known(port) != before;
        if is_new {
            self.doubts.tries = 0;
        }
        self.is_news |= is_news;
        self.forget_moved(slot, &pdu.actor, now);
    }

    /// Another system may have our identifier: the address of a port that has left us and is theirs now.
    /// Then we take the address of a port that is here. Returns false if a port of ours sent the LACPDU, if
    /// our identifier is the address of one, so that the other system must change, or if it was set.
    fn gives_way(&mut self, source: MacAddr, now: Time) -> bool {
        let System { priority, address } = self.system;
        let is_here = |address| self.ports().any(|(_, port)| port.source == address);
        if is_here(source) || is_here(address) || self.settings.system_id.is_some() {
            return false;
        }
        // On a looped link, what a port sent before it left us arrives once, soon after that.
        let since = self.twin.filter(|(_, at)| now.since(*at) < TWIN_MEMORY);
        if since.is_none_or(|(twin, at)| twin != source || now.since(at) < TWIN_LEAST) {
            self.twin = since.or(Some((source, now)));
            return false;
        }
        self.twin = None;
        let Some(address) = self.ports().next().map(|(_, port)| port.source) else { return false };
        // F-66: two laggs that are one system would never agree
        self.set_system(System { priority, address });
        true
    }

    /// A partner whose LACPDU arrives on one port has left another port that is down, where it was recorded
    /// (port_moved, 5.4.8).
    fn forget_moved(&mut self, slot: Slot, partner: &Info, now: Time) {
        let strict = self.options.strict;
        for (_, port) in self.ports_mut().filter(|(other, _)| *other != slot) {
            let defaulted = port.actor.state.contains(StateBits::DEFAULTED);
            let same = (port.partner.system, port.partner.port) == (partner.system, partner.port);
            if same && !defaulted {
                port.receive_event(Event::Moved, strict, now);
            }
        }
    }
}

impl Port {
    /// Runs the receive machine on an event other than a LACPDU.
    pub(super) fn receive_event(&mut self, event: Event, strict: bool, now: Time) {
        let Some(next) = self.receive.next(event) else { return };
        self.receive = next;
        match next {
            State::PortDisabled => {
                if event == Event::Moved {
                    self.initialize(strict);
                }
                self.partner.state.remove(StateBits::SYNC);
                self.leave_others();
                self.current_while.stop();
            }
            State::LacpDisabled => {
                self.selected = Selected::Unselected;
                self.record_default(strict);
                self.partner.state.remove(StateBits::AGGREGATION);
                self.actor.state.remove(StateBits::EXPIRED);
                self.current_while.stop();
            }
            State::Expired => {
                self.partner.state.remove(StateBits::SYNC);
                self.partner.state.insert(StateBits::TIMEOUT);
                self.current_while.start(now, SHORT_TIMEOUT);
                self.actor.state.insert(StateBits::EXPIRED);
                // The partner is told at once that it has timed out or, on a link that has just come up,
                // that there is a system here (F-22, F-23).
                self.ntt = true;
                self.marker.stop();
            }
            State::Defaulted => {
                // update_Default_Selected: selection leaves a defaulted port unselected.
                self.record_default(strict);
                self.actor.state.remove(StateBits::EXPIRED);
            }
            State::Current => {}
        }
    }

    /// A LACPDU that is not our own was received on a link that is up.
    pub(super) fn receive_pdu(&mut self, pdu: &Lacpdu, now: Time) {
        let Some(next) = self.receive.next(Event::Pdu) else { return };
        self.receive = next;
        self.update_selected(pdu);
        self.update_ntt(pdu);
        self.record_pdu(pdu);
        let short = self.actor.state.contains(StateBits::TIMEOUT);
        self.is_short = short;
        self.current_while.start(now, if short { SHORT_TIMEOUT } else { LONG_TIMEOUT });
        self.actor.state.remove(StateBits::EXPIRED);
    }

    /// Asks the partner for a LACPDU every second, or every 30, from now on (Actor_Oper_Port_State's
    /// LACP_Timeout).
    pub(super) fn set_timeout(&mut self, short: bool) {
        if self.actor.state.contains(StateBits::TIMEOUT) == short {
            return;
        }
        self.actor.state.set(StateBits::TIMEOUT, short);
        self.ntt = true;
        if self.receive == State::Defaulted {
            self.partner.state.set(StateBits::TIMEOUT, short);
        }
        // A partner that changes to every 30 seconds does not send a LACPDU first, so it must not time out
        // before the next one. One that changes to every second sends at once.
        if !short && self.receive == State::Current && core::mem::take(&mut self.is_short) {
            self.current_while.extend(LONG_TIMEOUT - SHORT_TIMEOUT);
        }
    }

    /// INITIALIZE.
    pub(super) fn initialize(&mut self, strict: bool) {
        self.selected = Selected::Unselected;
        self.record_default(strict);
        self.actor.state.remove(StateBits::EXPIRED);
    }

    /// recordDefault (5.4.9).
    pub(super) fn record_default(&mut self, strict: bool) {
        self.partner = default_partner(strict, self.actor.state.contains(StateBits::TIMEOUT));
        self.partner_knows_us = false;
        self.leave_others();
        (self.is_led, self.is_idle, self.is_spare) = (false, false, false);
        self.actor.state.insert(StateBits::DEFAULTED);
    }

    /// update_Selected (5.4.9), except for the priority of the partner's port: no other aggregator would be
    /// selected for it (F-77).
    fn update_selected(&mut self, pdu: &Lacpdu) {
        let known = Info { port_priority: pdu.actor.port_priority, ..self.partner };
        if differs(&pdu.actor, &known, StateBits::AGGREGATION) {
            self.selected = Selected::Unselected;
            let of = |info: &Info| (System::of(info), info.key);
            if self.mux == MuxState::Distributing && of(&pdu.actor) != of(&known) {
                self.waits = Waits::ForSame;
            }
        }
    }

    /// update_NTT (5.4.9): what the partner has recorded of us is out of date.
    fn update_ntt(&mut self, pdu: &Lacpdu) {
        let told =
            StateBits::ACTIVITY | StateBits::TIMEOUT | StateBits::SYNC | StateBits::AGGREGATION;
        if differs(&pdu.partner, &self.actor, told) {
            self.ntt = true;
        }
    }

    /// recordPDU (5.4.9).
    fn record_pdu(&mut self, pdu: &Lacpdu) {
        self.is_led &= System::of(&self.partner) == System::of(&pdu.actor);
        let is_same = self.partner.is_same_port(&pdu.actor);
        self.is_idle &= is_same && !pdu.actor.state.contains(StateBits::COLLECTING);
        self.is_spare &= is_same && !pdu.actor.state.contains(StateBits::SYNC);
        self.partner = pdu.actor;
        self.actor.state.remove(StateBits::DEFAULTED);
        let active = pdu.actor.state.contains(StateBits::ACTIVITY)
            || (self.actor.state & pdu.partner.state).contains(StateBits::ACTIVITY);
        let knows_us = !differs(&pdu.partner, &self.actor, StateBits::AGGREGATION);
        let individual = !pdu.actor.state.contains(StateBits::AGGREGATION);
        self.partner_has_our_sync = pdu.partner.state.contains(StateBits::SYNC);
        self.partner_knows_us = active && (knows_us || individual);
        self.is_taken_for_active |= pdu.partner.is_same_port(&self.actor)
            && pdu.partner.state.contains(StateBits::ACTIVITY);
        // What the LACPDU does not report is never added (F-24).
        if !self.partner_knows_us {
            self.lose_sync();
        }
        // What is in flight is not taken in.
        if !pdu.actor.state.contains(StateBits::SYNC | StateBits::COLLECTING) {
            self.marker.stop();
        }
    }

    /// The partner does not count as in sync, whatever it says, until its next LACPDU.
    pub(super) fn lose_sync(&mut self) {
        self.partner_knows_us = false;
        self.partner.state.remove(StateBits::SYNC);
    }
}

/// Whether two sides are different ports, or differ in one of these state bits.
fn differs(a: &Info, b: &Info, bits: StateBits) -> bool {
    !a.is_same_port(b) || a.state & bits != b.state & bits
}
