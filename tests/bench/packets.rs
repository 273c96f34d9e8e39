//! What a packet costs, for callgrind to count. tests/bench/run parses the output and uses [`mark`].

mod lab;
mod reference;

use lab::{BATCH, COUNTS, FLOWS, KINDS, Kind, Lagg, PROTOCOLS, give_back, run};
use lagg_rs::kpi::{Epoch, Mbuf};
use reference::Reference;

/// Packets that are counted.
const PACKETS: usize = 16 * BATCH;

/// callgrind writes its counts when this is called, and starts again.
#[inline(never)]
fn mark() {
    std::hint::black_box(());
}

fn measure(case: &str, each: impl Fn(Mbuf, &Epoch) + Sync) {
    // Warms the caches.
    run(PACKETS / 2, &each);
    mark();
    run(PACKETS, &each);
    mark();
    println!("{case} {PACKETS}");
}

fn transmit(lagg: &Lagg, protocol: (&str, u32), kind: &Kind) {
    let (count, reference) = (lagg.ports.len(), Reference::new(lagg, protocol.1));
    let case = |way: &str| format!("{way} transmit {} {count} {}", protocol.0, kind.name);
    kind.pocket(FLOWS);
    measure(&case("bare"), |m, epoch| lagg.ports[0].ifp().transmit(m, epoch).unwrap());
    measure(&case("c"), |m, epoch| reference.transmit(m, epoch));
    measure(&case("ours"), |m, epoch| lagg.transmit(m, epoch));
}

fn input(lagg: &Lagg, protocol: (&str, u32), kind: &Kind) {
    let (count, reference) = (lagg.ports.len(), Reference::new(lagg, protocol.1));
    let case = |way: &str| format!("{way} input {} {count} {}", protocol.0, kind.name);
    kind.pocket(FLOWS);
    measure(&case("bare"), |m, _| give_back(m));
    measure(&case("c"), |m, epoch| reference.input(m, epoch));
    measure(&case("ours"), |m, epoch| lagg.input(m, epoch));
}

fn main() {
    for count in COUNTS {
        let lagg = Lagg::new(count);
        for protocol in PROTOCOLS {
            lagg.set_protocol(protocol.1);
            for kind in &KINDS {
                transmit(&lagg, protocol, kind);
                input(&lagg, protocol, kind);
            }
        }
    }
}
