//! Sends packets for callgrind to count: `packets PATH COUNT`.
//!
//! PATH is a protocol, through a lagg of two ports, or `bare`, straight to a port's driver. What COUNT
//! packets more cost is the cost of a packet; what a protocol costs more than `bare` is the lagg's own.

use lagg_rs::kpi::host::testing::TestNic;
use lagg_rs::kpi::host::{self, Vnet, ifioctl};
use lagg_rs::kpi::ioctl::{
    InterfaceRequest, LaggRequest, PortRequest, SIOCSIFFLAGS, SIOCSLAGG, SIOCSLAGGPORT, proto,
};
use lagg_rs::kpi::{LinkState, Mbuf, epoch, iff};

/// Packets to a section of the epoch, as many as a driver sends between two looks at its queue.
const BATCH: usize = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().filter(|word| word != "--bench").collect();
    let [_, path, count] = arguments.as_slice() else {
        // cargo test runs it without arguments: nothing to count.
        return;
    };
    let count: usize = count.parse().expect("COUNT is a number");
    let lagg = host::clone_create("lagg", None).expect("a lagg is made");
    let cards = [1, 2].map(|n| {
        let name = format!("em{n}");
        let card = TestNic::counting().attach(&name, [2, 0, 0, 0, 0, n]);
        host::set_link(&card, LinkState::Up);
        let mut port = PortRequest::default();
        port.portname[..name.len()].copy_from_slice(name.as_bytes());
        ifioctl(&lagg, SIOCSLAGGPORT, &mut port).expect("the card joins");
        card
    });
    let mut up = InterfaceRequest { mtu: iff::UP, ..InterfaceRequest::default() };
    ifioctl(&lagg, SIOCSIFFLAGS, &mut up).expect("the lagg comes up");
    host::settle();

    let protocol = match path.as_str() {
        "bare" | "failover" => proto::FAILOVER,
        "roundrobin" => proto::ROUNDROBIN,
        "loadbalance" => proto::LOADBALANCE,
        "broadcast" => proto::BROADCAST,
        other => panic!("no path {other}"),
    };
    let mut switch = LaggRequest { proto: protocol, ..LaggRequest::default() };
    ifioctl(&lagg, SIOCSLAGG, &mut switch).expect("the protocol is there");
    host::settle();

    let lagg = Vnet::current().interface(&lagg).expect("the lagg is there");
    let ifp = if path == "bare" { cards[0].ifp() } else { lagg };
    // UDP over IPv4, 60 bytes.
    let mut frame = [0; 60];
    frame[12..16].copy_from_slice(&[8, 0, 0x45, 0]);
    frame[23] = 17;
    let mut left = count;
    while left > 0 {
        let batch = left.min(BATCH);
        let packets: Vec<Mbuf> = (0..batch).map(|_| Mbuf::from_bytes(&frame)).collect();
        epoch::section(|epoch| {
            for m in packets {
                ifp.transmit(m, epoch).expect("the packet is sent");
            }
        });
        left -= batch;
    }
}
