//! The lagg offers no more than its ports can do, at any time (F-35).

use std::sync::{Arc, Mutex};
use std::thread;

use lagg_rs::kpi::Errno;
use lagg_rs::kpi::host::testing::waits;
use lagg_rs::kpi::host::{self, Event};
use lagg_rs::kpi::ioctl::{SIOCSIFCAP, SIOCSIFFLAGS, SIOCSIFMTU, proto};

use crate::lab::{card, frame, lab, lagg, lagg_of, spawn, until};
use crate::offloads::{able, set};

const TXCSUM: u64 = 1 << 1;

/// A joiner was in the plan before the lagg and its VLANs had given up what it cannot do.
#[test]
fn f35_no_packet_finds_a_joiner_that_cannot_do_what_is_offered() {
    lab(|| {
        let (a, b) = (able(1, TXCSUM), able(2, 0));
        let lagg = lagg_of(&[&a]);
        lagg.set_protocol(proto::ROUNDROBIN).unwrap();
        let vlan = host::vlan_create(&lagg.ifp, 5, "vlan5").unwrap();
        host::settle();
        assert_eq!([lagg.ifp.enabled(), vlan.enabled()], [TXCSUM; 2]);
        let offered = Arc::new(Mutex::new(Vec::new()));
        let (to, the_lagg, the_vlan) = (offered.clone(), lagg.ifp.clone(), vlan.ifp());
        let nic = b.nic.clone();
        // The event of the VLAN comes when it has joined.
        host::listen(&b.ifp, move |_, event| {
            if matches!(event, Event::Vlan(5, true)) {
                let offers = [the_lagg.enabled(), the_vlan.enabled(), the_lagg.offloads().hwassist];
                for n in 0..2 {
                    let _ = host::transmit(&the_vlan, lagg_rs::kpi::Mbuf::from_bytes(&frame(n)));
                }
                to.lock().unwrap().push((offers, nic.sent()));
            }
        });
        lagg.add("em2").unwrap();
        assert_eq!(*offered.lock().unwrap(), [([0; 3], 1)]);
        vlan.detach();
    });
}

/// Capabilities that were taken off for a failed join come back.
#[test]
fn f35_a_join_that_fails_takes_nothing_off() {
    lab(|| {
        let (a, b) = (able(1, TXCSUM), able(2, 0));
        let lagg = lagg_of(&[&a]);
        let blocked = a.nic.block(SIOCSIFCAP);
        thread::scope(|scope| {
            let joiner = spawn(scope, || lagg.add("em2"));
            blocked.wait();
            assert_eq!(lagg.ifp.enabled(), 0, "before a port is asked to do without");
            let departs = spawn(scope, move || b.ifp.detach());
            // The departure has marked the claim by then.
            until("em2's departure to wait", || waits(departs.thread().id()));
            blocked.release();
            assert_eq!(joiner.join().unwrap(), Err(Errno::ENXIO));
            departs.join().unwrap();
        });
        assert_eq!([a.ifp.enabled(), lagg.ifp.enabled()], [TXCSUM; 2]);
    });
}

/// The lagg used to follow only when another lagg's driver let the configuration task continue.
#[test]
fn f35_a_ports_own_request_is_done_when_it_returns() {
    lab(|| {
        let (a, b, other) = (able(1, TXCSUM), able(2, TXCSUM), card(3));
        let lagg = lagg_of(&[&a, &b]);
        let vlan = host::vlan_create(&lagg.ifp, 5, "vlan5").unwrap();
        let slow = lagg_of(&[&other]);
        host::settle();
        let blocked = other.nic.block(SIOCSIFFLAGS);
        host::set_promisc(&slow.ifp, true).unwrap();
        blocked.wait();
        set("em1", 0).unwrap();
        let all = [&a.ifp, &b.ifp, &vlan].map(|ifp| ifp.enabled());
        assert_eq!((all, lagg.ifp.enabled()), ([0; 3], 0));
        blocked.release();
        host::settle();
        vlan.detach();
    });
}

/// If the port has left when the request gets the token, the port's own driver is asked.
#[test]
fn f35_a_request_to_a_port_that_leaves_meanwhile_is_its_drivers() {
    lab(|| {
        let (a, b) = (able(1, TXCSUM), able(2, TXCSUM));
        let lagg = lagg();
        for n in 0..50 {
            lagg.add("em1").unwrap();
            lagg.add("em2").unwrap();
            thread::scope(|scope| {
                let asked = spawn(scope, || set("em1", 0));
                let left = spawn(scope, || lagg.remove("em1"));
                assert_eq!((asked.join().unwrap(), left.join().unwrap()), (Ok(()), Ok(())), "{n}");
            });
            assert!(a.ifp.lagg_port().is_none());
            lagg.remove("em2").unwrap();
            assert_eq!(b.ifp.enabled(), TXCSUM);
            set("em1", TXCSUM).unwrap();
        }
    });
}

/// The same while the lagg is being destroyed.
#[test]
fn f35_a_request_to_a_port_whose_lagg_is_destroyed_is_its_drivers() {
    lab(|| {
        let a = able(1, TXCSUM);
        let lagg = lagg_of(&[&a]);
        let blocked = a.nic.block(SIOCSIFMTU);
        thread::scope(|scope| {
            let under_way = spawn(scope, || lagg.set_mtu(4000));
            blocked.wait();
            let destroyer = spawn(scope, || lagg.destroy());
            until("the lagg to refuse", || lagg.get(0).map(drop) == Err(Errno::ENXIO));
            set("em1", 0).unwrap();
            assert_eq!(a.ifp.enabled(), 0);
            blocked.release();
            under_way.join().unwrap().unwrap();
            destroyer.join().unwrap();
        });
    });
}
