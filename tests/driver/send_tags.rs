//! Send tags: which port makes them, what a lagg's tag wraps, and how long they live.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use lagg_rs::kpi::host::testing::Methods;
use lagg_rs::kpi::host::{self, SendTag, TagParams};
use lagg_rs::kpi::ioctl::{OptionsRequest, opt, proto};
use lagg_rs::kpi::{Errno, Ifnet, LinkState, Mbuf, Result, TagHeader, TagType, epoch};
use lagg_rs::lacp::mux::AGGREGATE_WAIT;

use crate::lab::{Card, Lagg, card, frame, lab, lagg, lagg_of, spawn};
use crate::lacp::is_marker;
use crate::pair::{pair, strangers};

/// Flow ids that a card has computed (M_HASHTYPE_OPAQUE_HASH).
pub const HASHED: u32 = 0xbf;
const ANYWHERE: u8 = 255;
const RATE: u64 = 125_000;

/// The card `em<n>`, up, that makes send tags.
pub fn tagging_card(n: u8) -> Card {
    let card = card(n);
    card.nic.make_tags(Ok(Methods::All));
    card
}

/// Asks for a tag of this type for a flow.
pub fn tag_for(ifp: &Ifnet, kind: TagType, flow_id: u32) -> Result<SendTag> {
    ask(ifp, kind as u32, (flow_id, HASHED), ANYWHERE)
}

fn ask(ifp: &Ifnet, kind: u32, flow: (u32, u32), numa_domain: u8) -> Result<SendTag> {
    let (flow_id, flow_kind) = flow;
    let header = TagHeader { kind, flow_id, flow_kind, numa_domain };
    host::allocate_tag(ifp, header, TagParams { max_rate: RATE })
}

/// Turns use_flowid on, with this shift.
pub fn use_flowid(lagg: &Lagg, flowid_shift: i32) {
    for opts in [opt::FLOWIDSHIFT, opt::USE_FLOWID] {
        let request = OptionsRequest { opts, flowid_shift, ..OptionsRequest::default() };
        lagg.set_options(request).unwrap();
    }
}

/// A packet with this flow id, as if computed by a card.
fn packet(flow_id: u32) -> Mbuf {
    let mut m = Mbuf::from_bytes(&frame(0));
    m.set_flow(Some(flow_id));
    m
}

fn errno<T>(result: Result<T>) -> Option<Errno> {
    result.err()
}

#[test]
fn the_port_makes_the_tag_and_the_laggs_wraps_it() {
    lab(|| {
        let a = tagging_card(1);
        let lagg = lagg_of(&[&a]);
        for kind in TagType::ALL {
            let tag = tag_for(&lagg.ifp, kind, 7).unwrap();
            assert_eq!((tag.kind(), a.nic.tags()), (kind, 1));
            if kind == TagType::TlsRx {
                // The port itself receives.
                assert!(tag.ifp().same(&a.ifp) && tag.inner().is_none());
            } else {
                let inner = tag.inner().unwrap();
                assert!(tag.ifp().same(&lagg.ifp) && inner.ifp().same(&a.ifp));
                assert_eq!((inner.kind(), inner.query()), (kind, Ok(RATE)));
            }
            let another = tag.clone();
            drop(tag);
            assert_eq!(a.nic.tags(), 1);
            drop(another);
            assert_eq!(a.nic.tags(), 0, "the port's goes with the lagg's");
        }
        for unknown in [5, 6, u32::MAX] {
            let refused = ask(&lagg.ifp, unknown, (7, HASHED), ANYWHERE);
            assert_eq!(errno(refused), Some(Errno::EOPNOTSUPP));
        }
    });
}

/// The stack makes the request in the epoch, and with locks of a connection held.
#[test]
fn a_tag_is_made_and_freed_without_sleeping() {
    lab(|| {
        let a = tagging_card(1);
        let lagg = lagg_of(&[&a]);
        epoch::section(|_| drop(tag_for(&lagg.ifp, TagType::RateLimit, 7).unwrap()));
        assert_eq!(a.nic.tags(), 0);
    });
}

