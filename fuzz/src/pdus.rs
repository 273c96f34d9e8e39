//! LACPDUs, markers and other slow frames, time, and links, as inputs of LACP's machines.

use std::collections::VecDeque;

use arbitrary::{Result, Unstructured};
use lagg_rs::lacp::{Link, Options, System, Time, transmit};
use lagg_rs::slots::{Slot, SlotSet};
use lagg_rs::wire::lacpdu::{Info, Lacpdu, StateBits};
use lagg_rs::wire::marker::{Frame, Marker};
use lagg_rs::wire::slow::{self, FRAME, Subtype};

use super::whole::{self, Lacp, lacp};

/// One system with up to four ports, and random events.
pub fn run(data: &[u8]) {
    let mut lab = Lab::new();
    // An error means that the input has ended.
    let _ = lab.live(&mut Unstructured::new(data));
}

/// The largest number of ports.
const PORTS: u8 = 4;

const SYSTEM: [u8; 6] = [2, 0, 0, 0, 0, 1];

struct Lab {
    lacp: Lacp,
    ms: u64,
    /// When each port has sent its last LACPDUs.
    sent: [VecDeque<u64>; PORTS as usize],
    /// The last marker of each port.
    markers: [Option<Marker>; PORTS as usize],
}

impl Lab {
    fn new() -> Self {
        let options = Options { strict: true, fast_timeout: false, txtest: false, rxtest: false };
        let lacp = lacp(System::new(SYSTEM), 1, options);
        Lab { lacp, ms: 10_000, sent: Default::default(), markers: Default::default() }
    }

    fn now(&self) -> Time {
        Time::new(self.ms)
    }

    fn live(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        while !u.is_empty() {
            self.event(u)?;
            self.lacp.run(self.now());
            self.send();
            let now = self.now();
            whole::check(&mut self.lacp, now);
        }
        Ok(())
    }

    fn event(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let now = self.now();
        let number = u.int_in_range(0..=PORTS)?;
        let slot = Slot::from_low_bits(number);
        match u.int_in_range(0..=12)? {
            0 => {
                let len = u.int_in_range(0..=160)?;
                let bytes = u.bytes(len)?;
                self.receive(slot, bytes);
            }
            1..=3 => {
                let frame = self.lacpdu(u, slot)?;
                self.receive(slot, &frame);
            }
            4 => {
                let frame = self.marker(u, slot)?;
                self.receive(slot, &frame);
            }
            5 | 6 => self.pass(u64::from(u.arbitrary::<u16>()?) * 2),
            7 => self.pass(1_000),
            8 => {
                let link = [
                    Link::Down,
                    Link::Unfit,
                    Link::Up(0),
                    Link::Up(1_000_000_000),
                    Link::Up(10_000_000_000),
                ];
                match u.choose(&link)? {
                    Link::Down if u.arbitrary()? => self.lacp.take_down(slot, now),
                    link => self.lacp.set_link(slot, *link, now),
                }
            }
            9 if self.lacp.port(slot).is_none() => {
                if number < PORTS {
                    self.lacp.add(slot, u32::from(number) + 1, [2, 0, 0, 0, 1, number]);
                    self.lacp.set_link(slot, Link::Up(1_000_000_000), now);
                    self.markers[usize::from(slot)] = None;
                    // The times of the port that was in this slot do not count any more.
                    self.sent[usize::from(slot)].clear();
                }
            }
            9 => {
                if let Some(frame) = self.lacp.remove(slot) {
                    check_farewell(&frame);
                }
            }
            10 => {
                let [strict, fast_timeout, txtest, rxtest] = u.arbitrary()?;
                self.lacp.set_options(Options { strict, fast_timeout, txtest, rxtest });
            }
            11 => self.lacp.set_system(System::new([2, 0, 0, 0, 0, u.arbitrary()?])),
            _ => {
                let waiting = self.lacp.waiting();
                let asked =
                    self.lacp.ask_markers(SlotSet::from_bits(u.arbitrary::<u8>()?.into()), now);
                assert_eq!(self.lacp.waiting(), waiting | asked);
            }
        }
        Ok(())
    }

