//! One system whose partners' LACPDUs are written by hand.

use lagg_rs::lacp::{Options, Port, System, Time};
use lagg_rs::wire::lacpdu::{Info, Lacpdu, StateBits};

use crate::lab::{GIGABIT, Lacp, lacp, mac, nth};

/// The state of a partner in service.
pub const IN_SERVICE: StateBits = StateBits::ACTIVITY
    .union(StateBits::AGGREGATION)
    .union(StateBits::SYNC)
    .union(StateBits::COLLECTING)
    .union(StateBits::DISTRIBUTING);

/// The state of a partner that has just begun.
pub const NEW: StateBits = StateBits::ACTIVITY.union(StateBits::AGGREGATION);

pub struct Solo {
    pub lacp: Lacp,
    pub ms: u64,
}

impl Solo {
    /// A system with this many ports, all up, which have sent what was due.
    pub fn new(ports: u8, options: Options) -> Self {
        let mut solo = Solo { lacp: lacp(System::new(mac(1)), 11, options), ms: 10_000 };
        for number in 0..ports {
            let source = [2, 0, 0, 0, 1, number];
            solo.lacp.add(nth(number), u32::from(number) + 1, source);
            solo.lacp.set_link(nth(number), GIGABIT, solo.now());
        }
        solo.said();
        solo
    }

    pub fn now(&self) -> Time {
        Time::new(self.ms)
    }

    pub fn port(&self, number: u8) -> &Port {
        self.lacp.port(nth(number)).unwrap()
    }

    /// The partner on a port, with this state: system 9, key 9.
    pub fn partner(slot: u8, state: StateBits) -> Info {
        let port = 900 + u16::from(slot);
        Info { system_priority: 0x8000, system: mac(9), key: 9, port_priority: 0x8000, port, state }
    }

    /// Its LACPDU if it has recorded us as we are.
    pub fn pdu(&self, slot: u8, state: StateBits) -> Lacpdu {
        Lacpdu { actor: Self::partner(slot, state), partner: *self.port(slot).actor() }
    }

    /// Receives this, from the port of ours that has sent it or from a partner's, and runs.
    pub fn receive(&mut self, number: u8, pdu: &Lacpdu) {
        let source =
            if pdu.actor.port < 900 { [2, 0, 0, 0, 1, pdu.actor.port as u8 - 1] } else { mac(9) };
        self.receive_from(number, source, pdu);
    }

    /// Receives this from that address, and runs.
    pub fn receive_from(&mut self, number: u8, source: [u8; 6], pdu: &Lacpdu) {
        self.lacp.receive(nth(number), source, pdu, self.now());
        self.lacp.run(self.now());
    }

    /// Receives a LACPDU of a partner that has recorded us.
    pub fn hear(&mut self, slot: u8, state: StateBits) {
        self.receive(slot, &self.pdu(slot, state));
    }

    /// The LACPDUs that are sent now.
    pub fn said(&mut self) -> Vec<(u8, Lacpdu)> {
        let now = self.now();
        self.lacp.run(now);
        let mut said = Vec::new();
        while let Some((slot, frame)) = self.lacp.poll_transmit(now) {
            said.push((slot.number(), Lacpdu::parse(&frame).unwrap()));
        }
        said
    }

    /// The LACPDUs that are sent while `ms` milliseconds pass.
    pub fn pass(&mut self, ms: u64) -> Vec<(u64, Lacpdu)> {
        let (begin, end) = (self.ms, self.ms + ms);
        let mut said: Vec<_> = self.said().into_iter().map(|(_, pdu)| (0, pdu)).collect();
        while let Some(deadline) = self.lacp.deadline(self.now()) {
            let at = self.ms + deadline.since(self.now());
            if at > end {
                break;
            }
            self.ms = at;
            said.extend(self.said().into_iter().map(|(_, pdu)| (at - begin, pdu)));
        }
        self.ms = end;
        said.extend(self.said().into_iter().map(|(_, pdu)| (ms, pdu)));
        said
    }

    /// Agrees with the partners of all ports.
    pub fn agree(&mut self) {
        for state in [NEW, IN_SERVICE, IN_SERVICE] {
            for number in 0..32 {
                if self.lacp.port(nth(number)).is_some() {
                    self.hear(number, state);
                }
            }
            self.pass(2_000);
        }
    }
}
