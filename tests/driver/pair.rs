//! Two laggs whose ports are connected by wires, in virtual time.

use lagg_rs::kpi::host;
use lagg_rs::kpi::ioctl::{PortRequest, port, proto};
use lagg_rs::kpi::{Errno, LinkState, iff};
use lagg_rs::lacp::mux::AGGREGATE_WAIT;

use crate::lab::{Card, Lagg, card, flags, lagg, pass_with};

/// Two laggs, and the pairs of cards that connect them.
pub struct Pair {
    pub left: Lagg,
    pub right: Lagg,
    pub wires: Vec<(Card, Card)>,
    /// Frames that do not arrive.
    pub lost: fn(&[u8]) -> bool,
}

/// Two laggs with this many links, which have not received any LACPDU yet.
pub fn strangers(links: u8) -> Pair {
    let wires: Vec<_> = (0..links).map(|n| (card(1 + n), card(101 + n))).collect();
    let (left, right) = (lagg(), lagg());
    for (lagg, left_side) in [(&left, true), (&right, false)] {
        lagg.set_protocol(proto::LACP).unwrap();
        for (a, b) in &wires {
            lagg.add(&if left_side { a } else { b }.name()).unwrap();
        }
        lagg.up();
    }
    Pair { left, right, wires, lost: |_| false }
}

/// Two laggs that distribute on all their links.
pub fn pair(links: u8) -> Pair {
    let pair = strangers(links);
    pair.pass(AGGREGATE_WAIT);
    assert_eq!(pair.distributing(&pair.left), usize::from(links));
    assert_eq!(pair.distributing(&pair.right), usize::from(links));
    // So that LACPDUs may be sent at once again.
    pair.pass(1_000);
    pair
}

impl Pair {
    /// Carries frames until none are left.
    pub fn exchange(&self) {
        loop {
            host::settle();
            let mut moved = false;
            for (a, b) in &self.wires {
                for (from, to) in [(a, b), (b, a)] {
                    for frame in from.nic.take_sent() {
                        moved = true;
                        if !(self.lost)(&frame) && from.ifp.link_state() == LinkState::Up {
                            to.receive(&frame);
                        }
                    }
                }
            }
            if !moved {
                break;
            }
        }
    }

    /// Lets this many milliseconds pass.
    pub fn pass(&self, ms: u32) {
        pass_with(ms.into(), || self.exchange());
    }

    pub fn link(&self, n: usize, state: LinkState) {
        self.wires[n].0.link(state);
        self.wires[n].1.link(state);
        self.exchange();
    }

    /// The first port at the left, which has sent all that it had to, goes down and up, and hears what it sends.
    pub fn loop_back(&self) {
        let card = &self.wires[0].0;
        assert_eq!(card.nic.take_sent(), [[0; 0]; 0]);
        flags(&card.name(), 0).unwrap();
        flags(&card.name(), iff::UP).unwrap();
        host::settle();
        for frame in card.nic.take_sent() {
            card.receive(&frame);
        }
        host::settle();
    }

    pub fn records(&self, lagg: &Lagg) -> Vec<PortRequest> {
        lagg.get(32 * 72).unwrap().1
    }

    pub fn distributing(&self, lagg: &Lagg) -> usize {
        let all = port::ACTIVE | port::COLLECTING | port::DISTRIBUTING;
        self.records(lagg).iter().filter(|record| record.flags == all).count()
    }

    /// Sends a frame of each of this many flows. Returns the wire on which each went, none if it was
    /// refused with ENOBUFS.
    pub fn send(&self, flows: u16) -> Vec<Option<usize>> {
        (0..flows)
            .map(|n| match self.left.send(&flow(n)) {
                Ok(()) => {
                    let sent = |(a, _): &(Card, Card)| a.nic.take_sent() == [flow(n)];
                    Some(self.wires.iter().position(sent).expect("it was sent"))
                }
                Err(errno) => {
                    assert_eq!(errno, Errno::ENOBUFS);
                    None
                }
            })
            .collect()
    }
}

/// A frame of the flow `n`: UDP, from a port of its own.
pub fn flow(n: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 200, 2, 0, 0, 0, 0, 100, 8, 0];
    frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    frame.extend(n.to_be_bytes());
    frame.extend([0, 9, 0, 8, 0, 0]);
    frame
}
