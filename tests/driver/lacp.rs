//! LACP in the driver.

use std::collections::BTreeSet;

use lagg_rs::kpi::host::testing::Events;
use lagg_rs::kpi::host::{self, Event, Vnet};
use lagg_rs::kpi::ioctl::{OptionsRequest, opt, proto};
use lagg_rs::kpi::{Counter, Errno, LinkState, Mbuf};
use lagg_rs::lacp::mux::AGGREGATE_WAIT;
use lagg_rs::lacp::receive::{LONG_TIMEOUT, SHORT_TIMEOUT};
use lagg_rs::wire::lacpdu::{Lacpdu, StateBits};
use lagg_rs::wire::slow::{MULTICAST, Subtype};

use crate::lab::{card, lab};
use crate::pair::{Pair, flow, pair, strangers};

pub fn option(opts: i32) -> OptionsRequest {
    OptionsRequest { opts, ..OptionsRequest::default() }
}

pub fn is_marker(frame: &[u8]) -> bool {
    Subtype::of(frame) == Some(Subtype::Marker)
}

#[test]
fn two_laggs_agree_after_the_wait_for_others() {
    lab(|| {
        let pair = strangers(2);
        pair.pass(AGGREGATE_WAIT - 1);
        assert_eq!(pair.distributing(&pair.left), 0);
        assert_eq!(pair.left.send(&flow(0)), Err(Errno::ENETDOWN));
        assert_eq!(pair.left.ifp.link_state(), LinkState::Down);
        assert!(!pair.left.takes_in(1, &flow(0)), "it does not collect");
        pair.pass(1);
        assert!(pair.left.takes_in(1, &flow(0)));
        for lagg in [&pair.left, &pair.right] {
            assert_eq!(pair.distributing(lagg), 2);
            assert_eq!(
                (lagg.ifp.link_state(), lagg.ifp.baudrate()),
                (LinkState::Up, 2_000_000_000)
            );
            let options = lagg.options().unwrap();
            assert_eq!((options.active, options.count, options.flapping), (2, 2, 0));
            assert_eq!(options.opts & opt::LACP_STRICT, opt::LACP_STRICT);
        }
        // Each side's actor is the other side's partner.
        let (left, right) = (pair.records(&pair.left), pair.records(&pair.right));
        for (a, b) in left.iter().zip(&right) {
            assert_eq!(
                (a.psc.actor_mac, a.psc.actor_prio),
                (pair.left.ifp.lladdr().ethernet(), 0x8000)
            );
            assert_eq!((a.psc.actor_mac, a.psc.actor_key), (b.psc.partner_mac, b.psc.partner_key));
            assert_eq!((a.psc.actor_portno, a.psc.actor_state), (b.psc.partner_portno, 0x3d));
            assert_eq!((a.psc.partner_state, b.psc.partner_state), (0x3d, 0x3d));
        }
        let aggregator = pair.left.get(0).unwrap().0.psc;
        assert_eq!(pair.right.ifp.lladdr(), aggregator.partner_mac);
        assert_eq!((aggregator.actor_state, aggregator.partner_state), (0x04, 0));
    });
}

#[test]
fn flows_are_spread_and_taken_in() {
    lab(|| {
        let pair = pair(3);
        let sent = pair.send(300);
        assert!(sent.iter().all(Option::is_some), "nothing waits at the first activation");
        assert_eq!(sent, pair.send(300), "a flow stays");
        let used: BTreeSet<_> = sent.into_iter().collect();
        assert_eq!(used.len(), 3);
        assert!((0..3).all(|place| pair.right.takes_in(place, &flow(0))));
    });
}

/// The partner stops at once, and packets in flight come before the last LACPDU.
#[test]
fn a_port_that_leaves_sends_a_farewell() {
    lab(|| {
        let pair = pair(2);
        pair.left.remove("em2").unwrap();
        let last = pair.wires[1].0.nic.take_sent().pop().unwrap();
        let pdu = Lacpdu::parse(&last).unwrap();
        assert!(
            !pdu.actor
                .state
                .intersects(StateBits::AGGREGATION | StateBits::SYNC | StateBits::COLLECTING)
        );
        pair.wires[1].1.receive(&last);
        pair.exchange();
        assert_eq!(pair.distributing(&pair.right), 1);
        assert!(pair.send(50).iter().all(|wire| *wire == Some(0)));
        assert!(!host::groups(&pair.wires[1].0.ifp).contains(&MULTICAST.into()));
        assert!(host::groups(&pair.wires[0].0.ifp).contains(&MULTICAST.into()));
    });
}

