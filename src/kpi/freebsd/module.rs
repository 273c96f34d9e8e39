//! Loading and unloading. `kmod/module.c` shows when the kernel calls what.

use core::ffi::{c_int, c_void};

use spin::Once;

use super::bindings as c;
use super::events::Handlers;
use super::{epoch, hooks, names, tasks};
use crate::kpi::errno::to_c;
use crate::kpi::{Errno, Result, gate, live};

/// Set once by a load that succeeds.
static HANDLERS: Once<Handlers> = Once::new();

/// MOD_LOAD: installs the hooks. Sleeps. ENOMEM.
#[unsafe(no_mangle)]
extern "C" fn lagg_rs_load() -> c_int {
    to_c(load())
}

fn load() -> Result {
    let handlers = tasks::start().and_then(|()| names::start()).and_then(|()| Handlers::register());
    let handlers = handlers.inspect_err(|_| {
        names::stop();
        epoch::epoch_drain();
        tasks::stop();
    })?;
    HANDLERS.call_once(|| handlers);
    // SAFETY: the kernel has these pointers for the driver of laggs, of which one is loaded, and calls none
    // of them while no interface is a port. The functions keep to what the kernel promises them.
    unsafe {
        c::lagg_input_ethernet_p = Some(hooks::lagg_rs_input);
        c::lagg_input_infiniband_p = Some(hooks::lagg_rs_input);
        c::lagg_linkstate_p = Some(hooks::link_state);
    }
    gate::open();
    Ok(())
}

/// MOD_QUIESCE: EBUSY if the module is in use. Sleeps.
#[unsafe(no_mangle)]
extern "C" fn lagg_rs_quiesce() -> c_int {
    // Send tags that were just freed are in use for another grace period.
    epoch::epoch_drain();
    to_c(if gate::is_empty() { Ok(()) } else { Err(Errno::EBUSY) })
}

/// MOD_UNLOAD: from here on no lagg is created; EBUSY if the module is in use.
#[unsafe(no_mangle)]
extern "C" fn lagg_rs_unload() -> c_int {
    to_c(gate::close())
}

/// Undoes what [`lagg_rs_load`] has done, if it has. Sleeps. There is no lagg, and no cloner to create one,
/// so no interface is a port or becomes one.
#[unsafe(no_mangle)]
extern "C" fn lagg_rs_unhook(_: *const c_void) {
    let Some(handlers) = HANDLERS.get() else { return };
    names::stop();
    handlers.deregister();
    // A thread that saw a port before the last one went may be about to call a hook: a link event on its
    // taskqueue, a packet in the epoch. After these have passed, none does.
    // SAFETY: the queue is the kernel's own, there from boot on. The caller may sleep, and holds nothing that
    // its tasks want.
    unsafe { c::taskqueue_drain_all(c::taskqueue_swi) };
    epoch::epoch_wait();
    // SAFETY: the pointers are this driver's, and after the waits no thread has read them or will call them: no
    // interface is a port.
    unsafe {
        c::lagg_input_ethernet_p = None;
        c::lagg_input_infiniband_p = None;
        c::lagg_linkstate_p = None;
    }
    while live() != 0 {
        epoch::epoch_drain();
    }
    tasks::stop();
    // The callback that freed the last object may not have returned yet.
    epoch::epoch_drain();
}
