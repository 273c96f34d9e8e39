//! InfiniBand laggs: what is sent, and what is accepted.

use std::sync::{Arc, Mutex};

use lagg_rs::kpi::host::testing::Events;
use lagg_rs::kpi::host::{self, Vnet};
use lagg_rs::kpi::{Counter, Errno, LinkAddr, LinkState, Mbuf, iff};

use crate::infiniband::{addressed_as, ib_lagg_of, second, told};
use crate::lab::{addr, broadcast, flags, ib, ib_lagg, lab};

/// A broadcast frame that ends in `n`.
fn frame(n: u8) -> Vec<u8> {
    let mut frame = broadcast(0).to_vec();
    frame.extend([0x08, 0x06, 0, 0, n]);
    frame
}

/// The same frame as bpf(4) shows it.
fn shown(n: u8) -> Vec<u8> {
    let mut frame = broadcast(0)[4..10].to_vec();
    frame.extend([0, 0, 0, 0, 0, 0, 0x08, 0x06, n]);
    frame
}

#[test]
fn frames_go_out_on_the_active_port_and_are_shown_once() {
    lab(|| {
        let (a, b) = (ib(1), ib(2));
        let lagg = ib_lagg();
        lagg.up();
        let capture = host::capture(&lagg.ifp);
        assert_eq!(lagg.send(&frame(0)), Err(Errno::ENXIO));
        lagg.add("ib1").unwrap();
        lagg.add("ib2").unwrap();
        assert_eq!(capture.count(), 0);
        lagg.send(&frame(1)).unwrap();
        assert_eq!((a.nic.take_sent(), capture.take()), (vec![frame(1)], vec![shown(1)]));
        a.link(LinkState::Down);
        lagg.send(&frame(2)).unwrap();
        assert_eq!((b.nic.take_sent(), capture.take()), (vec![frame(2)], vec![shown(2)]));
        b.nic.refuse_transmit(Some(Errno::ENOBUFS));
        assert_eq!(lagg.send(&frame(3)), Err(Errno::ENOBUFS));
        b.link(LinkState::Down);
        assert_eq!(lagg.send(&frame(4)), Err(Errno::ENETDOWN));
        assert_eq!(lagg.ifp.counter(Counter::Oerrors), 3);
        assert_eq!((lagg.ifp.counter(Counter::Opackets), a.sent()), (2, 0));
    });
}

#[test]
fn frames_come_in_as_the_laggs_and_are_shown_once() {
    lab(|| {
        let (a, b) = (ib(1), ib(2));
        let lagg = ib_lagg_of(&[&a, &b]);
        let received = Arc::new(Mutex::new(Vec::new()));
        let (keep, index) = (received.clone(), lagg.ifp.index());
        host::set_input(&lagg.ifp, move |m: Mbuf| {
            assert_eq!(m.receiver_index(), index);
            keep.lock().unwrap().push(m.to_bytes());
        });
        let capture = host::capture(&lagg.ifp);
        // The frames that went up the stack, and those shown to bpf(4).
        let taken = || (std::mem::take(&mut *received.lock().unwrap()), capture.take());
        a.receive(&frame(1));
        assert_eq!(taken(), (vec![frame(1)], vec![shown(1)]));
        let none = (vec![], vec![]);
        b.receive(&frame(2));
        assert_eq!(taken(), none, "not from the standby");
        Vnet::current().set_failover_rx_all(true);
        b.receive(&frame(3));
        assert_eq!(taken(), (vec![frame(3)], vec![shown(3)]));
        Vnet::current().set_failover_rx_all(false);
        a.link(LinkState::Down);
        b.receive(&frame(4));
        assert_eq!(
            taken(),
            (vec![frame(4)], vec![shown(4)]),
            "from the port that replaces the primary"
        );
        host::netmap_register(&lagg.ifp, drop);
        b.receive(&frame(7));
        assert_eq!(taken(), (vec![], vec![shown(7)]), "netmap(4) has it, not the stack");
        host::netmap_unregister(&lagg.ifp);
        flags(&lagg.name, iff::UP | iff::MONITOR).unwrap();
        a.receive(&frame(5));
        assert_eq!(taken(), (vec![], vec![shown(5)]));
        lagg.down();
        flags("ib1", iff::UP).unwrap();
        a.receive(&frame(6));
        assert_eq!(taken(), none);
        assert_eq!(lagg.ifp.counter(Counter::Ipackets), 7, "as of all laggs: what the ports took");
    });
}

/// The stack would process the frame in the port's vnet.
#[test]
fn f31_frames_come_in_in_the_laggs_vnet() {
    lab(|| {
        let (jail, a, b) = (Vnet::new(), ib(1), ib(2));
        let lagg = ib_lagg_of(&[&a, &b]);
        host::vmove(&lagg.ifp, &jail).unwrap();
        jail.enter(|| lagg.up());
        let events = Events::of(&lagg.ifp);
        let received = Arc::new(Mutex::new(Vec::new()));
        let keep = received.clone();
        host::set_input(&lagg.ifp, move |m: Mbuf| {
            keep.lock().unwrap().push((m.receiver_index(), Vnet::current() == jail));
        });
        let capture = host::capture(&lagg.ifp);
        a.receive(&frame(1));
        assert_eq!(*received.lock().unwrap(), [(lagg.ifp.index(), true)]);
        assert_eq!(capture.take(), [shown(1)]);
        // It follows the port's address there too.
        second();
        a.ifp.down();
        jail.enter(second);
        assert_eq!((addressed_as(&lagg), told(&events)), (2, vec![2]));
        jail.destroy();
        assert_eq!([a.ifp.lladdr(), b.ifp.lladdr()], [addr(1), addr(2)]);
    });
}

#[test]
fn ports_are_in_its_groups() {
    lab(|| {
        let (a, b) = (ib(1), ib(2));
        let lagg = ib_lagg_of(&[&a]);
        let groups = [4, 5].map(|n| {
            let mut group = broadcast(0);
            group[6..8].copy_from_slice(&[0x40, 0x1b]);
            group[19] = n;
            LinkAddr::Infiniband(group)
        });
        for group in &groups {
            host::join_group(&lagg.ifp, group).unwrap();
        }
        host::settle();
        assert_eq!(host::groups(&a.ifp), groups);
        lagg.add("ib2").unwrap();
        assert_eq!(host::groups(&b.ifp), groups);
        host::leave_group(&lagg.ifp, &groups[0]);
        host::settle();
        assert_eq!(host::groups(&b.ifp), groups[1..]);
        lagg.remove("ib2").unwrap();
        assert_eq!(host::groups(&b.ifp).len(), 0);
    });
}
