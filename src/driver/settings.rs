//! The settings that ifconfig(8) has no word for: `net.link.lagg.iface.<lagg>.<name>`.
//!
//! A setting is a row of [`ROWS`]. sysctl(8), userlagg and the tests of the manual page all read that
//! table. A setting of another protocol than the present one is kept, and takes effect with that.

use core::ffi::CStr;
use core::fmt::Write;
use core::ops::RangeInclusive;

use super::Softc;
use crate::kpi::{Defaults, Errno, Holds, LaggType, Ref, Result, Setting, defaults};
use crate::slots::Slot;

/// The settings of a lagg. They stay when its protocol is switched.
pub(super) struct Settings {
    /// The lagg's link is up only while at least so many ports are in service.
    pub min_links: u32,
}

impl Settings {
    /// Those of a new lagg, from the vnet's sysctls. A bad number there counts as the usual one.
    pub fn of_vnet() -> Self {
        let Defaults { min_links, .. } = defaults();
        Settings { min_links: within(&MIN_LINKS, min_links).unwrap_or(0) }
    }
}

const MIN_LINKS: RangeInclusive<u32> = 0..=Slot::COUNT as u32;

fn within(range: &RangeInclusive<u32>, number: i32) -> Option<u32> {
    u32::try_from(number).ok().filter(|number| range.contains(number))
}

/// How a setting is read and written.
enum Row {
    /// A number of this range, in this place.
    Number(RangeInclusive<u32>, fn(&mut Settings) -> &mut u32),
}

/// All settings: the name, what it is, and how it is read and written.
const ROWS: [(&CStr, &CStr, Row); 1] = [(
    c"min_links",
    c"The link is up only while so many ports are in service",
    Row::Number(MIN_LINKS, |settings| &mut settings.min_links),
)];

/// The same for kpi.
pub(super) const SETTINGS: [Setting; ROWS.len()] = {
    let mut settings = [const { Setting { name: c"", about: c"", holds: Holds::Number } }; _];
    let mut place = 0;
    while place < ROWS.len() {
        let (name, about, row) = &ROWS[place];
        let holds = match row {
            Row::Number(..) => Holds::Number,
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
            let number = to.parse().ok().filter(|number| range.contains(number));
            let number = number.ok_or(Errno::EINVAL)?;
            softc.try_change(|state| {
                *field(&mut state.settings) = number;
                Ok(())
            })?;
        }
    }
    Softc::wake_protocol(softc);
    Ok(())
}
