//! The slots of ports.

use std::thread;

use lagg_rs::kpi::host;
use lagg_rs::kpi::ioctl::proto;
use lagg_rs::kpi::{IfType, Mbuf, Module, epoch};

use crate::lab::{card, frame, lab, lagg_of, spawn, until};

/// A packet knows a port of the plan by its slot alone. So no other port may have the slot of one that has
/// left while a packet is under way that came from that.
#[test]
fn a_slot_is_free_when_its_ports_packets_have_gone() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        let lagg = lagg_of(&[&a, &b]);
        lagg.set_protocol(proto::ROUNDROBIN).unwrap();
        let softc = lagg.softc();
        let slot = b.ifp.lagg_port().unwrap().slot();
        thread::scope(|scope| {
            epoch::section(|epoch| {
                let port = softc.plan(epoch).in_slot(slot).unwrap();
                spawn(scope, || lagg.remove("em2").unwrap());
                until("the type to be back", || b.ifp.if_type() == IfType::Ethernet);
                let joins = spawn(scope, || lagg.add("em3").unwrap());
                let joins = joins.thread().id();
                until("the join to wait", || host::testing::waits(joins));
                assert!(softc.plan(epoch).in_slot(slot).is_none());
                let m = Mbuf::from_bytes(&frame(0));
                assert!(Module::input(port.ifp(), port, m, epoch).is_none());
            });
        });
        assert!(c.ifp.lagg_port().is_some_and(|port| port.slot() == slot));
        assert_eq!(lagg.count("left.dropped.not_member"), 1);
    });
}
