//! How the lagg handles the requests that all interfaces have.

use lagg_rs::kpi::host::testing::{Events, SET_LLADDR};
use lagg_rs::kpi::host::{
    self, Event, IFM_ACTIVE, IFM_AVALID, IFM_ETHER_AUTO, MediaRequest, UserMemory, ifioctl, testing,
};
use lagg_rs::kpi::ioctl::{
    InterfaceRequest, SIOCADDMULTI, SIOCDELMULTI, SIOCGIFCAPNV, SIOCGIFMEDIA, SIOCGIFXMEDIA,
    SIOCSIFCAP, SIOCSIFCAPNV, SIOCSIFFLAGS, SIOCSIFMEDIA, SIOCSIFMTU,
};
use lagg_rs::kpi::offloads::Offloads;
use lagg_rs::kpi::{Errno, Ifnet, LinkState, Result, iff};

use crate::lab::{Card, card, ether, everything, flags, lab, lagg, lagg_of, mac, mtu, refused};

/// Capabilities of the first word, and one of the second.
const RXCSUM: u64 = 1;
const TXCSUM: u64 = 1 << 1;
const NV: u64 = 1 << 17;
const RXTLS: u64 = 1 << 32;

/// Asks for these capabilities or media.
fn set(ifname: &str, command: usize, value: u32) -> Result {
    let mut request = match command {
        SIOCSIFMEDIA => InterfaceRequest::with_media(value),
        _ => InterfaceRequest::with_capabilities(value),
    };
    ifioctl(ifname, command, &mut request)
}

fn is_up(ifp: &Ifnet) -> bool {
    ifp.flags() & iff::UP != 0
}

/// Checks that a request needs privilege.
#[track_caller]
fn unprivileged(request: impl FnOnce() -> Result) {
    let before = everything();
    host::set_privileged(false);
    assert_eq!(request(), Err(Errno::EPERM));
    host::set_privileged(true);
    assert_eq!(everything(), before);
}

#[test]
fn all_that_set_need_privilege() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let lagg = &*lagg.name;
        unprivileged(|| flags(lagg, 0));
        unprivileged(|| mtu(lagg, 1400));
        unprivileged(|| mtu(lagg, 71));
        unprivileged(|| set(lagg, SIOCSIFMEDIA, IFM_ETHER_AUTO));
        unprivileged(|| set(lagg, SIOCSIFCAP, 0));
        unprivileged(|| group(lagg, SIOCADDMULTI));
        unprivileged(|| group(lagg, SIOCDELMULTI));
        unprivileged(|| ether(lagg, mac(9)));
    });
}

#[test]
fn siocsifflags_is_done_when_it_returns() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg();
        lagg.add("em1").unwrap();
        lagg.add("em2").unwrap();
        let all_are = |up| {
            let ports = [&a, &b].map(|card| (is_up(&card.ifp), card.ifp.is_running()));
            assert_eq!((lagg.ifp.is_running(), ports), (up, [(up, up); 2]));
        };
        for _ in 0..2 {
            lagg.up();
            all_are(true);
            a.nic.take_ioctls();
            lagg.up();
            assert_eq!(a.nic.take_ioctls(), [], "it is up");
            lagg.down();
            all_are(false);
            a.nic.take_ioctls();
            lagg.down();
            assert_eq!(a.nic.take_ioctls(), [], "it is down");
        }
    });
}

/// The stack ignores the result, and a port that refuses does not affect the others.
#[test]
fn siocsifflags_succeeds_whatever_the_ports_return() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg();
        lagg.add("em1").unwrap();
        lagg.add("em2").unwrap();
        flags("em2", 0).unwrap();
        a.nic.refuse_all(SIOCSIFFLAGS, Errno::EIO);
        lagg.up();
        assert!(lagg.ifp.is_running() && is_up(&b.ifp));
        assert!(b.ifp.is_running());
        lagg.down();
        assert!(!lagg.ifp.is_running() && !b.ifp.is_running());
    });
}

#[test]
fn coming_up_gives_the_ports_the_laggs_address() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg();
        lagg.add("em1").unwrap();
        lagg.add("em2").unwrap();
        ether(&lagg.name, mac(9)).unwrap();
        assert_eq!([a.ifp.lladdr(), b.ifp.lladdr()], [mac(1), mac(1)], "the lagg is down");
        a.nic.refuse(SET_LLADDR, 1, Errno::EIO);
        lagg.up();
        assert_eq!([a.ifp.lladdr(), b.ifp.lladdr()], [mac(1), mac(9)]);
        lagg.down();
        lagg.up();
        assert_eq!(a.ifp.lladdr(), mac(9), "tried again");
    });
}

/// A user's request for a group, with a sockaddr_dl.
fn group(ifname: &str, command: usize) -> Result {
    let mut request = [0u8; 32];
    request[16] = 16;
    request[17] = 18;
    request[24..30].copy_from_slice(&[1, 0, 0x5e, 0, 0, 9]);
    ifioctl(ifname, command, &mut request)
}

