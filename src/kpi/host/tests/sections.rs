//! Tests of epoch sections, and of calls that sleep in one.

use super::*;

struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_value_outlives_the_sections_that_may_see_it() {
    let dropped = Arc::new(AtomicBool::new(false));
    let cell = Arc::new(EpochCell::new(Ref::try_new(Flag(dropped.clone())).unwrap()));
    let (inside, go_on) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let reader = std::thread::spawn({
        let (cell, inside, go_on) = (cell.clone(), inside.clone(), go_on.clone());
        move || {
            epoch::section(|epoch| {
                let seen = cell.load(epoch);
                inside.wait();
                go_on.wait();
                assert!(!seen.0.load(Ordering::SeqCst));
            });
        }
    });
    inside.wait();
    cell.replace(Ref::try_new(Flag(Arc::default())).unwrap());
    // It does not wait for sections that begin later.
    epoch::section(|_| epoch::section(|_| ()));
    assert!(!dropped.load(Ordering::SeqCst));
    go_on.wait();
    reader.join().unwrap();
    epoch::drain();
    assert!(dropped.load(Ordering::SeqCst));
}

#[test]
fn a_wait_ends_with_the_sections_that_were_open() {
    let inside = Arc::new(Barrier::new(2));
    let (end, ended) = mpsc::channel::<()>();
    let reader = std::thread::spawn({
        let inside = inside.clone();
        move || {
            epoch::section(|_| {
                inside.wait();
                let _ = ended.recv();
            });
        }
    });
    inside.wait();
    let waited = Arc::new(AtomicBool::new(false));
    let waiter = std::thread::spawn({
        let waited = waited.clone();
        move || {
            epoch::wait();
            waited.store(true, Ordering::SeqCst);
        }
    });
    std::thread::yield_now();
    assert!(!waited.load(Ordering::SeqCst));
    drop(end);
    waiter.join().unwrap();
    reader.join().unwrap();
}

#[test]
fn freed_memory_is_poisoned() {
    let mut memory = [0_u64; 8];
    // SAFETY: the memory is an array of this function's, and as long as that is.
    unsafe { memory::poison(std::ptr::NonNull::from(&mut memory).cast(), size_of_val(&memory)) };
    assert_eq!(memory, [0xdede_dede_dede_dede; 8]);
}

#[test]
fn sleeping_in_a_section_panics() {
    let text = panic_of(|| epoch::section(|_| epoch::wait()));
    assert!(text.contains("NET_EPOCH_WAIT sleeps in the network epoch"), "{text}");
    let text = panic_of(|| epoch::section(|_| drop(Ref::try_new(1))));
    assert!(text.contains("malloc(M_WAITOK) sleeps in the network epoch"), "{text}");
    let text = panic_of(|| epoch::section(|_| drop(testing::detach_lock())));
    assert!(text.contains("ifnet_detach_sxlock sleeps in the network epoch"), "{text}");
    let text = panic_of(|| {
        let nic = TestNic::new().attach("em0", MAC1);
        epoch::section(|_| nic.methods().set_mtu(&nic, 1400).unwrap());
    });
    assert!(text.contains("if_ioctl sleeps in the network epoch"), "{text}");
    // The section ends with the panic.
    let nothing = std::thread::spawn(|| {
        let caught = std::panic::catch_unwind(|| epoch::section(|_| epoch::wait()));
        assert!(caught.is_err());
        epoch::wait();
    });
    nothing.join().unwrap();
}
