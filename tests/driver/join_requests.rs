//! SIOCSLAGGPORT and SIOCSLAGGDELPORT: which interfaces become ports, and why others are refused. What
//! happens to interfaces that join is in `ports.rs`.

use lagg_rs::kpi::host::testing::{self, TestNic};
use lagg_rs::kpi::host::{self, ifioctl};
use lagg_rs::kpi::ioctl::{PortRequest, SIOCSIFMTU, SIOCSLAGGPORT, port};
use lagg_rs::kpi::{Errno, IfType};
use zerocopy::FromBytes;

use crate::lab::{card, lab, lagg, lagg_of, mtu, name, refused, without_memory};

/// Priority and flags are ignored.
#[test]
fn siocslaggport_reads_nothing_but_the_name() {
    lab(|| {
        let _a = card(1);
        let lagg = lagg();
        let garbage = PortRequest::read_from_bytes(&[0xa5; 72]).unwrap();
        let mut request = PortRequest { portname: name("em1"), ..garbage };
        ifioctl(&lagg.name, SIOCSLAGGPORT, &mut request).unwrap();
        let record = lagg.port("em1").unwrap();
        assert_eq!((record.prio, record.flags), (0, port::MASTER | port::ACTIVE));
    });
}

/// If there are two reasons, the one that is checked first counts.
#[test]
fn siocslaggport_refuses_in_this_order() {
    lab(|| {
        let cards: Vec<_> = (1..=32).map(card).collect();
        let (other, gif) = (card(40), TestNic::new());
        let gif = host::attach("gif0", IfType::Other(0xf0), [0; 6], 1280, 0, gif);
        let ib = host::attach("ib0", IfType::Infiniband, [1; 20], 2044, 0, TestNic::new());
        let (full, empty, third) = (lagg(), lagg(), lagg_of(&[&other]));
        for card in &cards[..31] {
            full.add(&card.name()).unwrap();
        }
        for (name, errno) in [
            ("", Errno::EINVAL),
            ("em99", Errno::EINVAL),
            ("lagg0", Errno::EINVAL),
            ("em1", Errno::EEXIST),
            ("em40", Errno::EBUSY),
            ("gif0", Errno::EPROTONOSUPPORT),
            ("ib0", Errno::EPROTONOSUPPORT),
            ("lagg1", Errno::EINVAL),
            ("lagg2", Errno::EINVAL),
        ] {
            refused(errno, || full.add(name));
        }
        full.add("em32").unwrap();
        for name in ["em1", "em40", "gif0", "ib0", "lagg1"] {
            refused(Errno::ENOSPC, || full.add(name));
        }
        for name in ["", "em99", "lagg0"] {
            refused(Errno::EINVAL, || full.add(name));
        }
        // A lagg without ports keeps nothing of an interface that it refuses.
        refused(Errno::EBUSY, || empty.add("em40"));
        refused(Errno::EPROTONOSUPPORT, || empty.add("gif0"));
        refused(Errno::EPROTONOSUPPORT, || empty.add("ib0"));
        refused(Errno::EINVAL, || empty.add("lagg0"));
        drop((gif, ib, third));
    });
}

#[test]
fn siocslaggport_refuses_a_vlan_of_its_own() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let vlan = host::vlan_create(&lagg.ifp, 3, "vlan3").unwrap();
        refused(Errno::EINVAL, || lagg.add("vlan3"));
        drop(vlan);
    });
}

#[test]
fn siocslaggport_passes_on_the_ports_error_for_the_mtu() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        mtu("em1", 4000).unwrap();
        let lagg = lagg_of(&[&a]);
        b.nic.refuse_all(SIOCSIFMTU, Errno::ENOBUFS);
        refused(Errno::ENOBUFS, || lagg.add("em2"));
        testing::remove_ioctl(&c.ifp);
        refused(Errno::EINVAL, || lagg.add("em3"));
        // A port that has this MTU already is not asked.
        lagg.remove("em1").unwrap();
        lagg.add("em2").unwrap();
        lagg.add("em3").unwrap();
    });
}

#[test]
fn siocslaggport_without_memory_changes_nothing() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        host::set_ipv6(&a.ifp, true);
        mtu("em1", 4000).unwrap();
        host::set_ipv6(&b.ifp, true);
        let lagg = lagg();
        without_memory(|| lagg.add("em1"));
        // An interface that cannot join all groups does not become a port either.
        host::join_group(&lagg.ifp, &[1, 0, 0x5e, 0, 0, 1].into()).unwrap();
        without_memory(|| lagg.add("em2"));
        assert_eq!((lagg.ports().len(), b.ifp.mtu()), (2, 4000));
        assert_eq!(host::groups(&b.ifp).len(), 1);
    });
}

#[test]
fn siocslaggdelport_needs_a_port_of_this_lagg() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        let (lagg0, _lagg1) = (lagg_of(&[&a]), lagg_of(&[&b]));
        for unknown in ["", "em9", "em1 "] {
            refused(Errno::EINVAL, || lagg0.remove(unknown));
        }
        for other in ["em2", "em3", "lagg0", "lagg1"] {
            refused(Errno::ENOENT, || lagg0.remove(other));
        }
        let before = (c.ifp.mtu(), c.ifp.lladdr(), c.ifp.if_type());
        lagg0.add("em3").unwrap();
        lagg0.remove("em3").unwrap();
        assert_eq!((c.ifp.mtu(), c.ifp.lladdr(), c.ifp.if_type()), before);
        refused(Errno::ENOENT, || lagg0.remove("em3"));
        lagg0.remove("em1").unwrap();
        assert_eq!(lagg0.ports().len(), 0, "the last one too");
    });
}
