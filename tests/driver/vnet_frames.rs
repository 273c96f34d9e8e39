//! A lagg receives in its own vnet, whichever vnets its ports are in (F-31).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use lagg_rs::kpi::host::{self, Vnet};
use lagg_rs::kpi::ioctl::proto;
use lagg_rs::kpi::{Counter, IfType, Ifnet, Mbuf, iff};

use crate::lab::{card, flags, frame, lab, lagg, lagg_of, spawn, until};
use crate::vnets::{move_up, nature};

/// The interface and the vnet in which each frame went up the stack.
#[derive(Clone, Default)]
struct Received(Arc<Mutex<Vec<(u32, Vnet)>>>);

impl Received {
    fn by(ifp: &Ifnet) -> Self {
        let received = Received::default();
        let keep = received.clone();
        host::set_input(ifp, move |m: Mbuf| {
            keep.0.lock().unwrap().push((m.receiver_index(), Vnet::current()));
        });
        received
    }

    /// The number of frames since the last call. All must be in the interface's vnet.
    #[track_caller]
    fn take(&self, ifp: &Ifnet) -> usize {
        let frames = std::mem::take(&mut *self.0.lock().unwrap());
        assert!(frames.iter().all(|(index, _)| *index == ifp.index()));
        assert!(frames.iter().all(|(_, vnet)| *vnet == ifp.vnet()), "in another vnet");
        frames.len()
    }
}

/// In C lagg, frames for a lagg in another vnet go up the stack in the port's.
#[test]
fn f31_a_lagg_receives_in_its_own_vnet() {
    lab(|| {
        let (home, jail) = (Vnet::current(), Vnet::new());
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        let received = Received::by(&lagg.ifp);
        let capture = host::capture(&lagg.ifp);
        let counted = || {
            [Counter::Ipackets, Counter::Ibytes, Counter::Imcasts]
                .map(|counter| lagg.ifp.counter(counter))
        };
        for (round, vnet) in (1..).zip([home, jail, home, jail]) {
            if lagg.ifp.vnet() != vnet {
                move_up(&lagg.ifp, &vnet);
            }
            a.receive(&frame(round));
            assert_eq!(received.take(&lagg.ifp), 1);
            assert_eq!(capture.take(), [frame(round)], "once");
            b.receive(&frame(0));
            assert_eq!(received.take(&lagg.ifp), 0, "the standby is refused all the same");
            assert!(capture.take().is_empty());
            let n = 2 * u64::from(round);
            assert_eq!(counted(), [n, 60 * n, n], "once");
            lagg.send(&frame(round)).unwrap();
            assert_eq!((a.sent(), b.sent()), (1, 0));
            assert_eq!(capture.take(), [frame(round)]);
        }
        // What a lagg does with frames that go no further works there too.
        let monitored = || {
            a.receive(&frame(0));
            let dropped = jail.enter(|| lagg.count("port.em1.dropped.monitor"));
            (received.take(&lagg.ifp), capture.take().len(), dropped)
        };
        jail.enter(|| flags(&lagg.name, iff::UP | iff::MONITOR).unwrap());
        assert_eq!(monitored(), (0, 1, 1));
        jail.enter(|| lagg.down());
        a.receive(&frame(0));
        assert_eq!((received.take(&lagg.ifp), capture.take().len()), (0, 0));
    });
}

/// The vnets of the lagg and of each port are all different.
#[test]
fn f31_a_lagg_over_three_vnets() {
    lab(|| {
        let [one, two, jail] = [(); 3].map(|()| Vnet::new());
        let (a, b) = (card(1), card(2));
        let lagg = lagg();
        for (port, vnet) in [(&a, one), (&b, two)] {
            move_up(&port.ifp, &vnet);
            move_up(&lagg.ifp, &vnet);
            vnet.enter(|| lagg.add(&port.name()).unwrap());
        }
        move_up(&lagg.ifp, &jail);
        jail.enter(|| lagg.set_protocol(proto::ROUNDROBIN).unwrap());
        let received = Received::by(&lagg.ifp);
        for port in [&a, &b] {
            port.receive(&frame(1));
            assert_eq!(received.take(&lagg.ifp), 1);
        }
        lagg.send(&frame(1)).unwrap();
        lagg.send(&frame(2)).unwrap();
        assert_eq!((a.sent(), b.sent()), (1, 1));
        jail.destroy();
        assert!(lagg.ifp.vnet() == Vnet::current());
        for vnet in [one, two] {
            vnet.destroy();
        }
        assert_eq!([a.ifp.if_type(), b.ifp.if_type()], [IfType::Ethernet; 2]);
    });
}

/// Frames in both directions while lagg and ports change vnets.
#[test]
fn f31_vnets_change_under_traffic() {
    lab(|| {
        let (home, jail) = (Vnet::current(), Vnet::new());
        let (a, b) = (card(1), card(2));
        let before = [nature(&a), nature(&b)];
        let lagg = lagg_of(&[&a, &b]);
        lagg.set_protocol(proto::ROUNDROBIN).unwrap();
        let (arrived, sent) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
        let count = arrived.clone();
        let index = lagg.ifp.index();
        host::set_input(&lagg.ifp, move |m| {
            assert_eq!(m.receiver_index(), index);
            count.fetch_add(1, Ordering::Relaxed);
        });
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for card in [&a, &b] {
                let done = &done;
                spawn(scope, move || {
                    while !done.load(Ordering::Relaxed) {
                        card.receive(&frame(0));
                    }
                });
            }
            spawn(scope, || {
                while !done.load(Ordering::Relaxed) {
                    if lagg.send(&frame(0)).is_ok() {
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                    a.nic.take_sent();
                    b.nic.take_sent();
                }
            });
            for round in 0..20 {
                for vnet in [jail, home] {
                    move_up(&lagg.ifp, &vnet);
                    let (in_before, out_before) =
                        (arrived.load(Ordering::Relaxed), sent.load(Ordering::Relaxed));
                    until("frames both ways", || {
                        arrived.load(Ordering::Relaxed) > in_before
                            && sent.load(Ordering::Relaxed) > out_before
                    });
                }
                // A port moves there and comes back.
                let port = if round % 2 == 0 { &a } else { &b };
                host::vmove(&port.ifp, &jail).unwrap();
                move_up(&port.ifp, &home);
                lagg.add(&port.name()).unwrap();
            }
            move_up(&lagg.ifp, &jail);
            host::vmove(&b.ifp, &jail).unwrap();
            jail.enter(|| lagg.destroy());
            done.store(true, Ordering::Relaxed);
        });
        jail.destroy();
        assert_eq!([nature(&a), nature(&b)], before);
        assert!(a.ifp.vnet() == home && b.ifp.vnet() == home);
    });
}
