//! The lagg itself.
//!
//! # Contexts and locks
//!
//! | context | entry points | may take | may sleep |
//! | --- | --- | --- | --- |
//! | network epoch | `transmit`, `input` | nothing | no |
//! | a connection, its locks held | `allocate_tag` | nothing | no, unless the port's driver does |
//! | callbacks from the stack, its locks held | `port_link_state`, `port_renamed`; `ioctl` for multicast, PROMISC, ALLMULTI | mutex | no |
//! | the same, of a VLAN | `vlan`, `vlan_moved` | mutex | for memory alone |
//! | ioctl, clone, departure, sysctl, configuration task | `ioctl`, `port_ioctl`, `set_setting`, `init`, `create`, `destroy`, `departure` | token, then mutex | yes, without the mutex |
//! | LACP task | `lacp::keep_time` | mutex | no |
//! | protocol task | `link::publish`, `lacp::publish`, `peers::tell` | mutex | yes, without the mutex |
//!
//! Order: `ifnet_detach_sxlock` → the stack's other locks → token → mutex. `ifnet_detach_sxlock` is
//! never asked for with the token held, and nothing that the stack calls with its own locks held
//! waits for the token.
//!
//! # Lives and deaths
//!
//! A packet reads the softc, the plan and its ports in the epoch; all are counted ([`Ref`]) and freed
//! a grace period after their last reference. References to a port: its interface (`if_lagg`, from
//! the claim until a grace period after it left), the state, and each plan that has it. References to
//! the softc: its interface (`if_softc`, from create to destroy), its ports, pending tasks and
//! callouts, and threads inside an entry point. Leaving takes a port out of all of them, destroying
//! makes every port leave: so no cycle outlives its lagg. A send tag has references to the interfaces of
//! both, and to nothing else here.

mod asked;
mod by_flow;
mod changes;
mod config;
mod counters;
mod data;
mod drops;
mod events;
mod groups;
mod history;
mod in_service;
mod infiniband;
mod ioctl;
mod join;
mod lacp;
mod lacp_frames;
mod lacp_settings;
mod lacp_state;
mod leave;
mod leaves;
mod limits;
mod link;
mod mode;
mod offloads;
mod options;
mod peers;
mod plan;
mod port;
mod port_leaves;
mod reason;
mod rebalance;
mod receive;
mod settings;
mod softc;
mod stacking;
mod state;
mod stats;
mod tags;
mod trace;
mod vlans;

pub use plan::Plan;
pub use port::Port;
pub use softc::Softc;

use core::fmt;

use crate::kpi::{
    Counter, Driver, Epoch, Ifnet, IfnetRef, Ioctl, LaggType, Leaf, Module, Name, PortMethods, Ref,
    Result, SendTag, Setting, TagRequest, Ways,
};

impl Driver for Module {
    type Softc = Softc;
    type Port = Port;
    type Plan = Plan;

    const PLAN: usize = core::mem::offset_of!(Softc, plan);

    fn create(ifp: &IfnetRef, kind: LaggType) -> Result<Ref<Softc>> {
        Softc::try_new(ifp, kind, lacp::keep_time, link::publish, config::reconcile)
    }

    fn attached(softc: &Softc) {
        // The stack gives a new interface 10 Mb/s.
        softc.ifp().set_baudrate(0);
        softc.attached();
    }

    fn destroy(softc: &Ref<Softc>) {
        leave::destroy(softc);
    }

    #[inline(always)]
    fn lagg(port: &Port) -> &Softc {
        port.softc()
    }

    #[inline(always)]
    fn plan<'e>(softc: &Softc, epoch: &'e Epoch) -> &'e Plan {
        softc.plan(epoch)
    }

    #[inline(always)]
    fn ways(plan: &Plan) -> &Ways {
        plan.ways()
    }

    fn allocate_tag(softc: &Ref<Softc>, request: &mut TagRequest<'_>) -> Result<SendTag> {
        tags::allocate(softc, request)
    }

    fn init(softc: &Ref<Softc>) {
        // Fails only while the lagg is being destroyed.
        let _ = config::bring_up(softc);
    }

    fn ioctl(softc: &Ref<Softc>, request: &mut Ioctl<'_>) -> Result {
        ioctl::lagg(softc, request)
    }

    fn counter(softc: &Softc, counter: Counter, epoch: &Epoch) -> u64 {
        stats::counter(softc, counter, epoch)
    }

    const SETTINGS: &'static [Setting] = &settings::SETTINGS;

    fn setting(softc: &Ref<Softc>, place: usize, to: &mut dyn fmt::Write) -> Result {
        settings::get(softc, place, to)
    }

    fn set_setting(softc: &Ref<Softc>, place: usize, to: &str) -> Result {
        settings::set(softc, place, to)
    }

    const LEAVES: &'static [Leaf] = &leaves::LEAVES;

    fn leaf(softc: &Softc, place: usize, to: &mut dyn fmt::Write) -> Result {
        leaves::write(softc, place, to)
    }

    const PORT_LEAVES: &'static [Leaf] = &port_leaves::LEAVES;

    fn port_leaf(softc: &Softc, port: &Name, place: usize, to: &mut dyn fmt::Write) -> Result {
        port_leaves::write(softc, port, place, to)
    }

    fn media_active(softc: &Softc, epoch: &Epoch) -> bool {
        link::is_active(softc, softc.plan(epoch))
    }

    fn port_ioctl(port: &Ref<Port>, request: &mut Ioctl<'_>) -> Result {
        ioctl::port(port, request)
    }

    fn port_methods(port: &Port) -> &PortMethods {
        port.methods()
    }

    fn port_output(port: &Port, family: u8) -> Result {
        data::port_output(port, family)
    }

    fn port_link_state(port: &Ref<Port>) {
        lacp::link_changed(port.softc());
        offloads::link_changed(port.softc());
    }

    fn vlan(softc: &Ref<Softc>, id: u16, configured: bool) {
        vlans::changed(softc, id, configured);
    }

    fn vlan_moved(vlan: &Ifnet, parent: &Ifnet, id: u16) {
        stacking::moved(vlan, parent, id);
    }

    fn port_vlan_gone(port: &Ref<Port>, id: u16) {
        vlans::lost(port, id);
    }

    fn departure(port: &Ref<Port>) {
        leave::departure(port);
    }

    fn port_renamed(port: &Ref<Port>) {
        port.softc().state().has_new_name(port);
        Softc::wake_protocol(port.softc());
    }

    fn arrival(softc: &Softc) {
        softc.arrival();
    }
}
