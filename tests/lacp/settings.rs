//! The settings: each takes effect at once, and what was agreed on stays agreed where it may.

use lagg_rs::lacp::{Link, Settings, key};
use lagg_rs::wire::lacpdu::{Info, StateBits};

use crate::lab::{DEFAULTS, GIGABIT, Lab, mac, nth};
use crate::negotiation::{agreed, all_carry};
use crate::solo::{IN_SERVICE, NEW, Solo};

impl Lab {
    /// Changes a system's settings.
    pub fn set(&mut self, system: usize, change: impl FnOnce(&mut Settings)) {
        let mut settings = *self[system].settings();
        change(&mut settings);
        self.at(system, |lacp, _| lacp.set_settings(settings));
    }

    /// Changes the priority of the port at an end.
    pub fn set_port_priority(&mut self, cable: usize, end: usize, priority: u16) {
        let (system, slot) =
            (self.cables[cable].ends[end].system, self.cables[cable].ends[end].slot);
        self.at(system, |lacp, now| lacp.set_port_priority(nth(slot), priority, now));
    }
}

/// What identifies a system and its ports is what the partner records within two frames, and all is in
/// service again as soon as ports have waited for others.
#[test]
fn what_partners_are_told_they_know_at_once() {
    type Case = (fn(&mut Settings), fn(&Info) -> bool);
    let cases: [Case; 4] = [
        (|its| its.system_priority = 7, |info| info.system_priority == 7),
        (|its| its.system_id = Some(mac(77)), |info| info.system == mac(77)),
        (|its| its.key = 5, |info| info.key == key::aggregatable(5, 1_000_000_000)),
        (|its| its.key = 0, |info| info.key == key::aggregatable(11, 1_000_000_000)),
    ];
    let mut lab = agreed(2);
    for (change, is_told) in cases {
        lab.advance(1_000);
        lab.set(0, change);
        lab.until(2, |lab| (0..2).all(|cable| is_told(lab.port(cable, 1).partner())));
        assert!(lab.until(2_500, all_carry) <= 2_010);
    }
    lab.advance(1_000);
    lab.set_port_priority(1, 0, 3);
    lab.until(2, |lab| lab.port(1, 1).partner().port_priority == 3);
    // What is in service stays so (F-77).
    let before = [lab[0].flapping(), lab[1].flapping()];
    lab.advance(10_000);
    assert!(all_carry(&lab));
    assert_eq!([lab[0].flapping(), lab[1].flapping()], before);
}

/// A system that becomes passive says so. Nothing leaves service, unless both are passive: then nothing is
/// said any more.
#[test]
fn a_passive_system_speaks_when_it_is_spoken_to() {
    let mut lab = agreed(2);
    lab.advance(1_000);
    lab.set(0, |its| its.active = false);
    let is_passive = |lab: &Lab| !lab.port(0, 1).partner().state.contains(StateBits::ACTIVITY);
    lab.until(2, is_passive);
    lab.advance(200_000);
    assert!(all_carry(&lab));
    assert_eq!((lab[0].flapping(), lab[1].flapping()), (0, 0));
    lab.set(1, |its| its.active = false);
    lab.advance(200_000);
    assert_eq!(lab[0].distributing().bits(), 0);
    let sent = |lab: &Lab| [0, 1].map(|end| lab.port(0, end).statistics().pdus_out);
    let before = sent(&lab);
    for cable in [0, 1] {
        lab.unplug(cable);
        lab.plug(cable);
    }
    lab.advance(200_000);
    assert_eq!(sent(&lab), before);
    // One that becomes active speaks within a second.
    lab.set(1, |its| its.active = true);
    assert!(lab.until(5_000, all_carry) <= 3_010);
}

/// So do ports that join later.
#[test]
fn a_port_that_joins_is_as_it_is_set() {
    let mut solo = Solo::new(1, DEFAULTS);
    let settings = Settings { active: false, key: 9, ..*solo.lacp.settings() };
    solo.lacp.set_settings(settings);
    solo.lacp.add(nth(1), 2, [2, 0, 0, 0, 1, 1]);
    solo.lacp.set_port_priority(nth(1), 4, solo.now());
    solo.lacp.set_link(nth(1), GIGABIT, solo.now());
    // What it says once is that it is not active any more.
    let said = solo.pass(100_000);
    assert!(said.len() == 1 && said[0].0 == 0, "{said:?}");
    assert!(!said[0].1.actor.state.contains(StateBits::ACTIVITY));
    let actor = *solo.port(1).actor();
    assert_eq!((actor.key, actor.port_priority), (key::aggregatable(9, 1_000_000_000), 4));
    solo.hear(1, NEW);
    let said = solo.said();
    assert_eq!((said.len(), said[0].1.actor.port_priority), (1, 4));
    assert!(!said[0].1.actor.state.contains(StateBits::ACTIVITY));
}

