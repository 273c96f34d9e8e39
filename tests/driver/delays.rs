//! up_delay and down_delay: a link that comes or goes counts only after a while.

use lagg_rs::kpi::host::{self, Vnet};
use lagg_rs::kpi::ioctl::port::ACTIVE;
use lagg_rs::kpi::ioctl::proto;
use lagg_rs::kpi::{Defaults, Driver, LinkState, Module, epoch, iff};

use crate::lab::{
    Card, Lagg, PROTOCOLS, card, flags, frame, lab, lagg, lagg_of, pass, without_memory,
};

/// How many of these 100 flows each card sends.
fn sent(lagg: &Lagg, cards: &[&Card]) -> Vec<usize> {
    host::settle();
    cards.iter().for_each(|card| _ = card.sent());
    for flow in 0..100 {
        let mut frame = frame(flow);
        // Not broadcast, so that it has a flow of its own.
        frame[0] = 2;
        frame[5] = flow;
        let _ = lagg.send(&frame);
    }
    cards.iter().map(|card| card.sent()).collect()
}

/// Which of the cards send.
fn who(lagg: &Lagg, cards: &[&Card]) -> Vec<bool> {
    sent(lagg, cards).into_iter().map(|sent| sent > 0).collect()
}

#[track_caller]
fn link(lagg: &Lagg, expected: LinkState) {
    assert_eq!(lagg.ifp.link_state(), expected);
    let softc = lagg.softc();
    let is_active = epoch::section(|epoch| Module::media_active(&softc, epoch));
    assert_eq!(is_active, expected == LinkState::Up);
}

/// All protocols that use several ports at once, and do not negotiate.
const SPREADING: [u32; 3] = [proto::ROUNDROBIN, proto::LOADBALANCE, proto::BROADCAST];

#[test]
fn a_link_that_comes_counts_after_up_delay() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let (lagg, cards) = (lagg_of(&[&a, &b]), [&a, &b]);
        lagg.set("up_delay", "5000").unwrap();
        assert_eq!(who(&lagg, &cards), [true, false], "what is up has been up");
        a.link(LinkState::Down);
        assert_eq!(who(&lagg, &cards), [false, true]);
        a.link(LinkState::Up);
        pass(4_999);
        assert_eq!(who(&lagg, &cards), [false, true]);
        assert_eq!(lagg.port("em1").unwrap().flags & ACTIVE, 0);
        pass(1);
        assert_eq!(who(&lagg, &cards), [true, false]);
        // A link that goes meanwhile begins anew.
        a.link(LinkState::Down);
        a.link(LinkState::Up);
        pass(3_000);
        a.link(LinkState::Down);
        pass(1_000);
        a.link(LinkState::Up);
        pass(4_999);
        assert_eq!(who(&lagg, &cards), [false, true]);
        pass(1);
        assert_eq!(who(&lagg, &cards), [true, false]);
        lagg.set("active", "em2").unwrap();
        a.link(LinkState::Down);
        a.link(LinkState::Up);
        lagg.set("active", "em1").unwrap_err();
        lagg.set("up_delay", "0").unwrap();
        lagg.set("active", "em1").unwrap();
    });
}

#[test]
fn a_port_that_waits_is_not_in_service() {
    for protocol in SPREADING {
        lab(|| {
            let (a, b, c) = (card(1), card(2), card(3));
            let (lagg, cards) = (lagg_of(&[&a, &b, &c]), [&a, &b, &c]);
            lagg.set_protocol(protocol).unwrap();
            lagg.set("up_delay", "1000").unwrap();
            lagg.set("min_links", "3").unwrap();
            assert_eq!(who(&lagg, &cards), [true; 3]);
            link(&lagg, LinkState::Up);
            for (place, card) in cards.iter().enumerate() {
                card.link(LinkState::Down);
                card.link(LinkState::Up);
                let waits: Vec<_> = (0..3).map(|there| there != place).collect();
                assert_eq!(who(&lagg, &cards), waits, "{protocol}");
                link(&lagg, LinkState::Down);
                let active = lagg.port(&card.name()).unwrap().flags & ACTIVE;
                assert_eq!(active, 0);
                pass(1_000);
                assert_eq!(who(&lagg, &cards), [true; 3]);
                link(&lagg, LinkState::Up);
            }
        });
    }
}

