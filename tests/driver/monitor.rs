//! A lagg that is a monitor: what it receives goes no further than bpf(4). Plans have that, so that most frames need not
//! ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lagg_rs::kpi::host;
use lagg_rs::kpi::iff;

use crate::lab::{Lagg, card, flags, frame, lab, lagg_of};

/// How many frames have gone on from the lagg.
fn passed_on(lagg: &Lagg) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let keep = count.clone();
    host::set_input(&lagg.ifp, move |_| {
        keep.fetch_add(1, Ordering::Relaxed);
    });
    count
}

#[test]
fn each_change_counts_at_once() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let passed = passed_on(&lagg);
        for round in 1..=3 {
            a.receive(&frame(0));
            assert_eq!(passed.load(Ordering::Relaxed), round);
            flags(&lagg.name, iff::UP | iff::MONITOR).unwrap();
            a.receive(&frame(1));
            assert_eq!(passed.load(Ordering::Relaxed), round, "a monitor passes nothing on");
            flags(&lagg.name, iff::UP).unwrap();
        }
        assert_eq!(lagg.count("port.em1.dropped.monitor"), 3);
    });
}

/// Changed while it is down, and by a lagg whose ports change.
#[test]
fn each_plan_has_it() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        let passed = passed_on(&lagg);
        flags(&lagg.name, 0).unwrap();
        flags(&lagg.name, iff::MONITOR).unwrap();
        flags(&lagg.name, iff::UP | iff::MONITOR).unwrap();
        lagg.add("em2").unwrap();
        a.receive(&frame(0));
        lagg.remove("em1").unwrap();
        b.receive(&frame(1));
        assert_eq!(passed.load(Ordering::Relaxed), 0);
        assert_eq!(lagg.count("port.em2.dropped.monitor"), 1);
        flags(&lagg.name, 0).unwrap();
        flags(&lagg.name, iff::UP).unwrap();
        b.receive(&frame(2));
        assert_eq!(passed.load(Ordering::Relaxed), 1);
    });
}

/// A request for PROMISC, which must not wait, finds it changed.
#[test]
fn a_change_that_another_request_finds_counts_soon() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let passed = passed_on(&lagg);
        flags(&lagg.name, iff::UP | iff::MONITOR | iff::PROMISC).unwrap();
        host::settle();
        a.receive(&frame(0));
        assert_eq!(passed.load(Ordering::Relaxed), 0);
    });
}
