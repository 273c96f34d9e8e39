//! Repeats one operation: once without a failure, then with each of its calls failing in turn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lagg_rs::kpi::host::{self, Failed, Fault, Vnet};
use lagg_rs::kpi::ioctl::{
    SIOCADDMULTI, SIOCDELMULTI, SIOCGIFMEDIA, SIOCGIFXMEDIA, SIOCSIFCAP, SIOCSIFCAPNV,
    SIOCSIFFLAGS, SIOCSIFMTU,
};
use lagg_rs::kpi::{Errno, IfnetRef, Result, live};

use crate::lab::{everything, text};

/// The calls that may fail, and their errno.
const FAULTS: [(Fault, Errno); 5] = [
    (Fault::Allocation, Errno::ENOMEM),
    (Fault::Packet, Errno::ENOBUFS),
    (Fault::Group, Errno::ENOMEM),
    (Fault::Ioctl, Errno::EIO),
    (Fault::Lladdr, Errno::ENODEV),
];

/// Only one test runs at a time, because a call fails in whichever thread makes it.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An operation: how it is set up, what it does, and what follows it and tries again what was refused.
pub struct Trial<'a, W> {
    pub name: &'a str,
    pub set_up: &'a dyn Fn() -> W,
    pub act: &'a dyn Fn(&mut W) -> Result,
    pub heal: &'a dyn Fn(&W),
    /// Selects the lines of [`everything`] that are true only for a moment after the operation.
    pub passing: fn(&str) -> bool,
}

/// The state of everything: at first, after the operation, and after what follows it.
struct States {
    before: Vec<String>,
    after: Vec<String>,
    healed: Vec<String>,
}

/// The number of calls of each kind that were made to fail.
pub type Counts = BTreeMap<Fault, usize>;

impl<W> Trial<'_, W> {
    /// Runs the trial, and counts in `counts` what failed.
    pub fn run(&self, counts: &mut Counts) {
        let _alone = alone();
        let states = self.in_world(|world| {
            let before = everything();
            assert_eq!((self.act)(world), Ok(()), "{}, with nothing failing", self.name);
            let after = everything();
            (self.heal)(world);
            States { before, after, healed: in_the_end() }
        });
        for (fault, errno) in FAULTS {
            let failing =
                |n: &usize| self.in_world(|world| self.fail(world, &states, (fault, errno), *n));
            let failed = (1..).take_while(failing).count();
            *counts.entry(fault).or_default() += failed;
        }
    }

    /// Runs `f` in a vnet of its own. No object of the driver may be left.
    fn in_world<R>(&self, f: impl FnOnce(&mut W) -> R) -> R {
        host::settle();
        // Objects of a test that has failed.
        let before = live();
        let result = Vnet::new().enter(|| {
            let mut world = (self.set_up)();
            let result = f(&mut world);
            drop(world);
            assert!(Vnet::current().interfaces().is_empty());
            result
        });
        host::settle();
        assert_eq!(live(), before, "{}: objects are left", self.name);
        result
    }

    /// Runs the operation with the `n`-th such call failing. Returns false if there was none.
    fn fail(
        &self,
        world: &mut W,
        states: &States,
        (fault, errno): (Fault, Errno),
        n: usize,
    ) -> bool {
        is_same(
            &everything(),
            &states.before,
            &|_| false,
            &format!("{}, set up otherwise", self.name),
        );
        let vlans = vlans();
        host::fail(fault, n, errno);
        let result = (self.act)(world);
        host::settle();
        let Some(failed) = host::failed() else {
            assert_eq!(result, Ok(()));
            return false;
        };
        let what = format!("{}: {fault:?} {n}, {failed:x?}, {result:?}", self.name);
        let (now, family) = (everything(), family(&failed, &vlans));
        if result.is_err() {
            assert_eq!(result, Err(errno), "{what}");
            is_same(&now, &states.before, &|_| false, &what);
            // And nothing prevents the operation now.
            assert_eq!((self.act)(world), Ok(()), "{what}, again");
            is_same(&everything(), &states.after, &self.passing, &format!("{what}, again"));
        } else {
            let refused = refused(fault, &failed, family.clone());
            is_same(
                &now,
                &states.after,
                &|line| failed.in_task || (self.passing)(line) || refused(line),
                &what,
            );
        }
        (self.heal)(world);
        let ports = ports();
        let is_port = |ifp: &String| ports.contains(ifp);
        let unheard = match (fault, failed.command) {
            // A driver's result for a group is ignored, also for a group of a VLAN.
            (Fault::Ioctl, SIOCADDMULTI | SIOCDELMULTI) => true,
            (Fault::Group, _) => !failed.ifp.iter().any(is_port),
            _ => !family.iter().any(is_port),
        };
        let refused = refused(fault, &failed, family.clone());
        let what = format!("{what}, and what follows");
        is_same(&in_the_end(), &states.healed, &|line| unheard && refused(line), &what);
        true
    }
}