#[test]
fn siocaddmulti_and_siocdelmulti_succeed_whatever_the_ports_return() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        let groups = || {
            host::settle();
            [&*lagg.ifp, &*a.ifp, &*b.ifp].map(|ifp| host::groups(ifp).len())
        };
        group(&lagg.name, SIOCADDMULTI).unwrap();
        assert_eq!(groups(), [1, 1, 1]);
        group(&lagg.name, SIOCDELMULTI).unwrap();
        assert_eq!(groups(), [0, 0, 0]);
        a.nic.refuse_all(SIOCADDMULTI, Errno::EIO);
        a.nic.refuse_all(SIOCDELMULTI, Errno::EIO);
        let events = Events::of(&lagg.ifp);
        group(&lagg.name, SIOCADDMULTI).unwrap();
        assert_eq!(groups(), [1, 1, 1], "the stack asks the card, and ignores the result");
        group(&lagg.name, SIOCDELMULTI).unwrap();
        assert_eq!(groups(), [0, 0, 0]);
        assert!(events.take().is_empty());
    });
}

#[test]
fn siocsifmedia_has_one_medium() {
    lab(|| {
        const IFM_ETHER: u32 = 0x20;
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        a.nic.take_ioctls();
        set(&lagg.name, SIOCSIFMEDIA, IFM_ETHER_AUTO).unwrap();
        for other in [0, IFM_ETHER | 3, IFM_ETHER | 16, 0x80, u32::MAX] {
            refused(Errno::ENXIO, || set(&lagg.name, SIOCSIFMEDIA, other));
        }
        assert_eq!(a.nic.take_ioctls(), [], "the ports have their own");
    });
}

/// Both requests have the same answer (F-29).
#[test]
fn siocgifmedia_and_siocgifxmedia_return_it() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        for command in [SIOCGIFMEDIA, SIOCGIFXMEDIA] {
            let list = UserMemory::new(4);
            let ask = |count, list| {
                let mut request = MediaRequest { count, list, ..MediaRequest::default() };
                request.status = !0;
                ifioctl(&lagg.name, command, &mut request).map(|()| request)
            };
            let status = || {
                let request = ask(0, 0).unwrap();
                assert_eq!((request.current, request.active), (IFM_ETHER_AUTO, IFM_ETHER_AUTO));
                assert_eq!((request.mask, request.count), (0, 1));
                request.status
            };
            assert_eq!(status(), IFM_AVALID | IFM_ACTIVE);
            a.link(LinkState::Down);
            assert_eq!(status(), IFM_AVALID | IFM_ACTIVE, "one of them is");
            flags("em2", 0).unwrap();
            assert_eq!(status(), IFM_AVALID);
            flags("em2", 1).unwrap();
            a.link(LinkState::Up);
            ask(1, list.address()).unwrap();
            assert_eq!(list.read(), IFM_ETHER_AUTO.to_ne_bytes());
            refused(Errno::EFAULT, || ask(1, 16));
            refused(Errno::EINVAL, || ask(-1, 0));
        }
        let empty = crate::lab::lagg();
        let mut request = MediaRequest::default();
        ifioctl(&empty.name, SIOCGIFMEDIA, &mut request).unwrap();
        assert_eq!(request.status, IFM_AVALID);
    });
}

/// A card with these capabilities, all enabled.
fn able(n: u8, can: u64) -> Card {
    let card = card(n);
    card.ifp.store_offloads(&Offloads { capabilities: can, enabled: can, ..Offloads::default() });
    card
}

fn enabled<const N: usize>(ifps: [&Ifnet; N]) -> [u64; N] {
    ifps.map(|ifp| ifp.offloads().enabled)
}

#[test]
fn siocsifcap_is_asked_of_all_ports_and_succeeds_whatever_they_return() {
    lab(|| {
        let both = RXCSUM | TXCSUM;
        let (a, b) = (able(1, both), able(2, both));
        let lagg = lagg_of(&[&a, &b]);
        for word in [NV as u32, 1 << 31, u32::MAX] {
            refused(Errno::EINVAL, || set(&lagg.name, SIOCSIFCAP, word));
        }
        b.nic.refuse_all(SIOCSIFCAP, Errno::EIO);
        set(&lagg.name, SIOCSIFCAP, RXCSUM as u32).unwrap();
        assert_eq!(enabled([&a.ifp, &b.ifp, &lagg.ifp]), [RXCSUM, both, RXCSUM]);
        b.nic.accept();
        set(&lagg.name, SIOCSIFCAP, 0).unwrap();
        assert_eq!(enabled([&a.ifp, &b.ifp, &lagg.ifp]), [0; 3]);
        set(&lagg.name, SIOCSIFCAP, both as u32).unwrap();
        assert_eq!(enabled([&a.ifp, &b.ifp, &lagg.ifp]), [both; 3]);
    });
}

