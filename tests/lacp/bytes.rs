//! Arbitrary bytes that a port can receive, passed to the machines as the driver does.

use lagg_rs::lacp::{Link, Time};
use lagg_rs::wire::lacpdu::{Info, Lacpdu, StateBits};
use lagg_rs::wire::marker::{Frame, Marker};
use lagg_rs::wire::slow::{self, ETHERTYPE, MULTICAST, Malformed, Subtype};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::lab::{DEFAULTS, Lacp, mac, nth};
use crate::solo::Solo;
use crate::whole;

/// Receives one frame on port 0.
fn take_in(lacp: &mut Lacp, bytes: &[u8], now: Time) {
    match Subtype::of(bytes) {
        Some(Subtype::Lacp) => match Lacpdu::parse(bytes) {
            Ok(pdu) => lacp.receive(nth(0), slow::source(bytes), &pdu, now),
            Err(why) => lacp.receive_malformed(nth(0), why),
        },
        Some(Subtype::Marker) => match Frame::parse(bytes) {
            Ok((frame, kind)) => {
                if let Some(response) = lacp.receive_marker(nth(0), frame, kind, now) {
                    assert!(Frame::parse(&response).is_ok());
                }
            }
            Err(why) => lacp.receive_malformed(nth(0), why),
        },
        None => {}
    }
    lacp.run(now);
}

/// A frame of a slow protocol, well formed except for some octets and its length. Half of the time its
/// actor and partner are right, except for their states.
fn nearly_right() -> impl Strategy<Value = Vec<u8>> {
    let side = (any::<[u16; 4]>(), prop_oneof![Just(mac(1)), Just(mac(9)), any::<[u8; 6]>()]);
    let side = (side, any::<u8>()).prop_map(
        |(([system_priority, key, port_priority, port], system), state)| Info {
            system_priority,
            system,
            key,
            port_priority,
            port,
            state: StateBits::from_bits_retain(state),
        },
    );
    let or_so = |known: Info| {
        let known = any::<u8>()
            .prop_map(move |state| Info { state: StateBits::from_bits_retain(state), ..known });
        prop_oneof![known, side.clone()]
    };
    let us = *Solo::new(2, DEFAULTS).port(0).actor();
    let lacpdu = (or_so(Solo::partner(0, StateBits::empty())), or_so(us))
        .prop_map(|(actor, partner)| Lacpdu { actor, partner }.emit(mac(9)).to_vec());
    let marker = (any::<u16>(), any::<[u8; 6]>(), any::<u32>(), any::<bool>()).prop_map(
        |(port, system, transaction, response)| {
            let asks = Marker { port, system, transaction }.emit(mac(9));
            let answers = Frame::parse(&asks).unwrap().0.response(mac(9));
            if response { answers.to_vec() } else { asks.to_vec() }
        },
    );
    let harm = prop_oneof![2 => Just(vec![]), 1 => vec((0..124_usize, any::<u8>()), 1..4)];
    let length = prop_oneof![4 => Just(124), 1 => 0..=1514_usize];
    (prop_oneof![3 => lacpdu, 1 => marker], harm, length).prop_map(|(mut frame, harm, length)| {
        for (place, octet) in harm {
            frame[place] = octet;
        }
        frame.resize(length, 0);
        frame
    })
}

/// The beginning of a slow protocol's frame, then random bytes.
fn slow_noise() -> impl Strategy<Value = Vec<u8>> {
    (1..=2_u8, vec(any::<u8>(), 0..=1500)).prop_map(|(subtype, rest)| {
        let mut frame = [&MULTICAST[..], &mac(9), &ETHERTYPE.to_be_bytes(), &[subtype]].concat();
        frame.extend(&rest[..rest.len().min(1514 - frame.len())]);
        frame
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    /// They cause no panic, are counted once, and leave the machines at a fixpoint that follows from what
    /// was received.
    #[test]
    fn any_bytes_leave_the_machines_whole(
        frames in vec(
            prop_oneof![4 => nearly_right(), 1 => slow_noise(), 1 => vec(any::<u8>(), 0..=1514)],
            1..12,
        ),
        up in any::<bool>(),
    ) {
        let mut solo = Solo::new(2, DEFAULTS);
        solo.agree();
        if !up {
            solo.lacp.set_link(nth(0), Link::Down, solo.now());
        }
        let counted = |solo: &Solo| {
            let it = solo.port(0).statistics();
            let illegal: u32 = it.illegal.iter().sum();
            it.pdus_in + it.markers_in + it.responses_in + illegal
        };
        let other = (*solo.port(1).actor(), *solo.port(1).partner(), solo.port(1).mux());
        for frame in &frames {
            let (now, before) = (solo.now(), counted(&solo));
            take_in(&mut solo.lacp, frame, now);
            let is_ours = Subtype::of(frame).is_some();
            prop_assert_eq!(counted(&solo), before + u32::from(is_ours));
            let said = solo.said();
            prop_assert!(said.len() <= 3);
            whole::check(&mut solo.lacp, now);
            let partner = solo.port(0).partner().state;
            if solo.lacp.distributing().bits() & 1 != 0 {
                prop_assert!(up && partner.contains(StateBits::SYNC | StateBits::COLLECTING));
            }
            solo.pass(100);
        }
        // The other port is not affected.
        prop_assert_eq!(other, (*solo.port(1).actor(), *solo.port(1).partner(), solo.port(1).mux()));
    }
}

/// Every reason has a counter of its own.
#[test]
fn malformed_frames_are_counted_by_reason() {
    let mut solo = Solo::new(1, DEFAULTS);
    let good = Lacpdu::default().emit(mac(9));
    let with = |place: usize, octet: u8| {
        let mut frame = good;
        frame[place] = octet;
        frame
    };
    let marker = {
        let mut frame = Marker { port: 1, system: mac(9), transaction: 1 }.emit(mac(9));
        frame[16] = 3;
        frame
    };
    let now = solo.now();
    take_in(&mut solo.lacp, &good[..123], now);
    take_in(&mut solo.lacp, &with(5, 3), now);
    take_in(&mut solo.lacp, &with(5, 3), now);
    take_in(&mut solo.lacp, &with(17, 21), now);
    take_in(&mut solo.lacp, &marker, now);
    let count = |why: Malformed| solo.port(0).statistics().illegal[why as usize];
    assert_eq!(Malformed::ALL.map(count), [1, 2, 1, 1]);
    assert_eq!(Malformed::ALL.map(|why| why as usize), [0, 1, 2, 3]);
    assert_eq!(solo.port(0).statistics().pdus_in, 0);
}
