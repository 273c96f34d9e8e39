//! Threads that wait for each other, with the stack's own locks as the stack holds them. For each rule
//! against deadlocks (the table in `driver`), a double breaks it in a process of its own, and the lab must
//! find that.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lagg_rs::kpi::host::testing::{SET_LLADDR, detach_lock};
use lagg_rs::kpi::host::{self, Attached, Event, Nic};
use lagg_rs::kpi::ioctl::{SIOCDELMULTI, SIOCSIFCAP, SIOCSIFFLAGS, SIOCSIFMTU};
use lagg_rs::kpi::{
    Epoch, Errno, IfType, Ifnet, Ioctl, LinkState, MacAddr, Mbuf, Offloads, Result, iff,
};

use crate::lab::{Card, card, flags, lab, lagg_of, mac, mtu, spawn, until};

/// A card whose driver does something else first when it is called.
struct Meddler<F>(F);

impl<F: Fn(&Ifnet, usize) + Send + Sync> Nic for Meddler<F> {
    fn transmit(&self, _: &Ifnet, _: Mbuf, _: &Epoch) -> Result {
        Ok(())
    }

    fn ioctl(&self, ifp: &Ifnet, r: &mut Ioctl<'_>) -> Result {
        (self.0)(ifp, r.command());
        host::default_ioctl(ifp, r)
    }

    fn set_lladdr(&self, ifp: &Ifnet, _: &MacAddr) -> Result {
        (self.0)(ifp, SET_LLADDR);
        Ok(())
    }
}

/// The card `em<n>` with such a driver. `does` is called with each command.
fn meddler(n: u8, does: impl Fn(&Ifnet, usize) + Send + Sync + 'static) -> Attached {
    let (name, nic) = (format!("em{n}"), Arc::new(Meddler(does)));
    let ifp = host::attach(&name, IfType::Ethernet, mac(n), 1500, 1_000_000_000, nic);
    flags(&name, iff::UP).unwrap();
    host::set_link(&ifp, LinkState::Up);
    host::settle();
    ifp
}

/// Waits for the configuration token of `lagg0`, and gives it back.
fn wait_for_the_token() -> Result {
    mtu("lagg0", 1500)
}

/// A VLAN's event comes with `vlan_sx` held. If it waited for the lagg, that would end when the lagg is
/// destroyed, which needs `vlan_sx`. Runs alone: another test that destroys a lagg would hold
/// `ifnet_detach_sxlock` until `vlan_sx` is free, and the destroyer here needs that lock.
#[test]
#[cfg_attr(miri, ignore = "Miri starts no processes")]
fn d16_destroying_while_a_vlans_event_is_under_way() {
    let (succeeds, text) = alone("a_vlans_event_is_under_way", "60");
    assert!(succeeds, "{text}");
}

#[test]
#[ignore = "it is to be alone"]
fn a_vlans_event_is_under_way() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        let answers = Arc::new(std::sync::Mutex::new(Vec::new()));
        let (keep, came) = (answers.clone(), Arc::new(AtomicBool::new(false)));
        let said = came.clone();
        host::listen(&lagg.ifp, move |_, event| {
            if let Event::Vlan(_, true) = event {
                said.store(true, Ordering::SeqCst);
                keep.lock().unwrap().push(wait_for_the_token());
            }
        });
        let blocked = a.nic.block(SIOCSIFMTU);
        thread::scope(|scope| {
            let change = spawn(scope, || lagg.set_mtu(1400));
            blocked.wait();
            let vlan = spawn(scope, || host::vlan_create(&lagg.ifp, 7, "vlan7").unwrap());
            until("the event", || came.load(Ordering::SeqCst));
            let destroyer = spawn(scope, || lagg.destroy());
            // The card still keeps the token, so the VLAN did not wait for it.
            let vlan = vlan.join().unwrap();
            assert!(!destroyer.is_finished());
            blocked.release();
            assert_eq!(change.join().unwrap(), Ok(()));
            destroyer.join().unwrap();
            drop(vlan);
        });
        assert_eq!(*answers.lock().unwrap(), [Err(Errno::ENXIO)]);
        assert!(a.ifp.lagg_port().is_none() && b.ifp.lagg_port().is_none());
    });
}

