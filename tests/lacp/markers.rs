//! Markers: sent, answered, and not answered.

use lagg_rs::lacp::marker::{self, ANSWERS};
use lagg_rs::lacp::{Link, Options, System};
use lagg_rs::wire::lacpdu::{Info, Lacpdu, StateBits};
use lagg_rs::wire::marker::{Frame, Kind, Marker};
use lagg_rs::wire::slow::FRAME;

use crate::lab::{DEFAULTS, GIGABIT, Lab, mac, nth, set};
use crate::negotiation::agreed;
use crate::solo::{IN_SERVICE, NEW, Solo};

const TIMEOUT: u64 = marker::TIMEOUT as u64;

fn ask(lab: &mut Lab, slots: u32) -> u32 {
    lab.at(0, |lacp, now| lacp.ask_markers(set(slots), now).bits())
}

/// Port 0 receives a response.
fn respond(solo: &mut Solo, marker: Marker) {
    let frame: [u8; FRAME] = Frame::parse(&marker.emit(mac(9))).unwrap().0.response(mac(9));
    let (frame, kind) = Frame::parse(&frame).unwrap();
    assert_eq!(solo.lacp.receive_marker(nth(0), frame, kind, solo.now()), None);
    solo.lacp.run(solo.now());
}

/// The markers that are sent now.
fn asked(solo: &mut Solo) -> Vec<(u8, Marker)> {
    let mut asked = Vec::new();
    while let Some((slot, frame)) = solo.lacp.poll_marker(solo.lacp.last_order()) {
        let (frame, kind) = Frame::parse(&frame).unwrap();
        assert_eq!(kind, Kind::Information);
        asked.push((slot.number(), frame.marker()));
    }
    asked
}

#[test]
fn a_marker_is_answered_by_the_way_there_and_back() {
    let mut lab = agreed(3);
    assert_eq!(ask(&mut lab, 0b101), 0b101);
    assert_eq!(lab[0].waiting().bits(), 0b101);
    assert_eq!(lab.until(TIMEOUT, |lab| lab[0].waiting().bits() == 0), 2);
    for (slot, markers) in [(0, 1), (1, 0), (2, 1)] {
        let [ours, theirs] = [0, 1].map(|it| *lab[it].port(nth(slot)).unwrap().statistics());
        assert_eq!((ours.markers_out, ours.responses_in), (markers, markers));
        assert_eq!((theirs.markers_in, theirs.responses_out), (markers, markers));
    }
}

#[test]
fn f63_a_partner_that_does_not_answer_is_waited_for_half_a_second_and_once() {
    let mut lab = agreed(2);
    lab.systems[1].answers_markers = false;
    assert_eq!(ask(&mut lab, 0b11), 0b11);
    lab.advance(TIMEOUT - 1);
    assert_eq!(lab[0].waiting().bits(), 0b11);
    lab.advance(1);
    assert_eq!(lab[0].waiting().bits(), 0);
    // It still gets markers, because it might answer now.
    let before = lab.port(0, 0).statistics().markers_out;
    assert_eq!(ask(&mut lab, 0b11), 0);
    assert_eq!((lab[0].waiting().bits(), lab.port(0, 0).statistics().markers_out), (0, before + 1));
    lab.advance(2);
    lab.systems[1].answers_markers = true;
    assert_eq!(ask(&mut lab, 0b01), 0);
    lab.advance(2);
    assert_eq!(ask(&mut lab, 0b11), 0b01);
}

#[test]
fn another_partner_is_waited_for_again() {
    let mut lab = agreed(1);
    lab.systems[1].answers_markers = false;
    ask(&mut lab, 1);
    lab.advance(TIMEOUT);
    assert_eq!(ask(&mut lab, 1), 0);
    lab.restart(1, mac(3), 22, DEFAULTS);
    lab.advance(10_000);
    assert_eq!(ask(&mut lab, 1), 1);
}

/// The old partner's response does not come any more, which must not count against the new one.
#[test]
fn a_partner_is_not_blamed_for_markers_that_the_one_before_it_was_sent() {
    let mut solo = Solo::new(1, DEFAULTS);
    solo.agree();
    assert_eq!(solo.lacp.ask_markers(set(1), solo.now()).bits(), 1);
    asked(&mut solo);
    let other = Info { system: mac(8), ..Solo::partner(0, IN_SERVICE) };
    let partner = *solo.port(0).actor();
    solo.receive(0, &Lacpdu { actor: other, partner });
    assert_eq!(solo.lacp.waiting().bits(), 0);
    solo.pass(4_000);
    assert_eq!(solo.lacp.ask_markers(set(1), solo.now()).bits(), 1);
}

