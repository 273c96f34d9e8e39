//! The ioctls of the lagg and of its ports.

use zerocopy::IntoBytes;

use super::lacp_state::Control;
use super::options::bits;
use super::state::{Phase, State};
use super::{Plan, Port, Softc, config, join, lacp, leave, options};
use crate::kpi::ioctl::{
    FlagsRequest, InterfaceRequest, LacpInfo, LaggRequest, PortRequest, SIOCADDMULTI, SIOCDELMULTI,
    SIOCGIFCAPNV, SIOCGIFMEDIA, SIOCGIFXMEDIA, SIOCGLAGG, SIOCGLAGGFLAGS, SIOCGLAGGOPTS,
    SIOCGLAGGPORT, SIOCSETVLAN, SIOCSIFCAP, SIOCSIFCAPNV, SIOCSIFFLAGS, SIOCSIFMEDIA, SIOCSIFMTU,
    SIOCSLAGG, SIOCSLAGGDELPORT, SIOCSLAGGHASH, SIOCSLAGGOPTS, SIOCSLAGGPORT, port as port_flag,
};
use crate::kpi::{Errno, IfnetRef, Ioctl, Ref, Result, copyout, iff, priv_check_lagg, probe};
use crate::policy::Role;
use crate::wire::lacpdu::{Info, StateBits};

/// A request to the lagg.
pub(super) fn lagg(softc: &Ref<Softc>, request: &mut Ioctl<'_>) -> Result {
    if softc.state().destroying {
        return match request.command() {
            // A VLAN on the lagg undoes what it has asked for, and complains on the console if that fails.
            // F-38: so let it succeed
            SIOCSIFFLAGS | SIOCADDMULTI | SIOCDELMULTI => Ok(()),
            _ => Err(Errno::ENXIO),
        };
    }
    match request.command() {
        SIOCGLAGG => get_lagg(softc, request.argument()?),
        SIOCSLAGG => {
            priv_check_lagg()?;
            config::set_protocol(softc, request.argument::<LaggRequest>()?.proto)
        }
        SIOCGLAGGOPTS => options::get(softc, request.argument()?),
        SIOCSLAGGOPTS => {
            priv_check_lagg()?;
            options::set(softc, request.argument()?)
        }
        SIOCGLAGGFLAGS => {
            request.argument::<FlagsRequest>()?.flags = softc.state().options.hash;
            Ok(())
        }
        SIOCSLAGGHASH => {
            priv_check_lagg()?;
            options::set_hash(softc, request.argument::<FlagsRequest>()?.flags)
        }
        SIOCGLAGGPORT => get_port(softc, request.argument()?),
        SIOCSLAGGPORT => {
            priv_check_lagg()?;
            let name = request.argument::<PortRequest>()?.portname;
            let joined = join::add(softc, &name);
            probe::port_join(softc.ifp(), &name, joined);
            joined
        }
        SIOCSLAGGDELPORT => {
            priv_check_lagg()?;
            leave::remove(softc, &request.argument::<PortRequest>()?.portname)
        }
        SIOCSIFFLAGS => {
            config::flags_changed(softc);
            Ok(())
        }
        SIOCSIFMTU => set_mtu(softc, request.argument()?),
        SIOCSIFCAP | SIOCSIFCAPNV => config::set_capabilities(softc, request),
        // The stack fills in the answer.
        SIOCGIFCAPNV => Ok(()),
        SIOCADDMULTI | SIOCDELMULTI => {
            config::groups_changed(softc);
            Ok(())
        }
        SIOCSIFMEDIA => {
            softc.media.as_ref().ok_or(Errno::EINVAL)?.ioctl(softc.ifp(), request)?;
            softc.debug(format_args!("the media are set to autoselect, the only choice"));
            Ok(())
        }
        // F-29: both forms of the request
        SIOCGIFMEDIA | SIOCGIFXMEDIA => {
            softc.media.as_ref().ok_or(Errno::EINVAL)?.ioctl(softc.ifp(), request)
        }
        _ => softc.ifp().ether_ioctl(request),
    }
}

