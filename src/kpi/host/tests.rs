//! The model itself: that it does what the kernel does, and panics where that would go wrong.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};

use super::testing::{Events, SET_LLADDR, TestNic};
use super::*;
use crate::kpi::ioctl::{
    InterfaceRequest, LaggRequest, PortRequest, SIOCADDMULTI, SIOCGLAGG, SIOCSIFFLAGS, SIOCSIFMTU,
    SIOCSLAGGPORT,
};
use crate::kpi::{Counter, EpochCell, Errno, IfType, LinkState, Name, Queue, Ref, epoch, iff};

const MAC1: [u8; 6] = [2, 0, 0, 0, 0, 1];
const MAC2: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Runs `f` on a thread of its own, in a vnet of its own, and returns what it panicked with.
fn panic_of(f: impl FnOnce() + Send + 'static) -> String {
    let panic = std::thread::spawn(|| Vnet::new().enter(f)).join().expect_err("it panics");
    panic.downcast_ref::<String>().cloned().unwrap_or_else(|| {
        panic.downcast_ref::<&str>().map_or_else(String::new, ToString::to_string)
    })
}

fn frame(to: [u8; 6]) -> Vec<u8> {
    let mut frame = vec![0; 60];
    frame[..6].copy_from_slice(&to);
    frame[12] = 8;
    frame
}

// --- epoch ---

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
    // Sections that come later do not hold it up, and it does not wait for them.
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

// --- locks ---

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