/// in6_ifdetach waits for a task of the stack that leaves groups on the port, which may need the lagg. So
/// it must be called with no lock or token of the lagg held.
#[test]
fn leaving_ipv6_may_need_the_lagg() {
    lab(|| {
        let asked = Arc::new(AtomicBool::new(false));
        let said = asked.clone();
        let (a, b) = (
            card(1),
            meddler(2, move |_, command| {
                if command == SIOCDELMULTI {
                    said.store(true, Ordering::SeqCst);
                    wait_for_the_token().unwrap();
                }
            }),
        );
        host::set_ipv6(&b, true);
        let lagg = lagg_of(&[&a]);
        lagg.add("em2").unwrap();
        assert!(asked.load(Ordering::SeqCst) && !b.has_ipv6_lladdr());
    });
}

/// A departure holds `ifnet_detach_sxlock` and waits for the joiner. So a joiner may take that lock before
/// it has the token and after, but not with it, whether it is a port by then or not.
#[test]
fn d14_a_joiner_does_not_take_the_lock_that_a_departure_holds() {
    for command in [SET_LLADDR, SIOCSIFCAP] {
        lab(|| {
            let (a, b) = (card(1), card(2));
            b.ifp.store_offloads(&Offloads { capabilities: 1, enabled: 1, ..Offloads::default() });
            host::set_ipv6(&b.ifp, true);
            let lagg = lagg_of(&[&a]);
            let blocked = b.nic.block(command);
            let Card { ifp, .. } = b;
            let gone = ifp.ifp();
            thread::scope(|scope| {
                let joiner = spawn(scope, || lagg.add("em2"));
                blocked.wait();
                spawn(scope, move || ifp.detach());
                until("the departure to begin", || gone.flags() & iff::DYING != 0);
                // A joiner that comes now waits for the departure, and no thread waits for that joiner.
                let other = spawn(scope, || lagg.add("em2"));
                blocked.release();
                // It was a port for a while, or came too late.
                assert!([Ok(()), Err(Errno::ENXIO)].contains(&joiner.join().unwrap()));
                assert!(other.join().unwrap().is_err());
            });
            assert_eq!(lagg.ports(), ["em1"]);
        });
    }
}

/// Runs a test of this file in its own process, where no wait lasts longer than `watchdog` seconds. Returns
/// whether it succeeds, and what it writes.
fn alone(test: &str, watchdog: &str) -> (bool, String) {
    let test = format!("deadlocks::{test}");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &test, "--ignored", "--nocapture"])
        .env("LAGG_WATCHDOG", watchdog)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.contains("running 1 test"), "{text}");
    (output.status.success(), text)
}

#[test]
#[cfg_attr(miri, ignore = "Miri starts no processes")]
fn broken_rules_are_found() {
    // Either of two threads that wait for each other may report it first.
    const TOKEN: &str = "and waits for laggtoken";
    for (test, panics) in [
        ("d17_an_event_waits_for_the_token", [TOKEN, "and waits for vlan_sx, held by"]),
        (
            "d16_an_event_wants_what_a_destroyer_has",
            ["lock order reversal: now vlan_sx -> ifnet_detach_sxlock"; 2],
        ),
        (
            "d16_a_task_wants_what_a_destroyer_has",
            ["lock order reversal: now ifnet_detach_sxlock -> lagg configuration taskqueue"; 2],
        ),
        (
            "ipv6_is_left_with_the_token_held",
            [TOKEN, "in6_ifdetach waits for the groups to be left"],
        ),
        (
            "d14_a_joiner_wants_what_a_departure_has",
            [TOKEN, "and waits for ifnet_detach_sxlock, held by"],
        ),
    ] {
        let (succeeds, text) = alone(&format!("broken::{test}"), "1");
        assert!(!succeeds && panics.iter().any(|panic| text.contains(panic)), "{test}: {text}");
    }
}

