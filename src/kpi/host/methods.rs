//! The methods of a port's interface: its own, and those that it has while it is a port.

use std::sync::atomic::Ordering;

use super::driver::Kind;
use super::faults::{self, Fault};
use super::ifnet::Port;
use super::locks::DETACH;
use super::witness;
use crate::kpi::driver::{Driver, Module};
use crate::kpi::gate::Inside;
use crate::kpi::ioctl::{InterfaceRequest, Ioctl};
use crate::kpi::{Epoch, Errno, IfType, Ifnet, Mbuf, Ref, Result};

/// Which `if_ioctl` an interface has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum IoctlMethod {
    /// The interface's own driver's.
    Own,
    /// A lagg's, for its port.
    LaggPort,
    /// None: the interface is detached.
    Dead,
    /// The driver has none.
    None,
}

/// Which `if_output` an interface has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum OutputMethod {
    Own,
    LaggPort,
    Dead,
}

/// A port driver's own `if_ioctl` and `if_output`, and the type that its interface had.
#[derive(Clone, Copy, Debug)]
pub struct PortMethods {
    ioctl: IoctlMethod,
    output: OutputMethod,
    if_type: IfType,
}

impl PortMethods {
    /// Whether the interface is a VLAN.
    pub fn is_vlan(&self) -> bool {
        self.if_type == IfType::Vlan
    }

    fn assert_attached(&self, ifp: &Ifnet) {
        if self.ioctl == IoctlMethod::Own {
            ifp.assert_attached("if_ioctl");
        }
    }

    /// Hands a request to the driver of `ifp`, whose methods these are. May sleep; may take locks of
    /// the stack.
    ///
    /// # Errors
    /// What its driver returned; EINVAL if it takes no ioctls.
    pub fn forward(&self, ifp: &Ifnet, r: &mut Ioctl<'_>) -> Result {
        self.assert_attached(ifp);
        run(ifp, self.ioctl, r)
    }
}

/// Calls `if_ioctl` of that method with an `ifreq`.
pub(super) fn call(
    ifp: &Ifnet,
    method: IoctlMethod,
    command: usize,
    request: &mut InterfaceRequest,
) -> Result {
    let data = std::ptr::from_mut(request).cast();
    // SAFETY: these commands come with a `struct ifreq`, which is the callee's while it runs.
    run(ifp, method, &mut unsafe { Ioctl::new(command, data) })
}

/// Calls `if_ioctl` as it is now.
pub(super) fn run_current(ifp: &Ifnet, r: &mut Ioctl<'_>) -> Result {
    run(ifp, ifp.ioctl_method(), r)
}

fn run(ifp: &Ifnet, method: IoctlMethod, r: &mut Ioctl<'_>) -> Result {
    witness::may_sleep("if_ioctl");
    match method {
        IoctlMethod::Own => {
            if !matches!(ifp.kind, Kind::Lagg) {
                faults::may_fail(Fault::Ioctl, Some(ifp), r.command())?;
            }
            ifp.kind.ioctl(ifp, r)
        }
        IoctlMethod::LaggPort => port_ioctl(ifp, r),
        IoctlMethod::Dead => Err(Errno::ENXIO),
        IoctlMethod::None => Err(Errno::EINVAL),
    }
}

/// A port's `if_ioctl`.
fn port_ioctl(ifp: &Ifnet, r: &mut Ioctl<'_>) -> Result {
    let _inside = Inside::enter();
    match ifp.lagg_port() {
        Some(port) => Module::port_ioctl(&port, r),
        // The port left between the call and here.
        None if ifp.ioctl_method() != IoctlMethod::LaggPort => run_current(ifp, r),
        None => Err(Errno::EINVAL),
    }
}

impl Ifnet {
    pub(super) fn ioctl_method(&self) -> IoctlMethod {
        match self.ioctl_method.load(Ordering::Acquire) {
            0 => IoctlMethod::Own,
            1 => IoctlMethod::LaggPort,
            2 => IoctlMethod::Dead,
            _ => IoctlMethod::None,
        }
    }

