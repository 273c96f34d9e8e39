//! Loops beneath a lagg that arise after its ports have joined, because VLANs can get parents at any time,
//! by ioctl or netlink(4). The host backend's stack overflows after some rounds, as a kernel's does.

use std::sync::Arc;

use lagg_rs::kpi::host::testing::Events;
use lagg_rs::kpi::host::{self, Attached, Event, Nic, ifioctl};
use lagg_rs::kpi::ioctl::{InterfaceRequest, SIOCSETVLAN, proto};
use lagg_rs::kpi::{Counter, Epoch, Errno, IfType, Ifnet, IfnetRef, LinkState, Mbuf, Result, iff};

use crate::lab::{Card, Lagg, PROTOCOLS, card, flags, frame, lab, lagg, lagg_of, mac, refused};

/// A VLAN without a parent, up.
fn alone(name: &str) -> Attached {
    let vlan = host::vlan_create_alone(name, mac(77)).unwrap();
    flags(name, iff::UP).unwrap();
    vlan
}

/// A VLAN, up.
fn vlan(parent: &Ifnet, tag: u16, name: &str) -> Attached {
    let vlan = host::vlan_create(parent, tag, name).unwrap();
    flags(name, iff::UP).unwrap();
    vlan
}

/// `ifconfig NAME vlan TAG vlandev PARENT`.
fn set_parent(name: &str, parent: Option<&Ifnet>, tag: u16) -> Result {
    let mut request = InterfaceRequest::with_vlan(parent.map_or(0, Ifnet::index), tag);
    ifioctl(name, SIOCSETVLAN, &mut request)
}

/// The lines that the lagg has logged.
fn said(events: &Events) -> Vec<String> {
    let lines = events.take().into_iter().filter_map(|event| match event {
        Event::Log(line) if line.contains("port") => Some(line),
        _ => None,
    });
    lines.collect()
}

/// Sends on the lagg and on the other interfaces. Nothing may loop.
fn flood(lagg: &Lagg, others: &[&Ifnet]) {
    for n in 0..8 {
        let _ = lagg.send(&frame(n));
        for ifp in others {
            let _ = host::transmit(ifp, Mbuf::from_bytes(&frame(n)));
        }
    }
}

/// A lagg over a VLAN and a card, the VLAN first.
fn over(vlan: &str, card: &Card, protocol: u32) -> Lagg {
    let lagg = lagg();
    lagg.set_protocol(protocol).unwrap();
    lagg.add(vlan).unwrap();
    lagg.add(&card.name()).unwrap();
    lagg.up();
    host::settle();
    lagg
}

/// Checks that the VLAN is no longer a port, the card still is, and the VLAN is as it was.
fn is_out(lagg: &Lagg, vlan: &Ifnet, events: &Events) {
    assert_eq!(lagg.ports(), ["em1"], "when the event returns");
    assert_eq!(said(events), ["vlan7 is no longer a port: it stands on the lagg itself"]);
    flood(lagg, &[vlan]);
    host::settle();
    assert!(vlan.lagg_port().is_none());
    assert_eq!(vlan.if_type(), IfType::Vlan);
    assert_eq!(lagg.ifp.lladdr(), mac(1), "the address of the port that is left");
    assert_eq!(lagg.add("vlan7"), Err(Errno::EINVAL));
    flood(lagg, &[vlan]);
}

#[test]
fn d27_a_port_gets_the_lagg_for_its_parent_by_netlink() {
    for protocol in PROTOCOLS {
        lab(|| {
            let a = card(1);
            let port = alone("vlan7");
            let lagg = over("vlan7", &a, protocol);
            let events = Events::of(&lagg.ifp);
            host::vlan_config(&port, &lagg.ifp, 7).unwrap();
            is_out(&lagg, &port, &events);
            host::vlan_unconfig(&port);
            lagg.add("vlan7").unwrap();
            lagg.destroy();
        });
    }
}

#[test]
fn d27_a_port_alone_in_a_roundrobin_lagg_gets_it_for_its_parent() {
    lab(|| {
        let port = alone("vlan7");
        let lagg = lagg();
        lagg.set_protocol(proto::ROUNDROBIN).unwrap();
        lagg.add("vlan7").unwrap();
        lagg.up();
        host::set_link(&lagg.ifp, LinkState::Up);
        host::vlan_config(&port, &lagg.ifp, 7).unwrap();
        flood(&lagg, &[&port]);
        assert!(lagg.ports().is_empty());
    });
}

