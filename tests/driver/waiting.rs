//! What a lagg waits for when it moves or is destroyed, and what it does not.

use std::fmt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use lagg_rs::kpi::host::{self, Vnet};
use lagg_rs::kpi::ioctl::SIOCADDMULTI;
use lagg_rs::kpi::{Driver, Module};

use crate::lab::{card, lab, lagg_of, spawn};

/// A reader whose buffer blocks. It reports that it waits, and continues when it is told to.
struct Stuck(Option<(Sender<()>, Receiver<()>)>);

impl fmt::Write for Stuck {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        if let Some((waits, go_on)) = self.0.take() {
            waits.send(()).unwrap();
            go_on.recv().unwrap();
        }
        Ok(())
    }
}

#[test]
fn d31_destroying_a_lagg_does_not_wait_for_its_readers() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let softc = lagg.softc();
        let (waits, is_waiting) = channel();
        let (go_on, told) = channel();
        thread::scope(|scope| {
            let reader = spawn(scope, || Module::stats(&softc, &mut Stuck(Some((waits, told)))));
            is_waiting.recv().unwrap();
            lagg.destroy();
            go_on.send(()).unwrap();
            reader.join().unwrap().unwrap();
        });
    });
}

/// The next lagg may get its index and its sysctl. Without a lagg there is no such sysctl.
#[test]
fn d31_the_counters_of_a_lagg_end_with_it() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let index = lagg.ifp.index();
        assert!(host::sysctl_stats(index).unwrap().starts_with("lagg lagg0\n"));
        lagg.destroy();
        host::sysctl_stats(index).unwrap_err();
        host::sysctl_stats(a.ifp.index()).unwrap_err();
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
