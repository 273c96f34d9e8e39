//! What the kernel calls in the driver.

use core::fmt;

use super::{
    Counter, Epoch, Ifnet, IfnetRef, Ioctl, LaggType, Leaf, Mbuf, Name, PortMethods, Ref, Result,
    SendTag, Setting, TagRequest, Ways,
};

/// The driver above kpi implements [`Driver`] for this type. So kpi does not name the driver, and its calls
/// are direct ones, which the compiler can inline.
pub struct Module;

/// The driver's entry points.
///
/// No method may panic. Those that say so may sleep; the others are called in the network epoch or
/// with locks of the stack held.
pub trait Driver {
    /// A lagg. `#[repr(C)]`, and its first field is the lagg's own [`IfnetRef`]: the kernel reads that.
    type Softc: Send + Sync + 'static;
    /// A port of a lagg. `#[repr(C)]`, and its first two fields are the port's [`IfnetRef`] and a
    /// [`Ref`] to the lagg: the kernel reads them.
    type Port: Send + Sync + 'static;
    /// What packets read of a lagg. `#[repr(C)]`, and its first field is the [`Ways`] that it has.
    type Plan: Send + Sync + 'static;

    /// Where a lagg has its plan, in an [`EpochCell`](super::EpochCell).
    const PLAN: usize;

    /// Makes the lagg behind `ifp`, which is named and not yet attached; kpi attaches it next, as an
    /// interface of that type without an address, with the driver's methods. May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    fn create(ifp: &IfnetRef, kind: LaggType) -> Result<Ref<Self::Softc>>;

    /// The lagg's interface is attached. It could be found earlier, but bpf(4) did not know it, and tapping
    /// a packet would have dereferenced NULL. So it has no ports until now.
    fn attached(softc: &Self::Softc);

    /// Takes the lagg apart: when this returns it has no ports, its tasks are drained, and every request to
    /// it gets ENXIO. kpi detaches and frees the interface next. May sleep; the caller holds
    /// `ifnet_detach_sxlock`.
    fn destroy(softc: &Ref<Self::Softc>);

    /// The lagg of a port.
    fn lagg(port: &Self::Port) -> &Self::Softc;