    pub(super) fn output_method(&self) -> OutputMethod {
        match self.output_method.load(Ordering::Acquire) {
            0 => OutputMethod::Own,
            1 => OutputMethod::LaggPort,
            _ => OutputMethod::Dead,
        }
    }

    /// Sends a packet to an address of `family` (`if_output`).
    pub(super) fn output(&self, family: u8, m: Mbuf, epoch: &Epoch) -> Result {
        self.output_for(self, family, m, epoch)
    }

    /// Its `if_output`, for a packet of `ifp`: itself, or a VLAN on it.
    fn output_for(&self, ifp: &Ifnet, family: u8, m: Mbuf, epoch: &Epoch) -> Result {
        let _nested = witness::nest("if_output");
        match (self.output_method(), &self.kind) {
            // vlan_output
            (OutputMethod::Own, Kind::Vlan(vlan)) => {
                let mut parent = vlan.parent().ok_or(Errno::ENETDOWN)?;
                while parent.if_type() == IfType::Vlan {
                    parent = parent.vlan_parent().ok_or(Errno::ENETDOWN)?;
                }
                parent.output_for(ifp, family, m, epoch)
            }
            // ether_output, infiniband_output
            (OutputMethod::Own, _) => ifp.transmit(m, epoch),
            (OutputMethod::LaggPort, _) => {
                let port = ifp.lagg.load(epoch).ok_or(Errno::ENETDOWN)?;
                Module::port_output(port, family)?;
                ifp.transmit(m, epoch)
            }
            (OutputMethod::Dead, _) => Err(Errno::ENXIO),
        }
    }

    /// Claims the interface for `port`. Returns false if a lagg has it already. If the interface was found
    /// by name in the same section of the epoch, its departure finds the claim.
    pub fn claim(&self, port: &Ref<Port>, _: &Epoch) -> bool {
        self.lagg.put(port)
    }

    /// Ends `port`'s claim. Does nothing if it has none.
    pub fn unclaim(&self, port: &Port) {
        assert!(
            self.ioctl_method() != IoctlMethod::LaggPort || !self.lagg.holds(port),
            "{self:?} is unclaimed, and still has a port's methods"
        );
        self.lagg.take(port);
    }

    /// The methods that it has now.
    pub fn methods(&self) -> PortMethods {
        PortMethods {
            ioctl: self.ioctl_method(),
            output: self.output_method(),
            if_type: self.if_type(),
        }
    }

    /// Makes a claimed interface, which has these methods, a port. First its ioctls and output go through
    /// this driver, then, by its type, what it receives.
    pub fn enslave(&self, methods: &PortMethods) {
        assert!(!self.lagg.is_empty(), "{self:?} is nobody's port");
        assert!(
            methods.ioctl != IoctlMethod::LaggPort,
            "{self:?}: a port's methods are saved as its driver's"
        );
        self.ioctl_method.store(IoctlMethod::LaggPort as u8, Ordering::Release);
        self.output_method.store(OutputMethod::LaggPort as u8, Ordering::Release);
        self.set_if_type(methods.if_type.as_port());
    }

    /// Restores the interface's type and methods. Packets in flight may still find the claim. If a VLAN has
    /// got a parent since, it keeps the output method that vlan(4) has given it.
    pub fn release(&self, methods: &PortMethods) {
        assert!(DETACH.is_held() || !self.is_dead(), "{self:?} gets methods back when detached");
        self.set_if_type(methods.if_type);
        self.ioctl_method.store(methods.ioctl as u8, Ordering::Release);
        // If a VLAN has got a parent since, its method is vlan(4)'s.
        let ours = OutputMethod::LaggPort as u8;
        let own = methods.output as u8;
        let _ =
            self.output_method.compare_exchange(ours, own, Ordering::Release, Ordering::Relaxed);
    }
}
