//! Markers and farewells are sent after the packets of their own plan (F-67).

use std::sync::mpsc::channel;
use std::thread;

use lagg_rs::kpi::epoch;
use lagg_rs::kpi::host::testing::waits_for_epoch;
use lagg_rs::wire::lacpdu::{Lacpdu, StateBits};

use crate::lab::{Card, flags, lab, spawn, until};
use crate::pair::pair;

/// Whether the card has just sent a farewell.
fn says_farewell(card: &Card) -> bool {
    let sent = card.nic.take_sent();
    let pdus = sent.iter().filter_map(|frame| Lacpdu::parse(frame).ok());
    pdus.map(|pdu| pdu.actor.state).any(|state| !state.contains(StateBits::AGGREGATION))
}

/// em2 goes down and, while its farewell waits for a packet, so does em1. If em1's farewell waited only for
/// that packet, it would be too early for a packet that began in between.
#[test]
fn f67_a_farewell_waits_for_packets_of_its_own_plan() {
    lab(|| {
        let pair = pair(2);
        let [em1, em2] = [0, 1].map(|n| &pair.wires[n].0);
        thread::scope(|scope| {
            let (entered, is_in) = channel();
            let (end, told) = channel();
            let packet = spawn(scope, move || {
                epoch::section(|_| {
                    entered.send(()).unwrap();
                    told.recv().unwrap();
                });
            });
            is_in.recv().unwrap();
            let down = |card: &Card| {
                let name = card.name();
                let thread = spawn(scope, move || flags(&name, 0).unwrap());
                until("the farewell to wait", || waits_for_epoch(thread.thread().id()));
            };
            down(em2);
            epoch::section(|_| {
                down(em1);
                end.send(()).unwrap();
                packet.join().unwrap();
                until("em2's farewell", || says_farewell(em2));
                assert!(!says_farewell(em1), "a packet may still be sent on it");
            });
            until("em1's farewell", || says_farewell(em1));
        });
    });
}
