//! LACP's settings, `net.link.lagg.iface.<lagg>.lacp.*`: how they are read and written, and given to the
//! machines.

use core::fmt::{self, Write};

use super::Softc;
use super::lacp_state::now;
use super::mode::Mode;
use super::settings::{Row, change, word, write_word};
use super::state::{State, members};
use crate::kpi::Errno;
use crate::lacp::key;
use crate::lacp::settings::{self as lacp, Select};
use crate::slots::Slot;
use crate::wire::MacAddr;

pub(super) const SYSTEM_PRIORITY: Row = Row::Lacp(
    0..=u16::MAX as u32,
    |lacp| lacp.system_priority.into(),
    |lacp, to| lacp.system_priority = to as u16,
);

pub(super) const SYSTEM_ID: Row = Row::Text(write_system_id, |softc, text| {
    let address = if text.is_empty() { None } else { Some(unicast(text).ok_or(Errno::EINVAL)?) };
    change(softc, |settings| settings.lacp.system_id = address)
});

pub(super) const KEY: Row =
    Row::Lacp(0..=key::LAST as u32, |lacp| lacp.key.into(), |lacp, to| lacp.key = to as u16);

pub(super) const ACTIVE: Row =
    Row::Lacp(0..=1, |lacp| lacp.active.into(), |lacp, to| lacp.active = to != 0);

pub(super) const SELECT: Row = Row::Text(
    |softc, to| write_word(&SELECTS, softc.state().settings.lacp.select, to),
    |softc, text| {
        let select = word(&SELECTS, text)?;
        change(softc, |settings| settings.lacp.select = select)
    },
);

pub(super) const MAX_LINKS: Row = Row::Lacp(
    0..=Slot::COUNT as u32,
    |lacp| lacp.max_links.into(),
    |lacp, to| lacp.max_links = to as u8,
);

pub(super) const FALLBACK: Row = Row::Text(
    |softc, to| write_word(&FALLBACKS, softc.state().settings.lacp.fallback, to),
    |softc, text| {
        let fallback = word(&FALLBACKS, text)?;
        change(softc, |settings| settings.lacp.fallback = fallback)
    },
);

pub(super) const FALLBACK_DELAY: Row = Row::Lacp(
    1..=300,
    |lacp| lacp.fallback_delay.into(),
    |lacp, to| lacp.fallback_delay = to as u16,
);

pub(super) const MARKER_TIMEOUT: Row = Row::Lacp(
    0..=3_000,
    |lacp| lacp.marker_timeout.into(),
    |lacp, to| lacp.marker_timeout = to as u16,
);

const SELECTS: [(&str, Select); 3] =
    [("priority", Select::Priority), ("bandwidth", Select::Bandwidth), ("count", Select::Count)];

const FALLBACKS: [(&str, bool); 2] = [("none", false), ("single", true)];

fn write_system_id(softc: &Softc, to: &mut dyn Write) -> fmt::Result {
    let address = softc.state().settings.lacp.system_id;
    for (place, byte) in address.iter().flatten().enumerate() {
        let colon = if place == 0 { "" } else { ":" };
        write!(to, "{colon}{byte:02x}")?;
    }
    Ok(())
}

/// A unicast address, as in `02:00:5e:00:53:01`; none if the text is no such address.
fn unicast(text: &str) -> Option<MacAddr> {
    let mut address = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut address {
        let part = parts.next()?;
        let is_hex = part.bytes().all(|digit| digit.is_ascii_hexdigit());
        *byte = u8::from_str_radix(part, 16).ok().filter(|_| is_hex && part.len() <= 2)?;
    }
    let [first, ..] = address;
    let is_unicast = first & 1 == 0 && address != [0; 6];
    (is_unicast && parts.next().is_none()).then_some(address)
}

impl State {
    /// Gives the machines the settings as they are, if the protocol is lacp.
    pub fn settle_lacp(&mut self) {
        let State { mode: Mode::Lacp(lacp), settings, slots, .. } = self else { return };
        lacp.set_settings(lacp::Settings {
            reselect: settings.primary_reselect,
            up_delay: settings.up_delay,
            ..settings.lacp
        });
        for place in members(slots) {
            lacp.take_system(&place.port);
            let priority = settings.priority_of(&place.port.ifp().name());
            lacp.machines.set_port_priority(place.port.slot(), priority, now());
        }
    }
}
