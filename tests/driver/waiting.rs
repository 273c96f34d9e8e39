//! What a lagg waits for when it moves or is destroyed, and what it does not.

use std::thread;

use lagg_rs::kpi::host::{self, Vnet};
use lagg_rs::kpi::ioctl::SIOCADDMULTI;
use lagg_rs::kpi::{Errno, LONGEST_STATE};

use crate::lab::{card, lab, lagg_of, spawn};

/// It is complete in memory before it is written to where that may wait for ever.
#[test]
fn d31_what_a_reader_gets_is_short() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let written = host::sysctl_all("lagg0");
        assert!(written.len() > 20);
        assert!(written.iter().all(|(_, value)| value.len() < LONGEST_STATE));
        lagg.destroy();
        assert_eq!(host::sysctl_all("lagg0"), []);
    });
}

/// The next lagg may get its name. Without a lagg there is nothing to be read by that.
#[test]
fn d31_the_counters_of_a_lagg_end_with_it() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let dropped = || host::sysctl_get("lagg0", "port.em1.dropped.monitor");
        assert_eq!(dropped().as_deref(), Ok("0"));
        lagg.destroy();
        assert_eq!(dropped(), Err(Errno::ENOENT));
        assert_eq!(host::sysctl_get("em1", "ports"), Err(Errno::ENOENT));
    });
}

/// A task works in the vnet in which the lagg was, which may end after the move.
#[test]
fn d30_a_lagg_that_moves_waits_for_its_tasks() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let jail = Vnet::new();
        let blocked = a.nic.block(SIOCADDMULTI);
        host::join_group(&lagg.ifp, &[1, 0, 0x5e, 0, 0, 1].into()).unwrap();
        blocked.wait();
        thread::scope(|scope| {
            let mover = spawn(scope, || host::vmove(&lagg.ifp, &jail).unwrap());
            while lagg.ifp.vnet() != jail {
                thread::yield_now();
            }
            for _ in 0..10_000 {
                assert!(!mover.is_finished(), "it has not waited");
                thread::yield_now();
            }
            blocked.release();
            mover.join().unwrap();
        });
        jail.enter(|| lagg.destroy());
    });
}

/// So does a lagg that goes home because its vnet ends.
#[test]
fn d30_so_does_one_whose_vnet_ends() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let (home, jail) = (Vnet::current(), Vnet::new());
        host::vmove(&lagg.ifp, &jail).unwrap();
        let blocked = a.nic.block(SIOCADDMULTI);
        jail.enter(|| host::join_group(&lagg.ifp, &[1, 0, 0x5e, 0, 0, 1].into()).unwrap());
        blocked.wait();
        thread::scope(|scope| {
            let end = spawn(scope, || jail.destroy());
            while lagg.ifp.vnet() != home {
                thread::yield_now();
            }
            for _ in 0..10_000 {
                assert!(!end.is_finished(), "it has not waited");
                thread::yield_now();
            }
            blocked.release();
            end.join().unwrap();
        });
    });
}