/// Who is woken again and again waits no longer for that.
#[test]
fn d33_a_wait_has_one_end() {
    const MS: u32 = 100;
    let (mtx, cv) = (Mtx::try_new(c"busy", ()).unwrap(), Cv::try_new(c"busy").unwrap());
    let done = AtomicBool::new(false);
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // What would never end ends after a while all the same.
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
    // Over a third, and by another mutex of the same class.
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

// --- tasks ---

struct Owner {
    task: Task<Owner>,
    runs: AtomicU32,
    mtx: Mtx<()>,
}

impl Owner {
    fn make(queue: Queue, name: &'static std::ffi::CStr) -> Ref<Self> {
        let run = |owner: &Ref<Owner>| {
            let _guard = owner.mtx.lock();
            owner.runs.fetch_add(1, Ordering::SeqCst);
        };
        let task = Task::try_new(queue, run).unwrap();
        let mtx = Mtx::try_new(name, ()).unwrap();
        Ref::try_new(Owner { task, runs: AtomicU32::new(0), mtx }).unwrap()
    }
}

#[test]
fn a_task_runs_at_least_once_after_it_was_asked_for() {
    let owner = Owner::make(Queue::Protocol, c"task runs");
    for n in 1..100 {
        owner.task.enqueue(&owner);
        owner.task.drain();
        assert_eq!(owner.runs.load(Ordering::SeqCst), n);
    }
    // May be asked for in the epoch and under a mutex.
    epoch::section(|_| owner.task.enqueue(&owner));
    let guard = owner.mtx.lock();
    owner.task.enqueue(&owner);
    drop(guard);
    settle();
    assert!(owner.runs.load(Ordering::SeqCst) > 99);
}

#[test]
fn draining_with_what_the_task_needs_panics() {
    let text = panic_of(|| {
        let owner = Owner::make(Queue::Configuration, c"task needs");
        owner.task.enqueue(&owner);
        owner.task.drain();
        let _guard = owner.mtx.lock();
        owner.task.drain();
    });
    assert!(text.contains("taskqueue_drain sleeps with task needs held"), "{text}");
}

// --- interfaces ---

fn ioctl_flags(name: &str, flags: u32) -> crate::kpi::Result {
    let mut request = InterfaceRequest::with_flags(flags);
    ifioctl(name, SIOCSIFFLAGS, &mut request)
}

fn add_port(name: &str, port: &str) -> crate::kpi::Result {
    let portname = Name::new(port).unwrap();
    let mut request = PortRequest { portname, ..Default::default() };
    ifioctl(name, SIOCSLAGGPORT, &mut request)
}

#[test]
fn interfaces_come_and_go_by_vnet() {
    let (one, other) = (Vnet::new(), Vnet::new());
    let nic = TestNic::new();
    let em0 = one.enter(|| nic.attach("em0", MAC1));
    assert!(one.interface("em0").is_some_and(|ifp| ifp.same(&em0)));
    assert!(other.interface("em0").is_none());
    let taken = other.enter(|| TestNic::new().attach("em0", MAC2));
    assert_ne!(taken.index(), em0.index());
    assert_eq!(vmove(&em0, &other), Err(Errno::EEXIST));
    rename(&em0, "wan").unwrap();
    let events = Events::of(&em0);
    vmove(&em0, &other).unwrap();
    assert_eq!(events.take(), [Event::Down, Event::Departure, Event::Arrival]);
    assert!(one.interfaces().is_empty());
    assert!(em0.vnet() == other);
    let ifp = em0.ifp();
    em0.detach();
    assert_eq!(events.take(), [Event::Down, Event::Departure]);
    assert!(ifp.flags() & iff::DYING != 0);
    assert_eq!(transmit(&ifp, Mbuf::from_bytes(&frame(MAC2))), Err(Errno::ENXIO));
    assert_eq!(ifp.methods().set_mtu(&ifp, 1400), Err(Errno::ENXIO));
}

#[test]
fn flags_mtu_and_address_go_through_the_driver() {
    Vnet::new().enter(|| {
        let nic = TestNic::new();
        let em0 = nic.attach("em0", MAC1);
        assert_eq!(ioctl_flags("em1", iff::UP), Err(Errno::ENXIO));
        set_privileged(false);
        assert_eq!(ioctl_flags("em0", iff::UP), Err(Errno::EPERM));
        set_privileged(true);
        let events = Events::of(&em0);
        ioctl_flags("em0", iff::UP).unwrap();
        assert!(em0.is_running() && !em0.is_active());
        set_link(&em0, LinkState::Up);
        settle();
        assert!(em0.is_active());
        assert_eq!(events.take(), [Event::Up, Event::Link(LinkState::Up)]);

        let mut request = InterfaceRequest::with_mtu(71);
        assert_eq!(ifioctl("em0", SIOCSIFMTU, &mut request), Err(Errno::EINVAL));
        request.set_mtu(9000);
        nic.refuse(SIOCSIFMTU, 2, Errno::EBUSY);
        ifioctl("em0", SIOCSIFMTU, &mut request).unwrap();
        assert_eq!(events.take(), [Event::Mtu(9000)]);
        assert_eq!(ifioctl("em0", SIOCSIFMTU, &mut request), Err(Errno::EBUSY));

        nic.take_ioctls();
        em0.set_lladdr(&MAC2.into()).unwrap();
        assert_eq!(nic.take_ioctls(), [SET_LLADDR, SIOCSIFFLAGS, SIOCSIFFLAGS]);
        assert_eq!(em0.lladdr(), MAC2);
        assert!(em0.flags() & iff::UP != 0);
        assert_eq!(events.take(), [Event::Lladdr(MAC2.into())]);
    });
}

#[test]
fn an_infiniband_interface_has_other_addresses_and_nobody_sets_them() {
    let new = || attach("ib0", IfType::Infiniband, [9; 20], 2044, 0, TestNic::new());
    Vnet::new().enter(|| {
        let ib0 = new();
        assert_eq!((ib0.addr_len(), ib0.lladdr()), (20, [9; 20].into()));
        assert_eq!(ib0.set_lladdr(&MAC1.into()), Err(Errno::EINVAL));
        assert_eq!(ib0.set_lladdr(&[8; 20].into()), Err(Errno::ENODEV));
        // bpf(4) sees an Ethernet header; what is too short for its own is an error.
        ib0.up();
        let capture = capture(&ib0);
        let mut frame = vec![0xff; 20];
        frame.extend([8, 0, 0, 0, 42]);
        receive(&ib0, Mbuf::from_bytes(&frame));
        receive(&ib0, Mbuf::from_bytes(&frame[..23]));
        let shown = [&[0xff; 6][..], &[0; 6], &[8, 0, 42]].concat();
        assert_eq!(capture.take(), [shown]);
        assert_eq!((ib0.counter(Counter::Imcasts), ib0.counter(Counter::Ierrors)), (1, 1));
    });
    assert!(panic_of(move || new().store_lladdr(&MAC1.into())).contains("another kind"));
    let panic = panic_of(move || join_group(&new(), &MAC1.into()).unwrap());
    assert!(panic.contains("another kind"), "{panic}");
    let panic = panic_of(|| epoch::section(|_| TestNic::new().attach("em0", MAC1).lladdr_event()));
    assert!(panic.contains("iflladdr_event"), "{panic}");
}

#[test]
fn packets_are_counted_captured_and_delivered() {
    Vnet::new().enter(|| {
        let nic = TestNic::new();
        let em0 = nic.attach("em0", MAC1);
        let (got, frames) = mpsc::channel();
        set_input(&em0, move |m| got.send((m.receiver_index(), m.to_bytes())).unwrap());
        let capture = capture(&em0);
        receive(&em0, Mbuf::from_bytes(&frame(MAC1)));
        assert!(frames.try_recv().is_err(), "it is down");
        em0.up();
        assert_eq!(transmit(&em0, Mbuf::from_bytes(&frame(MAC2))), Err(Errno::ENETDOWN));
        em0.methods().set_flags(&em0).unwrap();
        let parts = frame([0xff; 6]);
        receive(&em0, Mbuf::from_segments([&parts[..14], &parts[14..]]));
        assert_eq!(frames.try_recv().unwrap(), (em0.index(), parts));
        transmit(&em0, Mbuf::from_bytes(&frame(MAC2))).unwrap();
        assert_eq!(nic.take_sent(), [frame(MAC2)]);
        assert_eq!((em0.counter(Counter::Imcasts), em0.counter(Counter::Opackets)), (1, 1));
        assert_eq!((capture.count(), capture.take().len()), (3, 3));
        nic.refuse_transmit(Some(Errno::ENOBUFS));
        assert_eq!(transmit(&em0, Mbuf::from_bytes(&frame(MAC2))), Err(Errno::ENOBUFS));
        assert_eq!(em0.counter(Counter::Oerrors), 2);
    });
}

#[test]
fn vlans_have_their_parents_link_and_frames() {
    Vnet::new().enter(|| {
        let nic = TestNic::new();
        let em0 = nic.attach("em0", MAC1);
        ioctl_flags("em0", iff::UP).unwrap();
        let vlan = vlan_create(&em0, 7, "em0.7").unwrap();
        assert_eq!(vlan_create(&em0, 7, "other").err(), Some(Errno::EEXIST));
        assert_eq!((vlan.lladdr(), vlan.mtu()), (MAC1.into(), 1500));
        assert!(vlan.vlan_parent().is_some_and(|parent| parent.same(&em0)));
        vlan.up();
        set_link(&em0, LinkState::Up);
        settle();
        assert!(vlan.is_active());

        let (got, frames) = mpsc::channel();
        set_input(&vlan, move |m| got.send(m.to_bytes()).unwrap());
        let mut tagged = frame(MAC1);
        tagged.splice(12..12, [0x81, 0, 0, 7]);
        receive(&em0, Mbuf::from_bytes(&tagged));
        assert_eq!(frames.try_recv().unwrap(), frame(MAC1));
        transmit(&vlan, Mbuf::from_bytes(&frame(MAC2))).unwrap();
        assert_eq!(nic.sent(), 1);

        em0.set_lladdr(&MAC2.into()).unwrap();
        settle();
        assert_eq!(vlan.lladdr(), MAC2);

        set_promisc(&vlan, true).unwrap();
        assert!(em0.flags() & iff::PROMISC != 0);
        join_group(&vlan, &[1, 0, 0x5e, 0, 0, 1].into()).unwrap();
        assert_eq!(groups(&em0), [[1, 0, 0x5e, 0, 0, 1]]);
        let ioctls = nic.take_ioctls();
        assert!(ioctls.contains(&SIOCADDMULTI));
        vlan.detach();
        assert!(em0.flags() & iff::PROMISC == 0 && groups(&em0).is_empty());
    });
}

#[test]
fn ipv6_leaves_its_groups_on_another_thread() {
    let text = panic_of(|| {
        let em0 = TestNic::new().attach("em0", MAC1);
        set_ipv6(&em0, true);
        assert!(em0.has_ipv6_lladdr());
        em0.in6_detach();
        assert!(!em0.has_ipv6_lladdr());
        set_ipv6(&em0, true);
        let _in6_multi = locks::IN6_MULTI.lock();
        em0.in6_detach();
    });
    assert!(text.contains("in6_multi_sx is taken twice"), "{text}");
}

// --- what takes a process of its own ---

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

// --- the module ---

#[test]
fn a_vnet_ends_with_its_laggs() {
    let (home, jail) = (Vnet::new(), Vnet::new());
    let nic = TestNic::new();
    let em0 = home.enter(|| nic.attach("em0", MAC1));
    vmove(&em0, &jail).unwrap();
    let name = jail.enter(|| clone_create("lagg", None)).unwrap();
    jail.enter(|| add_port(&name, "em0")).unwrap();
    // One that went elsewhere is destroyed too.
    let other = jail.enter(|| clone_create("lagg", None)).unwrap();
    vmove(&jail.interface(&other).unwrap(), &home).unwrap();
    jail.destroy();
    assert!(jail.interfaces().is_empty());
    assert_eq!(em0.if_type(), IfType::Ethernet);
    assert!(home.interface("em0").is_some() && home.interface(&other).is_none());
    assert_eq!(jail.enter(|| clone_create("lagg", None)), Err(Errno::EBUSY));
}

#[test]
fn copyout_reaches_user_memory_alone() {
    let memory = UserMemory::new(16);
    copyout(&[1, 2], memory.address() + 14).unwrap();
    assert_eq!(memory.read()[14..], [1, 2]);
    assert_eq!(copyout(&[1, 2], memory.address() + 15), Err(Errno::EFAULT));
    assert_eq!(copyout(&[1, 2], u64::MAX), Err(Errno::EFAULT));
    assert_eq!(copyout(&[1, 2], 8), Err(Errno::EFAULT));
}

#[test]
fn the_cloner_knows_names_and_units() {
    let (home, away) = (Vnet::new(), Vnet::new());
    home.enter(|| {
        assert_eq!(clone_create("lagg", None).unwrap(), "lagg0");
        assert_eq!(clone_create("lagg5", None).unwrap(), "lagg5");
        assert_eq!(clone_create("lagg", None).unwrap(), "lagg1");
        assert_eq!(clone_create("lagg5", None), Err(Errno::EEXIST));
        for bad in ["lag0", "lagg05", "lagg99999999999", "lagg0x", "bridge0"] {
            assert_eq!(clone_create(bad, None), Err(Errno::EINVAL), "{bad}");
        }
        assert_eq!(clone_create("lagg32768", None), Err(Errno::ENOSPC));
        assert_eq!(clone_create("lagg7", Some(&[0; 8])), Err(Errno::EFAULT));
        assert_eq!(clone_create("lagg7", Some(&[2; 16])), Err(Errno::EINVAL));
        set_privileged(false);
        assert_eq!(clone_create("lagg", None), Err(Errno::EPERM));
        assert_eq!(clone_destroy("lagg0"), Err(Errno::EPERM));
        set_privileged(true);
        assert_eq!(clone_destroy("lagg9"), Err(Errno::ENXIO));
        let em0 = TestNic::new().attach("em0", MAC1);
        assert_eq!(clone_destroy("em0"), Err(Errno::EINVAL));
        drop(em0);
        // Moved, and destroyed where it is; its unit is free at home.
        vmove(&home.interface("lagg5").unwrap(), &away).unwrap();
        away.enter(|| clone_destroy("lagg5")).unwrap();
        assert_eq!(clone_create("lagg5", None).unwrap(), "lagg5");
        for name in ["lagg0", "lagg1", "lagg5"] {
            clone_destroy(name).unwrap();
        }
        assert!(home.interfaces().is_empty());
    });
}

#[test]
fn a_lagg_carries_frames() {
    Vnet::new().enter(|| {
        let nic = TestNic::new();
        let em0 = nic.attach("em0", MAC1);
        let name = clone_create("lagg", None).unwrap();
        let lagg = Vnet::current().interface(&name).unwrap();
        add_port(&name, "em0").unwrap();
        assert_eq!(em0.if_type(), IfType::LaggPort);
        ioctl_flags(&name, iff::UP).unwrap();
        set_link(&em0, LinkState::Up);
        settle();
        assert!(lagg.is_active() && em0.is_active());
        transmit(&lagg, Mbuf::from_bytes(&frame(MAC2))).unwrap();
        assert_eq!(nic.sent(), 1);
        let (got, frames) = mpsc::channel();
        set_input(&lagg, move |m| got.send(m.receiver_index()).unwrap());
        receive(&em0, Mbuf::from_bytes(&frame(MAC1)));
        assert_eq!(frames.try_recv().unwrap(), lagg.index());
        assert_eq!(output(&em0, 2, Mbuf::from_bytes(&frame(MAC1))), Err(Errno::ENETDOWN));
        let memory = UserMemory::new(72);
        let mut request = LaggRequest { size: 72, port: memory.address(), ..Default::default() };
        ifioctl(&name, SIOCGLAGG, &mut request).unwrap();
        assert_eq!(request.ports, 1);
        em0.detach();
        settle();
        assert_eq!(transmit(&lagg, Mbuf::from_bytes(&frame(MAC2))), Err(Errno::ENXIO));
        clone_destroy(&name).unwrap();
    });
}

#[test]
fn an_allocation_fails_on_demand() {
    assert!(Ref::try_new(1).is_ok());
    fail_allocation(2);
    assert!(Ref::try_new(1).is_ok());
    assert_eq!(Ref::try_new(1).err(), Some(Errno::ENOMEM));
    assert!(Ref::try_new(1).is_ok());
    assert_eq!(fail_allocation(0), 0);
}
