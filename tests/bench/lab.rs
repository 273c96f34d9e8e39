//! Laggs over cards that give each packet back to its sender, and packets for them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use lagg_rs::driver::{Port, Softc};
use lagg_rs::kpi::host::{self, Attached, Nic, Vnet, ifioctl};
use lagg_rs::kpi::ioctl::{
    InterfaceRequest, LaggRequest, PortRequest, SIOCSIFFLAGS, SIOCSLAGG, SIOCSLAGGPORT, proto,
};
use lagg_rs::kpi::{Epoch, IfType, Ifnet, LinkState, Mbuf, Ref, Result, epoch, iff};
use lagg_rs::wire::lacpdu::{Info, Lacpdu, StateBits};

/// Packets per epoch section, about as many as a driver handles at a time.
pub const BATCH: usize = 64;

/// Numbers of ports.
pub const COUNTS: [u8; 4] = [1, 2, 8, 32];

pub const PROTOCOLS: [(&str, u32); 5] = [
    ("failover", proto::FAILOVER),
    ("roundrobin", proto::ROUNDROBIN),
    ("loadbalance", proto::LOADBALANCE),
    ("lacp", proto::LACP),
    ("broadcast", proto::BROADCAST),
];

thread_local! {
    /// The packets that the thread can send.
    static POCKET: RefCell<VecDeque<Mbuf>> = const { RefCell::new(VecDeque::new()) };
}

/// The largest number of flows.
pub const FLOWS: usize = 256;

/// Gives a packet back to the thread. broadcast's extra copies are freed here.
pub fn give_back(m: Mbuf) {
    POCKET.with_borrow_mut(|pocket| {
        if pocket.len() < FLOWS {
            pocket.push_back(m);
        }
    });
}

/// UDP packets of 60 bytes, or a little more.
#[derive(Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    ipv6: bool,
    tagged: bool,
    /// The first piece ends within the IP header.
    cut: bool,
}

const fn kind(name: &'static str, ipv6: bool, tagged: bool, cut: bool) -> Kind {
    Kind { name, ipv6, tagged, cut }
}

pub const KINDS: [Kind; 8] = [
    kind("ipv4", false, false, false),
    kind("ipv4-cut", false, false, true),
    kind("ipv4-tagged", false, true, false),
    kind("ipv4-tagged-cut", false, true, true),
    kind("ipv6", true, false, false),
    kind("ipv6-cut", true, false, true),
    kind("ipv6-tagged", true, true, false),
    kind("ipv6-tagged-cut", true, true, true),
];

impl Kind {
    fn packet(&self, flow: u8) -> Mbuf {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        if self.tagged {
            frame.extend([0x81, 0, 0, 5]);
        }
        let cut = frame.len() + 2 + 16;
        if self.ipv6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 17, 64]);
            frame.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1].repeat(2));
        } else {
            frame.extend([8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0]);
            frame.extend([192, 0, 2, 1, 192, 0, 2, 2]);
        }
        frame.extend([4, flow, 0, 53, 0, 26, 0, 0]);
        frame.resize(frame.len().max(60), 0);
        let (first, rest) = frame.split_at(if self.cut { cut } else { frame.len() });
        if self.cut { Mbuf::from_segments([first, rest]) } else { Mbuf::from_bytes(first) }
    }

    /// Fills the thread's pocket with one packet of each flow, instead of those in it.
    pub fn pocket(&self, flows: usize) {
        POCKET.set((0..flows).map(|flow| self.packet(flow as u8)).collect());
    }
}

/// Calls `each` with this many packets of the pocket; each comes back into it.
pub fn run(packets: usize, mut each: impl FnMut(Mbuf, &Epoch) + Send) {
    for _ in 0..packets / BATCH {
        epoch::section(|epoch| {
            for _ in 0..BATCH {
                let m = POCKET.with_borrow_mut(VecDeque::pop_front).unwrap();
                each(m, epoch);
            }
        });
    }
}

