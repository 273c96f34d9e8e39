//! The options of a lagg: SIOCGLAGGOPTS, SIOCSLAGGOPTS, SIOCSLAGGHASH.

use core::num::NonZeroU32;

use super::mode::{Mode, Options};
use super::state::State;
use super::{Softc, link};
use crate::kpi::ioctl::{OptionsRequest, hash, opt};
use crate::kpi::{Errno, Ref, Result};
use crate::lacp::Lacp;
use crate::wire::flow::layers;

// The bits of `lagghash` are those of the layers.
static_assertions::const_assert!(
    hash::L2 == layers::L2 && hash::L3 == layers::L3 && hash::L4 == layers::L4
);

/// SIOCGLAGGOPTS.
pub(super) fn get(softc: &Softc, request: &mut OptionsRequest) -> Result {
    let plan = softc.plan_ref();
    let (options, lacp, flapping) = {
        let state = softc.state();
        let lacp = state.mode.lacp().map(|lacp| &lacp.machines);
        (state.options, lacp.map(Lacp::options), lacp.map_or(0, Lacp::flapping))
    };
    request.opts =
        bits(options.use_flowid, opt::USE_FLOWID) | bits(options.use_numa, opt::USE_NUMA);
    // F-3: `ro_count`
    request.count = saturated(plan.ports().count());
    request.active = saturated(link::in_service(&plan));
    if let Some(options) = lacp {
        request.opts |= bits(options.strict, opt::LACP_STRICT)
            | bits(options.txtest, opt::LACP_TXTEST)
            | bits(options.rxtest, opt::LACP_RXTEST)
            | bits(options.fast_timeout, opt::LACP_FAST_TIMO);
    }
    request.flapping = flapping;
    request.flowid_shift = options.flowid_shift;
    request.bkt = options.rr_stride.map_or(0, NonZeroU32::get);
    Ok(())
}

/// SIOCSLAGGOPTS: one option a call.
///
/// # Errors
/// EINVAL: no such option, more than one, a bad value, or an option that the protocol does not have.
pub(super) fn set(softc: &Ref<Softc>, request: &OptionsRequest) -> Result {
    change(softc, |state| {
        let is_roundrobin = matches!(state.mode, Mode::RoundRobin(_));
        if let Some(lacp) = state.mode.lacp_mut()
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
            // F-1: this option alone
            (NO_USE_FLOWID, _) => *use_flowid = false,
            (opt::USE_NUMA, _) => *use_numa = true,
            (NO_USE_NUMA, _) => *use_numa = false,
            // F-2: else EINVAL
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

/// LACP's options after this request; none if the request is not about one of them.
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
/// EINVAL: no known flag. ENOMEM.
pub(super) fn set_hash(softc: &Ref<Softc>, flags: u32) -> Result {
    if flags & hash::MASK == 0 {
        return Err(Errno::EINVAL);
    }
    change(softc, |state| {
        state.options.hash = flags & hash::MASK;
        Ok(())
    })
}

fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Changes an option, and publishes the plan that has it. `change` refuses an invalid one.
///
/// # Errors
/// ENOMEM; what `change` returns.
fn change(softc: &Ref<Softc>, change: impl FnOnce(&mut State) -> Result) -> Result {
    // D-26: all at once
    softc.try_change(change)?;
    // LACPDUs may be due.
    Softc::wake_protocol(softc);
    Ok(())
}

/// These bits of the ABI if the condition holds, else none.
pub(super) fn bits<T: Default>(is: bool, bits: T) -> T {
    if is { bits } else { T::default() }
}
