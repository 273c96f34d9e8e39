//! Each machine's whole table, compared with the files in `tables/`. A change of a transition must be made
//! there too. These files are written by hand only.

use std::fmt::{Debug, Write};

use lagg_rs::lacp::{Link, Options, Selected, churn, mux, periodic, receive};
use lagg_rs::wire::lacpdu::{Info, StateBits};

use crate::lab::{DEFAULTS, GIGABIT, nth};
use crate::solo::{IN_SERVICE, NEW, Solo};

/// Checks that the table `name` is `text`.
#[track_caller]
fn is_as_written(name: &str, written: &str, text: &str) {
    assert!(text == written, "tables/{name} is otherwise now:\n{text}");
}

const BOTH: [bool; 2] = [false, true];

/// `yes` or `no `, with what is asked.
fn ask(what: &str, is: bool) -> String {
    if is { what.to_string() } else { "-".repeat(what.len()) }
}

fn goes<T: Debug>(to: Option<T>) -> String {
    to.map_or("stays".to_string(), |to| format!("{to:?}"))
}

#[test]
fn receive_table() {
    use receive::{Event, State};
    let mut text = String::new();
    for state in
        [State::PortDisabled, State::LacpDisabled, State::Expired, State::Defaulted, State::Current]
    {
        for event in
            [Event::Down, Event::Unfit, Event::Up, Event::Pdu, Event::Timeout, Event::Moved]
        {
            let line = format!("{state:?} {event:?}");
            writeln!(text, "{line:<21} {}", goes(state.next(event))).unwrap();
        }
    }
    is_as_written("receive", include_str!("tables/receive"), &text);
}

#[test]
fn periodic_table() {
    use periodic::{Conditions, State};
    let mut text = String::new();
    for state in [State::NoPeriodic, State::FastPeriodic, State::SlowPeriodic] {
        for enabled in BOTH {
            for short in BOTH {
                for expired in BOTH {
                    let asked =
                        [ask("enabled", enabled), ask("short", short), ask("expired", expired)];
                    let to = state.next(Conditions { enabled, short, expired });
                    let (to, due) = (to.map(|to| to.0), to.is_some_and(|to| to.1));
                    let due = if due { ", NTT" } else { "" };
                    let line = format!("{state:?} {}", asked.join(" "));
                    writeln!(text, "{line:<34} {}{due}", goes(to)).unwrap();
                }
            }
        }
    }
    is_as_written("periodic", include_str!("tables/periodic"), &text);
}

#[test]
fn mux_table() {
    let mut text = String::new();
    for state in mux::MuxState::ALL {
        for selected in [Selected::Unselected, Selected::Standby, Selected::Selected] {
            for ready in BOTH {
                for partner_sync in BOTH {
                    for partner_collecting in BOTH {
                        let asked = [
                            match selected {
                                Selected::Unselected => "--------".to_string(),
                                Selected::Standby => "standby ".to_string(),
                                Selected::Selected => "selected".to_string(),
                            },
                            ask("ready", ready),
                            ask("sync", partner_sync),
                            ask("collecting", partner_collecting),
                        ];
                        let conditions =
                            mux::Conditions { selected, ready, partner_sync, partner_collecting };
                        let line = format!("{:<12} {}", state.name(), asked.join(" "));
                        let to = state.next(conditions).map_or("stays", |to| to.name());
                        writeln!(text, "{line} {to}").unwrap();
                    }
                }
            }
        }
    }
    is_as_written("mux", include_str!("tables/mux"), &text);
}

#[test]
fn churn_table() {
    use churn::{Conditions, State};
    let mut text = String::new();
    for state in [State::NoChurn, State::ChurnMonitor, State::Churn] {
        for enabled in BOTH {
            for sync in BOTH {
                for expired in BOTH {
                    let asked =
                        [ask("enabled", enabled), ask("sync", sync), ask("expired", expired)];
                    let line = format!("{state:?} {}", asked.join(" "));
                    let to = state.next(Conditions { enabled, sync, expired });
                    writeln!(text, "{line:<33} {}", goes(to)).unwrap();
                }
            }
        }
    }
    is_as_written("churn", include_str!("tables/churn"), &text);
}

/// A letter for each bit, from ACTIVITY to EXPIRED.
fn bits(info: &Info) -> String {
    let has = |n: usize| info.state.bits() >> n & 1 != 0;
    "ATGSCDFE".chars().enumerate().map(|(n, bit)| if has(n) { bit } else { '-' }).collect()
}

fn known(info: &Info) -> &str {
    if info.system == Solo::partner(0, NEW).system { "partner" } else { "nobody" }
}