#[test]
fn another_protocol_and_the_end_send_farewells_too() {
    lab(|| {
        let pair = pair(2);
        pair.left.set_protocol(proto::FAILOVER).unwrap();
        pair.exchange();
        assert_eq!(pair.distributing(&pair.right), 0);
        assert_eq!(pair.right.ifp.link_state(), LinkState::Down);
        assert!(!host::groups(&pair.wires[0].0.ifp).contains(&MULTICAST.into()));
        assert_eq!(pair.left.ifp.link_state(), LinkState::Up, "F-13");
    });
    lab(|| {
        let pair = pair(2);
        pair.left.destroy();
        pair.exchange();
        assert_eq!(pair.distributing(&pair.right), 0);
    });
}

#[test]
fn a_cut_moves_flows_at_once_and_a_healed_link_gets_its_own_back() {
    lab(|| {
        let pair = pair(3);
        let before = pair.send(300);
        pair.link(1, LinkState::Down);
        assert_eq!((pair.distributing(&pair.left), pair.distributing(&pair.right)), (2, 2));
        let cut = pair.send(300);
        assert!(cut.iter().all(|wire| wire.is_some() && *wire != Some(1)), "a down pauses nothing");
        let moved = |n: usize| before[n] != cut[n];
        assert!((0..300).all(|n| moved(n) == (before[n] == Some(1))));
        // Both sides have kept their partner, so one LACPDU is enough.
        pair.link(1, LinkState::Up);
        pair.exchange();
        assert_eq!((pair.distributing(&pair.left), pair.distributing(&pair.right)), (3, 3));
        assert_eq!(pair.send(300), before);
    });
}

#[test]
fn f18_the_fast_timeout_holds_for_ports_that_join_later() {
    lab(|| {
        let pair = pair(2);
        pair.left.set_options(option(opt::LACP_FAST_TIMO)).unwrap();
        let late = card(50);
        pair.left.add("em50").unwrap();
        host::settle();
        let states = pair.records(&pair.left).into_iter().map(|record| record.psc.actor_state);
        assert!(
            states.map(StateBits::from_bits_retain).all(|state| state.contains(StateBits::TIMEOUT))
        );
        assert_ne!(pair.left.options().unwrap().opts & opt::LACP_FAST_TIMO, 0);
        drop(late);
    });
}

/// A silent partner expires after the timeout.
#[test]
fn a_silent_partner_times_out() {
    lab(|| {
        let mut pair = pair(2);
        pair.left.set_options(option(opt::LACP_FAST_TIMO)).unwrap();
        pair.exchange();
        pair.lost = |_| true;
        pair.pass(SHORT_TIMEOUT);
        assert_eq!(pair.distributing(&pair.left), 0);
        assert_eq!(pair.distributing(&pair.right), 2, "its timeout is the long one");
        assert_eq!(pair.left.ifp.link_state(), LinkState::Down);
        assert_eq!(pair.left.options().unwrap().flapping, 2);
        pair.pass(LONG_TIMEOUT);
        assert_eq!(pair.distributing(&pair.right), 0);
        pair.lost = |_| false;
        pair.pass(30_000 + AGGREGATE_WAIT);
        assert_eq!((pair.distributing(&pair.left), pair.distributing(&pair.right)), (2, 2));
    });
}

#[test]
fn f25_txtest_and_rxtest_are_for_all_ports() {
    lab(|| {
        let pair = pair(2);
        pair.left.set_options(option(opt::LACP_TXTEST)).unwrap();
        pair.pass(LONG_TIMEOUT);
        assert_eq!(pair.distributing(&pair.right), 0);
        pair.left.set_options(option(-opt::LACP_TXTEST)).unwrap();
        pair.pass(30_000 + AGGREGATE_WAIT);
        assert_eq!(pair.distributing(&pair.right), 2);
        pair.left.set_options(option(opt::LACP_RXTEST)).unwrap();
        pair.pass(LONG_TIMEOUT);
        assert_eq!(pair.distributing(&pair.left), 0);
    });
}

/// Frames of other slow protocols go up the stack, whichever ports collect.
#[test]
fn lacp_takes_only_its_own_frames() {
    lab(|| {
        let pair = pair(2);
        let received = |frame: &[u8]| {
            let before = pair.right.ifp.counter(Counter::Imcasts);
            let bpf = host::capture(&pair.right.ifp);
            pair.wires[0].1.receive(frame);
            host::settle();
            assert!(pair.right.ifp.counter(Counter::Imcasts) > before);
            bpf.take().len()
        };
        let pdu = Lacpdu::default().emit([2, 0, 0, 0, 0, 9]);
        let mut frame = pdu;
        frame[14] = 3;
        assert_eq!(received(&frame), 1, "OAM");
        frame[12..15].copy_from_slice(&[0x88, 0xcc, 1]);
        assert_eq!(received(&frame), 1, "no slow protocol");
        assert_eq!(received(&pdu), 0);
    });
}

