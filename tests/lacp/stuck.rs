//! Partners that are in sync on a port, and never collect there.

use lagg_rs::lacp::Settings;
use lagg_rs::lacp::settings::Reselect;
use lagg_rs::lacp::standby::REFUSED;
use lagg_rs::wire::lacpdu::StateBits;

use crate::lab::DEFAULTS;
use crate::solo::{IN_SERVICE, NEW, Solo};

const STUCK: StateBits = NEW.union(StateBits::SYNC);

/// Ports of which so many may be in service, ready, before the partner is in sync.
fn limited(ports: u8, most: u8, reselect: Reselect) -> Solo {
    let mut solo = Solo::new(ports, DEFAULTS);
    solo.lacp.set_settings(Settings { max_links: most, reselect, ..Settings::NEW });
    (0..ports).for_each(|slot| solo.hear(slot, NEW));
    solo.pass(2_000);
    solo
}

#[test]
fn f78_a_port_on_which_the_partner_does_not_collect_gives_way_for_good() {
    for reselect in [Reselect::Always, Reselect::Better, Reselect::Failure] {
        let mut solo = limited(3, 2, reselect);
        let says = |slot| if slot == 0 { STUCK } else { IN_SERVICE };
        (0..3).for_each(|slot| solo.hear(slot, says(slot)));
        solo.pass(u64::from(REFUSED) - 1);
        assert_eq!(solo.lacp.distributing().bits(), 0b010);
        solo.pass(1);
        solo.hear(2, IN_SERVICE);
        assert_eq!(solo.lacp.distributing().bits(), 0b110, "{reselect:?}");
        for _ in 0..20 {
            solo.pass(29_000);
            (0..3).for_each(|slot| solo.hear(slot, says(slot)));
        }
        assert_eq!((solo.lacp.distributing().bits(), solo.lacp.flapping()), (0b110, 0));
        // One that collects after all is like any other.
        solo.hear(0, IN_SERVICE);
        solo.hear(0, IN_SERVICE);
        let returns = reselect == Reselect::Always;
        solo.pass(2_000);
        assert_eq!(solo.lacp.distributing().bits() == 0b011, returns, "{reselect:?}");
    }
}

/// Each is tried once, and the last one that is tried stays.
#[test]
fn f78_where_the_partner_collects_nowhere_nothing_goes_to_and_fro() {
    for reselect in [Reselect::Always, Reselect::Failure] {
        let mut solo = limited(3, 1, reselect);
        let (mut tried, mut last) = (Vec::new(), None);
        for second in 0..600 {
            if second % 20 == 0 {
                (0..3).for_each(|slot| solo.hear(slot, STUCK));
            }
            solo.pass(1_000);
            let in_sync = (0..3).find(|&n| solo.port(n).actor().state.contains(StateBits::SYNC));
            if in_sync != last {
                tried.extend(in_sync);
            }
            last = in_sync;
        }
        assert_eq!(tried, [0, 1, 2], "{reselect:?}");
    }
}
