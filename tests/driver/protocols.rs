//! roundrobin, loadbalance and broadcast: which port sends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lagg_rs::kpi::host;
use lagg_rs::kpi::ioctl::{OptionsRequest, hash, opt, port, proto};
use lagg_rs::kpi::{Counter, Defaults, Errno, LinkState, Mbuf};
use lagg_rs::policy::Protocol;

use crate::lab::{Card, Lagg, card, flags, frame, lab, lagg, lagg_of, spawn};

fn cards(n: u8) -> Vec<Card> {
    (1..=n).map(card).collect()
}

fn lagg_with(cards: &[Card], protocol: u32) -> Lagg {
    let lagg = lagg_of(&cards.iter().collect::<Vec<_>>());
    lagg.set_protocol(protocol).unwrap();
    host::settle();
    lagg
}

fn sent(cards: &[Card]) -> Vec<usize> {
    cards.iter().map(Card::sent).collect()
}

/// A UDP packet of the flow `n`, or of an IP fragment of it.
fn flow(n: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 9, 9, 2, 0, 0, 0, 9, 8, 8, 0];
    frame.extend([0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    frame.extend(n.to_be_bytes());
    frame.extend([0, 53]);
    frame.resize(60, 0);
    frame
}

/// The card on which each of these flows is sent.
fn places(lagg: &Lagg, cards: &[Card], flows: u16) -> Vec<usize> {
    let place = |n| {
        lagg.send(&flow(n)).unwrap();
        sent(cards).iter().position(|&count| count == 1).unwrap()
    };
    (0..flows).map(place).collect()
}

#[test]
fn roundrobin_takes_turns() {
    lab(|| {
        let cards = cards(3);
        let lagg = lagg_with(&cards, proto::ROUNDROBIN);
        let turns = places(&lagg, &cards, 9);
        assert_eq!(turns, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
        cards[1].link(LinkState::Down);
        let turns = places(&lagg, &cards, 6);
        assert_eq!(turns, [0, 2, 2, 0, 2, 2], "the next one in its place");
        cards[1].link(LinkState::Up);
        assert_eq!(places(&lagg, &cards, 3), [0, 1, 2]);
        let all_active: Vec<_> = lagg.get(2304).unwrap().1.iter().map(|p| p.flags).collect();
        assert_eq!(all_active, [port::ACTIVE; 3]);
        assert_eq!(lagg.ifp.baudrate(), 3_000_000_000, "the sum");
    });
}

#[test]
fn rr_limit_is_how_many_packets_a_turn_has() {
    lab(|| {
        let cards = cards(2);
        let lagg = lagg_with(&cards, proto::ROUNDROBIN);
        let limit =
            |opts, bkt| lagg.set_options(OptionsRequest { opts, bkt, ..OptionsRequest::default() });
        assert_eq!(lagg.options().unwrap().bkt, 1);
        limit(opt::RR_LIMIT, 3).unwrap();
        assert_eq!(lagg.options().unwrap().bkt, 3);
        assert_eq!(places(&lagg, &cards, 9), [0, 0, 0, 1, 1, 1, 0, 0, 0]);
        assert_eq!(limit(opt::RR_LIMIT, 0), Err(Errno::EINVAL));
        limit(0, 5).unwrap();
        assert_eq!(lagg.options().unwrap().bkt, 5, "as before there was an option for it");
        lagg.set_protocol(proto::ROUNDROBIN).unwrap();
        assert_eq!(lagg.options().unwrap().bkt, 1);
        lagg.set_protocol(proto::FAILOVER).unwrap();
        assert_eq!(limit(opt::RR_LIMIT, 3), Err(Errno::EINVAL));
        assert_eq!(limit(0, 3), Err(Errno::EINVAL));
    });
}

#[test]
fn loadbalance_keeps_a_flow_on_its_port() {
    lab(|| {
        let cards = cards(4);
        let lagg = lagg_with(&cards, proto::LOADBALANCE);
        let before = places(&lagg, &cards, 400);
        assert_eq!(places(&lagg, &cards, 400), before);
        let mut spread = BTreeMap::<_, usize>::new();
        before.iter().for_each(|&place| *spread.entry(place).or_default() += 1);
        assert!(spread.len() == 4 && spread.values().all(|&count| count > 50), "{spread:?}");

        // When a port goes, only its flows move. When it returns, so do they.
        cards[2].link(LinkState::Down);
        let without = places(&lagg, &cards, 400);
        for (before, without) in before.iter().zip(&without) {
            assert_eq!(*before == 2, before != without);
        }
        cards[2].link(LinkState::Up);
        assert_eq!(places(&lagg, &cards, 400), before);

        // The administrator takes it down.
        flags("em3", 0).unwrap();
        host::settle();
        assert_eq!(places(&lagg, &cards, 400), without);
        flags("em3", 1).unwrap();
        host::settle();
        assert_eq!(places(&lagg, &cards, 400), before);
        lagg.remove("em3").unwrap();
        assert_eq!(places(&lagg, &cards, 400), without);
    });
}

/// They would be moved for each port that joins before the lagg comes up.
#[test]
fn flows_are_spread_while_the_lagg_is_up() {
    lab(|| {
        let cards = cards(4);
        let lagg = lagg_with(&cards[..3], proto::LOADBALANCE);
        let before = places(&lagg, &cards, 400);
        lagg.down();
        lagg.add("em4").unwrap();
        host::settle();
        let plan = lagg.softc().plan_ref();
        let Protocol::LoadBalance(flows) = plan.protocol() else { panic!("loadbalance") };
        let buckets = plan.ports().map(|port| flows.table.count(port.slot()));
        assert_eq!(buckets.filter(|buckets| *buckets != 0).count(), 3);
        lagg.up();
        let after = places(&lagg, &cards, 400);
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
        assert!(moved.clone().count() > 50 && moved.clone().all(|(_, &after)| after == 3));
        lagg.down();
        lagg.up();
        assert_eq!(places(&lagg, &cards, 400), after);
    });
}

/// Before the control side has handled the event, packets take their flow's second choice.
#[test]
fn a_flow_whose_port_is_down_takes_its_second_choice_at_once() {
    lab(|| {
        let cards = cards(3);
        let lagg = lagg_with(&cards, proto::LOADBALANCE);
        let before = places(&lagg, &cards, 100);
        let softc = lagg.softc();
        let plan = softc.plan_ref();
        cards[0].link(LinkState::Down);
        // The plan from before the event, as a packet in flight has it.
        let Protocol::LoadBalance(flows) = plan.protocol() else { panic!("loadbalance") };
        for (n, &before) in before.iter().enumerate() {
            let m = Mbuf::from_bytes(&flow(n as u16));
            let port = flows.select(&*plan, flows.hash(&m)).unwrap();
            let place = cards.iter().position(|card| card.ifp.same(port.ifp())).unwrap();
            assert!(place != 0 && (before == 0 || place == before));
        }
        cards.iter().for_each(|card| card.link(LinkState::Down));
        assert_eq!(lagg.send(&flow(0)), Err(Errno::ENETDOWN));
    });
}

#[test]
fn lagghash_says_which_layers_count() {
    lab(|| {
        let cards = cards(4);
        let lagg = lagg_with(&cards, proto::LOADBALANCE);
        lagg.set_hash(hash::L3).unwrap();
        let one = places(&lagg, &cards, 50);
        assert!(one.iter().all(|place| *place == one[0]), "the same addresses");
        lagg.set_hash(hash::L4).unwrap();
        let many = places(&lagg, &cards, 50);
        assert!(many.iter().any(|place| *place != many[0]));
    });
}

#[test]
fn use_flowid_uses_the_cards_flow_id() {
    lab(|| {
        let cards = cards(2);
        let lagg = lagg_with(&cards, proto::LOADBALANCE);
        let option = |opts, flowid_shift| {
            let request = OptionsRequest { opts, flowid_shift, ..OptionsRequest::default() };
            lagg.set_options(request).unwrap();
        };
        option(opt::FLOWIDSHIFT, 4);
        option(opt::USE_FLOWID, 0);
        let send = |flow_id: u32| {
            let mut m = Mbuf::from_bytes(&flow(flow_id as u16));
            m.set_flow(Some(flow_id));
            host::transmit(&lagg.ifp, m).unwrap();
            sent(&cards).iter().position(|&count| count == 1).unwrap()
        };
        let of_shift: Vec<_> = (0..64).map(|n| send(n << 4)).collect();
        for (n, place) in (0..).zip(&of_shift) {
            assert_eq!(send(n << 4 | 9), *place, "the lower bits do not count");
        }
        assert!(of_shift.iter().any(|place| *place != of_shift[0]));
    });
}

#[test]
fn broadcast_sends_on_all_active_ports() {
    lab(|| {
        let cards = cards(4);
        let lagg = lagg_with(&cards, proto::BROADCAST);
        lagg.send(&frame(1)).unwrap();
        for card in &cards {
            assert_eq!(card.nic.take_sent(), [frame(1)]);
        }
        cards[3].link(LinkState::Down);
        flags("em1", 0).unwrap();
        lagg.send(&frame(2)).unwrap();
        assert_eq!(sent(&cards), [0, 1, 1, 0]);
        cards.iter().for_each(|card| card.link(LinkState::Down));
        let errors = lagg.ifp.counter(Counter::Oerrors);
        assert_eq!(lagg.send(&frame(3)), Err(Errno::ENOENT));
        assert_eq!(lagg.ifp.counter(Counter::Oerrors), errors + 1);
    });
}

/// In C lagg, if the last port's link goes while the copies are made, a port that has sent a copy gets the
/// original too. And the errors of all ports but the last are lost.
#[test]
fn f28_broadcast_sends_each_port_one_copy_and_keeps_the_error() {
    lab(|| {
        let cards = cards(3);
        let lagg = lagg_with(&cards, proto::BROADCAST);
        cards[0].nic.refuse_transmit(Some(Errno::ENOBUFS));
        assert_eq!(lagg.send(&frame(0)), Err(Errno::ENOBUFS));
        assert_eq!(sent(&cards), [0, 1, 1]);
        cards[0].nic.refuse_transmit(None);
        for down in 0..3 {
            cards[down].link(LinkState::Down);
            lagg.send(&frame(0)).unwrap();
            let one_each: Vec<_> = (0..3).map(|n| usize::from(n != down)).collect();
            assert_eq!(sent(&cards), one_each);
            cards[down].link(LinkState::Up);
        }
    });
}

/// The hash flags are 0 for a moment while they are changed, and all flows on one port.
#[test]
fn d26_a_packet_never_sees_half_of_a_change() {
    lab(|| {
        let cards = cards(2);
        let lagg = lagg_with(&cards, proto::LOADBALANCE);
        let (softc, done) = (lagg.softc(), AtomicBool::new(false));
        let shift = |flowid_shift| OptionsRequest {
            opts: opt::FLOWIDSHIFT,
            flowid_shift,
            ..OptionsRequest::default()
        };
        thread::scope(|scope| {
            spawn(scope, || {
                while !done.load(Ordering::Relaxed) {
                    let plan = softc.plan_ref();
                    let Protocol::LoadBalance(flows) = plan.protocol() else {
                        panic!("loadbalance")
                    };
                    assert!([hash::L3, hash::L4, hash::MASK].contains(&flows.layers.into()));
                    assert!(flows.flowid_shift.is_none_or(|shift| [3, 16].contains(&shift)));
                }
            });
            for round in 0..500 {
                lagg.set_hash([hash::L3, hash::L4][round % 2]).unwrap();
                let opts = [opt::USE_FLOWID, -opt::USE_FLOWID][round % 2];
                lagg.set_options(OptionsRequest { opts, ..OptionsRequest::default() }).unwrap();
                lagg.set_options(shift([3, 16][round % 2])).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
    });
}

/// In C lagg the link state remains that of the old protocol until the next event.
#[test]
fn f13_a_protocol_switch_recomputes_link_state_and_speed() {
    lab(|| {
        let cards = cards(2);
        cards[1].ifp.set_baudrate(10_000_000_000);
        let lagg = lagg_with(&cards, proto::FAILOVER);
        assert_eq!(lagg.ifp.baudrate(), 1_000_000_000);
        for protocol in [proto::ROUNDROBIN, proto::LOADBALANCE, proto::BROADCAST] {
            lagg.set_protocol(protocol).unwrap();
            host::settle();
            assert_eq!(lagg.ifp.baudrate(), 11_000_000_000);
            assert_eq!(lagg.ifp.link_state(), LinkState::Up);
            lagg.set_protocol(proto::FAILOVER).unwrap();
            host::settle();
            assert_eq!(lagg.ifp.baudrate(), 1_000_000_000);
        }
    });
}

/// `-use_flowid` turns `use_numa` off too.
#[test]
fn f01_clearing_one_option_leaves_the_other() {
    lab(|| {
        let cards = cards(1);
        let lagg = lagg_with(&cards, proto::LOADBALANCE);
        for opts in [opt::USE_FLOWID, -opt::USE_FLOWID] {
            lagg.set_options(OptionsRequest { opts, ..OptionsRequest::default() }).unwrap();
        }
        assert_eq!(lagg.options().unwrap().opts, opt::USE_NUMA);
    });
}

/// C lagg accepts a shift that no processor can do.
#[test]
fn f02_a_flowid_shift_is_checked() {
    lab(|| {
        let cards = cards(1);
        let lagg = lagg_with(&cards, proto::LOADBALANCE);
        for flowid_shift in [-1, 32, i32::MAX, i32::MIN] {
            let opts = opt::FLOWIDSHIFT;
            let request = OptionsRequest { opts, flowid_shift, ..OptionsRequest::default() };
            assert_eq!(lagg.set_options(request), Err(Errno::EINVAL));
        }
        assert_eq!(lagg.options().unwrap().flowid_shift, 16);
    });
}

/// In C lagg new laggs take such a shift from the sysctl.
#[test]
fn f02_the_default_flowid_shift_is_checked() {
    lab(|| {
        let set = |use_flowid, use_numa, flowid_shift| {
            let lacp_strict = true;
            let defaults =
                Defaults { use_flowid, use_numa, flowid_shift, lacp_strict, ..Defaults::USUAL };
            host::Vnet::current().set_defaults(defaults);
            let options = lagg().options().unwrap();
            (options.opts, options.flowid_shift)
        };
        assert_eq!(set(true, false, 4), (opt::USE_FLOWID, 4));
        assert_eq!(set(false, true, 31), (opt::USE_NUMA, 31));
        assert_eq!(set(true, true, 32), (opt::USE_FLOWID | opt::USE_NUMA, 16));
        assert_eq!(set(false, false, -1), (0, 16));
    });
}

/// C lagg leaves in the number of ports what the caller had there.
#[test]
fn f03_the_number_of_ports_is_returned() {
    lab(|| {
        let cards = cards(3);
        let lagg = lagg_with(&cards, proto::LOADBALANCE);
        assert_eq!(lagg.options().unwrap().count, 3);
    });
}

/// C lagg looks for a tag after the place where it is.
#[test]
fn f30_tagged_flows_are_spread_and_stay() {
    lab(|| {
        let cards = cards(4);
        let lagg = lagg_with(&cards, proto::LOADBALANCE);
        let tagged = |n| {
            let mut frame = flow(n);
            frame.splice(12..12, [0x81, 0, 0, 5]);
            // The IP checksum, which C takes for the tag.
            let at = 14 + 4 + 10;
            frame[at..at + 2].copy_from_slice(&n.to_be_bytes());
            frame
        };
        let place = |frame: &[u8]| {
            lagg.send(frame).unwrap();
            sent(&cards).iter().position(|&count| count == 1).unwrap()
        };
        lagg.set_hash(hash::L2).unwrap();
        let by_link: Vec<_> = (0..50).map(|n| place(&tagged(n))).collect();
        assert!(by_link.iter().all(|place| *place == by_link[0]), "no layer 2 in the checksum");
        lagg.set_hash(hash::L4).unwrap();
        let by_ports: Vec<_> = (0..50).map(|n| place(&tagged(n))).collect();
        assert!(by_ports.iter().any(|place| *place != by_ports[0]));
    });
}
