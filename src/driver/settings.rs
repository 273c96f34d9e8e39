//! The settings that ifconfig(8) has no word for: `net.link.lagg.iface.<lagg>.<name>`.
//!
//! A setting is a row of [`ROWS`]. sysctl(8), userlagg and the tests of the manual page all read that
//! table. A setting of another protocol than the present one is kept, and takes effect with that.

use core::ffi::CStr;
use core::fmt::{self, Write};
use core::mem::swap;
use core::ops::RangeInclusive;
use core::str::FromStr;

use super::Softc;
use crate::kpi::{Array, Defaults, Errno, Holds, LaggType, Name, Ref, Result, Setting, defaults};
use crate::slots::Slot;

/// The settings of a lagg. They stay when its protocol is switched.
pub(super) struct Settings {
    /// The lagg's link is up only while at least so many ports are in service.
    pub min_links: u32,
    /// The priorities that an administrator has given to ports, which need not be there yet.
    pub port_priority: Array<(Name, u16)>,
}

impl Settings {
    /// Those of a new lagg, from the vnet's sysctls. A bad number there counts as the usual one.
    pub fn of_vnet() -> Self {
        let Defaults { min_links, .. } = defaults();
        Settings {
            min_links: within(&MIN_LINKS, min_links).unwrap_or(0),
            port_priority: Array::default(),
        }
    }

    /// The priority of the port with this name; less is better.
    #[allow(dead_code, reason = "the protocols do not follow it yet")]
    pub fn priority_of(&self, port: &Name) -> u16 {
        let given = self.port_priority.iter().find(|(name, _)| name == port);
        given.map_or(USUAL_PRIORITY, |(_, priority)| *priority)
    }
}

/// The priority of a port to which none was given.
const USUAL_PRIORITY: u16 = 32768;

const MIN_LINKS: RangeInclusive<u32> = 0..=Slot::COUNT as u32;

fn within(range: &RangeInclusive<u32>, number: i32) -> Option<u32> {
    u32::try_from(number).ok().filter(|number| range.contains(number))
}

/// How a setting is read and written.
enum Row {
    /// A number of this range, in this place.
    Number(RangeInclusive<u32>, fn(&mut Settings) -> &mut u32),
    /// Text, by the functions that write it and that set it. The first has the mutex, the second the token.
    Text(fn(&Settings, &mut dyn Write) -> fmt::Result, fn(&Ref<Softc>, &str) -> Result),
}

/// All settings: the name, what it is, and how it is read and written.
const ROWS: [(&CStr, &CStr, Row); 2] = [
    (
        c"min_links",
        c"The link is up only while so many ports are in service",
        Row::Number(MIN_LINKS, |settings| &mut settings.min_links),
    ),
    (
        c"port_priority",
        c"The priorities of ports, less is better, as in em0:100 em1:200",
        Row::Text(write_priorities, set_priorities),
    ),
];

/// The same for kpi.
pub(super) const SETTINGS: [Setting; ROWS.len()] = {
    let mut settings = [const { Setting { name: c"", about: c"", holds: Holds::Number } }; _];
    let mut place = 0;
    while place < ROWS.len() {
        let (name, about, row) = &ROWS[place];
        let holds = match row {
            Row::Number(..) => Holds::Number,
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
        Row::Number(_, field) => {
            let number = *field(&mut softc.state().settings);
            write!(to, "{number}")
        }
        Row::Text(write, _) => write(&softc.state().settings, to),
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
            let number = number(to).filter(|number| range.contains(number)).ok_or(Errno::EINVAL)?;
            softc.try_change(|state| {
                *field(&mut state.settings) = number;
                Ok(())
            })?;
        }
        Row::Text(_, set) => set(softc, to)?,
    }
    Softc::wake_protocol(softc);
    Ok(())
}

/// A number in decimal, without a sign.
fn number<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn write_priorities(settings: &Settings, to: &mut dyn Write) -> fmt::Result {
    for (place, (name, priority)) in settings.port_priority.iter().enumerate() {
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
    softc.try_change(|state| {
        // The old ones are freed without the mutex.
        swap(&mut state.settings.port_priority, &mut to);
        Ok(())
    })
}

/// A name with its priority, `em0:100`. A name may have colons too.
fn priority(word: &str) -> Option<(Name, u16)> {
    let (name, priority) = word.rsplit_once(':')?;
    Some((Name::new(name)?, number(priority)?))
}
