//! The ioctls of the lagg and of its ports.

use core::num::NonZeroU32;

use zerocopy::IntoBytes;

use super::state::{Options, Phase};
use super::{Plan, Port, Softc, config, join, lacp, leave};
use crate::kpi::ioctl::{
    FlagsRequest, InterfaceRequest, LaggRequest, Name, OptionsRequest, PortRequest, SIOCADDMULTI,
    SIOCDELMULTI, SIOCGIFCAPNV, SIOCGIFMEDIA, SIOCGIFXMEDIA, SIOCGLAGG, SIOCGLAGGFLAGS,
    SIOCGLAGGOPTS, SIOCGLAGGPORT, SIOCSETVLAN, SIOCSIFCAP, SIOCSIFCAPNV, SIOCSIFFLAGS,
    SIOCSIFMEDIA, SIOCSIFMTU, SIOCSLAGG, SIOCSLAGGDELPORT, SIOCSLAGGHASH, SIOCSLAGGOPTS,
    SIOCSLAGGPORT, hash, opt, port as port_flag,
};
use crate::kpi::{Errno, IfnetRef, Ioctl, Ref, Result, copyout, iff, priv_check_lagg};
use crate::policy::{Protocol, failover};
use crate::wire::flow::layers;

// The bits of `lagghash` are the layers that flows are told by.
static_assertions::const_assert!(
    hash::L2 == layers::L2 && hash::L3 == layers::L3 && hash::L4 == layers::L4
);

