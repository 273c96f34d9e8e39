//! What the stack does with any interface (`net/if.c`).

use super::driver::{Kind, requested_mtu};
use super::event::{self, Event};
use super::faults::{self, Fault};
use super::{methods, module, offloads, privilege, vlan, witness};
use crate::kpi::driver::{Driver, Module};
use crate::kpi::gate::Inside;
use crate::kpi::ioctl::{InterfaceRequest, Ioctl, SIOCSIFADDR, SIOCSIFFLAGS, SIOCSIFMTU};
use crate::kpi::{Errno, IfType, Ifnet, LinkAddr, LinkState, Result, iff};

/// Reports a link state of `ifp`, as its driver does (if_link_state_change).
pub fn set_link(ifp: &Ifnet, state: LinkState) {
    if state == LinkState::Up && ifp.link_state() != state {
        offloads::link_up(ifp);
    }
    ifp.change_link_state(state);
}

/// Reports the link state of `ifp` to all listeners. On `taskqueue_swi`.
pub(super) fn link_task(ifp: &Ifnet) {
    let state = ifp.link_state();
    ifp.in_vnet(|| {
        vlan::parent_link_state(ifp, state);
        if !ifp.lagg.is_empty() {
            assert!(module::is_loaded(), "lagg_linkstate_p is NULL, and {ifp:?} a port");
            let _inside = Inside::enter();
            if let Some(port) = ifp.lagg_port() {
                Module::port_link_state(&port);
            }
        }
        event::tell(ifp, &Event::Link(state));
    });
}

/// if_setlladdr.
pub(super) fn set_lladdr(ifp: &Ifnet, lladdr: &LinkAddr) -> Result {
    witness::may_sleep("if_setlladdr");
    if ifp.is_dead() || lladdr.as_bytes().len() != ifp.addr_len() {
        return Err(Errno::EINVAL);
    }
    if !matches!(ifp.if_type(), IfType::Ethernet | IfType::Vlan | IfType::LaggPort) {
        return Err(Errno::ENODEV);
    }
    if let Kind::Nic(nic) = &ifp.kind {
        faults::may_fail(Fault::Lladdr, Some(ifp), 0)?;
        nic.set_lladdr(ifp, &lladdr.ethernet())?;
    }
    ifp.store_lladdr(lladdr);
    if ifp.flags() & iff::UP != 0 {
        for up in [false, true] {
            if up {
                ifp.change_flags(iff::UP, 0)
            } else {
                ifp.change_flags(0, iff::UP)
            }
            let _ = flags_changed(ifp);
        }
    }
    ifp.lladdr_event();
    Ok(())
}

/// Tells the driver that the flags may have changed (SIOCSIFFLAGS).
pub(super) fn flags_changed(ifp: &Ifnet) -> Result {
    let mut request = InterfaceRequest::with_flags(ifp.flags()).named(ifp.name());
    methods::call(ifp, ifp.ioctl_method(), SIOCSIFFLAGS, &mut request)
}

/// ether_ioctl.
pub(super) fn ether_ioctl(ifp: &Ifnet, r: &mut Ioctl<'_>) -> Result {
    match r.command() {
        SIOCSIFADDR => {
            ifp.change_flags(iff::UP, 0);
            ifp.kind.init(ifp);
            Ok(())
        }
        SIOCSIFMTU => {
            let mtu = requested_mtu(r)?;
            if mtu > 1500 {
                return Err(Errno::EINVAL);
            }
            ifp.store_mtu(mtu);
            Ok(())
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Gives `ifp` an address (SIOCAIFADDR), which brings it up. Sleeps.
///
/// # Errors
/// EPERM, or what its driver returned.
pub fn set_address(ifp: &Ifnet) -> Result {
    privilege::check()?;
    let was_up = ifp.flags() & iff::UP != 0;
    ifp.in_vnet(|| {
        // SAFETY: the driver gets no `ifaddr`, and may not use one.
        methods::run_current(ifp, &mut unsafe { Ioctl::new(SIOCSIFADDR, std::ptr::null_mut()) })?;
        if !was_up && ifp.flags() & iff::UP != 0 {
            ifp.up();
        }
        Ok(())
    })
}