/// No ioctl gives a port another parent.
#[test]
fn d27_a_ports_parent_is_not_changed_by_ioctl() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let port = vlan(&b.ifp, 7, "vlan7");
        let lagg = over("vlan7", &a, proto::FAILOVER);
        refused(Errno::EBUSY, || set_parent("vlan7", None, 0));
        refused(Errno::EBUSY, || set_parent("vlan7", Some(&lagg.ifp), 7));
        lagg.remove("vlan7").unwrap();
        set_parent("vlan7", None, 0).unwrap();
        set_parent("vlan7", Some(&lagg.ifp), 7).unwrap();
        assert_eq!(lagg.add("vlan7"), Err(Errno::EINVAL));
        drop(port);
    });
}

/// An ioctl may move the VLAN beneath a port, because that is not a port itself.
#[test]
fn d27_the_vlan_beneath_a_port_gets_the_lagg_for_its_parent() {
    for protocol in PROTOCOLS {
        lab(|| {
            let (a, b) = (card(1), card(2));
            let below = vlan(&b.ifp, 3, "vlan3");
            let port = vlan(&below, 7, "vlan7");
            let lagg = over("vlan7", &a, protocol);
            let events = Events::of(&lagg.ifp);
            set_parent("vlan3", None, 0).unwrap();
            assert_eq!(lagg.ports().len(), 2, "no parent is no loop");
            set_parent("vlan3", Some(&lagg.ifp), 3).unwrap();
            is_out(&lagg, &port, &events);
            drop(port);
        });
    }
}

/// A lagg cannot see the members of a bridge.
#[test]
fn d27_a_vlan_on_a_bridge_is_no_port() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        let bridge = host::bridge_create("bridge0").unwrap();
        flags("bridge0", iff::UP).unwrap();
        host::bridge_add(&bridge, &lagg.ifp);
        let on_bridge = vlan(&bridge, 7, "vlan7");
        let events = Events::of(&lagg.ifp);
        refused(Errno::EINVAL, || lagg.add("vlan7"));
        let lines = said(&events);
        let why = "vlan7 cannot be a port: it stands on a bridge, which may send to the lagg";
        assert_eq!(lines, [why]);
        // Nor does it stay a port: itself on the bridge, or the VLAN beneath it.
        set_parent("vlan7", None, 0).unwrap();
        lagg.add("vlan7").unwrap();
        host::vlan_config(&on_bridge, &bridge, 7).unwrap();
        assert_eq!(lagg.ports(), ["em1"]);
        flood(&lagg, &[&on_bridge]);
        host::settle();
        let below = vlan(&b.ifp, 3, "vlan3");
        let above = vlan(&below, 8, "vlan8");
        lagg.add("vlan8").unwrap();
        set_parent("vlan3", None, 0).unwrap();
        set_parent("vlan3", Some(&bridge), 3).unwrap();
        assert_eq!(lagg.ports(), ["em1"]);
        flood(&lagg, &[&above]);
        assert_eq!(said(&events).len(), 2);
    });
}

/// A second lagg follows the present parent of the first one's port, not the one that it had when it
/// joined.
#[test]
fn d27_a_second_lagg_follows_the_parent_that_a_port_has_now() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let moved = alone("vlan7");
        let lagg0 = over("vlan7", &a, proto::BROADCAST);
        let lagg1 = lagg_of(&[&b]);
        host::vlan_config(&moved, &lagg1.ifp, 7).unwrap();
        assert_eq!(lagg0.ports().len(), 2, "that is no loop");
        let on0 = vlan(&lagg0.ifp, 8, "vlan8");
        assert_eq!(lagg1.add("vlan8"), Err(Errno::EINVAL));
        flood(&lagg0, &[&on0, &moved]);
        // And the reverse: it joined when there was no loop.
        host::vlan_unconfig(&moved);
        lagg1.add("vlan8").unwrap();
        host::vlan_config(&moved, &lagg1.ifp, 7).unwrap();
        flood(&lagg0, &[&on0, &moved]);
        flood(&lagg1, &[&on0, &moved]);
        assert_eq!((lagg0.ports().len(), lagg1.ports().len()), (1, 2));
    });
}

/// A VLAN on a VLAN that is a port itself, and so has a port's type.
#[test]
fn d27_a_vlan_on_another_laggs_port() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let (lagg0, lagg1) = (lagg_of(&[&a]), lagg_of(&[&b]));
        let on0 = vlan(&lagg0.ifp, 7, "vlan7");
        let above = vlan(&on0, 8, "vlan8");
        lagg1.add("vlan7").unwrap();
        assert_eq!(lagg0.add("vlan8"), Err(Errno::EINVAL));
        flood(&lagg0, &[&above]);
    });
}

