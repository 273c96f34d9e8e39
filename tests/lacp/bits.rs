//! Every pair of state bytes that a LACPDU can have, for its sender and for us, in each state of the
//! receive machine. The expected results are written from the standard, independently of the machines.

use lagg_rs::lacp::{Link, Options, mux};
use lagg_rs::wire::lacpdu::{Info, Lacpdu, StateBits};

use crate::lab::{DEFAULTS, nth};
use crate::solo::{IN_SERVICE, Solo};

/// What a port shows.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Side {
    actor: Info,
    partner: Info,
    mux: mux::MuxState,
}

impl Side {
    fn of(solo: &Solo) -> Self {
        let port = solo.port(0);
        Side { actor: *port.actor(), partner: *port.partner(), mux: port.mux() }
    }
}

fn has(state: StateBits, bit: StateBits) -> bool {
    state.contains(bit)
}

/// The port after a LACPDU that comes while LACP is in use on it, and whether it sends one in return.
fn expected(before: Side, pdu: &Lacpdu) -> (Side, bool) {
    // recordPDU (802.1AX-2014 6.4.9): the partner's SYNC counts if the LACPDU is about this link, or the
    // partner's link is individual; and if one side keeps the link alive.
    let about_us = pdu.partner.is_same_port(&before.actor)
        && has(pdu.partner.state, StateBits::AGGREGATION)
            == has(before.actor.state, StateBits::AGGREGATION);
    let individual = !has(pdu.actor.state, StateBits::AGGREGATION);
    let alive = has(pdu.actor.state | pdu.partner.state, StateBits::ACTIVITY);
    let mut partner = pdu.actor;
    partner.state.set(
        StateBits::SYNC,
        has(partner.state, StateBits::SYNC) && (about_us || individual) && alive,
    );

    // update_Selected: another partner, or one whose AGGREGATION has changed.
    let stays = before.mux != mux::MuxState::Detached
        && partner.is_same_port(&before.partner)
        && has(partner.state, StateBits::AGGREGATION)
            == has(before.partner.state, StateBits::AGGREGATION);
    let mux = match (stays, before.mux) {
        // The port selects an aggregator again at once, and waits.
        (false, _) | (true, mux::MuxState::Waiting) => mux::MuxState::Waiting,
        _ if !has(partner.state, StateBits::SYNC) => mux::MuxState::Attached,
        _ if !has(partner.state, StateBits::COLLECTING) => mux::MuxState::Collecting,
        _ => mux::MuxState::Distributing,
    };
    let ours = match mux {
        mux::MuxState::Detached | mux::MuxState::Waiting => StateBits::empty(),
        mux::MuxState::Attached => StateBits::SYNC,
        mux::MuxState::Collecting => StateBits::SYNC | StateBits::COLLECTING,
        mux::MuxState::Distributing => {
            StateBits::SYNC | StateBits::COLLECTING | StateBits::DISTRIBUTING
        }
    };
    let fixed = StateBits::ACTIVITY | StateBits::TIMEOUT | StateBits::AGGREGATION;
    let actor = Info { state: before.actor.state & fixed | ours, ..before.actor };

    // update_NTT: the partner has recorded something else of us. Or the mux machine has moved; that
    // includes WAITING, where the partner may not know yet that it is recorded here. Or the partner has
    // just asked for the short timeout.
    let told = fixed | StateBits::SYNC;
    let wrong = !pdu.partner.is_same_port(&before.actor)
        || pdu.partner.state & told != before.actor.state & told;
    let moved = mux != before.mux || !stays;
    let hurried =
        has(partner.state, StateBits::TIMEOUT) && !has(before.partner.state, StateBits::TIMEOUT);
    (Side { actor, partner, mux }, wrong || moved || hurried)
}

/// Receives this LACPDU, and compares.
#[track_caller]
fn hears(solo: &mut Solo, pdu: &Lacpdu, enabled: bool, what: &str) {
    let before = Side::of(solo);
    let (after, says) = if enabled { expected(before, pdu) } else { (before, false) };
    solo.receive(0, pdu);
    let said = solo.said();
    assert_eq!(Side::of(solo), after, "{what}: {before:?} hears {pdu:?}");
    assert_eq!(said.len(), usize::from(says), "{what}: {before:?} hears {pdu:?}, says {said:?}");
    if let [(_, said)] = said[..] {
        assert_eq!((said.actor, said.partner), (after.actor, after.partner));
    }
}

/// A port that was brought into a state, and may send at once.
fn brought(options: Options, to: &str) -> Solo {
    let mut solo = Solo::new(1, options);
    if !to.starts_with("new") {
        solo.agree();
        solo.hear(0, IN_SERVICE);
    }
    let timeout = if options.fast_timeout { 3_000 } else { 90_000 };
    match to {
        "new" | "CURRENT" => {}
        "new, waits" => solo.hear(0, IN_SERVICE),
        "EXPIRED" => drop(solo.pass(timeout)),
        "DEFAULTED" => drop(solo.pass(timeout + 3_000)),
        "PORT_DISABLED" => solo.lacp.set_link(nth(0), Link::Down, solo.now()),
        "LACP_DISABLED" => solo.lacp.set_link(nth(0), Link::Unfit, solo.now()),
        _ => unreachable!("{to}"),
    }
    solo.pass(1_000);
    solo
}

const STATES: [(&str, bool); 7] = [
    ("new", true),
    ("new, waits", true),
    ("CURRENT", true),
    ("EXPIRED", true),
    ("DEFAULTED", true),
    ("PORT_DISABLED", false),
    ("LACP_DISABLED", false),
];

fn every_state() -> impl Iterator<Item = StateBits> {
    (0..=u8::MAX).map(StateBits::from_bits_retain)
}

/// From a partner that has recorded us, one that has recorded another system, and one that has no partner.
#[test]
fn every_state_of_a_partner_in_every_state_of_the_port() {
    for options in [DEFAULTS, Options { fast_timeout: true, strict: false, ..DEFAULTS }] {
        for (to, enabled) in STATES {
            for state in every_state() {
                for knows in 0..3 {
                    let mut solo = brought(options, to);
                    let mut pdu = solo.pdu(0, state);
                    match knows {
                        0 => {}
                        1 => pdu.partner.port += 1,
                        _ => pdu.partner = Info::default(),
                    }
                    hears(&mut solo, &pdu, enabled, to);
                }
            }
        }
    }
}

/// Also with every state that the partner can have recorded of us.
#[test]
fn every_state_of_both_sides_where_the_partner_is_current() {
    let mut solo = brought(DEFAULTS, "CURRENT");
    for state in every_state() {
        for ours in every_state() {
            // Both are in service again, and nothing is due.
            solo.hear(0, IN_SERVICE);
            solo.pass(1_000);
            if Side::of(&solo).mux == mux::MuxState::Waiting {
                solo.agree();
            }
            assert_eq!(Side::of(&solo).mux, mux::MuxState::Distributing);
            let mut pdu = solo.pdu(0, state);
            pdu.partner.state = ours;
            hears(&mut solo, &pdu, true, "CURRENT");
        }
    }
}