/// Its responses have the old address, and would not be recognised.
#[test]
fn nothing_is_waited_for_after_a_change_of_the_address() {
    let mut solo = Solo::new(1, DEFAULTS);
    solo.agree();
    solo.lacp.ask_markers(set(1), solo.now());
    let [(0, old)] = asked(&mut solo)[..] else { panic!("one is asked") };
    solo.lacp.set_system(System::new(mac(5)));
    assert_eq!(solo.lacp.waiting().bits(), 0);
    respond(&mut solo, old);
    solo.pass(4_000);
    assert_eq!(solo.lacp.ask_markers(set(1), solo.now()).bits(), 1);
    assert_eq!(asked(&mut solo)[0].1.system, mac(5));
}

#[test]
fn a_link_that_goes_down_is_not_waited_for() {
    let mut lab = agreed(2);
    lab.cut(1);
    assert_eq!(ask(&mut lab, 0b11), 0b11);
    lab.unplug(1);
    assert_eq!(lab[0].waiting().bits(), 0b01);
    // Nor is a marker sent while it is down.
    assert_eq!(ask(&mut lab, 0b10), 0);
    assert_eq!(lab.port(1, 0).statistics().markers_out, 1);
    // A link that goes down does not make the partner silent.
    lab.heal(1);
    lab.plug(1);
    lab.advance(5_000);
    assert_eq!(ask(&mut lab, 0b10), 0b10);
}

/// The response would not come, or would mean nothing: half a second more without frames, for flows that
/// have lost enough.
#[test]
fn a_partner_that_has_timed_out_or_does_not_collect_is_not_waited_for() {
    let mut solo = Solo::new(3, Options { fast_timeout: true, ..DEFAULTS });
    solo.agree();
    solo.hear(0, IN_SERVICE);
    solo.hear(1, IN_SERVICE - StateBits::COLLECTING);
    solo.hear(2, NEW);
    assert_eq!(solo.lacp.ask_markers(set(0b111), solo.now()).bits(), 0b001);
    assert_eq!(asked(&mut solo).len(), 1);
    solo.pass(3_000);
    assert!(solo.port(0).actor().state.contains(StateBits::EXPIRED));
    assert_eq!(solo.lacp.ask_markers(set(0b111), solo.now()).bits(), 0);
    assert_eq!(asked(&mut solo), []);
}

#[test]
fn a_port_that_leaves_is_not_waited_for() {
    let mut lab = agreed(2);
    lab.cut(1);
    assert_eq!(ask(&mut lab, 0b11), 0b11);
    lab.leave(1, 0);
    assert_eq!(lab[0].waiting().bits(), 0b01);
}

/// Responses with another transaction, another port, another system.
#[test]
fn responses_to_other_markers_are_ignored() {
    let mut solo = Solo::new(1, DEFAULTS);
    solo.agree();
    solo.lacp.ask_markers(set(1), solo.now());
    let [(0, first)] = asked(&mut solo)[..] else { panic!("one is asked") };
    assert_eq!((first.system, first.port), (mac(1), solo.port(0).actor().port));
    solo.pass(100);
    solo.lacp.ask_markers(set(1), solo.now());
    let [(0, second)] = asked(&mut solo)[..] else { panic!("one is asked") };
    assert_ne!(first.transaction, second.transaction);
    let others = [
        first,
        Marker { port: second.port + 1, ..second },
        Marker { system: mac(9), ..second },
        Marker { transaction: second.transaction + 1, ..second },
    ];
    for other in others {
        respond(&mut solo, other);
        assert_eq!(solo.lacp.waiting().bits(), 1);
    }
    // The second marker has its own timeout.
    solo.pass(TIMEOUT - 1);
    assert_eq!(solo.lacp.waiting().bits(), 1);
    respond(&mut solo, second);
    assert_eq!(solo.lacp.waiting().bits(), 0);
    // The same response again does no harm.
    respond(&mut solo, second);
    assert_eq!(solo.port(0).statistics().responses_in, 6);
}

/// A marker that was asked for twice before it could be sent is sent once.
#[test]
fn one_marker_at_a_time_is_due() {
    let mut solo = Solo::new(2, DEFAULTS);
    solo.agree();
    solo.lacp.ask_markers(set(0b11), solo.now());
    solo.lacp.ask_markers(set(0b01), solo.now());
    let slots: Vec<_> = asked(&mut solo).into_iter().map(|(slot, _)| slot).collect();
    assert_eq!(slots, [0, 1]);
    assert_eq!(asked(&mut solo), []);
}