/// The octets of 802.1AX-2008 5.4.2.2, d to i.
#[test]
fn the_octets_of_a_lacpdu_are_what_is_set() {
    let mut solo = Solo::new(1, DEFAULTS);
    solo.lacp.set_settings(Settings {
        system_priority: 0x0102,
        system_id: Some([2, 0, 0x5e, 0, 0x53, 1]),
        key: key::LAST,
        ..Settings::NEW
    });
    solo.lacp.set_port_priority(nth(0), 0x0304, solo.now());
    solo.ms += 1_000;
    solo.lacp.run(solo.now());
    let (_, frame) = solo.lacp.poll_transmit(solo.now()).unwrap();
    let octets = [1, 2, 2, 0, 0x5e, 0, 0x53, 1, 0x7f, 0xe4, 3, 4, 0, 1, 0xc5];
    assert_eq!(frame[18..33], octets);
}

/// What partners are not told about makes no LACPDU, nor does what is set to what it is.
#[test]
fn nothing_is_said_of_what_is_not_told() {
    let mut lab = agreed(2);
    lab.advance(1_000);
    let sent =
        |lab: &Lab| lab.port(0, 0).statistics().pdus_out + lab.port(1, 0).statistics().pdus_out;
    let before = sent(&lab);
    let other = Settings {
        select: lagg_rs::lacp::settings::Select::Count,
        max_links: 2,
        reselect: lagg_rs::lacp::settings::Reselect::Failure,
        up_delay: 5,
        fallback: true,
        fallback_delay: 1,
        marker_timeout: 0,
        ..Settings::NEW
    };
    for settings in [other, Settings::NEW, Settings::NEW] {
        lab.set(0, |its| *its = settings);
        lab.set_port_priority(0, 0, 0x8000);
        lab.advance(10);
    }
    assert_eq!((sent(&lab), lab[0].flapping()), (before, 0));
}

/// Neither a key nor a port's number is 0, whatever is set (F-62).
#[test]
fn f62_no_key_is_0() {
    for number in [0, 1, key::LAST] {
        let mut solo = Solo::new(1, DEFAULTS);
        solo.lacp.set_settings(Settings { key: number, ..Settings::NEW });
        for link in [Link::Up(0), GIGABIT, Link::Unfit] {
            solo.lacp.set_link(nth(0), link, solo.now());
            assert!(solo.port(0).actor().key != 0 && solo.port(0).actor().port != 0);
        }
    }
}

/// An identifier that was given is not given up for another system that has the same (F-66).
#[test]
fn f66_an_identifier_that_was_given_stays() {
    for given in [None, Some(mac(1))] {
        let mut solo = Solo::new(1, DEFAULTS);
        solo.lacp.set_settings(Settings { system_id: given, ..Settings::NEW });
        for _ in 0..5 {
            let mut pdu = solo.pdu(0, IN_SERVICE);
            pdu.actor.system = mac(1);
            solo.receive_from(0, mac(9), &pdu);
            solo.pass(1_000);
        }
        assert_eq!(solo.port(0).actor().system == mac(1), given.is_some());
    }
}

/// No flow waits if none is to, or if the partner says that it takes nothing in.
#[test]
fn flows_wait_for_as_long_as_is_set_and_can_matter() {
    for timeout in [0, 1, 700, 3_000] {
        let mut solo = Solo::new(1, DEFAULTS);
        solo.agree();
        solo.lacp.set_settings(Settings { marker_timeout: timeout, ..Settings::NEW });
        let slots = solo.lacp.distributing();
        let asked = solo.lacp.ask_markers(slots, solo.now());
        assert_eq!((asked.is_empty(), slots.len()), (timeout == 0, 1));
        solo.pass(u64::from(timeout.saturating_sub(1)));
        assert_eq!(solo.lacp.waiting(), asked);
        solo.pass(1);
        assert!(solo.lacp.waiting().is_empty());
    }
}

#[test]
fn no_flow_waits_for_a_partner_that_says_that_it_takes_nothing_in() {
    for state in [NEW, IN_SERVICE - StateBits::COLLECTING, IN_SERVICE - StateBits::SYNC] {
        let mut solo = Solo::new(2, DEFAULTS);
        solo.agree();
        let asked = solo.lacp.ask_markers(solo.lacp.distributing(), solo.now());
        assert_eq!((asked.len(), solo.lacp.waiting().len()), (2, 2));
        solo.hear(1, state);
        assert_eq!(solo.lacp.waiting().bits(), 1);
        solo.lacp.set_link(nth(0), Link::Down, solo.now());
        assert!(solo.lacp.waiting().is_empty());
    }
}