/// Everything except records of the past.
fn in_the_end() -> Vec<String> {
    let without_flapping = |line: &String| match line.split_once("flapping: ") {
        Some((before, after)) => format!("{before}{}", after.trim_start_matches(char::is_numeric)),
        None => line.clone(),
    };
    everything().iter().map(without_flapping).collect()
}

/// The names of all interfaces that are ports.
fn ports() -> BTreeSet<String> {
    let interfaces = Vnet::current().interfaces();
    let plans = interfaces.iter().filter_map(|ifp| Some(ifp.lagg_softc()?.plan_ref()));
    plans
        .flat_map(|plan| Vec::from_iter(plan.ports().map(|port| text(&port.ifp().name()))))
        .collect()
}

/// Each VLAN with the interface whose VLAN it is.
fn vlans() -> Vec<[String; 2]> {
    let vlan = |ifp: &IfnetRef| Some([&**ifp, &*ifp.vlan_parent()?].map(|ifp| text(&ifp.name())));
    Vnet::current().interfaces().iter().filter_map(vlan).collect()
}

/// The interface whose call has failed, its parent, and its VLANs.
fn family(failed: &Failed, vlans: &[[String; 2]]) -> Vec<String> {
    let related = vlans.iter().filter(|pair| failed.ifp.iter().any(|ifp| pair.contains(ifp)));
    failed.ifp.iter().chain(related.flatten()).cloned().collect()
}

/// Selects the lines that differ because an interface has refused something, which the driver cannot
/// change: that attribute of the interface and of its family and, for capabilities, media and LACPDUs, what
/// depends on it.
fn refused(fault: Fault, failed: &Failed, family: Vec<String>) -> impl Fn(&str) -> bool {
    let attributes: &[&str] = match (fault, failed.command) {
        (Fault::Group, _) | (Fault::Ioctl, SIOCADDMULTI | SIOCDELMULTI) => &["membership", "VLAN"],
        (Fault::Packet, _) => &["answers", "link", "baudrate"],
        (Fault::Lladdr, _) => &["address"],
        (Fault::Ioctl, SIOCSIFMTU) => &["mtu"],
        (Fault::Ioctl, SIOCSIFFLAGS) => &["running", "flags", "membership", "VLAN"],
        (Fault::Ioctl, SIOCSIFCAP | SIOCSIFCAPNV) => &["offloads"],
        (Fault::Ioctl, SIOCGIFMEDIA | SIOCGIFXMEDIA) => &["answers"],
        _ => &[],
    };
    let all = matches!(attributes, ["offloads"] | ["answers", ..]);
    move |line| {
        let (name, attribute) = line.split_once(' ').expect("a line begins with a name");
        (all || family.iter().any(|it| it == name))
            && attributes.iter().any(|it| attribute.starts_with(it))
    }
}

/// Panics with the lines that differ, except those that `may_differ` selects.
#[track_caller]
fn is_same(now: &[String], wanted: &[String], may_differ: &dyn Fn(&str) -> bool, what: &str) {
    let only = |of: &[String], not_in: &[String]| -> Vec<String> {
        of.iter().filter(|line| !not_in.contains(line) && !may_differ(line)).cloned().collect()
    };
    let (more, less) = (only(now, wanted), only(wanted, now));
    assert!(
        more.is_empty() && less.is_empty(),
        "{what}\nis:     {}\nshould: {}",
        more.join("\n        "),
        less.join("\n        ")
    );
}