    /// The plan of a lagg, for the rest of the section.
    fn plan<'e>(softc: &Self::Softc, epoch: &'e Epoch) -> &'e Self::Plan;

    /// The ways of a plan.
    fn ways(plan: &Self::Plan) -> &Ways;

    /// Makes a send tag for a flow (`if_snd_tag_alloc`). Sleeps only if the port's driver does: the caller
    /// may hold locks of the stack.
    ///
    /// # Errors
    /// EOPNOTSUPP if there is no one port for the flow; ENOMEM; what the port's driver returned.
    fn allocate_tag(softc: &Ref<Self::Softc>, request: &mut TagRequest<'_>) -> Result<SendTag>;

    /// Brings the lagg up (`if_init`). May sleep.
    fn init(softc: &Ref<Self::Softc>);

    /// An ioctl on the lagg (`if_ioctl`). SIOCADDMULTI, SIOCDELMULTI, and a SIOCSIFFLAGS for
    /// PROMISC or ALLMULTI come with locks of the stack held, and must not wait for what a port's
    /// driver does. May sleep.
    ///
    /// # Errors
    /// Those of lagg(4)'s requests, and of the ones that all interfaces have.
    fn ioctl(softc: &Ref<Self::Softc>, request: &mut Ioctl<'_>) -> Result;

    /// One of the lagg's counters (`if_get_counter`).
    fn counter(softc: &Self::Softc, counter: Counter, epoch: &Epoch) -> u64;

    /// The settings of a lagg that sysctl(8) reads and writes.
    const SETTINGS: &'static [Setting];

    /// Writes the value of one of [`Driver::SETTINGS`], by its place among them. `to` is memory: writing to
    /// it does not sleep. Takes the mutex.
    ///
    /// # Errors
    /// EINVAL: there is no such setting, or `to` has no room.
    fn setting(softc: &Ref<Self::Softc>, place: usize, to: &mut dyn fmt::Write) -> Result;

    /// Sets one of them, for a caller that may. May sleep.
    ///
    /// # Errors
    /// EINVAL: no such setting or a bad value, and nothing is changed. EOPNOTSUPP: one of LACP's, and the
    /// lagg is of InfiniBand. ENXIO: the lagg is being destroyed. ENOMEM.
    fn set_setting(softc: &Ref<Self::Softc>, place: usize, to: &str) -> Result;

    /// What sysctl(8) shows of a lagg beside its settings. A node comes before what is below it.
    const LEAVES: &'static [Leaf];

    /// Writes the value of one of [`Driver::LEAVES`], by its place among them. `to` is memory: writing to it
    /// does not sleep. Takes the mutex.
    ///
    /// # Errors
    /// ENOENT: it has no value now, or there is no such leaf. EINVAL: `to` has no room.
    fn leaf(softc: &Self::Softc, place: usize, to: &mut dyn fmt::Write) -> Result;

    /// What sysctl(8) shows of a port.
    const PORT_LEAVES: &'static [Leaf];

    /// The same for one of [`Driver::PORT_LEAVES`] of the port with this name.
    ///
    /// # Errors
    /// Those of [`Driver::leaf`]. ENOENT: the lagg has no such port, too.
    fn port_leaf(softc: &Self::Softc, port: &Name, place: usize, to: &mut dyn fmt::Write)
    -> Result;

    /// Whether the media status of the lagg is active.
    fn media_active(softc: &Self::Softc, epoch: &Epoch) -> bool;

    /// An ioctl on a port (its `if_ioctl` while it is one). May sleep.
    ///
    /// # Errors
    /// EBUSY or EINVAL for requests that a port does not allow, or what the port's driver returned.
    fn port_ioctl(port: &Ref<Self::Port>, request: &mut Ioctl<'_>) -> Result;

    /// The methods that the port's interface had before it became a port.
    fn port_methods(port: &Self::Port) -> &PortMethods;

    /// Asks whether a packet of this address family may be sent on a port itself (its `if_output`
    /// while it is one).
    ///
    /// # Errors
    /// ENETDOWN: it may not, and is counted as dropped.
    fn port_output(port: &Self::Port, family: u8) -> Result;

    /// The port's link state has changed (`lagg_linkstate_p`). Called on `taskqueue_swi`, which the whole
    /// host shares, so it must not wait.
    fn port_link_state(port: &Ref<Self::Port>);

    /// A VLAN was configured on the lagg or removed from it (`vlan_config`, `vlan_unconfig`). The caller
    /// holds `vlan_sx`, so it must not wait.
    fn vlan(softc: &Ref<Self::Softc>, id: u16, configured: bool);

    /// `vlan` is now the VLAN `id` of `parent` (`vlan_config`), however it was configured. The caller may
    /// hold `vlan_sx`: may sleep for memory, but must not wait for anything else.
    fn vlan_moved(vlan: &Ifnet, parent: &Ifnet, id: u16);

    /// A VLAN on the port itself was removed (`vlan_unconfig`), or the lagg has reported that to the port.
    /// The caller may hold `vlan_sx`, so it must not wait.
    fn port_vlan_gone(port: &Ref<Self::Port>, id: u16);

    /// The port's interface goes away or to another vnet (`ifnet_departure_event`, except for renames).
    /// When this returns, it is not a port any more. May sleep; the caller holds `ifnet_detach_sxlock`.
    fn departure(port: &Ref<Self::Port>);

    /// The port's interface has another name (`ifnet_arrival_event` of a rename). The caller may hold locks
    /// of the stack, so it must not wait.
    fn port_renamed(port: &Ref<Self::Port>);

    /// The lagg's interface is new in its vnet (`ifnet_arrival_event`, except for renames). When this
    /// returns, no task of the lagg runs in a vnet that it was in before. May sleep; the caller may hold
    /// `ifnet_detach_sxlock`.
    fn arrival(softc: &Self::Softc);
}

type Softc = <Module as Driver>::Softc;
type Port = <Module as Driver>::Port;
type Plan = <Module as Driver>::Plan;

/// A way to send: what a lagg does with the packets of some plans.
pub trait Sending {
    /// Sends a packet of the lagg `softc`, whose interface is `ifp` (`if_transmit`).
    ///
    /// # Errors
    /// ENXIO without ports, ENETDOWN without an active one, EAGAIN for a packet with a send tag of another
    /// port, or what the port's driver returned.
    /// The packet is consumed in any case.
    fn send(ifp: &Ifnet, softc: &Softc, m: Mbuf, plan: &Plan, epoch: &Epoch) -> Result;
}

/// A way to receive.
pub trait Receiving {
    /// Receives a frame from a port, whose interface is `ifp` and whose lagg is `softc`
    /// (`lagg_input_ethernet_p`, `lagg_input_infiniband_p`). A frame that is returned continues up the
    /// stack as received by its `rcvif`; none if it was consumed.
    fn receive(
        ifp: &Ifnet,
        port: &Port,
        softc: &Softc,
        m: Mbuf,
        plan: &Plan,
        epoch: &Epoch,
    ) -> Option<Mbuf>;
}
