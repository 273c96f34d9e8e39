//! Multicast groups, promiscuous mode, and detaching IPv6 from an interface.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc;

use super::driver::Kind;
use super::faults::{self, Fault};
use super::locks::{IN_MULTI, IN6_MULTI, Sx};
use super::tasks::is_stack_thread;
use super::witness::{self, lock};
use super::{methods, stack};
use crate::kpi::ioctl::{Ioctl, SIOCADDMULTI, SIOCDELMULTI};
use crate::kpi::{Array, Ifnet, LinkAddr, Result, iff};

/// The groups and modes of an interface, and how often each was requested.
#[derive(Default, Debug)]
pub(super) struct Membership {
    groups: BTreeMap<LinkAddr, u32>,
    promisc: u32,
    allmulti: u32,
}

/// The groups that `ifp` is in.
pub fn groups(ifp: &Ifnet) -> Vec<LinkAddr> {
    lock(&ifp.membership).groups.keys().copied().collect()
}

/// if_addmulti. It fails without memory for a new group. The driver's result for that group is ignored.
pub(super) fn join(ifp: &Ifnet, group: &LinkAddr) -> Result {
    assert_eq!(group.as_bytes().len(), ifp.addr_len(), "{ifp:?} joins a group of another kind");
    {
        let mut membership = lock(&ifp.membership);
        if let Some(times) = membership.groups.get_mut(group) {
            *times += 1;
            return Ok(());
        }
        faults::may_fail(Fault::Group, Some(ifp), 0)?;
        membership.groups.insert(*group, 1);
    }
    let _ = multicast_ioctl(ifp, SIOCADDMULTI);
    Ok(())
}

/// if_purgemaddrs: removes all groups, without telling the driver.
pub(super) fn purge(ifp: &Ifnet) {
    lock(&ifp.membership).groups.clear();
}

/// if_delmulti.
pub(super) fn leave(ifp: &Ifnet, group: &LinkAddr) {
    let last = {
        let mut membership = lock(&ifp.membership);
        match membership.groups.get_mut(group) {
            Some(1) => membership.groups.remove(group).is_some(),
            Some(times) => {
                *times -= 1;
                false
            }
            None => false,
        }
    };
    if last {
        let _ = multicast_ioctl(ifp, SIOCDELMULTI);
    }
}

/// `if_ioctl` for a change of groups, which comes without data.
fn multicast_ioctl(ifp: &Ifnet, command: usize) -> Result {
    ifp.in_vnet(|| {
        // SAFETY: SIOCADDMULTI and SIOCDELMULTI, with which this is called, bring no data to a driver.
        methods::run_current(ifp, &mut unsafe { Ioctl::new(command, std::ptr::null_mut()) })
    })
}

/// A group that the driver has joined on a port, and must leave again. `A` is its address, or converts to
/// it.
pub struct Group<A = LinkAddr>(A);

impl Group {
    /// Its address.
    pub fn address(&self) -> LinkAddr {
        self.0
    }
}

impl Ifnet {
    /// The groups that others have joined on the interface. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn groups(&self) -> Result<Array<LinkAddr>> {
        let groups = groups(self);
        Array::try_new(groups.len(), |place| groups[place])
    }

    /// Joins a group. May sleep; takes the locks that its driver takes.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn join_group<A: Copy + Into<LinkAddr>>(&self, group: A) -> Result<Group<A>> {
        witness::may_sleep("if_addmulti");
        self.assert_attached("if_addmulti");
        join(self, &group.into()).map(|()| Group(group))
    }

    /// Leaves a group. Does nothing if the stack has purged the interface's groups. May sleep.
    ///
    /// By its address, which the kernel looks up under its lock, because a purge before the departure event
    /// frees a membership that only we had.
    pub fn leave_group<A: Into<LinkAddr>>(&self, group: Group<A>) {
        witness::may_sleep("if_delmulti");
        self.assert_attached("if_delmulti");
        leave(self, &group.0.into());
    }

    /// Requests promiscuous mode, or ends the request (ifpromisc). May sleep.
    ///
    /// # Errors
    /// What the driver returned.
    pub fn want_promisc(&self, on: bool) -> Result {
        self.assert_attached("ifpromisc");
        assert_alone(self);
        count_flag(self, iff::PROMISC, on)
    }

    /// Requests all groups, or ends the request (if_allmulti). May sleep.
    ///
    /// # Errors
    /// What the driver returned.
    pub fn want_allmulti(&self, on: bool) -> Result {
        self.assert_attached("if_allmulti");
        assert_alone(self);
        count_flag(self, iff::ALLMULTI, on)
    }
}

/// vlan(4) passes modes on under a shared lock. A change at the same time as its task, which gives a VLAN
/// its parent's address, makes it ask the parent for the same twice (if_setflag: decrement non-positive
/// refcount).
fn assert_alone(ifp: &Ifnet) {
    let alone = !matches!(ifp.kind, Kind::Vlan(_)) || is_stack_thread();
    assert!(alone, "{ifp:?} is asked for a mode beside its task on taskqueue_thread");
}