/// Each double does what a rule forbids.
mod broken {
    use super::*;

    /// Callbacks from the stack never wait for the token.
    #[test]
    #[ignore = "it hangs"]
    fn d17_an_event_waits_for_the_token() {
        lab(|| {
            let (a, b) = (card(1), card(2));
            let _port = host::vlan_create(&b.ifp, 7, "vlan7").unwrap();
            let lagg = lagg_of(&[&a]);
            lagg.add("vlan7").unwrap();
            let came = Arc::new(AtomicBool::new(false));
            let said = came.clone();
            host::listen(&lagg.ifp, move |_, event| {
                if let Event::Vlan(8, true) = event {
                    said.store(true, Ordering::SeqCst);
                    wait_for_the_token().unwrap();
                }
            });
            let blocked = a.nic.block(SIOCSIFMTU);
            thread::scope(|scope| {
                spawn(scope, || lagg.set_mtu(1400));
                blocked.wait();
                spawn(scope, || host::vlan_create(&lagg.ifp, 8, "vlan8"));
                until("the event", || came.load(Ordering::SeqCst));
                // The change continues with the VLAN that is a port, which needs `vlan_sx`.
                blocked.release();
            });
        });
    }

    /// `ifnet_detach_sxlock` comes before `vlan_sx`.
    #[test]
    #[ignore = "it panics"]
    fn d16_an_event_wants_what_a_destroyer_has() {
        lab(|| {
            let a = card(1);
            let lagg = lagg_of(&[&a]);
            host::listen(&lagg.ifp, |_, event| {
                if let Event::Vlan(..) = event {
                    drop(detach_lock());
                }
            });
            drop(host::vlan_create(&lagg.ifp, 7, "vlan7"));
        });
    }

    /// Nor does a task take it for which a destroyer waits.
    #[test]
    #[ignore = "it panics"]
    fn d16_a_task_wants_what_a_destroyer_has() {
        lab(|| {
            let _a = meddler(1, |ifp, command| {
                if command == SIOCSIFFLAGS && ifp.flags() & iff::PROMISC != 0 {
                    drop(detach_lock());
                }
            });
            let lagg = crate::lab::lagg();
            lagg.add("em1").unwrap();
            host::set_promisc(&lagg.ifp, true).unwrap();
            host::settle();
            // Neither waits for the other this time.
            lagg.destroy();
        });
    }

    /// in6_ifdetach is called without what a driver may need.
    #[test]
    #[ignore = "it hangs"]
    fn ipv6_is_left_with_the_token_held() {
        lab(|| {
            let a = card(1);
            let b = meddler(2, |ifp, command| match command {
                SIOCSIFMTU => ifp.in6_detach(),
                SIOCDELMULTI => wait_for_the_token().unwrap(),
                _ => {}
            });
            let lagg = lagg_of(&[&a]);
            lagg.add("em2").unwrap();
            host::set_ipv6(&b, true);
            lagg.set_mtu(1400).unwrap();
        });
    }

    /// `ifnet_detach_sxlock` is never taken with the token held.
    #[test]
    #[ignore = "it hangs"]
    fn d14_a_joiner_wants_what_a_departure_has() {
        lab(|| {
            let (joins, departs) =
                (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
            let (said, seen) = (joins.clone(), departs.clone());
            let a = card(1);
            let b = meddler(2, move |_, command| {
                if command == SET_LLADDR && !said.swap(true, Ordering::SeqCst) {
                    until("the departure", || seen.load(Ordering::SeqCst));
                    drop(detach_lock());
                }
            });
            let lagg = lagg_of(&[&a]);
            let gone = b.ifp();
            thread::scope(|scope| {
                spawn(scope, || lagg.add("em2"));
                until("the joiner", || joins.load(Ordering::SeqCst));
                spawn(scope, move || b.detach());
                until("the departure to begin", || gone.flags() & iff::DYING != 0);
                departs.store(true, Ordering::SeqCst);
            });
        });
    }
}
