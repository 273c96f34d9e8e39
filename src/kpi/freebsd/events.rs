//! Event handlers (eventhandler(9)).

use core::ptr::NonNull;

use super::bindings as c;
use super::hooks;
use crate::kpi::{Errno, Result};

/// The handlers of the module, one for each event. No lagg has any of its own.
pub(super) struct Handlers([Handler; 4]);

/// A handler that is registered.
///
/// # Invariants
/// The registration is of the event that `deregister` is for.
struct Handler {
    registration: NonNull<c::eventhandler_entry>,
    deregister: unsafe extern "C" fn(c::eventhandler_tag),
}

// SAFETY: the registration is only handed back to the kernel, which any thread may do.
unsafe impl Send for Handler {}
// SAFETY: a shared one does no more than that, for the static, once.
unsafe impl Sync for Handler {}

impl Handlers {
    /// Registers them. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn register() -> Result<Self> {
        // SAFETY: each is of the type that the kernel wants for the event, and keeps to what the kernel
        // promises it. They are in the module, which deregisters them before it goes.
        let [departure, arrival, config, unconfig] = unsafe {
            [
                c::lagg_rs_departure_register(Some(hooks::departure)),
                c::lagg_rs_arrival_register(Some(hooks::arrival)),
                c::lagg_rs_vlan_config_register(Some(hooks::vlan_config)),
                c::lagg_rs_vlan_unconfig_register(Some(hooks::vlan_unconfig)),
            ]
        };
        // INVARIANT: each registration is with the function that deregisters from its event.
        let departure = Handler::new(departure, c::lagg_rs_departure_deregister);
        let arrival = Handler::new(arrival, c::lagg_rs_arrival_deregister);
        let config = Handler::new(config, c::lagg_rs_vlan_config_deregister);
        let unconfig = Handler::new(unconfig, c::lagg_rs_vlan_unconfig_deregister);
        Ok(Handlers([departure?, arrival?, config?, unconfig?]))
    }

    /// Deregisters them, and waits for those that are running. For the static, which is never dropped.
    /// Called once. Sleeps.
    pub fn deregister(&self) {
        self.0.iter().for_each(Handler::deregister);
    }
}

impl Handler {
    fn new(
        registration: c::eventhandler_tag,
        deregister: unsafe extern "C" fn(c::eventhandler_tag),
    ) -> Result<Self> {
        let registration = NonNull::new(registration).ok_or(Errno::ENOMEM)?;
        Ok(Handler { registration, deregister })
    }

    fn deregister(&self) {
        // SAFETY: by the invariant it is registered for that event. This is its end, once: the module is being
        // unloaded, or was never loaded. The kernel waits for a handler that runs.
        unsafe { (self.deregister)(self.registration.as_ptr()) };
    }
}

/// If one of them cannot be registered, the others are deregistered.
impl Drop for Handler {
    fn drop(&mut self) {
        self.deregister();
    }
}
