//! Two threads that send, or receive, through one lagg, for lackey to trace what they read and write.
//! tests/bench/run parses the output and uses [`mark`].

#[allow(dead_code)]
mod lab;
mod reference;

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use lab::{BATCH, KINDS, Lagg, PROTOCOLS, run};
use lagg_rs::kpi::{Epoch, Mbuf};
use reference::Reference;

static MARK: AtomicU32 = AtomicU32::new(0);

/// Two stores to [`MARK`] enclose what is measured.
fn mark() {
    // One instruction that only stores.
    MARK.store(1, Ordering::Release);
}

fn trace(each: &(impl Fn(Mbuf, &Epoch) + Sync), then: impl FnOnce() + Send) {
    let one = || {
        KINDS[0].pocket(BATCH);
        // Twice, so that by then the other thread only waits.
        for _ in 0..2 {
            run(BATCH, each);
            thread::yield_now();
        }
        mark();
        run(BATCH, each);
        mark();
        then();
    };
    thread::scope(|scope| scope.spawn(one).join().unwrap());
}

/// The threads run one after the other, but the first stays alive, with its own memory.
fn measure(case: &str, each: impl Fn(Mbuf, &Epoch) + Sync) {
    trace(&each, || trace(&each, || ()));
    println!("{case}");
}

fn main() {
    println!("{:x}", MARK.as_ptr().addr());
    let lagg = Lagg::new(2);
    for (name, number) in PROTOCOLS {
        lagg.set_protocol(number);
        let reference = Reference::new(&lagg, number);
        measure(&format!("c transmit {name}"), |m, epoch| reference.transmit(m, epoch));
        measure(&format!("ours transmit {name}"), |m, epoch| lagg.transmit(m, epoch));
        measure(&format!("c input {name}"), |m, epoch| reference.input(m, epoch));
        measure(&format!("ours input {name}"), |m, epoch| lagg.input(m, epoch));
    }
}
