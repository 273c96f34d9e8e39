//! LACP keeps time, whatever a lagg waits for: the same one or another. Time passes here without a wait for
//! the tasks to end, because some do not.

use std::cell::Cell;
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread;

use lagg_rs::kpi::host::testing::TRANSMIT;
use lagg_rs::kpi::host::{self, Vnet, exhaust_memory};
use lagg_rs::kpi::ioctl::{OptionsRequest, SIOCSIFMTU, opt, proto};
use lagg_rs::kpi::{LinkState, Mbuf, epoch};
use lagg_rs::lacp::receive::SHORT_TIMEOUT;
use lagg_rs::wire::lacpdu::{Lacpdu, StateBits};

use crate::lab::{Card, Lagg, card, flags, lab, lagg, mtu, pass_with, spawn, until};
use crate::pair::Pair;

/// Seconds for which something blocks: many short timeouts.
const SECONDS: u32 = 12;

/// Two laggs with the short timeout, connected by two links between cards from `em<first>` on.
fn pair(first: u8) -> Pair {
    let wires: Vec<_> = (first..first + 2).map(|n| (card(n), card(100 + n))).collect();
    let (left, right) = (lagg(), lagg());
    for (lagg, left_side) in [(&left, true), (&right, false)] {
        lagg.set_protocol(proto::LACP).unwrap();
        lagg.set_options(OptionsRequest { opts: opt::LACP_FAST_TIMO, ..OptionsRequest::default() })
            .unwrap();
        for (a, b) in &wires {
            lagg.add(&if left_side { a } else { b }.name()).unwrap();
        }
        lagg.up();
    }
    Pair { left, right, wires, lost: |_| false }
}

/// Such laggs that distribute on all their links.
fn pairs<const N: usize>() -> [Pair; N] {
    let pairs: [_; N] = std::array::from_fn(|n| pair(10 * n as u8 + 1));
    pass_with(5_000, || pairs.iter().for_each(Pair::exchange));
    for pair in &pairs {
        assert_eq!((pair.distributing(&pair.left), pair.distributing(&pair.right)), (2, 2));
    }
    pairs
}

/// How often the ports of a pair have left DISTRIBUTING.
fn flaps(pair: &Pair) -> u32 {
    let of = |lagg: &Lagg| lagg.options().unwrap().flapping;
    of(&pair.left) + of(&pair.right)
}

/// Takes the link of a wire down, without a wait for what that causes.
fn cut((a, b): &(Card, Card)) {
    host::set_link(&a.ifp, LinkState::Down);
    host::set_link(&b.ifp, LinkState::Down);
}

/// A second and a tenth passes while so many LACP tasks are stuck. The others do not run all the time.
fn second(stuck: usize) {
    let wakings = Cell::new(0);
    pass_with(1_100, || {
        wakings.set(wakings.get() + 1);
        host::settle_lacp(stuck);
    });
    assert!(wakings.get() < 100, "the LACP tasks spin: {wakings:?} times in a second");
}

/// Lets time pass while something blocks, and so many LACP tasks are stuck. Each second each card sends
/// LACPDUs, which arrive. They may be a tenth of a second late.
fn keeps_time<'a>(stuck: usize, wires: impl Iterator<Item = &'a (Card, Card)> + Clone) {
    for _ in 0..SECONDS {
        second(stuck);
        for (a, b) in wires.clone() {
            for (from, to) in [(a, b), (b, a)] {
                assert_ne!(carry(from, to), 0, "{} is silent", from.name());
            }
        }
    }
}

/// Carries what was sent. Returns how many frames that was.
fn carry(from: &Card, to: &Card) -> usize {
    let frames = from.nic.take_sent();
    hear(to, &frames);
    frames.len()
}

fn hear(to: &Card, frames: &[Vec<u8>]) {
    frames.iter().for_each(|frame| host::receive(&to.ifp, Mbuf::from_bytes(frame)));
}

/// Tests of which tasks are stuck would wait for each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn stuck_lab(test: impl FnOnce()) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    lab(test);
}

/// While a thread is preempted in a section of the epoch.
fn with_the_epoch_held_up(test: impl FnOnce()) {
    thread::scope(|scope| {
        let ((inside, is_inside), (leave, left)) = (channel(), channel());
        spawn(scope, move || {
            epoch::section(|_| {
                inside.send(()).unwrap();
                left.recv().unwrap();
            });
        });
        is_inside.recv().unwrap();
        test();
        leave.send(()).unwrap();
    });
}