/// A socket joins a group of IPv4 (`in_multi_sx` held) or IPv6 (`in6_multi_sx`) with that link-level
/// address. Sleeps.
///
/// # Errors
/// ENOMEM.
pub fn join_group(ifp: &Ifnet, group: &LinkAddr) -> Result {
    let _multi = multi_lock(group).lock();
    join(ifp, group)
}

/// A socket leaves a group. Sleeps.
pub fn leave_group(ifp: &Ifnet, group: &LinkAddr) {
    let _multi = multi_lock(group).lock();
    leave(ifp, group);
}

/// A socket joins IPv6's unspecified group, which stands for all groups. IFF_ALLMULTI is set, but the
/// driver is only told that a group was joined (ether_resolvemulti). Sleeps.
pub fn join_all_groups(ifp: &Ifnet) {
    let _multi = IN6_MULTI.lock();
    ifp.change_flags(iff::ALLMULTI, 0);
    let _ = multicast_ioctl(ifp, SIOCADDMULTI);
}

fn multi_lock(group: &LinkAddr) -> &'static Sx {
    let is_ipv6 = match group {
        LinkAddr::Ethernet(address) => address.starts_with(&[0x33, 0x33]),
        LinkAddr::Infiniband(address) => address[6..8] == [0x60, 0x1b],
    };
    if is_ipv6 { &IN6_MULTI } else { &IN_MULTI }
}

/// Requests promiscuous mode, or ends a request (ifpromisc). Sleeps.
///
/// # Errors
/// What the driver returned.
pub fn set_promisc(ifp: &Ifnet, on: bool) -> Result {
    count_flag(ifp, iff::PROMISC, on)
}

/// Requests the reception of all groups, or ends a request (if_allmulti). Sleeps.
///
/// # Errors
/// What the driver returned.
pub fn set_allmulti(ifp: &Ifnet, on: bool) -> Result {
    count_flag(ifp, iff::ALLMULTI, on)
}

impl Membership {
    fn wants(&mut self, flag: u32) -> &mut u32 {
        if flag == iff::PROMISC { &mut self.promisc } else { &mut self.allmulti }
    }
}

/// if_setppromisc: promiscuous mode at a user's request.
pub(super) fn set_for_good(ifp: &Ifnet, on: bool) {
    if on {
        ifp.change_flags(iff::PROMISC, 0);
    } else if lock(&ifp.membership).promisc == 0 {
        ifp.change_flags(0, iff::PROMISC);
    }
}

/// if_setflag: the driver is told of the first request for the flag, and of the end of the last.
pub(super) fn count_flag(ifp: &Ifnet, flag: u32, on: bool) -> Result {
    witness::may_sleep("if_setflag");
    let set = |on| if on { ifp.change_flags(flag, 0) } else { ifp.change_flags(0, flag) };
    {
        let mut membership = lock(&ifp.membership);
        let wants = membership.wants(flag);
        assert!(on || *wants > 0, "{ifp:?}: nobody wants {flag:#x}");
        let first_or_last = *wants == u32::from(!on);
        *wants = if on { *wants + 1 } else { *wants - 1 };
        if !first_or_last {
            return Ok(());
        }
    }
    set(on);
    let result = ifp.in_vnet(|| stack::flags_changed(ifp));
    if result.is_err() {
        set(!on);
        let mut membership = lock(&ifp.membership);
        let wants = membership.wants(flag);
        *wants = if on { *wants - 1 } else { *wants + 1 };
    }
    result
}

/// Sets whether `ifp` has a link-local IPv6 address.
pub fn set_ipv6(ifp: &Ifnet, has: bool) {
    ifp.has_ipv6.store(has, Ordering::Relaxed);
}

/// in6_ifdetach: waits for a task of the stack that leaves the groups, and holds `in6_multi_sx` when it
/// calls the driver.
pub(super) fn in6_detach(ifp: &Ifnet) {
    witness::may_sleep("in6_ifdetach");
    if !ifp.has_ipv6.swap(false, Ordering::Relaxed) {
        return;
    }
    witness::ask(IN6_MULTI.class());
    let (done, wait) = mpsc::channel();
    let ifp = ifp.to_ref();
    witness::kernel_thread("inm taskq", move || {
        {
            let _in6_multi = IN6_MULTI.lock();
            let _ = multicast_ioctl(&ifp, SIOCDELMULTI);
        }
        drop(ifp);
        let _ = done.send(());
    });
    if wait.recv_timeout(witness::patience()).is_err() {
        panic!(
            "deadlock? in6_ifdetach waits for the groups to be left, and holds {}",
            witness::held()
        );
    }
}
