//! The data path: which port sends, and which frames are accepted.

use std::sync::{Arc, Mutex};

use lagg_rs::kpi::host;
use lagg_rs::kpi::ioctl::proto;
use lagg_rs::kpi::{Counter, Errno, LinkState, Mbuf, iff};

use crate::lab::{Card, Lagg, card, flags, frame, lab, lagg, lagg_of};

/// The frames that the lagg has received since the last call.
struct Received(Arc<Mutex<Vec<Vec<u8>>>>);

impl Received {
    fn by(lagg: &Lagg) -> Self {
        let frames = Arc::new(Mutex::new(Vec::new()));
        let keep = frames.clone();
        host::set_input(&lagg.ifp, move |m| keep.lock().unwrap().push(m.to_bytes()));
        Received(frames)
    }

    fn take(&self) -> usize {
        std::mem::take(&mut *self.0.lock().unwrap()).len()
    }
}

fn sent(cards: &[&Card]) -> Vec<usize> {
    cards.iter().map(|card| card.sent()).collect()
}

#[test]
fn failover_sends_on_the_primary_then_on_others_as_they_were_added() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        // em2 is the primary: it joins first.
        let lagg = lagg_of(&[&b, &a, &c]);
        let all = [&a, &b, &c];
        lagg.send(&frame(0)).unwrap();
        assert_eq!(sent(&all), [0, 1, 0]);
        b.link(LinkState::Down);
        lagg.send(&frame(0)).unwrap();
        assert_eq!(sent(&all), [1, 0, 0], "the second to join");
        flags("em1", 0).unwrap();
        lagg.send(&frame(0)).unwrap();
        assert_eq!(sent(&all), [0, 0, 1], "the third");
        c.link(LinkState::Unknown);
        let errors = lagg.ifp.counter(Counter::Oerrors);
        assert_eq!(lagg.send(&frame(0)), Err(Errno::ENETDOWN));
        assert_eq!(lagg.ifp.counter(Counter::Oerrors), errors + 1);
        assert_eq!(sent(&all), [0, 0, 0]);
        b.link(LinkState::Up);
        lagg.send(&frame(0)).unwrap();
        assert_eq!(sent(&all), [0, 1, 0]);
    });
}

#[test]
fn a_frame_is_sent_as_it_is_and_its_error_returned() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        lagg.send(&frame(7)).unwrap();
        assert_eq!(a.nic.take_sent(), [frame(7)]);
        a.nic.refuse_transmit(Some(Errno::ENOBUFS));
        assert_eq!(lagg.send(&frame(8)), Err(Errno::ENOBUFS));
    });
}

#[test]
fn without_ports_nothing_is_sent() {
    lab(|| {
        let lagg = lagg();
        lagg.up();
        assert_eq!(lagg.send(&frame(0)), Err(Errno::ENXIO));
        assert_eq!(lagg.ifp.counter(Counter::Oerrors), 1);
    });
}

#[test]
fn failover_takes_in_from_the_primary_and_its_stand_in() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        let lagg = lagg_of(&[&a, &b, &c]);
        let received = Received::by(&lagg);
        let from_each = || {
            [&a, &b, &c].map(|card| {
                card.receive(&frame(0));
                received.take()
            })
        };
        assert_eq!(from_each(), [1, 0, 0]);
        a.link(LinkState::Down);
        assert_eq!(from_each(), [1, 1, 0], "a primary without link, and the port that stands in");
        b.link(LinkState::Down);
        assert_eq!(from_each(), [1, 0, 1]);
        c.link(LinkState::Down);
        assert_eq!(from_each(), [1, 1, 1], "no port is active");
        a.link(LinkState::Up);
        host::Vnet::current().set_failover_rx_all(true);
        assert_eq!(from_each(), [1, 1, 1]);
    });
}

#[test]
fn what_is_taken_in_is_the_laggs() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let receivers = Arc::new(Mutex::new(Vec::new()));
        let keep = receivers.clone();
        host::set_input(&lagg.ifp, move |m: Mbuf| {
            keep.lock().unwrap().push(m.receiver_index());
        });
        let capture = host::capture(&lagg.ifp);
        a.receive(&frame(3));
        assert_eq!(*receivers.lock().unwrap(), [lagg.ifp.index()]);
        assert_eq!(capture.take(), [frame(3)]);
        lagg.send(&frame(4)).unwrap();
        assert_eq!(capture.take(), [frame(4)]);
        flags(&lagg.name, iff::UP | iff::MONITOR).unwrap();
        a.receive(&frame(5));
        assert_eq!(capture.take(), [frame(5)]);
        assert_eq!(receivers.lock().unwrap().len(), 1, "a monitor passes nothing on");
    });
}

#[test]
fn a_lagg_that_is_down_takes_nothing_in() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let received = Received::by(&lagg);
        lagg.down();
        flags("em1", iff::UP).unwrap();
        a.receive(&frame(0));
        assert_eq!(received.take(), 0);
        lagg.up();
        a.receive(&frame(0));
        assert_eq!(received.take(), 1);
    });
}

#[test]
fn none_neither_sends_nor_takes_in() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let received = Received::by(&lagg);
        lagg.set_protocol(proto::NONE).unwrap();
        assert_eq!(lagg.send(&frame(0)), Err(Errno::ENETDOWN));
        a.receive(&frame(0));
        assert_eq!((a.sent(), received.take()), (0, 0));
        lagg.set_protocol(proto::FAILOVER).unwrap();
        lagg.send(&frame(0)).unwrap();
        a.receive(&frame(0));
        assert_eq!((a.sent(), received.take()), (1, 1));
    });
}

#[test]
fn on_a_port_itself_only_raw_frames_are_sent() {
    const AF_UNSPEC: u8 = 0;
    const AF_INET: u8 = 2;
    const PSEUDO_AF_HDRCMPLT: u8 = 31;
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let output = |family| host::output(&a.ifp, family, Mbuf::from_bytes(&frame(0)));
        assert_eq!(output(AF_INET), Err(Errno::ENETDOWN));
        assert_eq!(a.sent(), 0);
        output(AF_UNSPEC).unwrap();
        output(PSEUDO_AF_HDRCMPLT).unwrap();
        assert_eq!(a.sent(), 2);
        lagg.remove("em1").unwrap();
        output(AF_INET).unwrap();
        assert_eq!(a.sent(), 1);
    });
}