#[test]
fn failover_asks_the_port_that_sends() {
    lab(|| {
        let (a, b, c) = (tagging_card(1), tagging_card(2), tagging_card(3));
        // em2 is the primary.
        let lagg = lagg_of(&[&b, &a, &c]);
        let asked =
            || tag_for(&lagg.ifp, TagType::Tls, 7).map(|tag| tag.inner().unwrap().ifp().index());
        assert_eq!(asked(), Ok(b.ifp.index()));
        b.link(LinkState::Down);
        assert_eq!(asked(), Ok(a.ifp.index()));
        a.link(LinkState::Down);
        assert_eq!(asked(), Ok(c.ifp.index()));
        c.link(LinkState::Down);
        assert_eq!(asked(), Err(Errno::EOPNOTSUPP), "no port is active");
        // No flow is needed to choose.
        b.link(LinkState::Up);
        assert!(ask(&lagg.ifp, TagType::Tls as u32, (0, 0), ANYWHERE).is_ok());
    });
}

/// broadcast, roundrobin and none have no port for a flow, nor has a lagg without ports.
#[test]
fn without_a_port_for_the_flow_no_tag_is_made() {
    lab(|| {
        let cards = [tagging_card(1), tagging_card(2)];
        let bare = lagg();
        bare.up();
        let lagg = lagg_of(&[&cards[0], &cards[1]]);
        use_flowid(&lagg, 0);
        for protocol in 0..6 {
            bare.set_protocol(protocol).unwrap();
            assert_eq!(errno(tag_for(&bare.ifp, TagType::RateLimit, 7)), Some(Errno::EOPNOTSUPP));
        }
        for protocol in [proto::NONE, proto::ROUNDROBIN, proto::BROADCAST] {
            lagg.set_protocol(protocol).unwrap();
            for kind in TagType::ALL {
                assert_eq!(errno(tag_for(&lagg.ifp, kind, 7)), Some(Errno::EOPNOTSUPP));
            }
        }
        assert_eq!(cards[0].nic.tags() + cards[1].nic.tags(), 0);
    });
}

/// Before there are packets, only the card's flow id is known.
#[test]
fn loadbalance_asks_the_port_of_the_flow_id() {
    lab(|| {
        let cards = [1, 2, 3].map(tagging_card);
        let lagg = lagg_of(&[&cards[0], &cards[1], &cards[2]]);
        lagg.set_protocol(proto::LOADBALANCE).unwrap();
        host::settle();
        assert_eq!(errno(tag_for(&lagg.ifp, TagType::Tls, 7)), Some(Errno::EOPNOTSUPP));
        for shift in [0, 16, 31] {
            use_flowid(&lagg, shift);
            for flow_id in (0..64_u32).map(|n| n.wrapping_mul(0x9e37_79b9)) {
                let tag = tag_for(&lagg.ifp, TagType::Tls, flow_id).unwrap();
                let mut m = packet(flow_id);
                m.set_tag(tag);
                host::transmit(&lagg.ifp, m).expect("its packets go to the same port");
            }
        }
        assert!(cards.iter().all(|card| card.nic.take_tagged().len() > 20));
        // Packets without a hash type are told apart in another way. The inner bit alone is not a hash
        // type.
        for kind in [0, 0x40] {
            let refused = ask(&lagg.ifp, TagType::Tls as u32, (7, kind), ANYWHERE);
            assert_eq!(errno(refused), Some(Errno::EOPNOTSUPP));
        }
        // If the port is found down before the lagg has handled that, the tag is of the same second choice.
        let down = cards[0].ifp.index();
        cards[0].ifp.down();
        for flow_id in 0..64 {
            let tag = tag_for(&lagg.ifp, TagType::Tls, flow_id).unwrap();
            assert_ne!(tag.inner().unwrap().ifp().index(), down);
            let mut m = packet(flow_id);
            m.set_tag(tag);
            host::transmit(&lagg.ifp, m).unwrap();
        }
        cards.iter().for_each(|card| card.ifp.down());
        assert_eq!(errno(tag_for(&lagg.ifp, TagType::Tls, 7)), Some(Errno::EOPNOTSUPP));
    });
}

