//! Tests of interfaces, their packets and VLANs.

use super::*;

#[test]
fn interfaces_come_and_go_by_vnet() {
    let (one, other) = (Vnet::new(), Vnet::new());
    let nic = TestNic::new();
    let em0 = one.enter(|| nic.attach("em0", MAC1));
    assert!(one.interface("em0").is_some_and(|ifp| ifp.same(&em0)));
    assert!(other.interface("em0").is_none());
    let taken = other.enter(|| TestNic::new().attach("em0", MAC2));
    assert_ne!(taken.index(), em0.index());
    assert_eq!(vmove(&em0, &other), Err(Errno::EEXIST));
    rename(&em0, "wan").unwrap();
    let events = Events::of(&em0);
    vmove(&em0, &other).unwrap();
    assert_eq!(events.take(), [Event::Down, Event::Departure, Event::Arrival]);
    assert!(one.interfaces().is_empty());
    assert!(em0.vnet() == other);
    let ifp = em0.ifp();
    em0.detach();
    assert_eq!(events.take(), [Event::Down, Event::Departure]);
    assert!(ifp.flags() & iff::DYING != 0);
    assert_eq!(transmit(&ifp, Mbuf::from_bytes(&frame(MAC2))), Err(Errno::ENXIO));
    assert_eq!(ifp.methods().set_mtu(&ifp, 1400), Err(Errno::ENXIO));
}

#[test]
fn flags_mtu_and_address_go_through_the_driver() {
    Vnet::new().enter(|| {
        let nic = TestNic::new();
        let em0 = nic.attach("em0", MAC1);
        assert_eq!(ioctl_flags("em1", iff::UP), Err(Errno::ENXIO));
        set_privileged(false);
        assert_eq!(ioctl_flags("em0", iff::UP), Err(Errno::EPERM));
        set_privileged(true);
        let events = Events::of(&em0);
        ioctl_flags("em0", iff::UP).unwrap();
        assert!(em0.is_running() && !em0.is_active());
        set_link(&em0, LinkState::Up);
        settle();
        assert!(em0.is_active());
        assert_eq!(events.take(), [Event::Up, Event::Link(LinkState::Up)]);

        let mut request = InterfaceRequest::with_mtu(71);
        assert_eq!(ifioctl("em0", SIOCSIFMTU, &mut request), Err(Errno::EINVAL));
        request.set_mtu(9000);
        nic.refuse(SIOCSIFMTU, 2, Errno::EBUSY);
        ifioctl("em0", SIOCSIFMTU, &mut request).unwrap();
        assert_eq!(events.take(), [Event::Mtu(9000)]);
        assert_eq!(ifioctl("em0", SIOCSIFMTU, &mut request), Err(Errno::EBUSY));

        nic.take_ioctls();
        em0.set_lladdr(&MAC2.into()).unwrap();
        assert_eq!(nic.take_ioctls(), [SET_LLADDR, SIOCSIFFLAGS, SIOCSIFFLAGS]);
        assert_eq!(em0.lladdr(), MAC2);
        assert!(em0.flags() & iff::UP != 0);
        assert_eq!(events.take(), [Event::Lladdr(MAC2.into())]);
    });
}

#[test]
fn an_infiniband_interface_has_other_addresses_and_nobody_sets_them() {
    let new = || attach("ib0", IfType::Infiniband, [9; 20], 2044, 0, TestNic::new());
    Vnet::new().enter(|| {
        let ib0 = new();
        assert_eq!((ib0.addr_len(), ib0.lladdr()), (20, [9; 20].into()));
        assert_eq!(ib0.set_lladdr(&MAC1.into()), Err(Errno::EINVAL));
        assert_eq!(ib0.set_lladdr(&[8; 20].into()), Err(Errno::ENODEV));
        // bpf(4) sees an Ethernet header; what is too short for its own is an error.
        ib0.up();
        let capture = capture(&ib0);
        let mut frame = vec![0xff; 20];
        frame.extend([8, 0, 0, 0, 42]);
        receive(&ib0, Mbuf::from_bytes(&frame));
        receive(&ib0, Mbuf::from_bytes(&frame[..23]));
        let shown = [&[0xff; 6][..], &[0; 6], &[8, 0, 42]].concat();
        assert_eq!(capture.take(), [shown]);
        assert_eq!((ib0.counter(Counter::Imcasts), ib0.counter(Counter::Ierrors)), (1, 1));
    });
    assert!(panic_of(move || new().store_lladdr(&MAC1.into())).contains("another kind"));
    let panic = panic_of(move || join_group(&new(), &MAC1.into()).unwrap());
    assert!(panic.contains("another kind"), "{panic}");
    let panic = panic_of(|| epoch::section(|_| TestNic::new().attach("em0", MAC1).lladdr_event()));
    assert!(panic.contains("iflladdr_event"), "{panic}");
}

