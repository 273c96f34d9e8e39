//! Tests that need a process of their own.

use super::queues::Owner;
use super::*;

/// Runs one of `mod alone` in a process of its own: whether it succeeded, and what it wrote.
fn alone(test: &str) -> (bool, String) {
    let test = format!("{}::alone::{test}", module_path!().split_once("::").unwrap().1);
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &test, "--ignored", "--nocapture"])
        .env("LAGG_WATCHDOG", "1")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(!text.contains("running 0 tests"), "{text}");
    (output.status.success(), text)
}

mod alone {
    use super::*;

    #[test]
    #[ignore = "of the whole process"]
    fn unload() {
        let em0 = TestNic::new().attach("em0", MAC1);
        assert_eq!(clone_create("lagg", None).unwrap(), "lagg0");
        assert_eq!(kldunload(), Err(Errno::EBUSY));
        clone_destroy("lagg0").unwrap();
        let inside = crate::kpi::gate::Inside::enter();
        assert_eq!(kldunload(), Err(Errno::EBUSY));
        assert!(is_loaded());
        drop(inside);
        kldunload().unwrap();
        assert_eq!(clone_create("lagg", None), Err(Errno::EINVAL));
        em0.up();
        set_link(&em0, LinkState::Up);
        receive(&em0, Mbuf::from_bytes(&frame(MAC1)));
        settle();
        kldload();
        assert_eq!(clone_create("lagg", None).unwrap(), "lagg0");
    }

    #[test]
    #[ignore = "its kernel panics"]
    fn task_that_sleeps_in_the_epoch() {
        let run = |_: &Ref<Owner>| epoch::section(|_| epoch::wait());
        let task = Task::try_new(Queue::Protocol, run).unwrap();
        let mtx = Mtx::try_new(c"unused", ()).unwrap();
        let owner = Ref::try_new(Owner { task, runs: AtomicU32::new(0), mtx }).unwrap();
        owner.task.enqueue(&owner);
        settle();
    }

    #[test]
    #[ignore = "it waits for the watchdog"]
    fn deadlock() {
        let held = testing::detach_lock();
        let other = std::thread::Builder::new().name("other".into());
        let other = other.spawn(|| drop(testing::detach_lock())).unwrap();
        let panic = other.join().unwrap_err();
        drop(held);
        std::panic::resume_unwind(panic);
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri starts no processes")]
fn the_module_is_unloaded_when_nobody_uses_it() {
    let (success, text) = alone("unload");
    assert!(success, "{text}");
}

#[test]
#[cfg_attr(miri, ignore = "Miri starts no processes")]
fn a_panic_in_the_kernel_ends_the_process() {
    let (success, text) = alone("task_that_sleeps_in_the_epoch");
    let panic = "panic: lagg protocol taskqueue: NET_EPOCH_WAIT sleeps in the network epoch";
    assert!(!success && text.contains(panic), "{text}");
}

#[test]
#[cfg_attr(miri, ignore = "Miri starts no processes")]
fn a_wait_without_end_panics() {
    let (success, text) = alone("deadlock");
    let panic = "deadlock? thread other holds nothing and waits for ifnet_detach_sxlock, held by";
    assert!(!success && text.contains(panic), "{text}");
}