#[test]
fn lacp_asks_the_port_of_the_flow_id_and_the_numa_domain() {
    lab(|| {
        let pair = strangers(4);
        for (n, (a, _)) in pair.wires.iter().enumerate() {
            a.nic.make_tags(Ok(Methods::All));
            a.ifp.set_numa_domain(n as u8 / 2);
        }
        pair.pass(AGGREGATE_WAIT + 1_000);
        let lagg = &pair.left;
        let of_flow =
            |flow_id, domain| ask(&lagg.ifp, TagType::Tls as u32, (flow_id, HASHED), domain);
        assert_eq!(errno(of_flow(7, 0)), Some(Errno::EOPNOTSUPP), "flow ids do not count");
        use_flowid(lagg, 0);
        pair.exchange();
        let mut ports = [[0; 4]; 3];
        for (place, domain) in [(0, 0), (1, 1), (2, ANYWHERE)] {
            for flow_id in 0..100 {
                let tag = of_flow(flow_id, domain).unwrap();
                let port = tag.inner().unwrap().ifp().index();
                let wire = pair.wires.iter().position(|(a, _)| a.ifp.index() == port).unwrap();
                ports[place][wire] += 1;
                let mut m = packet(flow_id);
                m.set_numa_domain(Some(domain).filter(|domain| *domain != ANYWHERE));
                m.set_tag(tag);
                host::transmit(&lagg.ifp, m).expect("its packets go to the same port");
            }
        }
        let [first, second, any] = ports;
        assert!(first[..2].iter().all(|count| *count > 20) && first[2..] == [0, 0], "{first:?}");
        assert!(second[2..].iter().all(|count| *count > 20) && second[..2] == [0, 0], "{second:?}");
        assert!(any.iter().all(|count| *count > 5), "{any:?}");
    });
}

/// A refusal would end the connection's TLS, while the wait is short.
#[test]
fn a_flow_that_waits_gets_a_tag_of_the_port_on_which_it_will_continue() {
    lab(|| {
        let mut pair = pair(2);
        pair.wires.iter().for_each(|(a, _)| a.nic.make_tags(Ok(Methods::All)));
        pair.lost = is_marker;
        use_flowid(&pair.left, 0);
        pair.exchange();
        let tags: Vec<_> =
            (0..64).map(|id| tag_for(&pair.left.ifp, TagType::Tls, id).unwrap()).collect();
        let send = |(flow_id, tag): (u32, &SendTag)| {
            let mut m = packet(flow_id);
            m.set_tag(tag.clone());
            host::transmit(&pair.left.ifp, m)
        };
        assert!((0..).zip(&tags).all(|flow| send(flow) == Err(Errno::ENOBUFS)));
        pair.pass(3_000);
        assert!((0..).zip(&tags).all(|flow| send(flow) == Ok(())));
    });
}

#[test]
fn what_the_port_refuses_is_passed_on() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let made = |kind| tag_for(&lagg.ifp, kind, 7).map(drop);
        for kind in TagType::ALL {
            assert_eq!(made(kind), Err(Errno::EOPNOTSUPP), "most cards make none");
            for errno in [Errno::ENOMEM, Errno::ENXIO, Errno::ENOBUFS] {
                a.nic.make_tags(Err(errno));
                assert_eq!(made(kind), Err(errno));
            }
            a.nic.make_tags(Err(Errno::EOPNOTSUPP));
        }
        // Without memory for the lagg's tag, the port is not even asked.
        host::fail_allocation(1);
        assert_eq!(made(TagType::Tls), Err(Errno::ENOMEM));
        assert_eq!(host::fail_allocation(0), 0);
        // A tag that is not wrapped needs no memory.
        a.nic.make_tags(Ok(Methods::All));
        host::fail_allocation(1);
        assert_eq!(made(TagType::TlsRx), Ok(()));
        assert_eq!(host::fail_allocation(0), 1);
    });
}

#[test]
fn modify_query_and_status_are_the_ports() {
    lab(|| {
        let a = tagging_card(1);
        let lagg = lagg_of(&[&a]);
        let tag = tag_for(&lagg.ifp, TagType::RateLimit, 7).unwrap();
        assert_eq!(tag.query(), Ok(RATE));
        tag.modify(500).unwrap();
        assert_eq!((tag.query(), tag.inner().unwrap().query()), (Ok(500), Ok(500)));
        assert_eq!(tag.status().unwrap(), "500 bytes a second");
        assert_eq!(tag.modify(0), Err(Errno::EINVAL), "the card's word");
    });
}

