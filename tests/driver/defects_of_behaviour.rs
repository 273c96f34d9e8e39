//! Defects of C lagg's behaviour that this driver must not have, and that have no file of their own.

use lagg_rs::kpi::host::{self, ifioctl};
use lagg_rs::kpi::ioctl::{SIOCGIFMEDIA, SIOCGIFXMEDIA, SIOCSIFMTU};
use lagg_rs::kpi::{Errno, LinkState, iff};

use crate::lab::{card, lab, lagg, lagg_of, mac, mtu};

/// An interface loses its IPv6 addresses before anything is checked.
#[test]
fn f11_a_refused_interface_keeps_ipv6() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let (lagg0, lagg1) = (lagg_of(&[&a]), lagg());
        for ifp in [&*a.ifp, &*b.ifp, &*lagg0.ifp] {
            host::set_ipv6(ifp, true);
        }
        assert_eq!(lagg0.add("lagg0"), Err(Errno::EINVAL));
        assert_eq!(lagg0.add("em1"), Err(Errno::EEXIST));
        assert_eq!(lagg1.add("em1"), Err(Errno::EBUSY));
        mtu("em2", 9000).unwrap();
        b.nic.refuse(SIOCSIFMTU, 1, Errno::EIO);
        assert_eq!(lagg0.add("em2"), Err(Errno::EIO));
        for ifp in [&*a.ifp, &*b.ifp, &*lagg0.ifp] {
            assert!(ifp.has_ipv6_lladdr());
        }
        lagg0.add("em2").unwrap();
        assert!(!b.ifp.has_ipv6_lladdr());
    });
}

/// The lagg takes the MTU of a first port that is then refused; a port that leaves keeps the lagg's.
#[test]
fn f12_a_refused_port_changes_no_mtu_and_a_leaving_one_gets_its_own_back() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let (lagg0, lagg1) = (lagg(), lagg());
        lagg1.set_mtu(4000).unwrap();
        assert_eq!(lagg0.add("lagg1"), Err(Errno::EINVAL));
        assert_eq!(lagg0.ifp.mtu(), 1500);
        mtu("em1", 9000).unwrap();
        // The allocation after those of the port and its counters.
        host::fail_allocation(3);
        assert_eq!(lagg0.add("em1"), Err(Errno::ENOMEM));
        assert_eq!(host::fail_allocation(0), 0);
        assert_eq!(lagg0.ifp.mtu(), 1500);
        lagg0.add("em1").unwrap();
        lagg0.add("em2").unwrap();
        assert_eq!((lagg0.ifp.mtu(), b.ifp.mtu()), (9000, 9000));
        lagg0.remove("em2").unwrap();
        assert_eq!(b.ifp.mtu(), 1500);
        lagg0.set_mtu(3000).unwrap();
        lagg0.destroy();
        assert_eq!(a.ifp.mtu(), 9000);
    });
}

/// SIOCGIFXMEDIA is refused.
#[test]
fn f29_extended_media_is_answered() {
    lab(|| {
        const IFM_AVALID: i32 = 1;
        const IFM_ACTIVE: i32 = 2;
        const IFM_ETHER_AUTO: i32 = 0x20;
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        for command in [SIOCGIFMEDIA, SIOCGIFXMEDIA] {
            let ask = || {
                let mut request = [0u8; 48];
                ifioctl(&lagg.name, command, &mut request).unwrap();
                let word = |at: usize| i32::from_ne_bytes(request[at..at + 4].try_into().unwrap());
                // ifm_current, ifm_status, ifm_active
                (word(16), word(24), word(28))
            };
            assert_eq!(ask(), (IFM_ETHER_AUTO, IFM_AVALID | IFM_ACTIVE, IFM_ETHER_AUTO));
            a.link(LinkState::Down);
            assert_eq!(ask().1, IFM_AVALID);
            a.link(LinkState::Up);
        }
    });
}

/// Destroying a lagg that is up leaves its ports down.
#[test]
fn f33_destroying_a_lagg_leaves_its_ports_up() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        lagg.destroy();
        assert!(a.ifp.flags() & b.ifp.flags() & iff::UP != 0);
        assert_eq!([a.ifp.lladdr(), b.ifp.lladdr()], [mac(1), mac(2)]);
    });
}