/// A request to an interface that is a port.
pub(super) fn port(port: &Ref<Port>, request: &mut Ioctl<'_>) -> Result {
    match request.command() {
        // D-22: needs no privilege, and asserts no lock
        SIOCGLAGGPORT => {
            let record: &mut PortRequest = request.argument()?;
            if record.portname != port.ifp().name() {
                return Err(Errno::EINVAL);
            }
            if port.softc().state().phase(port) != Some(Phase::Member) {
                return Err(Errno::ENOENT);
            }
            fill(record, &port.softc().plan_ref(), port);
            Ok(())
        }
        SIOCSIFMTU => Err(Errno::EINVAL),
        // Its new parent might be this lagg.
        SIOCSETVLAN => Err(Errno::EBUSY),
        SIOCSIFCAP | SIOCSIFCAPNV => config::set_port_capabilities(port, request),
        // The lagg is changing the port's address, which takes it down and up again.
        SIOCSIFFLAGS if port.softc().state().readdressed == Some(port.slot()) => {
            port.methods().forward(port.ifp(), request)
        }
        command => {
            let was_up = port.ifp().flags() & iff::UP;
            if command == SIOCSIFFLAGS && was_up == 0 {
                lacp::say_that_ports_are_down(port.softc());
            }
            let result = port.methods().forward(port.ifp(), request);
            // The choice of ports and the lagg's link depend on IFF_UP, which SIOCSIFADDR sets too.
            if command == SIOCSIFFLAGS || port.ifp().flags() & iff::UP != was_up {
                lacp::link_changed(port.softc());
            }
            result
        }
    }
}

/// SIOCGLAGG: the protocol, and a record for each port for which there is room.
fn get_lagg(softc: &Softc, request: &mut LaggRequest) -> Result {
    const RECORD: usize = size_of::<PortRequest>();
    let plan = softc.plan_ref();
    // The ABI uses only the lower 32 bits.
    let room = usize::try_from(request.size & 0xffff_ffff).unwrap_or(0) / RECORD;
    let mut to = request.port;
    let mut written: i32 = 0;
    for port in plan.ports_by_index().into_iter().take(room) {
        let mut record = PortRequest::default();
        fill(&mut record, &plan, port);
        copyout(record.as_bytes(), to)?;
        to = to.wrapping_add(RECORD as u64);
        written = written.wrapping_add(1);
    }
    request.proto = plan.protocol().about().number;
    // D-8: under the mutex
    if let Some(lacp) = softc.state().mode.lacp() {
        request.psc = aggregator_record(lacp);
    }
    request.ports = written;
    request.size = u64::from(written.unsigned_abs()).wrapping_mul(RECORD as u64);
    Ok(())
}

/// SIOCGLAGGPORT on the lagg.
fn get_port(softc: &Softc, record: &mut PortRequest) -> Result {
    let ifp = IfnetRef::by_name(&record.portname).ok_or(Errno::EINVAL)?;
    let port = leave::member(softc, &ifp).ok_or(Errno::ENOENT)?;
    fill(record, &softc.plan_ref(), &port);
    Ok(())
}

/// A port's record.
fn fill(record: &mut PortRequest, plan: &Plan, port: &Port) {
    record.ifname = port.softc().ifp().name();
    record.portname = port.ifp().name();
    record.prio = 0;
    record.flags = match plan.protocol().role(plan, port) {
        Some(Role { master, active }) => {
            bits(master, port_flag::MASTER) | bits(active, port_flag::ACTIVE)
        }
        None => lacp_record(&port.softc().state(), port, &mut record.psc),
    };
}

/// LACP's part of a port's record. Returns its flags, and fills in `sides`, the actor and partner.
fn lacp_record(state: &State, port: &Port, sides: &mut LacpInfo) -> u32 {
    let Some(lacp) = state.mode.lacp() else { return 0 };
    let Some(machines) = lacp.machines.port(port.slot()) else { return 0 };
    *sides = info(machines.actor(), machines.partner());
    let state = machines.actor().state;
    bits(lacp.machines.is_active(port.slot()), port_flag::ACTIVE)
        | bits(state.contains(StateBits::COLLECTING), port_flag::COLLECTING)
        | bits(state.contains(StateBits::DISTRIBUTING), port_flag::DISTRIBUTING)
}

/// The active aggregator's record; zeros if there is none.
fn aggregator_record(lacp: &Control) -> LacpInfo {
    let sides = lacp.machines.active_aggregator();
    sides.map(|(actor, partner)| info(&actor, &partner)).unwrap_or_default()
}

fn info(actor: &Info, partner: &Info) -> LacpInfo {
    LacpInfo {
        actor_prio: actor.system_priority,
        actor_mac: actor.system,
        actor_key: actor.key,
        actor_portprio: actor.port_priority,
        actor_portno: actor.port,
        actor_state: actor.state.bits(),
        pad1: 0,
        partner_prio: partner.system_priority,
        partner_mac: partner.system,
        partner_key: partner.key,
        partner_portprio: partner.port_priority,
        partner_portno: partner.port,
        partner_state: partner.state.bits(),
        pad2: 0,
    }
}

/// SIOCSIFMTU. On failure the request returns the MTU that the lagg still has.
fn set_mtu(softc: &Softc, request: &mut InterfaceRequest) -> Result {
    config::set_mtu(softc, request.mtu()).inspect_err(|_| request.set_mtu(softc.ifp().mtu()))
}
