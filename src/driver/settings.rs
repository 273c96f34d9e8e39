//! The settings that ifconfig(8) has no word for: `net.link.lagg.iface.<lagg>.<name>`.
//!
//! A setting is a row of [`ROWS`]. sysctl(8), userlagg and the tests of the manual page all read that
//! table. A setting of another protocol than the present one is kept, and takes effect with that.

use core::ffi::CStr;
use core::fmt::{self, Write};
use core::mem::swap;
use core::ops::RangeInclusive;
use core::str::FromStr;

use super::in_service::delay_memory;
use super::mode::Options;
use super::{Softc, lacp_settings};
use crate::kpi::{Array, Defaults, Errno, Holds, LaggType, Name, Ref, Result, Setting, defaults};
use crate::lacp;
use crate::lacp::settings::Reselect;
use crate::policy::{Protocol, failover};
use crate::slots::Slot;
use crate::wire::flow::layers;

/// The settings of a lagg. They stay when its protocol is switched.
pub(super) struct Settings {
    /// The lagg's link is up only while at least so many ports are in service.
    pub min_links: u32,
    /// failover's primary port, which need not be there; empty for the first one.
    pub primary: Name,
    /// When a better port than failover's present one takes over.
    pub primary_reselect: Reselect,
    /// For how many milliseconds a link is up, or down, before that counts.
    pub up_delay: u32,
    pub down_delay: u32,
    /// Every so many seconds loadbalance and lacp move flows so that ports carry the same; 0: never.
    pub rebalance: u32,
    /// 1: loadbalance and lacp send both directions of a flow by one hash. Flow ids do not count then.
    pub hash_symmetric: u32,
    /// The priorities that an administrator has given to ports, which need not be there yet.
    pub port_priority: Array<(Name, u16)>,
    pub lacp: lacp::Settings,
    /// How often peers are told that another port is in service.
    pub notify_peers: u32,
    /// Milliseconds between these times.
    pub notify_interval: u32,
}

impl Settings {
    /// Those of a new lagg, from the vnet's sysctls. A bad number there counts as the usual one.
    pub fn of_vnet() -> Self {
        let Defaults { min_links, up_delay, down_delay, notify_peers, .. } = defaults();
        Settings {
            min_links: within(&MIN_LINKS, min_links).unwrap_or(0),
            primary: Name::default(),
            primary_reselect: Reselect::Always,
            up_delay: within(&DELAY, up_delay).unwrap_or(0),
            down_delay: within(&DELAY, down_delay).unwrap_or(0),
            rebalance: 0,
            hash_symmetric: 0,
            port_priority: Array::default(),
            lacp: lacp::Settings::NEW,
            notify_peers: within(&NOTIFY_PEERS, notify_peers).unwrap_or(1),
            notify_interval: 1000,
        }
    }

    /// The options of plans, from those of ifconfig(8).
    pub fn apply(&self, mut options: Options) -> Options {
        if self.hash_symmetric != 0 {
            options.hash |= layers::SYMMETRIC;
            // A card computes its id from one direction.
            options.use_flowid = false;
        }
        options
    }

    /// Whether any port is known by its name.
    pub fn has_names(&self) -> bool {
        !self.primary.is_empty() || !self.port_priority.is_empty()
    }

    /// The priority of the port with this name; less is better.
    pub fn priority_of(&self, port: &Name) -> u16 {
        let given = self.port_priority.iter().find(|(name, _)| name == port);
        given.map_or(USUAL_PRIORITY, |(_, priority)| *priority)
    }
}

/// The priority of a port to which none was given.
pub(super) const USUAL_PRIORITY: u16 = 32768;

/// Linux bonding's words.
const RESELECT: [(&str, Reselect); 3] =
    [("always", Reselect::Always), ("better", Reselect::Better), ("failure", Reselect::Failure)];

const MIN_LINKS: RangeInclusive<u32> = 0..=Slot::COUNT as u32;
const NOTIFY_PEERS: RangeInclusive<u32> = 0..=255;
const NOTIFY_INTERVAL: RangeInclusive<u32> = 10..=60_000;

/// In milliseconds.
const DELAY: RangeInclusive<u32> = 0..=300_000;

fn within(range: &RangeInclusive<u32>, number: i32) -> Option<u32> {
    u32::try_from(number).ok().filter(|number| range.contains(number))
}

/// How a setting is read and written.
pub(super) enum Row {
    /// A number of this range, in this place.
    Number(RangeInclusive<u32>, fn(&mut Settings) -> &mut u32),
    /// A delay of links, which needs memory, in this place.
    Delay(fn(&mut Settings) -> &mut u32),
    /// A number of this range, of LACP.
    Lacp(RangeInclusive<u32>, fn(&lacp::Settings) -> u32, fn(&mut lacp::Settings, u32)),
    /// Text, by the functions that write it, and that set it with the token.
    Text(fn(&Softc, &mut dyn Write) -> fmt::Result, fn(&Ref<Softc>, &str) -> Result),
}

