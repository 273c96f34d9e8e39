//! Numbered datagrams from one namespace to another, and which of them are lost.

use std::fmt::{Debug, Formatter};
use std::net::{SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use crate::lab::{inside, until};

/// The time between two datagrams.
const PACE: Duration = Duration::from_micros(500);
/// The time without a datagram after which the flow has ended.
const SILENCE: Duration = Duration::from_secs(1);

/// A running flow of datagrams.
pub struct Flow {
    sent: Arc<AtomicU64>,
    received: Arc<Mutex<Vec<u64>>>,
    stop: Arc<AtomicBool>,
    sender: JoinHandle<()>,
    receiver: JoinHandle<()>,
}

/// The result of a flow.
pub struct Report {
    pub sent: u64,
    /// The numbers of lost datagrams.
    pub lost: Vec<u64>,
    /// How many arrived more than once.
    pub duplicates: usize,
}

impl Flow {
    /// Starts a flow, and returns when datagrams come through.
    pub fn start(from: (&str, &'static str), to: (&str, &'static str)) -> Flow {
        let socket = inside(to.0, move || UdpSocket::bind((to.1, 0)).unwrap()).join().unwrap();
        socket.set_read_timeout(Some(SILENCE)).unwrap();
        // Datagrams that wait here because the machine is busy must not be lost.
        setsockopt(&socket, sockopt::RcvBufForce, &(8 << 20)).unwrap();
        let target = socket.local_addr().unwrap();

        let received = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let receiver = {
            let (received, stop) = (received.clone(), stop.clone());
            thread::spawn(move || take_in(&socket, &received, &stop))
        };
        let source = inside(from.0, move || UdpSocket::bind((from.1, 0)).unwrap()).join().unwrap();
        let sender = {
            let (sent, stop) = (sent.clone(), stop.clone());
            thread::spawn(move || send(&source, target, &sent, &stop))
        };
        let flow = Flow { sent, received, stop, sender, receiver };
        flow.goes_on();
        flow
    }

    /// The number of datagrams sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// The number after the last one that has arrived. All that are sent from this one on are in flight.
    pub fn arrived(&self) -> u64 {
        self.received.lock().unwrap().last().map_or(0, |last| last + 1)
    }

    /// Waits until datagrams that are sent from now on have arrived.
    pub fn goes_on(&self) {
        let from = self.sent() + 100;
        until("datagrams come through", || {
            self.received.lock().unwrap().last().is_some_and(|last| *last > from)
        });
    }

    /// Ends the flow.
    pub fn finish(self) -> Report {
        self.stop.store(true, Ordering::SeqCst);
        self.sender.join().unwrap();
        self.receiver.join().unwrap();
        let sent = self.sent.load(Ordering::SeqCst);
        let mut received = self.received.lock().unwrap().clone();
        received.sort_unstable();
        let all = received.len();
        received.dedup();
        // The first ones may have been lost waiting for ARP.
        let first = received[0];
        let lost = (first..sent).filter(|number| received.binary_search(number).is_err()).collect();
        Report { sent, lost, duplicates: all - received.len() }
    }
}

impl Report {
    /// How many of these were lost.
    fn lost_in(&self, window: &RangeInclusive<u64>) -> usize {
        self.lost.iter().filter(|number| window.contains(number)).count()
    }
}

/// On one line, however many are lost.
impl Debug for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Report { sent, lost, duplicates } = self;
        let runs = lost.chunk_by(|a, b| a + 1 == *b).map(|run| run[0]..=run[run.len() - 1]);
        let runs: Vec<_> = runs.collect();
        write!(f, "{sent} sent, {duplicates} duplicates, {} lost: {runs:?}", lost.len())
    }
}

/// Flows in both directions, while something changes at times.
pub struct Flows {
    flows: [Flow; 2],
    /// What was in flight during each change, out and back.
    changes: Vec<[RangeInclusive<u64>; 2]>,
}

impl Flows {
    /// Starts the flows: from `near` to `far`, and back.
    pub fn start(near: (&str, &'static str), far: (&str, &'static str)) -> Flows {
        let flows = [Flow::start(near, far), Flow::start(far, near)];
        Flows { flows, changes: Vec::new() }
    }

    /// Makes a change while the flows run, and waits until they arrive again.
    pub fn during(&mut self, change: impl FnOnce()) {
        let arrived = self.flows.each_ref().map(Flow::arrived);
        change();
        self.flows.iter().for_each(Flow::goes_on);
        let [out, back] = self.flows.each_ref().map(Flow::sent);
        self.changes.push([arrived[0]..=out, arrived[1]..=back]);
    }

    /// Ends the flows. Returns how many datagrams were lost in each change, out and back, and how many at
    /// other times.
    pub fn finish(self) -> (Vec<[usize; 2]>, usize) {
        let [out, back] = self.flows.map(Flow::finish);
        eprintln!("out: {out:?}\nback: {back:?}\nchanges: {:?}", self.changes);
        assert_eq!(out.duplicates + back.duplicates, 0);
        let lost = |change: &[_; 2]| [out.lost_in(&change[0]), back.lost_in(&change[1])];
        let others = [&out, &back].into_iter().enumerate().map(|(way, report)| {
            let other = |number: &&u64| !self.changes.iter().any(|c| c[way].contains(number));
            report.lost.iter().filter(other).count()
        });
        (self.changes.iter().map(lost).collect(), others.sum())
    }
}

fn send(socket: &UdpSocket, target: SocketAddr, sent: &AtomicU64, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        let number = sent.load(Ordering::SeqCst);
        // A datagram that Linux refuses does not count as sent.
        if socket.send_to(&number.to_be_bytes(), target).is_ok() {
            sent.store(number + 1, Ordering::SeqCst);
        }
        thread::sleep(PACE);
    }
}

fn take_in(socket: &UdpSocket, received: &Mutex<Vec<u64>>, stop: &AtomicBool) {
    let mut number = [0; 8];
    loop {
        match socket.recv(&mut number) {
            Ok(8) => received.lock().unwrap().push(u64::from_be_bytes(number)),
            Ok(_) => {}
            Err(_) if stop.load(Ordering::SeqCst) => return,
            Err(_) => {}
        }
    }
}
