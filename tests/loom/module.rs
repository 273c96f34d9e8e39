//! Unloading the module while somebody is in it. Send tags will count themselves in as laggs do.

use lagg_rs::kpi::host::{self, Vnet};
use lagg_rs::kpi::{Errno, live};

use super::laggs::{lab, spawn};

/// Unloads while another does something, which may be refused with these errors.
fn unload_against(
    prepare: fn(),
    other: fn() -> Result<(), Errno>,
    refused: &'static [Errno],
    finish: fn(),
) {
    lab(3, move || {
        prepare();
        let unloader = spawn(|| {
            let unloaded = host::kldunload();
            if unloaded.is_ok() {
                assert_eq!(live(), 0);
                assert!(Vnet::current().interfaces().is_empty(), "a lagg outlives the module");
            }
            unloaded
        });
        if let Err(errno) = other() {
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

fn create() -> Result<(), Errno> {
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
    unload_against(|| create().unwrap(), || host::clone_destroy("lagg0"), &[], nothing);
}

#[test]
fn unload_against_a_thread_inside() {
    unload_against(nothing, || host::sysctl_stats(1).map(drop), &[Errno::ENOENT], nothing);
}
