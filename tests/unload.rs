//! D-19: unloading the module while it is in use. In a process of its own, which has one module.

#[allow(dead_code, reason = "the driver's tests use the rest")]
#[path = "driver/lab.rs"]
mod lab;

use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;

use lagg_rs::kpi::host::testing::Methods;
use lagg_rs::kpi::host::{self, SendTag, TagParams};
use lagg_rs::kpi::ioctl::SIOCSIFFLAGS;
use lagg_rs::kpi::{Errno, TagHeader, TagType, iff, live};

use lab::{card, flags, lagg_of, spawn};

/// Runs a test alone, in a vnet of its own.
fn alone(f: impl FnOnce()) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    host::kldload();
    lab::lab(f);
}

/// C lagg clears its hooks without checking, and the next packet calls NULL.
#[test]
fn d19_unloading_is_refused_while_there_is_a_lagg_and_clean_after() {
    alone(|| {
        let lagg = host::clone_create("lagg", None).unwrap();
        assert_eq!(host::kldunload(), Err(Errno::EBUSY));
        assert!(host::is_loaded());
        host::clone_destroy(&lagg).unwrap();
        host::kldunload().unwrap();
        assert_eq!(live(), 0);
        assert!(host::clone_create("lagg", None).is_err());
        host::kldload();
        let lagg = host::clone_create("lagg", None).unwrap();
        host::clone_destroy(&lagg).unwrap();
    });
}

/// A thread that is inside the driver when its lagg is destroyed returns to code that must still be loaded.
/// Unloading does not wait for it, because it would hold the kernel's lock on modules.
#[test]
fn d19_unloading_is_refused_while_a_thread_is_inside() {
    alone(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let blocked = a.nic.block(SIOCSIFFLAGS);
        thread::scope(|scope| {
            // Through the port's ioctl, into its card.
            let inside = spawn(scope, || flags("em1", iff::UP | iff::DEBUG));
            blocked.wait();
            lagg.destroy();
            host::settle();
            assert_eq!(host::kldunload(), Err(Errno::EBUSY));
            blocked.release();
            inside.join().unwrap().unwrap();
        });
        host::kldunload().unwrap();
    });
}

/// Objects that an uncounted thread still holds are noticed when the module goes.
#[test]
#[should_panic(expected = "objects are left of the unloaded module")]
fn d19_an_uncounted_thread_inside_is_found() {
    alone(|| {
        let lagg = lab::lagg();
        let softc = lagg.softc();
        lagg.destroy();
        host::settle();
        let result = std::panic::catch_unwind(host::kldunload);
        host::kldload();
        drop(softc);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)).unwrap();
    });
}

/// A tag whose lagg and port are gone.
fn orphan(kind: TagType) -> SendTag {
    let a = card(1);
    a.nic.make_tags(Ok(Methods::All));
    let lagg = lagg_of(&[&a]);
    let header = TagHeader { kind: kind as u32, flow_id: 0, flow_kind: 0, numa_domain: 255 };
    host::allocate_tag(&lagg.ifp, header, TagParams::default()).unwrap()
}

/// Freeing such a tag after C lagg is unloaded calls code that is no longer there.
#[test]
fn d19_unloading_is_refused_while_a_send_tag_lives() {
    alone(|| {
        let tag = orphan(TagType::Tls);
        let another = tag.clone();
        assert_eq!(host::kldunload(), Err(Errno::EBUSY));
        drop(tag);
        assert_eq!(host::kldunload(), Err(Errno::EBUSY));
        another.modify(1).unwrap();
        drop(another);
        host::kldunload().unwrap();
        host::kldload();
        // A tag of the port's own does not matter.
        let tag = orphan(TagType::TlsRx);
        host::kldunload().unwrap();
        tag.modify(1).unwrap();
    });
}

/// The tag's last method must find the module loaded, or it panics.
#[test]
fn d19_unloading_against_the_last_send_tag() {
    alone(|| {
        for _ in 0..100 {
            let tag = orphan(TagType::RateLimit);
            let barrier = Barrier::new(2);
            thread::scope(|scope| {
                scope.spawn(|| {
                    barrier.wait();
                    drop(tag);
                });
                barrier.wait();
                while host::kldunload().is_err() {
                    thread::yield_now();
                }
            });
            host::kldload();
        }
    });
}

/// Each function that the kernel calls is in the network epoch, which unloading waits for, or is counted.
/// Exceptions are functions that do nothing, or only call one that is counted.
#[test]
fn d29_threads_inside_are_counted_or_in_the_epoch() {
    let hooks = include_str!("../src/kpi/freebsd/hooks.rs");
    let functions: Vec<_> = hooks.split("extern \"C\" fn ").skip(1).collect();
    assert!(functions.len() > 10);
    for function in functions {
        let name = function.split('(').next().unwrap();
        let body = function.split("\n}\n").next().unwrap();
        let nothing = ["lagg_qflush", "lagg_ratelimit_query"].contains(&name);
        let passes_on = body.contains("lagg_rs_transmit(") || body.contains("vlan(");
        let counted = body.contains("Inside::enter()") || body.contains("Epoch::assume()");
        assert!(counted || nothing || passes_on, "{name} is neither");
    }
}

/// The documents describe the window that remains.
#[test]
fn d29_what_unloading_cannot_see_is_documented() {
    let proof = include_str!("../docs/proof.md").replace('\n', " ");
    assert!(proof.contains("not yet called it, or have left the count and not yet returned"));
    let page = include_str!("../kmod/lagg_rs.4").replace('\n', " ");
    assert!(page.contains("cannot see a thread that is about to enter it or has just left it"));
}
