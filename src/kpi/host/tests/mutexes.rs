//! Tests of locks, their order, and conditions.

use super::*;

#[test]
fn d33_logging_with_a_mutex_panics() {
    let text = panic_of(|| {
        Vnet::new().enter(|| {
            let em0 = TestNic::new().attach("em0", MAC1);
            let mtx = Mtx::try_new(c"console", ()).unwrap();
            let _guard = mtx.lock();
            event::log(&em0, format_args!("a line"));
        });
    });
    assert!(text.contains("the log is written with console held"), "{text}");
}

/// A thread that is woken again and again does not wait longer than it should.
#[test]
fn d33_a_wait_has_one_end() {
    const MS: u32 = 100;
    let (mtx, cv) = (Mtx::try_new(c"busy", ()).unwrap(), Cv::try_new(c"busy").unwrap());
    let done = AtomicBool::new(false);
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // A wait that would never end fails the test after a while.
            while !done.load(Ordering::Relaxed) && began.elapsed() < Duration::from_secs(20) {
                let _guard = mtx.lock();
                cv.broadcast();
            }
        });
        let deadline = Deadline::after_ms(MS);
        while !cv.wait_until(mtx.lock(), &deadline).1 {}
        done.store(true, Ordering::Relaxed);
    });
    let waited = began.elapsed();
    assert!((Duration::from_millis(MS.into())..Duration::from_secs(10)).contains(&waited));
}

#[test]
fn sleeping_with_a_mutex_panics() {
    let text = panic_of(|| {
        let mtx = Mtx::try_new(c"sleepless", ()).unwrap();
        let _guard = mtx.lock();
        epoch::wait();
    });
    assert!(text.contains("NET_EPOCH_WAIT sleeps with sleepless held"), "{text}");
    let text = panic_of(|| {
        let (mtx, other) =
            (Mtx::try_new(c"waiter", ()).unwrap(), Mtx::try_new(c"kept", ()).unwrap());
        let cv = Cv::try_new(c"cv").unwrap();
        let _kept = other.lock();
        let _ = cv.wait(mtx.lock());
    });
    assert!(text.contains("cv sleeps with kept held"), "{text}");
}

#[test]
fn two_orders_panic() {
    let text = panic_of(|| {
        let (a, b) = (Mtx::try_new(c"order a", ()).unwrap(), Mtx::try_new(c"order b", ()).unwrap());
        drop((a.lock(), b.lock()));
        let _b = b.lock();
        drop(a.lock());
    });
    assert!(text.contains("now order b -> order a, before order a -> order b"), "{text}");
    // Over a third class, and with another mutex of the same class.
    let text = panic_of(|| {
        let new = |name| Mtx::try_new(name, ()).unwrap();
        let (a, b, c) = (new(c"chain a"), new(c"chain b"), new(c"chain c"));
        let (a2, b2, c2) = (new(c"chain a"), new(c"chain b"), new(c"chain c"));
        drop((a.lock(), b.lock()));
        drop((b2.lock(), c.lock()));
        drop((c2.lock(), a2.lock()));
    });
    assert!(text.contains("now chain c -> chain a"), "{text}");
    let text = panic_of(|| {
        let mtx = Mtx::try_new(c"twice", ()).unwrap();
        drop((mtx.lock(), mtx.lock()));
    });
    assert!(text.contains("twice is taken twice"), "{text}");
    // The kernel's own order is known from the start.
    let text = panic_of(|| {
        let _vlan_sx = locks::VLAN.lock();
        drop(testing::detach_lock());
    });
    assert!(text.contains("now vlan_sx -> ifnet_detach_sxlock"), "{text}");
}

#[test]
fn some_locks_recurse() {
    drop((testing::detach_lock(), testing::detach_lock()));
    let text = panic_of(|| drop((locks::IN_MULTI.lock(), locks::IN_MULTI.lock())));
    assert!(text.contains("in_multi_sx is taken twice"), "{text}");
}

#[test]
fn a_condition_is_waited_for_under_its_mutex() {
    let shared = Arc::new((Mtx::try_new(c"cv test", 0).unwrap(), Cv::try_new(c"cv test").unwrap()));
    let other = shared.clone();
    let thread = std::thread::spawn(move || {
        let (mtx, cv) = &*other;
        let mut guard = mtx.lock();
        while *guard != 2 {
            guard = cv.wait(guard);
        }
    });
    let (mtx, cv) = &*shared;
    for _ in 0..2 {
        *mtx.lock() += 1;
        cv.broadcast();
    }
    thread.join().unwrap();
    let (_guard, over) = cv.wait_until(mtx.lock(), &Deadline::after_ms(1));
    assert!(over);
}