/// A thread is preempted in a section of the epoch, so a lagg that moves flows waits.
#[test]
fn f83_lacpdus_do_not_wait_for_the_epoch() {
    stuck_lab(|| {
        let [one, other] = pairs();
        let markers = || -> u32 {
            ["em1", "em2"]
                .iter()
                .map(|port| one.left.setting(&format!("port.{port}.lacp.markers_out")).unwrap())
                .map(|number| number.parse::<u32>().unwrap())
                .sum()
        };
        let sent = markers();
        with_the_epoch_held_up(|| {
            // Its flows move, and a marker waits for the epoch.
            one.left.set("hash_symmetric", "1").unwrap();
            keeps_time(0, one.wires.iter().chain(&other.wires));
            assert_eq!(markers(), sent, "a marker has not waited");
        });
        host::settle();
        assert!(markers() > sent, "no marker waited");
        assert_eq!((flaps(&one), flaps(&other)), (0, 0));
    });
}

/// What is due waits for the protocol task, which waits for the epoch. The LACP task does not look each millisecond
/// whether it is done.
#[test]
fn f83_the_lacp_task_rests_while_the_protocol_task_waits() {
    stuck_lab(|| {
        let [one] = pairs();
        one.left.set("rebalance", "1").unwrap();
        cut(&one.wires[0]);
        host::settle();
        let (a, b) = &one.wires[0];
        a.link(LinkState::Up);
        b.link(LinkState::Up);
        with_the_epoch_held_up(|| {
            // Flows return in two seconds, and a marker waits for the epoch.
            for _ in 0..SECONDS {
                second(0);
                for (a, b) in &one.wires {
                    carry(a, b);
                    carry(b, a);
                }
            }
        });
        host::settle();
    });
}

/// A plan cannot be made, so the ports that are in service do not change.
#[test]
fn f83_lacpdus_do_not_wait_for_memory() {
    stuck_lab(|| {
        let [one, other] = pairs();
        let shortage = exhaust_memory();
        cut(&one.wires[0]);
        shortage.wait();
        keeps_time(0, one.wires.iter().skip(1).chain(&other.wires));
        drop(shortage);
        host::settle();
        assert_eq!((flaps(&one), flaps(&other)), (2, 0), "of the link that is down");
    });
}

/// While a plan cannot be made, no port says that it collects, which is not in the present one.
#[test]
fn f57_lacpdus_say_what_the_plan_does() {
    stuck_lab(|| {
        let [pair] = pairs();
        let (a, b) = &pair.wires[0];
        cut(&pair.wires[0]);
        pair.exchange();
        for card in [a, b] {
            host::set_link(&card.ifp, LinkState::Up);
        }
        host::settle();
        let shortage = exhaust_memory();
        let mut collects = false;
        for _ in 0..SECONDS {
            pass_with(1_100, || host::settle_lacp(0));
            for (from, to) in [(a, b), (b, a)] {
                let frames = from.nic.take_sent();
                for pdu in frames.iter().filter_map(|frame| Lacpdu::parse(frame).ok()) {
                    assert!(!pdu.actor.state.contains(StateBits::COLLECTING));
                }
                hear(to, &frames);
            }
            collects |= pair.left.setting("port.em1.lacp.mux").unwrap() == "COLLECTING";
        }
        assert!(collects);
        drop(shortage);
        pair.pass(5_000);
        assert_eq!((pair.distributing(&pair.left), pair.distributing(&pair.right)), (2, 2));
    });
}

/// A card does not return from sending.
#[test]
fn f83_lacpdus_do_not_wait_for_the_driver_of_another_lagg() {
    stuck_lab(|| {
        let [one, other] = pairs();
        let stuck = one.wires[0].0.nic.block(TRANSMIT);
        keeps_time(1, other.wires.iter());
        stuck.release();
        host::settle();
        assert_eq!(flaps(&other), 0);
    });
}

