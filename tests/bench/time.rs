//! The time that a packet takes with one sender and with two, measured by criterion. tests/bench/run reads
//! the estimates.
//!
//! Built only with `--cfg criterion`, because criterion takes longer to build than everything else.

#[cfg(criterion)]
#[allow(dead_code)]
mod lab;
#[cfg(criterion)]
#[allow(dead_code)]
mod reference;

#[cfg(not(criterion))]
fn main() {}

#[cfg(criterion)]
fn main() {
    timed::main();
}

#[cfg(criterion)]
mod timed {
    use std::sync::Barrier;
    use std::thread;
    use std::time::{Duration, Instant};

    use criterion::{Criterion, SamplingMode};
    use lagg_rs::kpi::{Epoch, Mbuf};

    use crate::lab::{BATCH, FLOWS, KINDS, Lagg, PROTOCOLS, run};
    use crate::reference::Reference;

    /// Lets `senders` threads send `packets` packets each at the same time. Returns the time of the
    /// slowest.
    fn send(senders: usize, packets: usize, each: impl Fn(Mbuf, &Epoch) + Sync) -> Duration {
        let barrier = Barrier::new(senders);
        let sender = || {
            KINDS[0].pocket(FLOWS);
            run(16 * BATCH, &each);
            barrier.wait();
            let start = Instant::now();
            run(packets, &each);
            start.elapsed()
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..senders).map(|_| scope.spawn(sender)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
        })
    }

    fn measure(criterion: &mut Criterion, case: &str, each: impl Fn(Mbuf, &Epoch) + Sync) {
        let mut group = criterion.benchmark_group(case);
        // All samples are long enough for both threads to run.
        group.sampling_mode(SamplingMode::Flat);
        for senders in [1, 2] {
            group.bench_function(senders.to_string(), |bencher| {
                bencher.iter_custom(|packets| {
                    let batches = (packets as usize).div_ceil(BATCH);
                    send(senders, batches * BATCH, &each)
                        .mul_f64(packets as f64 / (batches * BATCH) as f64)
                });
            });
        }
    }

    pub fn main() {
        let mut criterion = Criterion::default()
            .warm_up_time(Duration::from_millis(100))
            .measurement_time(Duration::from_millis(500))
            .sample_size(100)
            .configure_from_args();
        let lagg = Lagg::new(8);
        let bare = |m: Mbuf, epoch: &Epoch| lagg.ports[0].ifp().transmit(m, epoch).unwrap();
        measure(&mut criterion, "none/bare", bare);
        for (name, number) in PROTOCOLS {
            lagg.set_protocol(number);
            let reference = Reference::new(&lagg, number);
            let case = |way: &str| format!("{name}/{way}");
            measure(&mut criterion, &case("c"), |m, epoch| reference.transmit(m, epoch));
            measure(&mut criterion, &case("ours"), |m, epoch| lagg.transmit(m, epoch));
        }
    }
}