/// Packets between the moment a VLAN gets its parent and the event.
#[test]
fn d27_packets_before_the_event_do_not_go_round() {
    for protocol in PROTOCOLS {
        lab(|| {
            let a = card(1);
            let port = alone("vlan7");
            let lagg = over("vlan7", &a, protocol);
            let (sends, on) = (lagg.ifp.clone(), port.ifp());
            host::listen(&lagg.ifp, move |_, event| {
                if matches!(event, Event::Vlan(7, true)) {
                    assert!(on.lagg_port().is_some(), "the driver has not been told");
                    let _ = host::transmit(&sends, Mbuf::from_bytes(&frame(1)));
                    let _ = host::transmit(&on, Mbuf::from_bytes(&frame(2)));
                }
            });
            host::vlan_config(&port, &lagg.ifp, 7).unwrap();
            assert_eq!(lagg.ports(), ["em1"]);
        });
    }
}

/// A task of vlan(4) gives a VLAN its new parent's address, and passes modes on again. The host backend
/// panics if a VLAN is asked for a mode at the same time.
#[test]
fn d27_a_vlan_is_asked_for_modes_where_its_own_task_runs() {
    let modes = iff::PROMISC | iff::ALLMULTI;
    lab(|| {
        let (a, b) = (card(1), card(2));
        let port = vlan(&b.ifp, 7, "vlan7");
        let lagg = over("vlan7", &a, proto::FAILOVER);
        for on in [true, false, true] {
            host::set_promisc(&lagg.ifp, on).unwrap();
            host::set_allmulti(&lagg.ifp, on).unwrap();
            host::settle();
            assert_eq!(b.ifp.flags() & modes, if on { modes } else { 0 });
        }
        set_parent("vlan7", None, 0).unwrap_err();
        host::vlan_unconfig(&port);
        host::vlan_config(&port, &lagg.ifp, 7).unwrap();
        host::settle();
        assert_eq!(lagg.ports(), ["em1"]);
        assert_eq!((b.ifp.flags() & modes, port.flags() & modes), (0, 0));
    });
}

/// A card that passes packets on to another interface, as a tunnel does.
struct Tunnel(IfnetRef);

impl Nic for Tunnel {
    fn transmit(&self, _: &Ifnet, m: Mbuf, epoch: &Epoch) -> Result {
        self.0.transmit(m, epoch)
    }
}

/// The guard stops loops that no check finds. A lagg without VLANs has no guard.
#[test]
fn d27_a_loop_without_an_event_ends_at_the_guard() {
    lab(|| {
        let lagg = lagg();
        let nic = Arc::new(Tunnel(lagg.ifp.clone()));
        let tunnel = host::attach("vxlan0", IfType::Ethernet, mac(5), 1500, 1_000_000_000, nic);
        flags("vxlan0", iff::UP).unwrap();
        host::set_link(&tunnel, LinkState::Up);
        host::settle();
        let port = vlan(&tunnel, 7, "vlan7");
        lagg.add("vlan7").unwrap();
        lagg.up();
        host::settle();
        assert_eq!(lagg.send(&frame(1)), Err(Errno::EIO));
        assert!(lagg.ifp.counter(Counter::Oerrors) > 0);
        lagg.remove("vlan7").unwrap();
        drop(port);
        lagg.destroy();
        drop(tunnel);
    });
}

/// Before the task takes it out, it departs, an administrator removes it, or the lagg is destroyed.
#[test]
fn d27_a_port_that_loops_ends_like_others() {
    for how in 0..3 {
        lab(|| {
            let a = card(1);
            let port = alone("vlan7");
            let lagg = over("vlan7", &a, proto::LACP);
            let blocked = a.nic.block(lagg_rs::kpi::ioctl::SIOCSIFMTU);
            std::thread::scope(|scope| {
                let change = crate::lab::spawn(scope, || lagg.set_mtu(1400));
                blocked.wait();
                host::vlan_config(&port, &lagg.ifp, 7).unwrap();
                assert_eq!(lagg.ports(), ["em1"]);
                let name = &lagg.name;
                let gone = port.ifp();
                let end = crate::lab::spawn(scope, move || match how {
                    0 => {
                        port.detach();
                        Ok(())
                    }
                    1 => host::clone_destroy(name),
                    _ => crate::lab::port_request(
                        name,
                        lagg_rs::kpi::ioctl::SIOCSLAGGDELPORT,
                        "vlan7",
                    )
                    .map(drop),
                });
                blocked.release();
                let _ = change.join().unwrap();
                assert!([Ok(()), Err(Errno::ENOENT)].contains(&end.join().unwrap()));
                host::settle();
                assert!(gone.lagg_port().is_none());
            });
        });
    }
}