#[test]
fn packets_are_counted_captured_and_delivered() {
    Vnet::new().enter(|| {
        let nic = TestNic::new();
        let em0 = nic.attach("em0", MAC1);
        let (got, frames) = mpsc::channel();
        set_input(&em0, move |m| got.send((m.receiver_index(), m.to_bytes())).unwrap());
        let capture = capture(&em0);
        receive(&em0, Mbuf::from_bytes(&frame(MAC1)));
        assert!(frames.try_recv().is_err(), "it is down");
        em0.up();
        assert_eq!(transmit(&em0, Mbuf::from_bytes(&frame(MAC2))), Err(Errno::ENETDOWN));
        em0.methods().set_flags(&em0).unwrap();
        let parts = frame([0xff; 6]);
        receive(&em0, Mbuf::from_segments([&parts[..14], &parts[14..]]));
        assert_eq!(frames.try_recv().unwrap(), (em0.index(), parts));
        transmit(&em0, Mbuf::from_bytes(&frame(MAC2))).unwrap();
        assert_eq!(nic.take_sent(), [frame(MAC2)]);
        assert_eq!((em0.counter(Counter::Imcasts), em0.counter(Counter::Opackets)), (1, 1));
        assert_eq!((capture.count(), capture.take().len()), (3, 3));
        nic.refuse_transmit(Some(Errno::ENOBUFS));
        assert_eq!(transmit(&em0, Mbuf::from_bytes(&frame(MAC2))), Err(Errno::ENOBUFS));
        assert_eq!(em0.counter(Counter::Oerrors), 2);
    });
}

#[test]
fn vlans_have_their_parents_link_and_frames() {
    Vnet::new().enter(|| {
        let nic = TestNic::new();
        let em0 = nic.attach("em0", MAC1);
        ioctl_flags("em0", iff::UP).unwrap();
        let vlan = vlan_create(&em0, 7, "em0.7").unwrap();
        assert_eq!(vlan_create(&em0, 7, "other").err(), Some(Errno::EEXIST));
        assert_eq!((vlan.lladdr(), vlan.mtu()), (MAC1.into(), 1500));
        assert!(vlan.vlan_parent().is_some_and(|parent| parent.same(&em0)));
        vlan.up();
        set_link(&em0, LinkState::Up);
        settle();
        assert!(vlan.is_active());

        let (got, frames) = mpsc::channel();
        set_input(&vlan, move |m| got.send(m.to_bytes()).unwrap());
        let mut tagged = frame(MAC1);
        tagged.splice(12..12, [0x81, 0, 0, 7]);
        receive(&em0, Mbuf::from_bytes(&tagged));
        assert_eq!(frames.try_recv().unwrap(), frame(MAC1));
        transmit(&vlan, Mbuf::from_bytes(&frame(MAC2))).unwrap();
        assert_eq!(nic.sent(), 1);

        em0.set_lladdr(&MAC2.into()).unwrap();
        settle();
        assert_eq!(vlan.lladdr(), MAC2);

        set_promisc(&vlan, true).unwrap();
        assert!(em0.flags() & iff::PROMISC != 0);
        join_group(&vlan, &[1, 0, 0x5e, 0, 0, 1].into()).unwrap();
        assert_eq!(groups(&em0), [[1, 0, 0x5e, 0, 0, 1]]);
        let ioctls = nic.take_ioctls();
        assert!(ioctls.contains(&SIOCADDMULTI));
        vlan.detach();
        assert!(em0.flags() & iff::PROMISC == 0 && groups(&em0).is_empty());
    });
}

#[test]
fn ipv6_leaves_its_groups_on_another_thread() {
    let text = panic_of(|| {
        let em0 = TestNic::new().attach("em0", MAC1);
        set_ipv6(&em0, true);
        assert!(em0.has_ipv6_lladdr());
        em0.in6_detach();
        assert!(!em0.has_ipv6_lladdr());
        set_ipv6(&em0, true);
        let _in6_multi = locks::IN6_MULTI.lock();
        em0.in6_detach();
    });
    assert!(text.contains("in6_multi_sx is taken twice"), "{text}");
}
