//! Requests to an interface that is a port. Packets that are sent on the port itself are in `data.rs`.

use std::thread;

use lagg_rs::kpi::host::testing::{self, SET_LLADDR};
use lagg_rs::kpi::host::{self, ifioctl};
use lagg_rs::kpi::ioctl::{
    InterfaceRequest, PortRequest, SIOCADDMULTI, SIOCDELMULTI, SIOCGLAGGPORT, SIOCSIFCAP,
    SIOCSIFCAPNV, SIOCSIFFLAGS, SIOCSIFMTU, port,
};
use lagg_rs::kpi::offloads::Offloads;
use lagg_rs::kpi::{Errno, LinkState, Result};

use crate::lab::{card, flags, frame, lab, lagg_of, mtu, name, port_request, refused, spawn};

/// A request that no driver of these tests knows.
const UNKNOWN: usize = 0x8020_69ff;

const BOTH: u64 = 3;
const FIRST: u64 = 1;

/// Asks for this MTU, or these capabilities.
fn set(ifname: &str, command: usize, value: u64) -> Result {
    let mut request = match command {
        SIOCSIFMTU => InterfaceRequest::with_mtu(value as u32),
        _ => InterfaceRequest::with_capabilities(value as u32),
    };
    ifioctl(ifname, command, &mut request)
}

#[test]
fn siocglaggport_is_answered_only_for_the_port_itself() {
    lab(|| {
        let (a, b, _c) = (card(1), card(2), card(3));
        let _lagg = lagg_of(&[&a, &b]);
        let record = port_request("em2", SIOCGLAGGPORT, "em2").unwrap();
        assert_eq!((record.ifname, record.portname), (name("lagg0"), name("em2")));
        assert_eq!(record.flags, 0);
        for other in ["em1", "em3", "em", "em22", "lagg0", ""] {
            refused(Errno::EINVAL, || port_request("em2", SIOCGLAGGPORT, other));
        }
        let no_port = || port_request("em3", SIOCGLAGGPORT, "em3");
        refused(Errno::EINVAL, no_port);
    });
}

/// It still has a port's ioctl method, but is in no plan any more.
#[test]
fn siocglaggport_of_a_port_that_leaves_is_enoent() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        // The new primary's card gets its own address back before the old port is released.
        let blocked = b.nic.block(SET_LLADDR);
        thread::scope(|scope| {
            let remover = spawn(scope, || lagg.remove("em1"));
            blocked.wait();
            for asked in [&*lagg.name, "em1"] {
                let record = port_request(asked, SIOCGLAGGPORT, "em1");
                assert_eq!(record.map(drop), Err(Errno::ENOENT));
            }
            assert_eq!(lagg.ports(), ["em2"]);
            assert_eq!(lagg.port("em2").unwrap().flags, port::MASTER | port::ACTIVE);
            blocked.release();
            remover.join().unwrap().unwrap();
        });
        refused(Errno::EINVAL, || port_request("em1", SIOCGLAGGPORT, "em1"));
    });
}

#[test]
fn siocsifcap_is_the_cards_and_the_lagg_follows() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let can = Offloads { capabilities: BOTH, enabled: BOTH, ..Offloads::default() };
        a.ifp.store_offloads(&can);
        b.ifp.store_offloads(&can);
        let lagg = lagg_of(&[&a, &b]);
        for command in [SIOCSIFCAP, SIOCSIFCAPNV] {
            a.nic.refuse(command, 1, Errno::EIO);
            refused(Errno::EIO, || set("em1", command, FIRST));
            for to in [FIRST, BOTH] {
                set("em1", command, to).unwrap();
                host::settle();
                let ifps = [&*a.ifp, &*b.ifp, &*lagg.ifp];
                assert_eq!(ifps.map(|ifp| ifp.offloads().enabled), [to; 3]);
            }
        }
        refused(Errno::EINVAL, || set("em1", SIOCSIFCAP, 4));
    });
}

#[test]
fn siocsifmtu_is_left_to_the_lagg() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        a.nic.take_ioctls();
        for to in [72, 1400, 1500, 9000] {
            refused(Errno::EINVAL, || mtu("em1", to));
        }
        assert_eq!(a.nic.take_ioctls(), [], "the card is not asked");
        lagg.remove("em1").unwrap();
        mtu("em1", 1400).unwrap();
    });
}

#[test]
fn anything_else_is_the_cards() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        a.nic.take_ioctls();
        flags("em1", 0).unwrap();
        flags("em1", 1).unwrap();
        host::join_group(&a.ifp, &[1, 0, 0x5e, 0, 0, 9].into()).unwrap();
        host::leave_group(&a.ifp, &[1, 0, 0x5e, 0, 0, 9].into());
        refused(Errno::EINVAL, || set("em1", UNKNOWN, 0));
        assert_eq!(
            a.nic.take_ioctls(),
            [SIOCSIFFLAGS, SIOCSIFFLAGS, SIOCADDMULTI, SIOCDELMULTI, UNKNOWN]
        );
        assert_eq!(host::groups(&a.ifp).len(), 0);
        for (errno, command) in [(Errno::EIO, UNKNOWN), (Errno::ENOBUFS, 0x8020_6990)] {
            a.nic.refuse(command, 1, errno);
            refused(errno, || set("em1", command, 0));
        }
        assert_eq!(b.nic.take_ioctls().iter().filter(|&&command| command == UNKNOWN).count(), 0);
        // The flag was the port's own, so it carries traffic again.
        assert_eq!(lagg.port("em1").unwrap().flags, port::MASTER | port::ACTIVE);
    });
}

/// The lagg answers its own requests; all others have no driver.
#[test]
fn without_a_driver_to_ask_it_is_einval() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        testing::remove_ioctl(&b.ifp);
        let lagg = lagg_of(&[&a, &b]);
        for command in [SIOCSIFCAP, SIOCSIFCAPNV, UNKNOWN, SIOCSIFMTU] {
            refused(Errno::EINVAL, || set("em2", command, 1500 * u64::from(command == SIOCSIFMTU)));
        }
        let mut request = PortRequest { portname: name("em2"), ..PortRequest::default() };
        ifioctl("em2", SIOCGLAGGPORT, &mut request).unwrap();
        lagg.remove("em2").unwrap();
        assert_eq!(set("em2", UNKNOWN, 0), Err(Errno::EOPNOTSUPP), "the stack's own answer");
    });
}

/// If a port alone is taken down, the lagg sends no flow on it, and reports that.
#[test]
fn siocsifflags_on_a_port_moves_its_flows() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        flags("em1", 0).unwrap();
        host::settle();
        assert_eq!(lagg.port("em2").unwrap().flags, port::ACTIVE);
        lagg.send(&frame(0)).unwrap();
        assert_eq!((a.sent(), b.sent()), (0, 1));
        assert_eq!(lagg.ifp.link_state(), LinkState::Up);
        assert!(lagg.ifp.is_running());
    });
}
