//! What an administrator can set beside the options of ifconfig(8): the administrative variables of
//! 802.1AX-2008 6.3, and how aggregators and links are chosen. All take effect at once. What was agreed on
//! stays agreed, unless partners were told something else before.

use super::{
    Lacp, LagId, Memory, PRIORITY, Port, Selected, System, Time, choice, key, marker, mux,
};
use crate::slots::Slot;
use crate::wire::MacAddr;
use crate::wire::lacpdu::StateBits;

/// What decides between aggregators, before anything else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Select {
    /// The priority of the partner, then the bandwidth.
    Priority,
    /// The bandwidth, then the priority of the partner.
    Bandwidth,
    /// The number of links, then the bandwidth.
    Count,
}

/// When a port takes over from a worse one that is in service in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reselect {
    /// Always.
    Always,
    /// If it is better by itself: its number or its name does not count. With LACP its priority is.
    Better,
    /// Not before that one fails.
    Failure,
}

impl Reselect {
    /// What decides between ports, the least first, by their priorities, their numbers, and whether they
    /// would come into service.
    pub(super) fn order(self, priority: u16, number: u16, comes: bool) -> [u16; 3] {
        let comes = comes.into();
        match self {
            Reselect::Always => [priority, number, 0],
            Reselect::Better => [priority, comes, number],
            Reselect::Failure => [comes, priority, number],
        }
    }
}

/// The settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The system's priority; a lower one is better.
    pub system_priority: u16,
    /// The system's address. If there is none, the machines keep the one that they have.
    pub system_id: Option<MacAddr>,
    /// Distinguishes the keys of laggs, 1 to [`key::LAST`]; 0 for one from the lagg's `if_index`.
    pub key: u16,
    /// LACPDUs are sent unasked (LACP_Activity).
    pub active: bool,
    /// What decides between aggregators.
    pub select: Select,
    /// No more than so many ports of an aggregator are in service; 0 if all may be.
    pub max_links: u8,
    /// When a better port takes over from one of these.
    pub reselect: Reselect,
    /// For so many milliseconds an aggregator must be better than the present one before it takes over.
    pub up_delay: u32,
    /// Without any partner, one port is in service.
    pub fallback: bool,
    /// So many seconds after the last LACPDU.
    pub fallback_delay: u16,
    /// For so many milliseconds flows wait for a marker's response.
    pub marker_timeout: u16,
}

impl Settings {
    /// Those of a new lagg.
    pub const NEW: Settings = Settings {
        system_priority: PRIORITY,
        system_id: None,
        key: 0,
        active: true,
        select: Select::Priority,
        max_links: 0,
        reselect: Reselect::Always,
        up_delay: 0,
        fallback: false,
        fallback_delay: 90,
        marker_timeout: marker::TIMEOUT as u16,
    };
}

impl<P: Memory<Port>, A: Memory<LagId>> Lacp<P, A> {
    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes the settings.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
        self.set_system(System {
            priority: settings.system_priority,
            address: settings.system_id.unwrap_or(self.system.address),
        });
        self.speak_up(self.speaks_up && settings.fallback);
        let number = self.key_number();
        for (_, port) in self.ports_mut() {
            if port.is_enabled() {
                port.set_key(key::aggregatable(number, port.speed), true);
            }
        }
    }

    /// What distinguishes the keys of this lagg from those of others.
    pub(super) fn key_number(&self) -> u32 {
        match self.settings.key {
            0 => self.index,
            key => key.into(),
        }
    }

    /// Changes the priority of a port; a lower one is better. Its partner may negotiate with it again. So a
    /// port that stands by does not take over before its partner is in sync, or has had time to be.
    pub fn set_port_priority(&mut self, slot: Slot, priority: u16, now: Time) {
        let Some(port) = self.port_mut(slot) else { return };
        if port.actor.port_priority == priority {
            return;
        }
        port.actor.port_priority = priority;
        port.ntt = true;
        if port.waits == mux::Waits::No && port.selected == Selected::Standby {
            port.partner.state.remove(StateBits::SYNC);
            port.wait_while.start(now, choice::FOLLOW);
        }
    }
}

impl Port {
    /// Becomes active or passive (LACP_Activity).
    pub(super) fn set_activity(&mut self, active: bool) {
        if self.actor.state.contains(StateBits::ACTIVITY) == active {
            return;
        }
        self.actor.state.set(StateBits::ACTIVITY, active);
        self.ntt = true;
        // F-76: of two passive sides neither is in sync (recordPDU, 5.4.9)
        let has_partner = !self.actor.state.contains(StateBits::DEFAULTED);
        if has_partner && !active && !self.partner.state.contains(StateBits::ACTIVITY) {
            self.lose_sync();
        }
    }

    /// Sets its key, and whether it can be aggregated. A port of another key has no aggregator yet.
    pub(super) fn set_key(&mut self, key: u16, aggregatable: bool) {
        let state = &mut self.actor.state;
        if (self.actor.key, state.contains(StateBits::AGGREGATION)) != (key, aggregatable) {
            self.actor.key = key;
            state.set(StateBits::AGGREGATION, aggregatable);
            self.selected = Selected::Unselected;
            self.ntt = true;
        }
    }
}