    /// A LACPDU of one of two partners, which has recorded us correctly or nearly so. At times an octet is
    /// damaged.
    fn lacpdu(&self, u: &mut Unstructured<'_>, slot: Slot) -> Result<[u8; FRAME]> {
        let ours = self.lacp.port(slot).map(|port| *port.actor()).unwrap_or_default();
        let side = |u: &mut Unstructured<'_>, info: Info| -> Result<Info> {
            let mut info = Info { state: StateBits::from_bits_retain(u.arbitrary()?), ..info };
            match u.int_in_range(0..=7)? {
                0 => info.key = u.arbitrary()?,
                1 => info.port = u.arbitrary()?,
                2 => info.system_priority = u.arbitrary()?,
                3 => info.system = SYSTEM,
                _ => {}
            }
            Ok(info)
        };
        let partner = Info {
            system_priority: 0x8000,
            system: [2, 0, 0, 0, 9, u.int_in_range(0..=1)?],
            key: 9,
            port_priority: 0x8000,
            port: 900 + u16::from(slot.number()),
            state: StateBits::empty(),
        };
        let pdu = Lacpdu { actor: side(u, partner)?, partner: side(u, ours)? };
        let mut frame = pdu.emit([2, 0, 0, 0, 9, 9]);
        if u.ratio(1, 8)? {
            let place = u.choose_index(frame.len())?;
            frame[place] = u.arbitrary()?;
        }
        Ok(frame)
    }

    /// A marker, or what may be the response to one of ours.
    fn marker(&self, u: &mut Unstructured<'_>, slot: Slot) -> Result<[u8; FRAME]> {
        let ours = self.markers.get(usize::from(slot)).copied().flatten();
        let mut marker = ours.unwrap_or(Marker { port: 1, system: SYSTEM, transaction: 1 });
        if u.ratio(1, 4)? {
            marker.transaction = u.arbitrary()?;
        }
        let asks = marker.emit([2, 0, 0, 0, 9, 9]);
        if u.arbitrary()? {
            return Ok(asks);
        }
        let (frame, _) = Frame::parse(&asks).expect("it was just made");
        Ok(frame.response([2, 0, 0, 0, 9, 9]))
    }

    /// Receives a frame as the driver does.
    fn receive(&mut self, slot: Slot, bytes: &[u8]) {
        let now = self.now();
        let counted = |lacp: &Lacp| {
            lacp.port(slot).map(|port| {
                let it = port.statistics();
                it.pdus_in + it.markers_in + it.responses_in + it.illegal.iter().sum::<u32>()
            })
        };
        let before = counted(&self.lacp);
        let subtype = Subtype::of(bytes);
        match subtype {
            Some(Subtype::Lacp) => match Lacpdu::parse(bytes) {
                Ok(pdu) => self.lacp.receive(slot, slow::source(bytes), &pdu, now),
                Err(why) => self.lacp.receive_malformed(slot, why),
            },
            Some(Subtype::Marker) => match Frame::parse(bytes) {
                Ok((frame, kind)) => {
                    if let Some(response) = self.lacp.receive_marker(slot, frame, kind, now) {
                        assert!(Frame::parse(&response).is_ok());
                    }
                }
                Err(why) => self.lacp.receive_malformed(slot, why),
            },
            None => {}
        }
        let one_more = u32::from(subtype.is_some());
        assert_eq!(counted(&self.lacp), before.map(|before| before + one_more));
    }

    /// Lets this many milliseconds pass, and does what is due meanwhile.
    fn pass(&mut self, ms: u64) {
        let end = self.ms + ms;
        while let Some(deadline) = self.lacp.deadline(self.now()) {
            let at = self.ms + deadline.since(self.now());
            if at > end {
                break;
            }
            self.ms = at;
            self.lacp.run(self.now());
            self.send();
        }
        self.ms = end;
    }

    fn send(&mut self) {
        while let Some((slot, frame)) = self.lacp.poll_marker(self.lacp.last_order()) {
            let (frame, _) = Frame::parse(&frame).expect("what is sent is well formed");
            self.markers[usize::from(slot)] = Some(frame.marker());
        }
        while let Some((slot, frame)) = self.lacp.poll_farewell(self.lacp.last_order()) {
            check_farewell(&frame);
            assert!(!matches!(self.lacp.link(slot), Some(Link::Up(_))));
        }
        let now = self.now();
        while let Some((slot, frame)) = self.lacp.poll_transmit(now) {
            let pdu = Lacpdu::parse(&frame).expect("what is sent is well formed");
            let port = self.lacp.port(slot).expect("a port sends it");
            assert_eq!((pdu.actor, pdu.partner), (*port.actor(), *port.partner()));
            assert!(matches!(self.lacp.link(slot), Some(Link::Up(_))));
            // No more than the limit allows in any second.
            let sent = &mut self.sent[usize::from(slot)];
            sent.push_back(self.ms);
            if sent.len() > transmit::LIMIT {
                let before = sent.pop_front();
                assert!(before.is_some_and(|before| self.ms - before >= 1_000), "{sent:?}");
            }
        }
    }
}

fn check_farewell(frame: &[u8]) {
    let farewell = Lacpdu::parse(frame).expect("what is sent is well formed");
    assert!(!farewell.actor.state.intersects(StateBits::SYNC | StateBits::AGGREGATION));
}