/// A port in each state of the receive machine.
fn states(options: Options) -> Vec<(&'static str, Solo)> {
    let with = |what: &dyn Fn(&mut Solo)| {
        let mut solo = Solo::new(1, options);
        what(&mut solo);
        solo.said();
        solo
    };
    let in_service = |then: &dyn Fn(&mut Solo)| {
        with(&|solo| {
            solo.agree();
            solo.hear(0, IN_SERVICE);
            solo.pass(1_000);
            then(solo);
        })
    };
    vec![
        ("new, down", with(&|solo| solo.lacp.set_link(nth(0), Link::Down, solo.now()))),
        ("PORT_DISABLED", in_service(&|solo| solo.lacp.set_link(nth(0), Link::Down, solo.now()))),
        ("LACP_DISABLED", in_service(&|solo| solo.lacp.set_link(nth(0), Link::Unfit, solo.now()))),
        ("new, EXPIRED", with(&|_| {})),
        ("EXPIRED", in_service(&|solo| drop(solo.pass(89_000)))),
        ("DEFAULTED", in_service(&|solo| drop(solo.pass(93_000)))),
        ("CURRENT", in_service(&|_| {})),
    ]
}

type Event = (&'static str, fn(&mut Solo));

/// Events of the link, the clock, and the partner: one that agrees, one that does not, one that has not
/// recorded us, and an unknown one.
const EVENTS: [Event; 15] = [
    ("down", |solo| solo.lacp.set_link(nth(0), Link::Down, solo.now())),
    ("unfit", |solo| solo.lacp.set_link(nth(0), Link::Unfit, solo.now())),
    ("up", |solo| solo.lacp.set_link(nth(0), GIGABIT, solo.now())),
    ("another speed", |solo| solo.lacp.set_link(nth(0), Link::Up(1), solo.now())),
    ("3 s pass", |solo| drop(solo.pass(3_000))),
    ("90 s pass", |solo| drop(solo.pass(90_000))),
    ("in service", |solo| solo.hear(0, IN_SERVICE)),
    ("not collecting", |solo| solo.hear(0, NEW | StateBits::SYNC)),
    ("not in sync", |solo| solo.hear(0, NEW)),
    ("short timeout", |solo| solo.hear(0, IN_SERVICE | StateBits::TIMEOUT)),
    ("passive", |solo| solo.hear(0, IN_SERVICE - StateBits::ACTIVITY)),
    ("passive, so are we", |solo| {
        let mut pdu = solo.pdu(0, IN_SERVICE - StateBits::ACTIVITY);
        pdu.partner.state.remove(StateBits::ACTIVITY);
        solo.receive(0, &pdu);
    }),
    ("individual", |solo| {
        let mut pdu = solo.pdu(0, IN_SERVICE - StateBits::AGGREGATION);
        pdu.partner = Info::default();
        solo.receive(0, &pdu);
    }),
    ("knows another", |solo| {
        let mut pdu = solo.pdu(0, IN_SERVICE);
        pdu.partner.key += 1;
        solo.receive(0, &pdu);
    }),
    ("another partner", |solo| {
        let mut pdu = solo.pdu(0, IN_SERVICE);
        pdu.actor.key += 1;
        solo.receive(0, &pdu);
    }),
];

/// The machines of a port after an event: our bits, the partner's, and whether a LACPDU was sent. A for
/// ACTIVITY, T for TIMEOUT, G for AGGREGATION, S for SYNC, C for COLLECTING, D for DISTRIBUTING, F for
/// DEFAULTED and E for EXPIRED.
fn effects(options: Options) -> String {
    let mut text = String::new();
    for (n, (state, _)) in states(options).iter().enumerate() {
        let (_, before) = states(options).swap_remove(n);
        let port = before.port(0);
        let (actor, partner) = (bits(port.actor()), bits(port.partner()));
        let title = format!("{state}: {:?}", port.mux());
        writeln!(text, "{title:<29} {actor} {partner} {}", known(port.partner())).unwrap();
        for (event, happens) in EVENTS {
            let (_, mut solo) = states(options).swap_remove(n);
            let out = solo.port(0).statistics().pdus_out;
            happens(&mut solo);
            solo.said();
            let port = solo.port(0);
            let said = port.statistics().pdus_out - out;
            let (actor, partner) = (bits(port.actor()), bits(port.partner()));
            let to = format!("{event:<18}: {:?}", port.mux());
            let known = known(port.partner());
            writeln!(text, "  {to:<32} {actor} {partner} {known}, {said} said").unwrap();
        }
    }
    text
}

#[test]
fn effects_of_events_on_both_sides_of_a_port() {
    is_as_written("effects", include_str!("tables/effects"), &effects(DEFAULTS));
}

/// Only the assumed partner is different if the option is not strict.
#[test]
fn effects_of_events_if_not_strict() {
    let strict = effects(DEFAULTS);
    let lax = effects(Options { strict: false, ..DEFAULTS });
    let lines = strict.lines().zip(lax.lines());
    let different: String = lines.filter(|(a, b)| a != b).map(|(_, b)| format!("{b}\n")).collect();
    is_as_written("effects-lax", include_str!("tables/effects-lax"), &different);
}
