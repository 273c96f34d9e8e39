//! Why a port is not in service.

use lagg_rs::lacp::{Link, Options, Reason, Settings};
use lagg_rs::wire::lacpdu::{Lacpdu, StateBits};

use crate::lab::{DEFAULTS, nth};
use crate::solo::{IN_SERVICE, NEW, Solo};

/// Each with what brings a port there that has been in service beside another.
#[test]
fn each_reason_is_given_where_it_holds() {
    type Case = (Option<Reason>, fn(&mut Solo));
    let table: [Case; 13] = [
        (None, |_| {}),
        (Some(Reason::NoLink), |solo| solo.lacp.set_link(nth(1), Link::Down, solo.now())),
        (Some(Reason::Individual), |solo| solo.lacp.set_link(nth(1), Link::Unfit, solo.now())),
        (Some(Reason::NoPartner), |solo| {
            for _ in 0..10 {
                solo.pass(10_000);
                solo.hear(0, IN_SERVICE);
            }
        }),
        (Some(Reason::Looped), |solo| {
            replug(solo);
            let own = Lacpdu { actor: *solo.port(1).actor(), ..solo.pdu(1, NEW) };
            solo.receive(1, &own);
        }),
        (Some(Reason::NotInSync), |solo| solo.hear(1, NEW)),
        // A farewell.
        (Some(Reason::NotInSync), |solo| solo.hear(1, StateBits::ACTIVITY)),
        (Some(Reason::NotCollecting), |solo| solo.hear(1, IN_SERVICE - StateBits::COLLECTING)),
        // It has not waited for others.
        (Some(Reason::NotInSync), |solo| {
            other(solo, |pdu| pdu.actor.key = 8);
        }),
        (Some(Reason::AnotherPartner), |solo| {
            other(solo, |pdu| pdu.actor.system = [2, 0, 0, 0, 0, 8]);
            solo.pass(2_000);
        }),
        (Some(Reason::Individual), |solo| {
            other(solo, |pdu| pdu.actor.state = IN_SERVICE - StateBits::AGGREGATION);
            solo.pass(2_000);
        }),
        // Another aggregator of the same partner.
        (Some(Reason::Standby), |solo| {
            other(solo, |pdu| pdu.actor.key = 8);
            solo.pass(2_000);
        }),
        (Some(Reason::Standby), |solo| {
            let settings = Settings { max_links: 1, ..*solo.lacp.settings() };
            solo.lacp.set_settings(settings);
        }),
    ];
    for (place, (reason, bring)) in table.into_iter().enumerate() {
        let mut solo = Solo::new(2, DEFAULTS);
        solo.agree();
        bring(&mut solo);
        solo.pass(0);
        assert_eq!(solo.lacp.reason(nth(1)), reason, "row {place}");
        assert_eq!(solo.lacp.reason(nth(0)), None, "row {place}");
    }
    let solo = Solo::new(1, DEFAULTS);
    assert_eq!(solo.lacp.reason(nth(5)), None);
}

fn replug(solo: &mut Solo) {
    solo.lacp.set_link(nth(1), Link::Down, solo.now());
    solo.lacp.set_link(nth(1), Link::Up(1_000_000_000), solo.now());
    solo.pass(0);
}

/// The second port hears another partner, or another port of it.
fn other(solo: &mut Solo, change: fn(&mut Lacpdu)) {
    replug(solo);
    let mut pdu = solo.pdu(1, NEW);
    change(&mut pdu);
    solo.receive(1, &pdu);
}

/// What the partner keeps as a standby, after a minute.
#[test]
fn a_port_that_the_partner_does_not_use_is_a_standby() {
    let mut solo = Solo::new(2, DEFAULTS);
    solo.agree();
    for _ in 0..6 {
        assert_ne!(solo.lacp.reason(nth(1)), Some(Reason::Standby));
        solo.hear(0, IN_SERVICE);
        solo.hear(1, NEW);
        solo.pass(10_000);
    }
    assert_eq!(solo.lacp.reason(nth(1)), Some(Reason::Standby));
}

