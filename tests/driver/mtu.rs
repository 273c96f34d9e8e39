//! The lagg and all its ports have the same MTU.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lagg_rs::kpi::host::{self, Nic};
use lagg_rs::kpi::ioctl::SIOCSIFMTU;
use lagg_rs::kpi::{Epoch, Errno, IfType, Ifnet, Ioctl, Mbuf, Result};

use crate::lab::{card, lab, lagg, lagg_of, mac, mtu};

#[test]
fn a_port_that_refuses_the_mtu_does_not_join() {
    lab(|| {
        let (_a, b) = (card(1), card(2));
        mtu("em1", 9000).unwrap();
        let lagg = lagg();
        lagg.add("em1").unwrap();
        b.nic.refuse(SIOCSIFMTU, 1, Errno::EIO);
        assert_eq!(lagg.add("em2"), Err(Errno::EIO));
        assert_eq!((b.ifp.mtu(), b.ifp.lladdr()), (1500, mac(2).into()));
        assert_eq!(b.ifp.if_type(), IfType::Ethernet);
        assert!(b.ifp.lagg_port().is_none());
        lagg.add("em2").unwrap();
        assert_eq!(b.ifp.mtu(), 9000);
    });
}

#[test]
fn mtu_is_that_of_all_or_of_none() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        let lagg = lagg_of(&[&a, &b, &c]);
        lagg.set_mtu(9000).unwrap();
        assert_eq!([a.ifp.mtu(), b.ifp.mtu(), c.ifp.mtu(), lagg.ifp.mtu()], [9000; 4]);
        c.nic.refuse(SIOCSIFMTU, 1, Errno::EIO);
        assert_eq!(lagg.set_mtu(1400), Err(Errno::EIO));
        assert_eq!([a.ifp.mtu(), b.ifp.mtu(), c.ifp.mtu(), lagg.ifp.mtu()], [9000; 4]);
        assert_eq!(mtu("em1", 1400), Err(Errno::EINVAL), "a port's MTU is the lagg's");
        assert_eq!(lagg.set_mtu(71), Err(Errno::EINVAL));
    });
}

/// A card that changes its MTU, and then fails.
#[derive(Default)]
struct Hasty(AtomicBool);

impl Nic for Hasty {
    fn transmit(&self, _: &Ifnet, _: Mbuf, _: &Epoch) -> Result {
        Ok(())
    }

    fn ioctl(&self, ifp: &Ifnet, r: &mut Ioctl<'_>) -> Result {
        let command = r.command();
        host::default_ioctl(ifp, r)?;
        let fails = command == SIOCSIFMTU && self.0.swap(false, Ordering::Relaxed);
        if fails { Err(Errno::EIO) } else { Ok(()) }
    }
}

#[test]
fn a_port_that_fails_half_way_gets_its_mtu_back() {
    lab(|| {
        let (a, nic) = (card(1), Arc::new(Hasty::default()));
        let hasty = host::attach("hasty0", IfType::Ethernet, mac(2), 1500, 0, nic.clone());
        let lagg = lagg_of(&[&a]);
        lagg.add("hasty0").unwrap();
        nic.0.store(true, Ordering::Relaxed);
        assert_eq!(lagg.set_mtu(4000), Err(Errno::EIO));
        assert_eq!([a.ifp.mtu(), hasty.mtu(), lagg.ifp.mtu()], [1500; 3]);
        lagg.remove("hasty0").unwrap();
        lagg.set_mtu(4000).unwrap();
        nic.0.store(true, Ordering::Relaxed);
        assert_eq!(lagg.add("hasty0"), Err(Errno::EIO));
        assert_eq!(hasty.mtu(), 1500);
    });
}
