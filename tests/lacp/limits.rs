//! How often LACPDUs are sent, and which numbers are never 0 (F-58, F-59, F-62).

use lagg_rs::lacp::{Link, Options, System, Time, key};
use lagg_rs::wire::lacpdu::StateBits;

use crate::lab::{DEFAULTS, Lab, lacp, mac, nth};
use crate::negotiation::all_carry;
use crate::solo::{IN_SERVICE, Solo};

const FAST: Options = Options { fast_timeout: true, ..DEFAULTS };

/// Without a partner, and the option changes while there is none.
#[test]
fn f58_a_port_that_asks_for_lacpdus_every_second_sends_them_every_second() {
    for strict in [true, false] {
        let mut solo = Solo::new(1, Options { strict, ..FAST });
        solo.pass(10_000);
        for fast_timeout in [true, false, true] {
            solo.lacp.set_options(Options { strict, fast_timeout, ..DEFAULTS });
            assert!(solo.port(0).actor().state.contains(StateBits::DEFAULTED));
            solo.pass(1_000);
            assert_eq!(solo.pass(60_000).len(), if fast_timeout { 60 } else { 2 });
        }
    }
}

/// A silent cut of 10 s or more: the link is back soon after it is healed.
#[test]
fn f58_after_a_silent_cut_it_is_back_within_4_s() {
    for cut in [10_000, 45_000, 300_000] {
        let mut lab = Lab::pair(2);
        lab.options(0, FAST);
        lab.options(1, FAST);
        lab.until(3_000, all_carry);
        lab.cut(0);
        lab.cut(1);
        lab.advance(cut);
        lab.heal(0);
        lab.heal(1);
        lab.until(4_000, all_carry);
    }
}

/// The driver refuses each LACPDU. The limit counts only LACPDUs that were sent, so it is not used up.
#[test]
fn f59_what_could_not_be_sent_is_tried_again_after_pauses_and_does_not_count() {
    let mut solo = Solo::new(1, DEFAULTS);
    solo.agree();
    solo.hear(0, IN_SERVICE);
    solo.pass(5_000);
    let sent = solo.port(0).statistics().pdus_out;
    let from = solo.ms;
    solo.lacp.set_options(FAST);
    let mut tried = Vec::new();
    while solo.ms - from < 1_000 {
        let now = solo.now();
        solo.lacp.run(now);
        while let Some((slot, _)) = solo.lacp.poll_transmit(now) {
            tried.push(solo.ms - from);
            solo.lacp.transmit_failed(slot, now);
        }
        let next = solo.lacp.deadline(now).unwrap();
        assert!(next > now, "a busy loop");
        solo.ms += next.since(now);
    }
    assert_eq!(tried, [0, 10, 110, 410, 710]);
    assert_eq!(solo.port(0).statistics().pdus_out, sent);
    // Three can still be sent, each as soon as it is due.
    for fast_timeout in [false, true, false] {
        assert_eq!(solo.said().len(), 1);
        solo.lacp.set_options(Options { fast_timeout, ..DEFAULTS });
    }
    assert_eq!(solo.said(), []);
    solo.hear(0, IN_SERVICE);
    solo.pass(5_000);
    // The next one that fails begins with the short pause again.
    solo.lacp.set_options(FAST);
    assert_eq!(solo.said().len(), 1);
    solo.lacp.transmit_failed(nth(0), solo.now());
    let next = solo.lacp.deadline(solo.now()).unwrap();
    assert_eq!(next.since(solo.now()), 10);
}

/// Whatever the interface indexes are; they may have more than 16 bits.
#[test]
fn f62_no_key_and_no_port_number_is_0_and_no_two_ports_have_one_number() {
    let now = Time::new(5);
    for lagg in [1, 1_024, 65_536, 131_072] {
        let mut lacp = lacp(System::new(mac(1)), lagg, DEFAULTS);
        let indices = [0x1_0000, 1, 0x1_0001, 7, 0x2_0000, 0xffff, 0x3_ffff, 0x1_fffe];
        for (slot, index) in (0..).zip(indices) {
            lacp.add(nth(slot), index, mac(slot));
        }
        let mut numbers: Vec<_> =
            (0..8).map(|slot| lacp.port(nth(slot)).unwrap().actor().port).collect();
        // A port whose index is free as a number has that number.
        assert_eq!((numbers[1], numbers[3]), (1, 7));
        numbers.sort_unstable();
        numbers.dedup();
        assert!(numbers.len() == 8 && numbers[0] != 0, "{numbers:?}");
        for (slot, link) in [(0, Link::Up(0)), (1, Link::Up(1)), (2, Link::Unfit)] {
            lacp.set_link(nth(slot), link, now);
            assert_ne!(lacp.port(nth(slot)).unwrap().actor().key, 0);
        }
        assert_ne!(key::aggregatable(lagg, 0), 0);
    }
}
