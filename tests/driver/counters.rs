//! The lagg's counters.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lagg_rs::kpi::Counter;
use lagg_rs::kpi::host;

use crate::lab::{card, frame, lab, lagg_of, spawn};

#[test]
fn what_the_ports_carry_counts_from_when_they_join_and_stays_when_they_leave() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        a.ifp.count(Counter::Ipackets, 1000);
        let lagg = lagg_of(&[&a, &b]);
        let read = |counter| lagg.ifp.counter(counter);
        assert_eq!((read(Counter::Ipackets), read(Counter::Opackets)), (0, 0));
        lagg.send(&frame(0)).unwrap();
        a.receive(&frame(0));
        b.receive(&frame(0));
        assert_eq!((read(Counter::Ipackets), read(Counter::Opackets)), (2, 1));
        assert_eq!(read(Counter::Obytes), 60);
        lagg.remove("em1").unwrap();
        assert_eq!((read(Counter::Ipackets), read(Counter::Opackets)), (2, 1));
        a.receive(&frame(0));
        assert_eq!(read(Counter::Ipackets), 2, "what it carries for itself");
        lagg.add("em1").unwrap();
        a.receive(&frame(0));
        assert_eq!(read(Counter::Ipackets), 3);
        b.ifp.detach();
        assert_eq!(read(Counter::Ipackets), 3);
    });
}

/// In C lagg a reader counts a leaving port twice, or not at all, so counters go back.
#[test]
fn d13_counters_never_go_back() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for card in [&a, &b] {
                let done = &done;
                spawn(scope, move || {
                    while !done.load(Ordering::Relaxed) {
                        // Also while it is not a port.
                        card.receive(&frame(0));
                    }
                });
            }
            let reader = spawn(scope, || {
                let mut last = 0;
                // Until something was counted, however late the others get their turn.
                while last == 0 || !done.load(Ordering::Relaxed) {
                    let now = lagg.ifp.counter(Counter::Ipackets);
                    assert!(now >= last, "{now} after {last}");
                    last = now;
                }
            });
            for _ in 0..200 {
                for port in ["em1", "em2"] {
                    lagg.remove(port).unwrap();
                    lagg.add(port).unwrap();
                }
            }
            while lagg.ifp.counter(Counter::Ipackets) == 0 {
                thread::yield_now();
            }
            done.store(true, Ordering::Relaxed);
            reader.join().unwrap();
        });
        let ifp = lagg.ifp.clone();
        lagg.destroy();
        host::settle();
        assert_eq!(ifp.counter(Counter::Opackets), 0, "a reader that comes too late");
    });
}