/// Sends a frame of each of 300 flows for a NUMA domain. Returns the wire on which each went, none if it
/// was refused.
fn send_for(pair: &Pair, domain: Option<u8>) -> Vec<Option<usize>> {
    let wire_of = |n: u16| {
        let mut m = Mbuf::from_bytes(&flow(n));
        m.set_numa_domain(domain);
        host::transmit(&pair.left.ifp, m).ok()?;
        pair.wires.iter().position(|(a, _)| a.nic.take_sent() == [flow(n)])
    };
    (0..300).map(wire_of).collect()
}

/// How many of the flows went on each wire.
#[track_caller]
fn spread(wires: &[Option<usize>]) -> Vec<usize> {
    let mut counts = vec![0; 4];
    for wire in wires {
        counts[wire.expect("it was sent")] += 1;
    }
    counts
}

#[test]
fn packets_keep_to_their_numa_domain() {
    lab(|| {
        let mut pair = strangers(4);
        for (n, (a, _)) in pair.wires.iter().enumerate() {
            a.ifp.set_numa_domain(n as u8 / 2);
        }
        pair.pass(AGGREGATE_WAIT + 1_000);
        assert_eq!(pair.distributing(&pair.left), 4);
        // A domain's ports share its packets. All ports share those of no domain, or of one without ports.
        let first = send_for(&pair, Some(0));
        let counts = spread(&first);
        assert!(counts[..2].iter().all(|count| (110..190).contains(count)), "{counts:?}");
        assert_eq!(spread(&send_for(&pair, Some(1)))[..2], [0, 0]);
        for others in [None, Some(5), Some(200)] {
            let counts = spread(&send_for(&pair, others));
            assert!(counts.iter().all(|count| (45..105).contains(count)), "{counts:?}");
        }
        // If one of its ports goes, its flows go to the other; if both go, to all.
        pair.link(0, LinkState::Down);
        assert_eq!(spread(&send_for(&pair, Some(0))), [0, 300, 0, 0]);
        pair.link(1, LinkState::Down);
        let counts = spread(&send_for(&pair, Some(0)));
        assert!(counts[2] > 100 && counts[3] > 100, "{counts:?}");
        // The ports come back. Flows that move wait for their old port, whichever that was.
        pair.lost = is_marker;
        pair.link(0, LinkState::Up);
        pair.exchange();
        assert_eq!(pair.distributing(&pair.left), 3);
        assert!(send_for(&pair, Some(0)).iter().all(Option::is_none), "all of them move");
        pair.pass(3_000);
        assert_eq!(spread(&send_for(&pair, Some(0))), [300, 0, 0, 0]);
        pair.link(1, LinkState::Up);
        pair.pass(3_000);
        assert_eq!(send_for(&pair, Some(0)), first);
        pair.lost = |_| false;
        pair.left.set_options(option(-opt::USE_NUMA)).unwrap();
        pair.exchange();
        assert!(spread(&send_for(&pair, Some(0))).iter().all(|count| (45..105).contains(count)));
    });
}

/// Two ports have a domain, the third has none. A single domain does not restrict packets.
#[test]
fn a_single_numa_domain_does_not_count() {
    lab(|| {
        let pair = strangers(3);
        pair.wires[..2].iter().for_each(|(a, _)| a.ifp.set_numa_domain(0));
        pair.pass(AGGREGATE_WAIT + 1_000);
        let counts = spread(&send_for(&pair, Some(0)));
        assert!(counts[..3].iter().all(|count| (60..140).contains(count)), "{counts:?}");
    });
}

/// `net.link.lagg.lacp.debug`: state changes of the machines, and LACPDUs.
#[test]
fn d33_debug_logs_states_and_lacpdus_without_the_mutex() {
    lab(|| {
        let logged = |level| {
            Vnet::current().set_lacp_debug(level);
            let pair = strangers(1);
            let events = Events::of(&pair.left.ifp);
            pair.pass(AGGREGATE_WAIT);
            let texts = events.take().into_iter().filter_map(|event| match event {
                Event::Log(text) => Some(text),
                _ => None,
            });
            texts.collect::<Vec<_>>()
        };
        let told = logged(0);
        assert!(told.len() == 1 && told[0].starts_with("em1 in service (partner "), "{told:?}");
        let states = logged(1);
        let [.., state, told] = &states[..] else { panic!("{states:?}") };
        assert!(state.ends_with("to DISTRIBUTING") && told.contains("in service"), "{states:?}");
        let all = logged(2);
        let said = "em1 in: actor 8000,02-00-00-00-00-65,";
        assert!(all.iter().any(|line| line.starts_with(said)), "{all:#?}");
        assert!(all.iter().any(|line| line.starts_with("em1 out: actor 8000,02-00-00-00-00-01,")));
    });
}