/// Each while no port is in service, for the first port and the second.
#[test]
fn f80_nothing_stands_by_while_nothing_is_in_service() {
    type Case = ([Reason; 2], fn(&mut Solo));
    let table: [Case; 7] = [
        ([Reason::NotInSync; 2], |solo| (0..2).for_each(|slot| solo.hear(slot, NEW))),
        // Another partner, another aggregator, an individual link.
        ([Reason::NotInSync; 2], |solo| {
            solo.hear(0, NEW);
            other(solo, |pdu| pdu.actor.system = [2, 0, 0, 0, 0, 8]);
        }),
        ([Reason::NotInSync; 2], |solo| {
            solo.hear(0, NEW);
            other(solo, |pdu| pdu.actor.key = 8);
        }),
        ([Reason::NotInSync; 2], |solo| {
            solo.hear(0, NEW);
            other(solo, |pdu| pdu.actor.state = NEW - StateBits::AGGREGATION);
        }),
        ([Reason::NotInSync; 2], |solo| {
            solo.lacp.set_settings(Settings { max_links: 1, ..Settings::NEW });
            (0..2).for_each(|slot| solo.hear(slot, NEW));
        }),
        ([Reason::NotCollecting; 2], |solo| {
            (0..2).for_each(|slot| solo.hear(slot, IN_SERVICE - StateBits::COLLECTING));
        }),
        // The first one waits for the second.
        ([Reason::NotInSync, Reason::NotCollecting], |solo| {
            solo.hear(1, IN_SERVICE - StateBits::COLLECTING);
            solo.hear(0, IN_SERVICE);
            solo.pass(2_000);
            solo.hear(1, IN_SERVICE - StateBits::COLLECTING);
            solo.hear(0, IN_SERVICE);
        }),
    ];
    for (place, (reasons, bring)) in table.into_iter().enumerate() {
        let mut solo = Solo::new(2, DEFAULTS);
        bring(&mut solo);
        if place < 6 {
            solo.pass(2_500);
        }
        assert!(solo.lacp.distributing().is_empty(), "row {place}");
        let given = [0, 1].map(|slot| solo.lacp.reason(nth(slot)));
        assert_eq!(given, reasons.map(Some), "row {place}");
    }
}

/// A loop is one as long as what is sent comes back.
#[test]
fn f80_a_link_is_looped_no_longer_than_it_is() {
    for fast_timeout in [false, true] {
        let mut solo = Solo::new(1, Options { fast_timeout, ..DEFAULTS });
        let period = if fast_timeout { 1_000 } else { 30_000 };
        solo.pass(period);
        for _ in 0..5 {
            for (_, own) in solo.pass(period) {
                solo.receive(0, &own);
            }
            assert_eq!(solo.lacp.reason(nth(0)), Some(Reason::Looped));
        }
        solo.pass(2 * period);
        assert_eq!(solo.lacp.reason(nth(0)), Some(Reason::Looped));
        solo.pass(2 * period);
        assert_eq!(solo.lacp.reason(nth(0)), Some(Reason::NoPartner));
    }
}

/// A better aggregator that has not been better for long enough.
#[test]
fn a_port_that_waits_says_so() {
    let mut solo = Solo::new(2, DEFAULTS);
    solo.lacp.set_settings(Settings { up_delay: 60_000, ..Settings::NEW });
    solo.agree();
    other(&mut solo, |pdu| {
        (pdu.actor.system, pdu.actor.system_priority) = ([2, 0, 0, 0, 0, 8], 1);
        pdu.actor.state = IN_SERVICE;
    });
    solo.pass(2_000);
    assert_eq!(solo.lacp.reason(nth(1)), Some(Reason::WaitsUpDelay));
    assert_eq!(solo.lacp.reason(nth(0)), None);
}

#[test]
fn each_reason_has_words_of_its_own() {
    let words: std::collections::BTreeSet<_> = Reason::ALL.map(Reason::text).into_iter().collect();
    assert_eq!(words.len(), Reason::ALL.len());
}