/// roundrobin's turns are spread evenly over the ports that do not wait.
#[test]
fn the_others_have_its_turns() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        let (lagg, cards) = (lagg_of(&[&a, &b, &c]), [&a, &b, &c]);
        lagg.set_protocol(proto::ROUNDROBIN).unwrap();
        lagg.set("up_delay", "1000").unwrap();
        a.link(LinkState::Down);
        a.link(LinkState::Up);
        assert_eq!(sent(&lagg, &cards), [0, 50, 50]);
        // The plan that a packet in flight has when the last of those that do not wait goes down.
        let plan = lagg.softc().plan_ref();
        c.link(LinkState::Down);
        let turn = plan.at(1).unwrap();
        let chosen = lagg_rs::policy::roundrobin::select(&*plan, Some(turn)).unwrap();
        assert!(chosen.ifp().same(&b.ifp));
    });
}

#[test]
fn a_port_does_not_wait_if_it_is_the_only_one() {
    for protocol in PROTOCOLS.into_iter().filter(|p| ![proto::NONE, proto::LACP].contains(p)) {
        lab(|| {
            let (a, b) = (card(1), card(2));
            a.link(LinkState::Down);
            b.link(LinkState::Down);
            let (lagg, cards) = (lagg(), [&a, &b]);
            lagg.set_protocol(protocol).unwrap();
            lagg.set("up_delay", "60000").unwrap();
            lagg.up();
            lagg.add("em1").unwrap();
            lagg.add("em2").unwrap();
            pass(1_000);
            link(&lagg, LinkState::Down);
            b.link(LinkState::Up);
            assert_eq!(who(&lagg, &cards), [false, true]);
            link(&lagg, LinkState::Up);
            pass(10_000);
            a.link(LinkState::Up);
            pass(30_000);
            assert_eq!(who(&lagg, &cards), [false, true], "{protocol}");
            // The other one goes.
            b.link(LinkState::Down);
            assert_eq!(who(&lagg, &cards), [true, false]);
            link(&lagg, LinkState::Up);
            b.link(LinkState::Up);
            assert_eq!(who(&lagg, &cards), [true, false]);
            lagg.remove("em1").unwrap();
            assert_eq!(who(&lagg, &[&b]), [true]);
            link(&lagg, LinkState::Up);
        });
    }
}

/// Until there is another plan, packets take a port that waits rather than none.
#[test]
fn a_packet_in_flight_takes_what_there_is() {
    for protocol in [proto::FAILOVER, proto::ROUNDROBIN, proto::LOADBALANCE] {
        lab(|| {
            let (a, b) = (card(1), card(2));
            let lagg = lagg_of(&[&a, &b]);
            lagg.set_protocol(protocol).unwrap();
            lagg.set("up_delay", "1000").unwrap();
            b.link(LinkState::Down);
            b.link(LinkState::Up);
            let plan = lagg.softc().plan_ref();
            a.link(LinkState::Down);
            let m = lagg_rs::kpi::Mbuf::from_bytes(&frame(0));
            let chosen = plan.protocol().select(plan.at(0), &*plan, &m).unwrap();
            assert!(chosen.ifp().same(&b.ifp), "{protocol}");
        });
    }
}

#[test]
fn a_link_that_goes_counts_after_down_delay_and_gets_no_packets_meanwhile() {
    for protocol in SPREADING.into_iter().chain([proto::FAILOVER]) {
        lab(|| {
            let (a, b) = (card(1), card(2));
            let (lagg, cards) = (lagg_of(&[&a, &b]), [&a, &b]);
            lagg.set_protocol(protocol).unwrap();
            lagg.set("down_delay", "2000").unwrap();
            lagg.set("min_links", "2").unwrap();
            let before = who(&lagg, &cards);
            a.link(LinkState::Down);
            assert_eq!(who(&lagg, &cards), [false, true], "{protocol}");
            link(&lagg, LinkState::Up);
            pass(1_999);
            assert_eq!(who(&lagg, &cards), [false, true]);
            link(&lagg, LinkState::Up);
            pass(1);
            assert_eq!(who(&lagg, &cards), [false, true]);
            link(&lagg, LinkState::Down);
            a.link(LinkState::Up);
            assert_eq!(who(&lagg, &cards), before);
            link(&lagg, LinkState::Up);
            // A moment does not count.
            a.link(LinkState::Down);
            pass(1_500);
            a.link(LinkState::Up);
            pass(1_500);
            link(&lagg, LinkState::Up);
            assert_eq!(who(&lagg, &cards), before);
            // All of them.
            a.link(LinkState::Down);
            b.link(LinkState::Down);
            assert_eq!(who(&lagg, &cards), [false, false]);
            link(&lagg, LinkState::Up);
            pass(2_000);
            link(&lagg, LinkState::Down);
        });
    }
}