/// A card does not return from a change of its MTU. What else is to be done with the ports of that lagg
/// waits. Those of another one come into service.
#[test]
fn f83_a_link_comes_up_while_another_lagg_is_stuck_in_a_driver() {
    stuck_lab(|| {
        let [one, other] = pairs();
        cut(&other.wires[0]);
        other.exchange();
        let stuck = one.wires[0].0.nic.block(SIOCSIFMTU);
        let lagg = one.left.ifp.name().to_string();
        thread::scope(|scope| {
            let request = spawn(scope, || mtu(&lagg, 1_400));
            stuck.wait();
            for _ in 0..10 {
                host::set_link(&one.wires[1].0.ifp, LinkState::Down);
                host::set_link(&one.wires[1].0.ifp, LinkState::Up);
            }
            for card in [&other.wires[0].0, &other.wires[0].1] {
                host::set_link(&card.ifp, LinkState::Up);
            }
            until("both links", || {
                pass_with(100, || host::settle_lacp(0));
                for (a, b) in &other.wires {
                    carry(a, b);
                    carry(b, a);
                }
                other.distributing(&other.left) == 2
            });
            stuck.release();
            request.join().unwrap().unwrap();
        });
    });
}

/// The task that was stuck in another port's card takes the LACPDU up late. Until then the partner has not
/// timed out, and its next LACPDU is due as early as it would have been.
#[test]
fn f83_a_lacpdu_counts_from_when_it_arrived() {
    stuck_lab(|| {
        let [mut pair] = pairs();
        pair.lost = |_| true;
        let vnet = Vnet::current();
        // The last that arrive.
        let mut last = Vec::new();
        vnet.advance_to(vnet.next_callout().unwrap() + 1_000);
        host::settle();
        for (a, b) in &pair.wires {
            last.push((a.nic.take_sent(), b.nic.take_sent()));
        }
        let begin = vnet.uptime_ms();
        let end = |ms: u32| begin + u64::from(ms);
        for ((a, _), (_, from_b)) in pair.wires.iter().zip(&last) {
            hear(a, from_b);
        }
        host::settle();
        let stuck = pair.wires[0].0.nic.block(TRANSMIT);
        vnet.advance_to(end(1_000));
        stuck.wait();
        vnet.advance_to(end(SHORT_TIMEOUT - 100));
        hear(&pair.wires[1].0, &last[1].1);
        vnet.advance_to(end(SHORT_TIMEOUT + 1_000));
        stuck.release();
        host::settle();
        assert_eq!(pair.distributing(&pair.left), 1, "em2 has been heard in time");
        vnet.advance_to(end(2 * SHORT_TIMEOUT - 101));
        host::settle();
        assert_eq!(pair.distributing(&pair.left), 1);
        vnet.advance_to(end(2 * SHORT_TIMEOUT - 100));
        host::settle();
        assert_eq!(pair.distributing(&pair.left), 0, "it counts from when it arrived");
    });
}

/// An administrator takes a port down while the LACP task is late. What is due then is that task's: the partner
/// of the other port was heard in time.
#[test]
fn f85_a_port_taken_down_has_no_other_time_out() {
    stuck_lab(|| {
        let [one] = pairs();
        let vnet = Vnet::current();
        vnet.advance_to(vnet.next_callout().unwrap() + 1_000);
        host::settle();
        let (down, stays) = (&one.wires[0], &one.wires[1]);
        let heard = vnet.uptime_ms();
        let last = stays.1.nic.take_sent();
        hear(&stays.0, &last);
        host::settle();
        let stuck = down.0.nic.block(TRANSMIT);
        vnet.advance_to(heard + 1_000);
        stuck.wait();
        vnet.advance_to(heard + u64::from(SHORT_TIMEOUT) - 100);
        hear(&stays.0, &last);
        vnet.advance_to(heard + u64::from(SHORT_TIMEOUT) + 1_000);
        thread::scope(|scope| {
            let request = spawn(scope, || flags(&down.0.name(), 0));
            let is_out = || one.left.setting("port.em1.lacp.mux").unwrap() != "DISTRIBUTING";
            until("em1 is out of service", is_out);
            stuck.release();
            request.join().unwrap().unwrap();
        });
        host::settle();
        assert_eq!(one.left.setting("port.em2.lacp.mux").unwrap(), "DISTRIBUTING");
        assert_eq!(one.left.options().unwrap().flapping, 1, "em1's");
    });
}