/// All settings: the name, what it is, and how it is read and written.
const ROWS: [(&CStr, &CStr, Row); 20] = [
    (
        c"min_links",
        c"The link is up only while so many ports are in service",
        Row::Number(MIN_LINKS, |settings| &mut settings.min_links),
    ),
    (
        c"primary",
        c"Failover's primary port; if it is not given, the first",
        Row::Text(
            |softc, to| write!(to, "{}", softc.state().settings.primary),
            |softc, to| {
                let primary = if to.is_empty() { Name::default() } else { name(to)? };
                softc.try_change(|state| {
                    state.settings.primary = primary;
                    state.in_service.appoint();
                    Ok(())
                })
            },
        ),
    ),
    (
        c"primary_reselect",
        c"When a better port takes over again: always, better (if faster), failure (of the present)",
        Row::Text(
            |softc, to| write_word(&RESELECT, softc.state().settings.primary_reselect, to),
            |softc, to| {
                let reselect = word(&RESELECT, to)?;
                change(softc, |settings| settings.primary_reselect = reselect)
            },
        ),
    ),
    (
        c"active",
        c"The port that failover sends on",
        Row::Text(write_active, |softc, to| {
            let port = Name::new(to).ok_or(Errno::EINVAL)?;
            softc.try_change(|state| state.send_on(&port))
        }),
    ),
    (
        c"rebalance",
        c"Seconds after which flows are moved to other ports by what they carried; 0: never",
        Row::Number(0..=3600, |settings| &mut settings.rebalance),
    ),
    (
        c"hash_symmetric",
        c"1: both directions of a flow have the same hash",
        Row::Number(0..=1, |settings| &mut settings.hash_symmetric),
    ),
    (
        c"port_priority",
        c"The priorities of ports, less is better, as in em0:100 em1:200",
        Row::Text(write_priorities, set_priorities),
    ),
    (
        c"up_delay",
        c"Milliseconds that a link must be up, or an LACP aggregation better, before it is used",
        Row::Delay(|settings| &mut settings.up_delay),
    ),
    (
        c"down_delay",
        c"Milliseconds that a link must be down before the lagg counts it as down",
        Row::Delay(|settings| &mut settings.down_delay),
    ),
    (
        c"lacp.system_priority",
        c"The priority of the LACP system, less is better",
        lacp_settings::SYSTEM_PRIORITY,
    ),
    (
        c"lacp.system_id",
        c"The address of the LACP system, empty: taken from the first port",
        lacp_settings::SYSTEM_ID,
    ),
    (c"lacp.key", c"The number of this lagg in its LACP keys; 0: its interface index", lacp_settings::KEY),
    (c"lacp.active", c"1: LACPDUs are sent unasked; 0: only to a partner that sends them", lacp_settings::ACTIVE),
    (
        c"lacp.select",
        c"What decides between aggregations: priority, bandwidth or count",
        lacp_settings::SELECT,
    ),
    (
        c"lacp.max_links",
        c"At most so many ports are in service, the others stand by; 0: all",
        lacp_settings::MAX_LINKS,
    ),
    (
        c"lacp.fallback",
        c"What is in service without an LACP partner: none, or a single port",
        lacp_settings::FALLBACK,
    ),
    (
        c"lacp.fallback_delay",
        c"Seconds without any LACPDU after which lacp.fallback begins",
        lacp_settings::FALLBACK_DELAY,
    ),
    (
        c"lacp.marker_timeout",
        c"For so many milliseconds a flow waits for its marker",
        lacp_settings::MARKER_TIMEOUT,
    ),
    (
        c"notify_peers",
        c"How often peers are told that another port is in service",
        Row::Number(NOTIFY_PEERS, |settings| &mut settings.notify_peers),
    ),
    (
        c"notify_interval",
        c"Milliseconds between the times that peers are told",
        Row::Number(NOTIFY_INTERVAL, |settings| &mut settings.notify_interval),
    ),
];

/// The same for kpi.
pub(super) const SETTINGS: [Setting; ROWS.len()] = {
    let mut settings = [const { Setting { name: c"", about: c"", holds: Holds::Number } }; _];
    let mut place = 0;
    while place < ROWS.len() {
        let (name, about, row) = &ROWS[place];
        let holds = match row {
            Row::Number(..) | Row::Delay(_) | Row::Lacp(..) => Holds::Number,
            Row::Text(..) => Holds::Text,
        };
        settings[place] = Setting { name, about, holds };
        place += 1;
    }
    settings
};