/// mlx5's tags for unpaced packets have no modify method. A lagg's tags have all methods, so callers do not
/// check.
#[test]
fn d24_a_method_that_the_ports_tag_lacks_is_not_called() {
    lab(|| {
        let a = card(1);
        a.nic.make_tags(Ok(Methods::None));
        let lagg = lagg_of(&[&a]);
        for kind in TagType::ALL.into_iter().filter(|kind| *kind != TagType::TlsRx) {
            let tag = tag_for(&lagg.ifp, kind, 7).unwrap();
            assert_eq!(tag.modify(500), Err(Errno::EOPNOTSUPP));
            assert_eq!(tag.query(), Err(Errno::EOPNOTSUPP));
            assert_eq!(tag.status(), Err(Errno::EOPNOTSUPP));
        }
    });
}

/// A tag keeps what it needs, whatever happens to port and lagg.
#[test]
fn tags_outlive_the_protocol_the_port_and_the_lagg() {
    lab(|| {
        let (a, b) = (tagging_card(1), tagging_card(2));
        let lagg = lagg_of(&[&a, &b]);
        let tag = tag_for(&lagg.ifp, TagType::RateLimit, 7).unwrap();
        let Card { nic, ifp } = a;
        let works = |rate| {
            tag.modify(rate).unwrap();
            assert_eq!((tag.query(), nic.tags()), (Ok(rate), 1));
        };
        lagg.set_protocol(proto::ROUNDROBIN).unwrap();
        host::settle();
        works(1);
        lagg.remove("em1").unwrap();
        works(2);
        ifp.detach();
        host::settle();
        epoch::drain();
        works(3);
        assert!(Arc::strong_count(&nic) > 1, "the tag keeps the interface");
        lagg.destroy();
        epoch::drain();
        works(4);
        assert!(tag.ifp().same(&lagg.ifp));
        assert_eq!(errno(tag_for(&lagg.ifp, TagType::Tls, 7)), Some(Errno::EOPNOTSUPP));
        drop(tag);
        assert_eq!(nic.tags(), 0);
        epoch::drain();
        assert_eq!(Arc::strong_count(&nic), 1, "and then it is gone");
    });
}

/// Connections come, send and go while everything changes. Each tag is freed, and no packet is sent with
/// another port's tag, which the cards check.
#[test]
fn tags_come_and_go_while_ports_and_protocols_change() {
    const ROUNDS: usize = 200;
    lab(|| {
        let cards = [1, 2, 3].map(tagging_card);
        let lagg = lagg_of(&[&cards[0], &cards[1], &cards[2]]);
        use_flowid(&lagg, 0);
        let (done, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            for first in [0, 100] {
                let (lagg, done, sent) = (&lagg, &done, &sent);
                spawn(scope, move || {
                    for flow_id in (first..first + 100).cycle() {
                        if done.load(Ordering::Relaxed) {
                            break;
                        }
                        let tag = tag_for(&lagg.ifp, TagType::RateLimit, flow_id);
                        let Ok(tag) =
                            tag.inspect_err(|errno| assert_eq!(*errno, Errno::EOPNOTSUPP))
                        else {
                            continue;
                        };
                        for _ in 0..4 {
                            let mut m = packet(flow_id);
                            m.set_tag(tag.clone());
                            match host::transmit(&lagg.ifp, m) {
                                Ok(()) => drop(sent.fetch_add(1, Ordering::Relaxed)),
                                Err(Errno::EAGAIN | Errno::ENXIO | Errno::ENETDOWN) => {}
                                Err(other) => panic!("{other:?}"),
                            }
                        }
                        tag.modify(1).unwrap();
                    }
                });
            }
            for round in 0..ROUNDS {
                let names: Vec<_> = cards.iter().map(Card::name).collect();
                names.iter().for_each(|name| lagg.remove(name).unwrap());
                lagg.set_protocol(
                    [proto::FAILOVER, proto::LOADBALANCE, proto::BROADCAST][round % 3],
                )
                .unwrap();
                names.iter().for_each(|name| lagg.add(name).unwrap());
                host::set_link(&cards[round % 3].ifp, [LinkState::Down, LinkState::Up][round % 2]);
            }
            // So that something is sent in the end, however the threads were scheduled.
            lagg.set_protocol(proto::FAILOVER).unwrap();
            crate::lab::until("a packet that is sent", || sent.load(Ordering::Relaxed) > 0);
            done.store(true, Ordering::Relaxed);
        });
        assert!(cards.iter().all(|card| card.nic.tags() == 0));
    });
}
