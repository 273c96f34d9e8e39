//! Models of cells, places and counted objects, on which the driver is built.

use std::sync::atomic::{AtomicBool as StdBool, AtomicUsize as StdUsize, Ordering as StdOrdering};

use lagg_rs::kpi::{EpochCell, EpochOption, Ref, epoch, publish_relaxed};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// Two words with the same information, which loom watches. A read that is not ordered after the write that
/// made them, and before the one that ends them, is an error.
struct Value {
    number: UnsafeCell<usize>,
    complement: UnsafeCell<usize>,
    /// Not loom's atomic, because it must order nothing.
    freed: StdBool,
    drops: std::sync::Arc<StdUsize>,
}

// SAFETY: the words are written only by `drop`, which owns the value; loom checks that.
unsafe impl Sync for Value {}

impl Value {
    fn new(number: usize, drops: &std::sync::Arc<StdUsize>) -> Self {
        Value {
            number: UnsafeCell::new(number),
            complement: UnsafeCell::new(!number),
            freed: StdBool::new(false),
            drops: drops.clone(),
        }
    }

    fn read(&self) -> usize {
        // SAFETY: loom checks that no thread writes meanwhile.
        let number = self.number.with(|word| unsafe { *word });
        // SAFETY: as above.
        let complement = self.complement.with(|word| unsafe { *word });
        assert_eq!(number, !complement, "torn");
        assert!(!self.freed.load(StdOrdering::Relaxed), "freed");
        number
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: the value is ours alone; loom checks it.
        self.number.with_mut(|word| unsafe { *word = 0 });
        // SAFETY: as above.
        self.complement.with_mut(|word| unsafe { *word = 0 });
        assert!(!self.freed.swap(true, StdOrdering::Relaxed), "freed twice");
        self.drops.fetch_add(1, StdOrdering::Relaxed);
    }
}

fn explore(preemptions: usize, model: impl Fn(&std::sync::Arc<StdUsize>) + Send + Sync + 'static) {
    super::explore(preemptions, move || model(&std::sync::Arc::default()));
}

fn cell(number: usize, drops: &std::sync::Arc<StdUsize>) -> EpochCell<Value> {
    EpochCell::new(Ref::try_new(Value::new(number, drops)).unwrap())
}

fn read(cell: &EpochCell<Value>) -> usize {
    epoch::section(|epoch| {
        let value = cell.load(epoch);
        let first = value.read();
        assert_eq!(first, value.read());
        first
    })
}

#[test]
fn two_readers_two_writers() {
    explore(2, |drops| {
        let cell = Arc::new(cell(0, drops));
        let start = |work: fn(&EpochCell<Value>, &std::sync::Arc<StdUsize>)| {
            let (cell, drops) = (cell.clone(), drops.clone());
            thread::spawn(move || work(&cell, &drops))
        };
        let threads = [
            start(|cell, _| assert!(read(cell) < 3)),
            start(|cell, drops| cell.replace(Ref::try_new(Value::new(1, drops)).unwrap())),
            start(|cell, drops| cell.replace(Ref::try_new(Value::new(2, drops)).unwrap())),
        ];
        assert!(read(&cell) < 3);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(drops.load(StdOrdering::Relaxed), 2, "both that were replaced are freed");
        drop(cell);
        assert_eq!(drops.load(StdOrdering::Relaxed), 3);
    });
}

#[test]
fn a_reader_sees_replacements_in_their_order() {
    explore(3, |drops| {
        let cell = Arc::new(cell(0, drops));
        let writer = thread::spawn({
            let (cell, drops) = (cell.clone(), drops.clone());
            move || {
                cell.replace(Ref::try_new(Value::new(1, &drops)).unwrap());
                cell.replace(Ref::try_new(Value::new(2, &drops)).unwrap());
            }
        });
        let (first, second) = (read(&cell), read(&cell));
        assert!(first <= second);
        writer.join().unwrap();
        assert_eq!(read(&cell), 2);
    });
}