/// Whatever LACP does while the link is up: half duplex, without a partner, and with LACPDUs neither sent
/// nor received.
#[test]
fn the_responder_answers_in_every_state() {
    let marker = Marker { port: 5, system: mac(9), transaction: 77 };
    let frame = marker.emit(mac(9));
    let (frame, kind) = Frame::parse(&frame).unwrap();
    let mut solo = Solo::new(1, Options { txtest: true, rxtest: true, ..DEFAULTS });
    let answers = |solo: &mut Solo| {
        let answer = solo.lacp.receive_marker(nth(0), frame, kind, solo.now());
        answer.map(|answer| {
            let (answer, kind) = Frame::parse(&answer).unwrap();
            assert_eq!((answer.marker(), kind), (marker, Kind::Response));
        })
    };
    assert!(answers(&mut solo).is_some(), "missed");
    solo.pass(10_000);
    assert!(solo.port(0).actor().state.contains(StateBits::DEFAULTED));
    assert!(answers(&mut solo).is_some(), "without a partner");
    solo.lacp.set_options(DEFAULTS);
    solo.agree();
    assert!(answers(&mut solo).is_some(), "in service");
    solo.lacp.set_link(nth(0), Link::Unfit, solo.now());
    assert!(answers(&mut solo).is_some(), "LACP disabled");
    solo.lacp.set_link(nth(0), Link::Down, solo.now());
    assert!(answers(&mut solo).is_none(), "the link is down");
    let statistics = solo.port(0).statistics();
    assert_eq!((statistics.markers_in, statistics.responses_out), (5, 4));
    solo.lacp.set_link(nth(0), GIGABIT, solo.now());
    solo.hear(0, IN_SERVICE);
    assert!(answers(&mut solo).is_some(), "in service again");
}

/// A partner that has let a marker time out, and has answered none on any port, is not waited for on the
/// others. Other partners do not affect that.
#[test]
fn a_partner_that_is_silent_on_one_port_is_not_waited_for_on_others() {
    let mut solo = Solo::new(4, DEFAULTS);
    for state in [NEW, IN_SERVICE, IN_SERVICE] {
        for slot in 0..4 {
            let system = if slot == 3 { mac(8) } else { mac(9) };
            let actor = Info { system, ..Solo::partner(slot, state) };
            solo.receive(slot, &Lacpdu { actor, partner: *solo.port(slot).actor() });
        }
        solo.pass(2_000);
    }
    asked(&mut solo);
    let ask = |solo: &mut Solo, slots| solo.lacp.ask_markers(set(slots), solo.now()).bits();
    assert_eq!(ask(&mut solo, 0b0010), 0b0010);
    solo.pass(TIMEOUT);
    assert_eq!(ask(&mut solo, 0b1100), 0b1000);
    asked(&mut solo);
    // It has answered once, so it is waited for on ports that have sent no marker yet.
    assert_eq!(ask(&mut solo, 0b0001), 0);
    let [(0, marker)] = asked(&mut solo)[..] else { panic!("it is asked all the same") };
    respond(&mut solo, marker);
    assert_eq!(ask(&mut solo, 0b0111), 0b0101);
}

/// Slow protocols are slow: more markers come from a loop or an attack.
#[test]
fn f55_ten_markers_a_second_are_answered_and_the_others_counted() {
    let asks = Marker { port: 5, system: mac(9), transaction: 77 }.emit(mac(9));
    let (frame, kind) = Frame::parse(&asks).unwrap();
    let mut solo = Solo::new(2, DEFAULTS);
    let flood = |solo: &mut Solo, slot| {
        let now = solo.now();
        let answers =
            (0..1_000).filter(|_| solo.lacp.receive_marker(nth(slot), frame, kind, now).is_some());
        answers.count()
    };
    for second in 1..=3 {
        assert_eq!(flood(&mut solo, 0), ANSWERS as usize);
        solo.pass(999);
        assert_eq!(flood(&mut solo, 0), 0);
        let it = *solo.port(0).statistics();
        assert_eq!((it.markers_in, it.responses_out), (second * 2_000, second * ANSWERS));
        assert_eq!(it.markers_unanswered, it.markers_in - it.responses_out);
        solo.pass(1);
    }
    assert_eq!(flood(&mut solo, 1), ANSWERS as usize, "each port has its own");
    // A response is not a marker to be answered.
    let response = frame.response(mac(9));
    let (response, kind) = Frame::parse(&response).unwrap();
    assert_eq!(solo.lacp.receive_marker(nth(1), response, kind, solo.now()), None);
    assert_eq!(solo.port(1).statistics().markers_unanswered, 990);
}