#[test]
fn failover_goes_elsewhere_for_good_after_down_delay() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let (lagg, cards) = (lagg_of(&[&a, &b]), [&a, &b]);
        lagg.set("primary_reselect", "failure").unwrap();
        lagg.set("down_delay", "1000").unwrap();
        a.link(LinkState::Down);
        assert_eq!(who(&lagg, &cards), [false, true]);
        a.link(LinkState::Up);
        assert_eq!(who(&lagg, &cards), [true, false], "it has not failed");
        a.link(LinkState::Down);
        pass(1_000);
        a.link(LinkState::Up);
        assert_eq!(who(&lagg, &cards), [false, true], "it has");
    });
}

/// What an administrator does to a port, and what the lagg does to all, is no link.
#[test]
fn a_port_that_is_taken_down_counts_as_down_at_once() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let (lagg, cards) = (lagg_of(&[&a, &b]), [&a, &b]);
        lagg.set_protocol(proto::ROUNDROBIN).unwrap();
        lagg.set("down_delay", "60000").unwrap();
        lagg.set("up_delay", "60000").unwrap();
        lagg.set("min_links", "2").unwrap();
        flags("em1", 0).unwrap();
        assert_eq!(who(&lagg, &cards), [false, true]);
        link(&lagg, LinkState::Down);
        flags("em1", iff::UP).unwrap();
        assert_eq!(who(&lagg, &cards), [false, true]);
        pass(60_000);
        assert_eq!(who(&lagg, &cards), [true, true]);
        lagg.down();
        pass(1_000);
        lagg.up();
        assert_eq!(who(&lagg, &cards), [true, true], "their links have stayed");
        link(&lagg, LinkState::Up);
    });
}

/// A slot's next port has links of its own.
#[test]
fn a_new_port_waits() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        let lagg = lagg_of(&[&a, &b]);
        lagg.set_protocol(proto::ROUNDROBIN).unwrap();
        lagg.set("up_delay", "1000").unwrap();
        lagg.remove("em2").unwrap();
        lagg.add("em3").unwrap();
        assert_eq!(who(&lagg, &[&a, &c]), [true, false]);
        pass(1_000);
        assert_eq!(who(&lagg, &[&a, &c]), [true, true]);
    });
}

#[test]
fn lacp_has_timers_of_its_own() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        lagg.set("up_delay", "1000").unwrap();
        lagg.set_protocol(proto::LACP).unwrap();
        assert_eq!(lagg.softc().plan_ref().counted(), None);
        lagg.set_protocol(proto::FAILOVER).unwrap();
        assert_eq!(lagg.softc().plan_ref().counted(), Some(2));
        lagg.set("up_delay", "0").unwrap();
        assert_eq!(lagg.softc().plan_ref().counted(), None);
    });
}

#[test]
fn delays_begin_with_the_defaults_of_the_vnet() {
    lab(|| {
        for (default, expected) in [(1500, "1500"), (-1, "0"), (300_001, "0"), (300_000, "300000")]
        {
            let defaults = Defaults { up_delay: default, down_delay: default, ..Defaults::USUAL };
            Vnet::current().set_defaults(defaults);
            let lagg = lagg();
            for name in ["up_delay", "down_delay"] {
                assert_eq!(lagg.setting(name).unwrap(), expected);
            }
        }
        Vnet::current().set_defaults(Defaults { up_delay: 1000, ..Defaults::USUAL });
        let (a, b) = (card(1), card(2));
        let (lagg, cards) = (lagg_of(&[&a, &b]), [&a, &b]);
        lagg.set_protocol(proto::ROUNDROBIN).unwrap();
        assert_eq!(who(&lagg, &cards), [true, false]);
        pass(1_000);
        assert_eq!(who(&lagg, &cards), [true, true]);
        without_memory(|| lagg.set("up_delay", "7"));
    });
}
