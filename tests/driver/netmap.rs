//! netmap(4) in emulated mode gets what the lagg receives.

use std::sync::{Arc, Mutex};

use lagg_rs::kpi::host::{self, Vnet};
use lagg_rs::kpi::ioctl::proto;
use lagg_rs::kpi::offloads::capability;
use lagg_rs::kpi::{Counter, Ifnet, LinkState, iff};

use crate::lab::{card, flags, frame, lab, lagg_of, mtu};
use crate::offloads::{able, set};

/// A frame, and the vnet in which it was received.
type Received = (Vec<u8>, Vnet);

#[derive(Clone, Default)]
struct Frames(Arc<Mutex<Vec<Received>>>);

impl Frames {
    /// The frames that go up the stack on `ifp`.
    fn of_stack(ifp: &Ifnet) -> Self {
        let frames = Frames::default();
        let keep = frames.clone();
        host::set_input(ifp, move |m| keep.push(m.to_bytes()));
        frames
    }

    /// The frames that netmap gets, which has `ifp` from now on.
    fn of_netmap(ifp: &Ifnet) -> Self {
        let (frames, index) = (Frames::default(), ifp.index());
        let keep = frames.clone();
        host::netmap_register(ifp, move |m| {
            assert_eq!(m.receiver_index(), index);
            keep.push(m.to_bytes());
        });
        frames
    }

    fn push(&self, frame: Vec<u8>) {
        self.0.lock().unwrap().push((frame, Vnet::current()));
    }

    /// The number of frames since the last call. All must be in `ifp`'s vnet.
    #[track_caller]
    fn take(&self, ifp: &Ifnet) -> usize {
        let frames = std::mem::take(&mut *self.0.lock().unwrap());
        assert!(frames.iter().all(|(_, vnet)| *vnet == ifp.vnet()), "in another vnet");
        frames.len()
    }
}

fn has_netmap(ifp: &Ifnet) -> bool {
    ifp.offloads().enabled & capability::NETMAP != 0
}

#[test]
fn netmap_gets_what_the_lagg_accepts() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        let (stack, capture) = (Frames::of_stack(&lagg.ifp), host::capture(&lagg.ifp));
        let netmap = Frames::of_netmap(&lagg.ifp);
        let arrived = || {
            [&a, &b].map(|card| {
                card.receive(&frame(0));
                assert_eq!(stack.take(&lagg.ifp), 0, "past netmap");
                let frames = netmap.take(&lagg.ifp);
                assert_eq!(capture.take().len(), frames, "bpf(4) sees each once");
                frames
            })
        };
        assert_eq!(arrived(), [1, 0], "not from the standby");
        a.link(LinkState::Down);
        assert_eq!(arrived(), [1, 1]);
        a.link(LinkState::Up);
        for protocol in [proto::ROUNDROBIN, proto::LOADBALANCE, proto::BROADCAST] {
            lagg.set_protocol(protocol).unwrap();
            assert_eq!(arrived(), [1, 1]);
        }
        lagg.set_protocol(proto::NONE).unwrap();
        assert_eq!(arrived(), [0, 0]);
        lagg.set_protocol(proto::FAILOVER).unwrap();
        lagg.down();
        flags("em1", iff::UP).unwrap();
        assert_eq!(arrived(), [0, 0]);
        lagg.up();
        host::netmap_unregister(&lagg.ifp);
        a.receive(&frame(0));
        assert_eq!((stack.take(&lagg.ifp), netmap.take(&lagg.ifp)), (1, 0));
        assert_eq!(capture.take().len(), 1);
    });
}

#[test]
fn what_netmap_gets_is_counted_once() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let _netmap = Frames::of_netmap(&lagg.ifp);
        a.receive(&frame(0));
        let counters = [Counter::Ipackets, Counter::Ibytes, Counter::Imcasts];
        assert_eq!(counters.map(|counter| lagg.ifp.counter(counter)), [1, 60, 1]);
    });
}

#[test]
fn a_monitor_hands_netmap_nothing() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let (netmap, capture) = (Frames::of_netmap(&lagg.ifp), host::capture(&lagg.ifp));
        flags(&lagg.name, iff::UP | iff::MONITOR).unwrap();
        a.receive(&frame(0));
        assert_eq!((netmap.take(&lagg.ifp), capture.take().len()), (0, 1));
        assert_eq!(lagg.count("port.em1.dropped.monitor"), 1);
    });
}

#[test]
fn netmap_gets_it_in_the_laggs_vnet() {
    lab(|| {
        let jail = Vnet::new();
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        host::vmove(&lagg.ifp, &jail).unwrap();
        jail.enter(|| lagg.up());
        let (netmap, capture) = (Frames::of_netmap(&lagg.ifp), host::capture(&lagg.ifp));
        a.receive(&frame(0));
        assert_eq!((netmap.take(&lagg.ifp), capture.take().len()), (1, 1));
        jail.enter(|| flags(&lagg.name, iff::UP | iff::MONITOR).unwrap());
        a.receive(&frame(0));
        assert_eq!((netmap.take(&lagg.ifp), capture.take().len()), (0, 1));
    });
}

/// In C lagg a change of ports or capabilities takes the lagg from netmap, which then receives nothing.
#[test]
fn f07b_netmap_keeps_the_lagg() {
    const RXCSUM: u64 = 1;
    const TXCSUM: u64 = 1 << 1;
    lab(|| {
        let (a, b) = (able(1, RXCSUM | TXCSUM), able(2, RXCSUM | TXCSUM));
        let lagg = lagg_of(&[&a]);
        let netmap = Frames::of_netmap(&lagg.ifp);
        let changes: [&dyn Fn(); 9] = [
            &|| lagg.add("em2").unwrap(),
            &|| set(&lagg.name, RXCSUM).unwrap(),
            &|| set("em2", TXCSUM).unwrap(),
            &|| set("em1", RXCSUM | TXCSUM).unwrap(),
            &|| mtu(&lagg.name, 3000).unwrap(),
            &|| lagg.set_protocol(proto::ROUNDROBIN).unwrap(),
            &|| lagg.down(),
            &|| lagg.up(),
            &|| lagg.remove("em2").unwrap(),
        ];
        for (n, change) in changes.iter().enumerate() {
            change();
            host::settle();
            assert!(has_netmap(&lagg.ifp), "change {n}");
        }
        a.receive(&frame(0));
        assert_eq!(netmap.take(&lagg.ifp), 1);
        lagg.remove("em1").unwrap();
        assert!(has_netmap(&lagg.ifp), "without ports");
        lagg.add("em1").unwrap();
        host::netmap_unregister(&lagg.ifp);
        lagg.add("em2").unwrap();
        assert!(!has_netmap(&lagg.ifp), "given back");
        drop(b);
    });
}

/// If netmap has every port, it does not have the lagg.
#[test]
fn f07b_netmap_of_the_ports_is_not_the_laggs() {
    lab(|| {
        let (a, b) = (able(1, capability::NETMAP), able(2, capability::NETMAP));
        for card in [&a, &b] {
            host::netmap_register(&card.ifp, drop);
        }
        let lagg = lagg_of(&[&a, &b]);
        assert!(has_netmap(&a.ifp) && has_netmap(&b.ifp));
        assert!(!has_netmap(&lagg.ifp));
        lagg.destroy();
        assert!(has_netmap(&a.ifp) && has_netmap(&b.ifp), "theirs as before");
    });
}