#[test]
fn siocsifcap_without_ports_succeeds() {
    lab(|| {
        let lagg = lagg();
        let before = everything();
        set(&lagg.name, SIOCSIFCAP, lagg.ifp.offloads().enabled as u32).unwrap();
        assert_eq!(everything(), before);
    });
}

#[test]
fn siocsifcapnv_reaches_the_second_word() {
    lab(|| {
        let all = NV | RXCSUM | RXTLS;
        let (a, b) = (able(1, all), able(2, all));
        let lagg = lagg_of(&[&a, &b]);
        assert_eq!(lagg.ifp.offloads().enabled, all);
        let ask = |to: u64| {
            let mut request = InterfaceRequest::with_all_capabilities(to);
            ifioctl(&lagg.name, SIOCSIFCAPNV, &mut request)
        };
        for to in [NV | RXCSUM, NV | RXTLS, all] {
            ask(to).unwrap();
            assert_eq!(enabled([&a.ifp, &b.ifp, &lagg.ifp]), [to; 3]);
        }
        b.nic.refuse_all(SIOCSIFCAPNV, Errno::EIO);
        ask(NV).unwrap();
        assert_eq!(enabled([&a.ifp, &b.ifp, &lagg.ifp]), [NV, all, NV]);
        let before = everything();
        ifioctl(&lagg.name, SIOCGIFCAPNV, &mut [0_u8; 32]).unwrap();
        assert_eq!(everything(), before);
    });
}

#[test]
fn siocsifmtu_takes_72_to_65535() {
    lab(|| {
        let lagg = lagg();
        for mtu in [72, 1500, 65535] {
            lagg.set_mtu(mtu).unwrap();
            assert_eq!(lagg.ifp.mtu(), mtu, "without ports, any");
        }
        for mtu in [0, 71, 65536, u32::MAX] {
            refused(Errno::EINVAL, || lagg.set_mtu(mtu));
        }
    });
}

#[test]
fn siocsifmtu_is_reported_to_the_stack() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        let events = Events::of(&lagg.ifp);
        lagg.set_mtu(4000).unwrap();
        assert_eq!([a.ifp.mtu(), b.ifp.mtu(), lagg.ifp.mtu()], [4000; 3]);
        assert!(events.take().contains(&Event::Mtu(4000)));
    });
}

#[test]
fn siocsifmtu_that_a_port_refuses_changes_none() {
    lab(|| {
        let cards = [1, 2, 3].map(card);
        let lagg = lagg_of(&cards.each_ref());
        for card in &cards {
            card.nic.refuse(SIOCSIFMTU, 1, Errno::ENOBUFS);
            refused(Errno::ENOBUFS, || lagg.set_mtu(4000));
            refused(Errno::EINVAL, || lagg.set_mtu(9217));
        }
        let events = Events::of(&lagg.ifp);
        refused(Errno::EINVAL, || lagg.set_mtu(9217));
        let told = events.take();
        assert!(matches!(&told[..], [Event::Log(_)]), "{told:?}");
    });
}

#[test]
fn siocsifmtu_over_a_port_without_ioctls_is_einval() {
    lab(|| {
        let cards = [1, 2, 3].map(card);
        testing::remove_ioctl(&cards[1].ifp);
        let lagg = lagg_of(&cards.each_ref());
        refused(Errno::EINVAL, || lagg.set_mtu(4000));
        lagg.remove("em2").unwrap();
        lagg.set_mtu(4000).unwrap();
    });
}

/// The capabilities of its VLANs follow its own.
#[test]
fn vlans_follow_each_change_of_capabilities() {
    lab(|| {
        let (a, b) = (able(1, RXCSUM | TXCSUM), able(2, TXCSUM));
        let lagg = lagg_of(&[&a]);
        let vlan = host::vlan_create(&lagg.ifp, 5, "vlan5").unwrap();
        let follows = |enabled| {
            host::settle();
            assert_eq!([&*lagg.ifp, &*vlan].map(|ifp| ifp.offloads().enabled), [enabled; 2]);
        };
        lagg.add("em2").unwrap();
        follows(TXCSUM);
        set(&lagg.name, SIOCSIFCAP, 0).unwrap();
        follows(0);
        set(&lagg.name, SIOCSIFCAP, TXCSUM as u32).unwrap();
        follows(TXCSUM);
        set(&b.name(), SIOCSIFCAP, 0).unwrap();
        follows(0);
        lagg.remove("em2").unwrap();
        follows(TXCSUM);
    });
}

/// A request that the lagg does not know goes to ether_ioctl, and one that ether_ioctl does not know fails.
#[test]
fn what_ethernet_does_not_know_is_einval() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        a.nic.take_ioctls();
        for command in [0x8020_69ff, 0xc020_69ff, 0x8020_6990] {
            refused(Errno::EINVAL, || ifioctl(&lagg.name, command, &mut [0_u8; 32]));
        }
        assert_eq!(a.nic.take_ioctls(), [], "nor a port's");
    });
}