#[test]
fn a_wait_ends_after_the_readers() {
    explore(3, |drops| {
        let cell = Arc::new(cell(0, drops));
        let old = Arc::new(StdBool::new(false));
        let reader = thread::spawn({
            let (cell, old) = (cell.clone(), old.clone());
            move || {
                epoch::section(|epoch| {
                    let number = cell.load(epoch).read();
                    assert!(
                        number == 1 || !old.load(StdOrdering::Relaxed),
                        "waited for too little"
                    );
                });
            }
        });
        cell.replace(Ref::try_new(Value::new(1, drops)).unwrap());
        epoch::wait();
        // Every reader of the old value has left its section.
        old.store(true, StdOrdering::Relaxed);
        reader.join().unwrap();
    });
}

#[test]
fn the_last_reference_goes_while_others_are_made() {
    explore(2, |drops| {
        let slot = Arc::new(EpochOption::<Value>::new());
        let keeper = thread::spawn({
            let slot = slot.clone();
            move || {
                // What is kept stays, section or not.
                if let Some(found) = slot.get() {
                    let more = found.clone();
                    drop(found);
                    assert_eq!(more.read(), 7);
                }
            }
        });
        let reader = thread::spawn({
            let slot = slot.clone();
            move || {
                epoch::section(|epoch| {
                    if let Some(found) = slot.load(epoch) {
                        assert_eq!(found.read(), 7);
                    }
                });
            }
        });
        let value = Ref::try_new(Value::new(7, drops)).unwrap();
        assert!(slot.put(&value) && !slot.put(&value));
        assert!(slot.take(&value) && slot.is_empty());
        drop(value);
        keeper.join().unwrap();
        reader.join().unwrap();
        assert_eq!(drops.load(StdOrdering::Relaxed), 1);
    });
}

#[test]
fn one_of_two_gets_the_slot() {
    explore(3, |drops| {
        let slot = Arc::new(EpochOption::new());
        let claim = |number| {
            let (slot, drops) = (slot.clone(), drops.clone());
            move || {
                let mine = Ref::try_new(Value::new(number, &drops)).unwrap();
                let claimed = slot.put(&mine);
                claimed && slot.take(&mine)
            }
        };
        let other = thread::spawn(claim(1));
        let mine = claim(2)();
        let others = other.join().unwrap();
        assert!(mine || others);
        assert!(slot.is_empty());
        assert_eq!(drops.load(StdOrdering::Relaxed), 2);
    });
}

/// One thread publishes, another reads.
fn publish_and_read() {
    explore(2, move |drops| {
        let cell = Arc::new(cell(0, drops));
        let writer = thread::spawn({
            let (cell, drops) = (cell.clone(), drops.clone());
            move || cell.replace(Ref::try_new(Value::new(1, &drops)).unwrap())
        });
        assert!(read(&cell) < 2);
        writer.join().unwrap();
    });
}

/// One thread claims, another finds the claim.
fn claim_and_find() {
    explore(2, move |drops| {
        let slot = Arc::new(EpochOption::new());
        let claimer = thread::spawn({
            let (slot, drops) = (slot.clone(), drops.clone());
            move || {
                let mine = Ref::try_new(Value::new(1, &drops)).unwrap();
                assert!(slot.put(&mine));
                mine
            }
        });
        epoch::section(|epoch| {
            if let Some(found) = slot.load(epoch) {
                found.read();
            }
        });
        slot.take(&claimer.join().unwrap());
    });
}

#[test]
fn release_and_acquire_are_enough() {
    publish_and_read();
    claim_and_find();
}

#[test]
#[should_panic(expected = "Causality violation")]
fn loom_finds_a_cell_that_publishes_without_release() {
    publish_relaxed();
    publish_and_read();
}

#[test]
#[should_panic(expected = "Causality violation")]
fn loom_finds_a_claim_without_release() {
    publish_relaxed();
    claim_and_find();
}
