//! Cables that can be cut without either end noticing, as with a media converter in between.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::lab::{Lab, inside, lay, must, run, set};
use crate::packet::{Buffer, PacketSocket};

/// Carries the frames of a lab's cables.
pub struct Converters {
    namespace: String,
    /// By card.
    cut: Vec<Arc<AtomicBool>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Converters {
    /// Connects the cards of a lab without cables.
    pub fn new(lab: &Lab, cards: usize) -> Converters {
        let namespace = format!("{}.converters", lab.near);
        must(&format!("ip netns add {namespace}"));
        set(&namespace, "ipv6/conf/all/disable_ipv6", "1");
        set(&namespace, "ipv6/conf/default/disable_ipv6", "1");
        let cut: Vec<Arc<AtomicBool>> = (0..cards).map(|_| Arc::default()).collect();
        let mut converters = Converters { namespace, cut, stop: Arc::default(), threads: vec![] };
        for card in 0..cards {
            converters.convert(lab, card);
        }
        converters
    }

    fn convert(&mut self, lab: &Lab, card: usize) {
        let Converters { namespace, .. } = &*self;
        lay(card, &lab.near, namespace);
        lay(card, namespace, &lab.far);
        let [near, far] = ["port", "em"].map(|end| {
            let name = format!("{end}{card}");
            must(&format!("ip -n {namespace} link set {name} up"));
            let index = lab.index(namespace, &name);
            let open = move || PacketSocket::open(&name, index).unwrap();
            Arc::new(inside(namespace, open).join().unwrap())
        });
        for (from, to) in [(near.clone(), far.clone()), (far, near)] {
            let (cut, stop) = (self.cut[card].clone(), self.stop.clone());
            self.threads.push(std::thread::spawn(move || carry(&from, &to, &cut, &stop)));
        }
    }

    /// Stops the frames of a card, or lets them pass again.
    pub fn cut(&self, card: usize, cut: bool) {
        self.cut[card].store(cut, Ordering::SeqCst);
    }
}

fn carry(from: &PacketSocket, to: &PacketSocket, cut: &AtomicBool, stop: &AtomicBool) {
    let mut buffer = Buffer::new();
    while !stop.load(Ordering::SeqCst) {
        let mut fds = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
        // Checks a few times a second whether to stop.
        let _ = poll(&mut fds, PollTimeout::from(100_u8));
        let mut pass = |frame: &[u8]| {
            if !cut.load(Ordering::SeqCst) {
                // The other end accepts nothing while it is down.
                let _ = to.send(frame);
            }
        };
        while let Ok(true) = from.receive(&mut buffer, &mut pass) {}
    }
}

impl Drop for Converters {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        run(&format!("ip netns del {}", self.namespace));
    }
}