/// A request to the lagg.
pub(super) fn lagg(softc: &Ref<Softc>, request: &mut Ioctl<'_>) -> Result {
    if softc.state().destroying {
        return match request.command() {
            // A VLAN on it takes back what it has asked for, and says on the console if it cannot.
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
        SIOCGLAGGOPTS => get_options(softc, request.argument()?),
        SIOCSLAGGOPTS => {
            priv_check_lagg()?;
            set_option(softc, request.argument()?)
        }
        SIOCGLAGGFLAGS => {
            request.argument::<FlagsRequest>()?.flags = softc.state().options.hash;
            Ok(())
        }
        SIOCSLAGGHASH => {
            priv_check_lagg()?;
            set_hash(softc, request.argument::<FlagsRequest>()?.flags)
        }
        SIOCGLAGGPORT => get_port(softc, request.argument()?),
        SIOCSLAGGPORT => {
            priv_check_lagg()?;
            let name = request.argument::<PortRequest>()?.portname;
            join::add(softc, &name, request.may_sleep())
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
        // The stack has the answer.
        SIOCGIFCAPNV => Ok(()),
        SIOCADDMULTI | SIOCDELMULTI => {
            config::groups_changed(softc);
            Ok(())
        }
        SIOCSIFMEDIA => {
            softc.media().ok_or(Errno::EINVAL)?.ioctl(softc.ifp(), request)?;
            softc
                .debug(format_args!("the media are set to autoselect, which is all that there is"));
            Ok(())
        }
        SIOCGIFMEDIA | SIOCGIFXMEDIA => {
            softc.media().ok_or(Errno::EINVAL)?.ioctl(softc.ifp(), request)
        }
        _ => softc.ifp().ether_ioctl(request),
    }
}

/// A request to an interface that is a port.
pub(super) fn port(port: &Ref<Port>, request: &mut Ioctl<'_>) -> Result {
    match request.command() {
        SIOCGLAGGPORT => {
            let record: &mut PortRequest = request.argument()?;
            if !same_name(&record.portname, &port.ifp().name()) {
                return Err(Errno::EINVAL);
            }
            if port.softc().state().phase(port) != Some(Phase::Member) {
                return Err(Errno::ENOENT);
            }
            fill(record, &port.softc().plan_ref(), port);
            Ok(())
        }
        SIOCSIFMTU => Err(Errno::EINVAL),
        // It might be given the lagg for its parent.
        SIOCSETVLAN => Err(Errno::EBUSY),
        SIOCSIFCAP | SIOCSIFCAPNV => config::set_port_capabilities(port, request),
        // Down and up again, for another address, of which the lagg knows.
        SIOCSIFFLAGS if port.softc().state().readdressed == Some(port.slot()) => {
            port.methods().forward(port.ifp(), request)
        }
        command => {
            let was_up = port.ifp().flags() & iff::UP;
            if command == SIOCSIFFLAGS && was_up == 0 {
                lacp::say_that_ports_are_down(port.softc());
            }
            let result = port.methods().forward(port.ifp(), request);
            // Where flows go, and whether the lagg's link is up, goes by IFF_UP too, which SIOCSIFADDR
            // sets as well.
            if command == SIOCSIFFLAGS || port.ifp().flags() & iff::UP != was_up {
                lacp::link_changed(port.softc());
            }
            result
        }
    }
}

/// SIOCGLAGG: the protocol, and a record for each port as far as there is room.
fn get_lagg(softc: &Softc, request: &mut LaggRequest) -> Result {
    const RECORD: usize = size_of::<PortRequest>();
    let plan = softc.plan_ref();
    // The ABI looks at the lower 32 bits alone.
    let room = usize::try_from(request.size & 0xffff_ffff).unwrap_or(0) / RECORD;
    let mut to = request.port;
    let mut written: i32 = 0;
    for port in plan.ports().take(room) {
        let mut record = PortRequest::default();
        fill(&mut record, &plan, port);
        copyout(record.as_bytes(), to)?;
        to = to.wrapping_add(RECORD as u64);
        written = written.wrapping_add(1);
    }
    request.proto = plan.protocol().number();
    if let Some(lacp) = &softc.state().lacp {
        request.psc = lacp::aggregator_record(lacp);
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
    let is = |other: Option<&Port>| other.is_some_and(|other| core::ptr::eq(other, port));
    record.flags = match plan.protocol() {
        Protocol::None => 0,
        Protocol::Failover => {
            bits(is(plan.primary()), port_flag::MASTER)
                | bits(is(failover::select(plan)), port_flag::ACTIVE)
        }
        Protocol::RoundRobin(_) | Protocol::LoadBalance(_) | Protocol::Broadcast => {
            bits(port.is_active(), port_flag::ACTIVE)
        }
        Protocol::Lacp(_) => {
            let state = port.softc().state();
            lacp::record(&state, port, &mut record.psc)
        }
    };
}

/// SIOCGLAGGOPTS.
fn get_options(softc: &Softc, request: &mut OptionsRequest) -> Result {
    let plan = softc.plan_ref();
    let (options, lacp, flapping) = {
        let state = softc.state();
        let machines = state.lacp.as_ref().map(|lacp| &lacp.machines);
        (
            state.options,
            machines.map(|lacp| (lacp.options(), lacp.distributing())),
            state.flapping(),
        )
    };
    request.opts =
        bits(options.use_flowid, opt::USE_FLOWID) | bits(options.use_numa, opt::USE_NUMA);
    request.count = saturated(plan.ports().count());
    request.active = saturated(plan.ports().filter(|port| port.is_active()).count());
    if let Some((options, distributing)) = lacp {
        request.opts |= bits(options.strict, opt::LACP_STRICT)
            | bits(options.txtest, opt::LACP_TXTEST)
            | bits(options.rxtest, opt::LACP_RXTEST)
            | bits(options.fast_timeout, opt::LACP_FAST_TIMO);
        request.active = distributing.count_ones();
    }
    request.flapping = flapping;
    request.flowid_shift = options.flowid_shift;
    request.bkt = options.rr_stride.map_or(0, NonZeroU32::get);
    Ok(())
}

/// SIOCSLAGGOPTS: one option a call.
///
/// # Errors
/// EINVAL: no such option, more than one, a bad value, or one that the protocol does not have.
fn set_option(softc: &Ref<Softc>, request: &OptionsRequest) -> Result {
    config::set_options(softc, |state| {
        let is_roundrobin = matches!(state.protocol, Protocol::RoundRobin(_));
        if let Some(lacp) = &mut state.lacp
            && let Some(options) = lacp_option(lacp.machines.options(), request.opts)
        {
            lacp.machines.set_options(options);
            return Ok(());
        }
        let Options { use_flowid, use_numa, flowid_shift, rr_stride, .. } = &mut state.options;
        match (request.opts, NonZeroU32::new(request.bkt)) {
            (0, None) => {}
            (0 | opt::RR_LIMIT, Some(stride)) if is_roundrobin => *rr_stride = Some(stride),
            (opt::USE_FLOWID, _) => *use_flowid = true,
            (NO_USE_FLOWID, _) => *use_flowid = false,
            (opt::USE_NUMA, _) => *use_numa = true,
            (NO_USE_NUMA, _) => *use_numa = false,
            (opt::FLOWIDSHIFT, _)
                if (0..=Options::MAX_FLOWID_SHIFT).contains(&request.flowid_shift) =>
            {
                *flowid_shift = request.flowid_shift;
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    })
}

/// LACP's options after one of them was set or cleared; none if it is not one of them.
fn lacp_option(mut options: crate::lacp::Options, request: i32) -> Option<crate::lacp::Options> {
    let option = match request.checked_abs()? {
        opt::LACP_STRICT => &mut options.strict,
        opt::LACP_TXTEST => &mut options.txtest,
        opt::LACP_RXTEST => &mut options.rxtest,
        opt::LACP_FAST_TIMO => &mut options.fast_timeout,
        _ => return None,
    };
    *option = request > 0;
    Some(options)
}

const NO_USE_FLOWID: i32 = -opt::USE_FLOWID;
const NO_USE_NUMA: i32 = -opt::USE_NUMA;

/// SIOCSLAGGHASH.
///
/// # Errors
/// EINVAL: none of the known flags. ENOMEM.
fn set_hash(softc: &Ref<Softc>, flags: u32) -> Result {
    if flags & hash::MASK == 0 {
        return Err(Errno::EINVAL);
    }
    config::set_options(softc, |state| {
        state.options.hash = flags & hash::MASK;
        Ok(())
    })
}

/// SIOCSIFMTU: on failure the request says what the MTU still is.
fn set_mtu(softc: &Softc, request: &mut InterfaceRequest) -> Result {
    config::set_mtu(softc, request.mtu).inspect_err(|_| request.mtu = softc.ifp().mtu())
}

/// Bits of the ABI that say whether something is so.
pub(super) fn bits<T: Default>(is: bool, bits: T) -> T {
    if is { bits } else { T::default() }
}

fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Whether two names of the ABI are the same up to their NUL.
fn same_name(a: &Name, b: &Name) -> bool {
    up_to_nul(a) == up_to_nul(b)
}

/// A name of the ABI as text; empty if it is no UTF-8.
pub(super) fn text(name: &Name) -> &str {
    core::str::from_utf8(up_to_nul(name)).unwrap_or("")
}

fn up_to_nul(name: &Name) -> &[u8] {
    name.split(|&byte| byte == 0).next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::same_name;

    /// The kernel asks of a name no more than that it is not empty.
    #[test]
    fn names_that_are_no_text_are_told_apart() {
        assert!(same_name(&[0xff; 16], &[0xff; 16]));
        assert!(!same_name(&[0xff; 16], &[0xfe; 16]));
        assert!(!same_name(&[0xff; 16], &[0; 16]));
    }
}
