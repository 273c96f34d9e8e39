//! Unloading the module while threads are inside it, or something of it is in use.

use lagg_rs::kpi::host::testing::Methods;
use lagg_rs::kpi::host::{self, SendTag, TagParams, Vnet};
use lagg_rs::kpi::{Errno, Result, TagHeader, TagType, live};

use super::laggs::{Card, card, lab, lagg_of, spawn};

/// Unloads while another thread does something, which may fail with these errors.
fn unload_against<S: 'static>(
    prepare: fn() -> S,
    other: fn(S) -> Result,
    refused: &'static [Errno],
    finish: fn(),
) {
    lab(3, move || {
        let prepared = prepare();
        let unloader = spawn(|| {
            let unloaded = host::kldunload();
            if unloaded.is_ok() {
                assert_eq!(live(), 0);
                let lagg = Vnet::current().interface("lagg0");
                assert!(lagg.is_none(), "a lagg outlives the module");
            }
            unloaded
        });
        if let Err(errno) = other(prepared) {
            assert!(refused.contains(&errno), "{errno:?}");
        }
        assert!(matches!(unloader.join().unwrap(), Ok(()) | Err(Errno::EBUSY)));
        host::kldload();
        finish();
        host::settle();
        assert_eq!(live(), 0);
    });
}

fn nothing() {}

fn create(_: ()) -> Result {
    host::clone_create("lagg0", None).map(drop)
}

#[test]
fn unload_against_the_first_lagg() {
    unload_against(nothing, create, &[Errno::ENXIO, Errno::EINVAL], || {
        let _ = host::clone_destroy("lagg0");
    });
}

#[test]
fn unload_against_the_last_lagg() {
    unload_against(|| create(()).unwrap(), |()| host::clone_destroy("lagg0"), &[], nothing);
}

#[test]
fn unload_against_a_thread_inside() {
    let read = |()| host::sysctl_get("lagg0", "ports").map(drop);
    unload_against(nothing, read, &[Errno::ENOENT, Errno::ENXIO], nothing);
}

/// A connection's send tag, whose lagg is gone.
fn tag() -> (Card, SendTag) {
    let em1 = card(1);
    em1.nic.make_tags(Ok(Methods::All));
    let lagg = lagg_of("lagg0", &["em1"]);
    let kind = TagType::RateLimit as u32;
    let header = TagHeader { kind, flow_id: 7, flow_kind: 0xbf, numa_domain: 255 };
    let tag = host::allocate_tag(&lagg, header, TagParams { max_rate: 125_000 }).unwrap();
    host::clone_destroy("lagg0").unwrap();
    (em1, tag)
}

#[test]
fn unload_against_the_last_tag() {
    let free = |(em1, tag): (Card, SendTag)| {
        drop(tag);
        assert_eq!(em1.nic.tags(), 0);
        Ok(())
    };
    unload_against(tag, free, &[], nothing);
}
