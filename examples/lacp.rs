//! Two systems agree on two links, in virtual time: `cargo run --example lacp`.
//!
//! [`lagg_rs::lacp`] has no clock and sends nothing. Events go in with the time at which they
//! happen, and frames come out, to be carried to the other end.

use lagg_rs::lacp::{Lacp, LagId, Link, Options, Port, System, Time};
use lagg_rs::slots::Slot;
use lagg_rs::wire::lacpdu::Lacpdu;
use lagg_rs::wire::slow::{self, FRAME};

type Machines = Lacp<Vec<Option<Port>>, Vec<Option<LagId>>>;

const START: Time = Time::new(0);

fn main() {
    let links: Vec<Slot> = Slot::all().take(2).collect();
    let mut now = START;
    let mut ends = [1, 2].map(|number| {
        let options = Options { strict: true, fast_timeout: false, txtest: false, rxtest: false };
        let system = System::new([2, 0, 0, 0, 0, number]);
        let (ports, aggregators) = (Slot::all().map(|_| None), Slot::all().map(|_| None));
        let mut end = Machines::new(system, 1, options, ports.collect(), aggregators.collect());
        for (index, slot) in (1..).zip(&links) {
            end.add(*slot, index, [2, 0, 0, 0, number, index as u8]);
            end.set_link(*slot, Link::Up(1_000_000_000), now);
        }
        end
    });
    loop {
        ends.iter_mut().for_each(|end| end.run(now));
        while let Some((from, slot, frame)) = said(&mut ends, now) {
            let pdu = Lacpdu::parse(&frame).expect("what is sent is well formed");
            println!("{:5} ms, link {}: {}", now.since(START), slot.number(), pdu.actor);
            ends[1 - from].receive(slot, slow::source(&frame), &pdu, now);
            ends[1 - from].run(now);
        }
        if ends.iter().all(|end| end.distributing().len() == 2) {
            break;
        }
        let next = ends.iter().filter_map(|end| end.deadline(now)).min();
        now = next.expect("there is always another LACPDU to send");
    }
    println!("{:5} ms: both ends distribute on both links", now.since(START));
}

/// The next LACPDU that one of the ends sends: which end, and on which link.
fn said(ends: &mut [Machines; 2], now: Time) -> Option<(usize, Slot, [u8; FRAME])> {
    ends.iter_mut().enumerate().find_map(|(number, end)| {
        let (slot, frame) = end.poll_transmit(now)?;
        Some((number, slot, frame))
    })
}