/// The card, and the LACP partner at the other end of its wire, which is always ready.
struct Card {
    said: Mutex<Vec<Vec<u8>>>,
}

impl Nic for Card {
    fn transmit(&self, _: &Ifnet, m: Mbuf, _: &Epoch) -> Result {
        if m.is_multicast() {
            self.said.lock().unwrap().push(m.to_bytes());
        } else {
            give_back(m);
        }
        Ok(())
    }
}

impl Card {
    /// Answers the LACPDUs that were sent.
    fn answer(&self, ifp: &Ifnet) {
        let said = std::mem::take(&mut *self.said.lock().unwrap());
        for pdu in said.iter().filter_map(|frame| Lacpdu::parse(frame).ok()) {
            let state = StateBits::ACTIVITY | StateBits::AGGREGATION | StateBits::SYNC;
            let actor = Info {
                system: [2, 0, 0, 0, 1, 0],
                key: 1,
                state: state | StateBits::COLLECTING | StateBits::DISTRIBUTING,
                ..pdu.actor
            };
            let answer = Lacpdu { actor, partner: pdu.actor };
            host::receive(ifp, Mbuf::from_bytes(&answer.emit(actor.system)));
        }
    }
}

/// A lagg that is up, with this many ports.
pub struct Lagg {
    pub ports: Vec<Ref<Port>>,
    pub softc: Ref<Softc>,
    cards: Vec<(Arc<Card>, Attached)>,
    name: String,
}

impl Lagg {
    pub fn new(count: u8) -> Self {
        let name = host::clone_create("lagg", None).unwrap();
        let attach = |n| {
            let card = Arc::new(Card { said: Mutex::default() });
            let (name, address) = (format!("em{n}"), [2, 0, 0, 0, 0, n]);
            let (kind, gigabit) = (IfType::Ethernet, 1_000_000_000);
            let ifp = host::attach(&name, kind, address, 1500, gigabit, card.clone());
            host::set_link(&ifp, LinkState::Up);
            (card, ifp)
        };
        let cards: Vec<_> = (1..=count).map(attach).collect();
        for (_, ifp) in &cards {
            let mut port = PortRequest { portname: ifp.name(), ..PortRequest::default() };
            ifioctl(&name, SIOCSLAGGPORT, &mut port).unwrap();
        }
        let mut up = InterfaceRequest::with_flags(iff::UP);
        ifioctl(&name, SIOCSIFFLAGS, &mut up).unwrap();
        host::settle();
        let softc = Vnet::current().interface(&name).unwrap().lagg_softc().unwrap();
        let ports = cards.iter().map(|(_, ifp)| ifp.lagg_port().unwrap()).collect();
        Lagg { ports, softc, cards, name }
    }

    /// Switches the protocol, and waits until its packets can be sent.
    pub fn set_protocol(&self, number: u32) {
        let mut switch = LaggRequest { proto: number, ..LaggRequest::default() };
        ifioctl(&self.name, SIOCSLAGG, &mut switch).unwrap();
        // Until LACPDUs have been exchanged and all flows have found their port.
        let end = Vnet::current().uptime_ms() + 5_000;
        loop {
            host::settle();
            self.cards.iter().for_each(|(card, ifp)| card.answer(ifp));
            host::settle();
            match Vnet::current().next_callout().filter(|next| *next < end) {
                Some(next) => Vnet::current().advance_to(next),
                None => break,
            }
        }
    }

    /// The driver's own transmit.
    pub fn transmit(&self, m: Mbuf, epoch: &Epoch) {
        lagg_rs::kpi::Module::transmit(self.softc.ifp(), &self.softc, m, epoch).unwrap();
    }

    /// The driver's own input, from its first port.
    pub fn input(&self, m: Mbuf, epoch: &Epoch) {
        give_back(
            lagg_rs::kpi::Module::input(self.ports[0].ifp(), &self.ports[0], m, epoch).unwrap(),
        );
    }
}

impl Drop for Lagg {
    fn drop(&mut self) {
        self.ports.clear();
        host::clone_destroy(&self.name).unwrap();
    }
}
