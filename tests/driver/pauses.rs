//! Flows that LACP moves to another port wait until the old port's marker is answered.

use lagg_rs::kpi::ioctl::opt;
use lagg_rs::kpi::{Counter, Errno, LinkState};
use lagg_rs::lacp::marker;
use lagg_rs::lacp::mux::AGGREGATE_WAIT;
use lagg_rs::lacp::receive::{LONG_TIMEOUT, SHORT_TIMEOUT};

use crate::lab::{lab, mac};
use crate::lacp::{is_marker, option};
use crate::pair::{flow, pair, strangers};

/// Until the markers are answered, the flows that move wait, and no others.
#[test]
fn a_port_that_comes_pauses_the_flows_that_move_to_it_alone() {
    lab(|| {
        let mut pair = pair(2);
        pair.link(1, LinkState::Down);
        pair.pass(LONG_TIMEOUT);
        let before = pair.send(300);
        pair.lost = is_marker;
        pair.link(1, LinkState::Up);
        assert_eq!(pair.distributing(&pair.left), 2);
        let meanwhile = pair.send(300);
        let pausing = meanwhile.iter().filter(|wire| wire.is_none()).count();
        assert!((100..200).contains(&pausing), "{pausing} of 300 wait");
        assert!((0..300).all(|n| meanwhile[n].is_none() || meanwhile[n] == before[n]));
        assert_eq!(pair.left.ifp.counter(Counter::Oerrors), pausing as u64);
        // No response has come.
        pair.pass(marker::TIMEOUT);
        let after = pair.send(300);
        assert!(after.iter().all(Option::is_some));
        assert!((0..300).all(|n| (after[n] == Some(1)) == meanwhile[n].is_none()));
        // No flow waits for such a partner again.
        pair.link(1, LinkState::Down);
        pair.link(1, LinkState::Up);
        pair.pass(AGGREGATE_WAIT);
        assert_eq!(pair.distributing(&pair.left), 2);
        assert_eq!(pair.send(300), after);
    });
}

#[test]
fn a_partner_that_answers_ends_the_pause() {
    lab(|| {
        let pair = pair(2);
        let before = pair.send(300);
        pair.link(1, LinkState::Down);
        pair.link(1, LinkState::Up);
        pair.exchange();
        assert_eq!(pair.distributing(&pair.left), 2);
        assert_eq!(pair.send(300), before, "no time has passed");
    });
}

/// With another hash, packets of one flow may belong to two, and packets of two flows to one.
#[test]
fn another_hash_makes_all_flows_wait_for_all_ports() {
    lab(|| {
        let mut pair = pair(2);
        pair.left.set_hash(1).unwrap();
        pair.exchange();
        assert_eq!(pair.send(300).iter().flatten().count(), 300, "both have answered");
        pair.lost = is_marker;
        pair.left.set_hash(7).unwrap();
        pair.exchange();
        assert!(pair.send(300).iter().all(Option::is_none));
        pair.left.set_hash(7).unwrap();
        pair.pass(marker::TIMEOUT);
        assert!(pair.send(300).iter().all(Option::is_some));
    });
}

/// It gets a marker when its ports come into service, for which nothing waits. So it is known when flows
/// move.
#[test]
fn a_partner_that_answers_no_marker_is_not_waited_for() {
    lab(|| {
        let mut pair = strangers(3);
        pair.lost = is_marker;
        pair.pass(AGGREGATE_WAIT);
        assert_eq!(pair.distributing(&pair.left), 3);
        let first = pair.send(300);
        assert!(first.iter().all(Option::is_some));
        pair.pass(marker::TIMEOUT);
        for n in [1, 2] {
            pair.link(n, LinkState::Down);
            assert!(pair.send(300).iter().all(Option::is_some));
            pair.pass(1_000);
            pair.link(n, LinkState::Up);
            pair.exchange();
            assert_eq!(pair.send(300), first);
            pair.pass(1_000);
        }
    });
}

#[test]
fn a_marker_that_cannot_be_sent_is_not_waited_for() {
    lab(|| {
        let mut pair = pair(2);
        let before = pair.send(300);
        pair.link(1, LinkState::Down);
        pair.lost = is_marker;
        pair.wires[0].0.nic.refuse_transmit(Some(Errno::EIO));
        pair.link(1, LinkState::Up);
        pair.wires[0].0.nic.refuse_transmit(None);
        assert_eq!(pair.distributing(&pair.left), 2);
        assert_eq!(pair.send(300), before);
    });
}

#[test]
fn f17_after_a_down_no_pause_stays() {
    lab(|| {
        let mut pair = pair(2);
        pair.link(1, LinkState::Down);
        pair.lost = is_marker;
        pair.link(1, LinkState::Up);
        pair.exchange();
        assert!(pair.send(300).contains(&None));
        pair.left.down();
        pair.exchange();
        assert_eq!(pair.left.send(&flow(0)), Err(Errno::ENETDOWN));
        pair.pass(1_000);
        // The ports may come back one after the other, with markers in between.
        pair.lost = |_| false;
        pair.left.up();
        pair.pass(AGGREGATE_WAIT);
        assert_eq!(pair.distributing(&pair.left), 2);
        assert!(pair.send(300).iter().all(Option::is_some));
    });
}

/// Only one link's partner times out or sends a farewell. Its flows continue on the other link at once.
#[test]
fn flows_of_a_port_whose_partner_timed_out_do_not_wait() {
    lab(|| {
        let mut pair = pair(2);
        pair.left.set_options(option(opt::LACP_FAST_TIMO)).unwrap();
        pair.pass(1_000);
        // LACPDUs come from the port's own address.
        pair.lost = |frame| frame[6..12] == mac(102);
        pair.pass(SHORT_TIMEOUT);
        assert_eq!(pair.distributing(&pair.left), 1);
        assert!(pair.send(300).iter().all(|wire| *wire == Some(0)));
    });
    lab(|| {
        let pair = pair(2);
        pair.right.remove("em102").unwrap();
        pair.exchange();
        assert_eq!(pair.distributing(&pair.left), 1);
        assert!(pair.send(300).iter().all(|wire| *wire == Some(0)));
    });
}