/// Writes the value of a setting to memory.
///
/// # Errors
/// EINVAL: there is no such setting, or no room.
pub(super) fn get(softc: &Ref<Softc>, place: usize, to: &mut dyn Write) -> Result {
    let (.., row) = ROWS.get(place).ok_or(Errno::EINVAL)?;
    let written = match row {
        Row::Number(_, field) | Row::Delay(field) => {
            let number = *field(&mut softc.state().settings);
            write!(to, "{number}")
        }
        Row::Lacp(_, get, _) => {
            let number = get(&softc.state().settings.lacp);
            write!(to, "{number}")
        }
        Row::Text(write, _) => write(softc, to),
    };
    written.map_err(|_| Errno::EINVAL)
}

/// Changes a setting.
///
/// # Errors
/// EINVAL: no such setting, or a bad value. EOPNOTSUPP: one of LACP's, on InfiniBand. ENXIO: the lagg is
/// being destroyed. ENOMEM. Nothing is changed then.
pub(super) fn set(softc: &Ref<Softc>, place: usize, to: &str) -> Result {
    let (name, _, row) = ROWS.get(place).ok_or(Errno::EINVAL)?;
    if softc.kind == LaggType::Infiniband && name.to_bytes().starts_with(b"lacp.") {
        return Err(Errno::EOPNOTSUPP);
    }
    // Requests that change the ports see one value of each setting.
    let _token = softc.token()?;
    match row {
        Row::Number(range, field) => {
            let number = number_in(range, to)?;
            change(softc, |settings| *field(settings) = number)?;
        }
        Row::Delay(field) => {
            let ms = number_in(&DELAY, to)?;
            let mut memory = if ms == 0 { Array::default() } else { delay_memory()? };
            softc.try_change(|state| {
                state.set_delay(*field, ms, &mut memory);
                Ok(())
            })?;
        }
        Row::Lacp(range, _, set) => {
            let number = number_in(range, to)?;
            change(softc, |settings| set(&mut settings.lacp, number))?;
        }
        Row::Text(_, set) => set(softc, to)?,
    }
    Softc::wake_protocol(softc);
    Ok(())
}

/// Makes a change to the settings, and publishes the plan that follows.
///
/// # Errors
/// ENOMEM.
pub(super) fn change(softc: &Softc, change: impl FnOnce(&mut Settings)) -> Result {
    softc.try_change(|state| {
        change(&mut state.settings);
        Ok(())
    })
}

fn number_in(range: &RangeInclusive<u32>, text: &str) -> Result<u32> {
    number(text).filter(|number| range.contains(number)).ok_or(Errno::EINVAL)
}

/// A number in decimal, without a sign.
fn number<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// The name of an interface, which need not be there. A rename takes control characters, but here they are a mistake.
fn name(text: &str) -> Result<Name> {
    let name = Name::new(text).filter(|_| !text.contains(char::is_control));
    name.ok_or(Errno::EINVAL)
}

/// What this word stands for.
pub(super) fn word<T: Copy>(words: &[(&str, T)], text: &str) -> Result<T> {
    let (_, value) = words.iter().find(|(word, _)| *word == text).ok_or(Errno::EINVAL)?;
    Ok(*value)
}

pub(super) fn write_word<T: PartialEq>(
    words: &[(&str, T)],
    value: T,
    to: &mut dyn Write,
) -> fmt::Result {
    let word = words.iter().find(|(_, there)| *there == value);
    to.write_str(word.map_or("", |(word, _)| word))
}

fn write_active(softc: &Softc, to: &mut dyn Write) -> fmt::Result {
    let plan = softc.plan_ref();
    match (plan.protocol(), failover::select(&*plan)) {
        (Protocol::Failover, Some(port)) => write!(to, "{}", port.ifp().name()),
        _ => Ok(()),
    }
}

fn write_priorities(softc: &Softc, to: &mut dyn Write) -> fmt::Result {
    for (place, (name, priority)) in softc.state().settings.port_priority.iter().enumerate() {
        let space = if place == 0 { "" } else { " " };
        write!(to, "{space}{name}:{priority}")?;
    }
    Ok(())
}

fn set_priorities(softc: &Ref<Softc>, text: &str) -> Result {
    let pairs = || text.split_ascii_whitespace().filter_map(priority);
    let words = text.split_ascii_whitespace().count();
    let twice = |(name, _): (Name, u16)| pairs().filter(|(other, _)| *other == name).count() > 1;
    if words > Slot::COUNT || pairs().count() < words || pairs().any(twice) {
        return Err(Errno::EINVAL);
    }
    let mut pairs = pairs();
    let mut to = Array::try_new(words, |_| pairs.next().unwrap_or_default())?;
    // The old ones are freed without the mutex.
    change(softc, |settings| swap(&mut settings.port_priority, &mut to))
}

/// A name with its priority, `em0:100`. A name may have colons too.
fn priority(word: &str) -> Option<(Name, u16)> {
    let (name, priority) = word.rsplit_once(':')?;
    Some((self::name(name).ok()?, number(priority)?))
}
