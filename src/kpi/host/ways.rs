//! The functions for a plan's packets.

use super::ifnet::{Port, Softc};
use crate::kpi::driver::{Driver, Module, Receiving, Sending};
use crate::kpi::{Epoch, Ifnet, Mbuf, Result};

type Plan = <Module as Driver>::Plan;

/// What a lagg does with the packets of a plan.
pub struct Ways {
    send: fn(&Ifnet, &Softc, Mbuf, &Plan, &Epoch) -> Result,
    receive: fn(&Ifnet, &Port, &Softc, Mbuf, &Plan, &Epoch) -> Option<Mbuf>,
}

impl Ways {
    /// These ways.
    pub const fn new<S: Sending, R: Receiving>() -> Self {
        Ways { send: S::send, receive: R::receive }
    }
}

impl Module {
    /// `if_transmit` of a lagg.
    ///
    /// # Errors
    /// As [`Sending::send`].
    #[inline]
    pub fn transmit(ifp: &Ifnet, softc: &Softc, m: Mbuf, epoch: &Epoch) -> Result {
        let plan = Module::plan(softc, epoch);
        (Module::ways(plan).send)(ifp, softc, m, plan, epoch)
    }

    /// `lagg_input_ethernet_p`, `lagg_input_infiniband_p`: returns the packet if it continues up the stack.
    #[inline]
    pub fn input(ifp: &Ifnet, port: &Port, m: Mbuf, epoch: &Epoch) -> Option<Mbuf> {
        let softc = Module::lagg(port);
        let plan = Module::plan(softc, epoch);
        (Module::ways(plan).receive)(ifp, port, softc, m, plan, epoch)
    }
}
