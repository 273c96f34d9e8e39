//! The fields of an ifnet that change when it becomes a lagg's port.

use core::sync::atomic::{AtomicPtr, Ordering};

use super::bindings as c;
use super::hooks;
use super::ifnet::{Ifnet, field};
use crate::kpi::{Driver, Epoch, EpochOption, Errno, IfType, Ioctl, Module, Ref, Result};

type Port = <Module as Driver>::Port;

impl Ifnet {
    /// The pointer to the port (`if_lagg`).
    #[inline(always)]
    fn lagg_slot(&self) -> &EpochOption<Port> {
        // SAFETY: the kernel leaves this field to lagg, and only one driver of that name is loaded.
        unsafe { EpochOption::from_ptr(field!(self, if_lagg)) }
    }

    /// The port that this interface is, for the rest of the section.
    #[inline(always)]
    pub(super) fn shared_port<'e>(&self, epoch: &'e Epoch) -> Option<&'e Port> {
        self.lagg_slot().load(epoch)
    }

    /// The port that this interface is or will be, which includes one that is claimed and not yet a port.
    pub fn lagg_port(&self) -> Option<Ref<Port>> {
        self.lagg_slot().get()
    }

    /// Claims the interface for `port`. Returns false if a lagg has it already. If the interface was found
    /// by name in the same section of the epoch, its departure finds the claim.
    pub fn claim(&self, port: &Ref<Port>, _: &Epoch) -> bool {
        self.lagg_slot().put(port)
    }

    /// Ends `port`'s claim. Does nothing if it has none.
    pub fn unclaim(&self, port: &Port) {
        self.lagg_slot().take(port);
    }

    /// Where `if_ioctl` is, as a pointer.
    pub(super) fn ioctl_place(&self) -> &AtomicPtr<()> {
        // SAFETY: an aligned pointer in an ifnet that is there for as long as `self`. The kernel reads it as
        // a whole, and a driver writes it before others find the interface.
        unsafe { AtomicPtr::from_ptr((field!(self, if_ioctl)).cast()) }
    }

    /// Where `if_output` is, as a pointer.
    fn output_place(&self) -> &AtomicPtr<()> {
        // SAFETY: an aligned pointer in an ifnet that is there for as long as `self`. The kernel reads it as
        // a whole, and vlan(4), which writes it too, writes it as a whole.
        unsafe { AtomicPtr::from_ptr((field!(self, if_output)).cast()) }
    }

    /// The methods that it has now.
    pub fn methods(&self) -> PortMethods {
        // SAFETY: each field is a function of that type or NULL, which is how the `Option` has none.
        let (ioctl, output) = unsafe {
            (
                core::mem::transmute::<*mut (), c::if_ioctl_fn_t>(
                    self.ioctl_place().load(Ordering::Acquire),
                ),
                core::mem::transmute::<*mut (), c::if_output_fn_t>(
                    self.output_place().load(Ordering::Acquire),
                ),
            )
        };
        PortMethods { ioctl, output, kind: self.if_type() }
    }

    /// Makes a claimed interface, which has these methods, a port. First its ioctls and output go through
    /// this driver, then, by its type, what it receives.
    pub fn enslave(&self, methods: &PortMethods) {
        let (ioctl, output) = (hooks::port_ioctl as *mut (), hooks::port_output as *mut ());
        self.ioctl_place().store(ioctl, Ordering::Release);
        self.output_place().store(output, Ordering::Release);
        self.type_byte().store(methods.kind.as_port().number(), Ordering::Release);
    }

    /// Restores the interface's type and methods. Packets in flight may still find the claim. If a VLAN has
    /// got a parent since, it keeps the output method that vlan(4) has given it.
    pub fn release(&self, methods: &PortMethods) {
        self.type_byte().store(methods.kind.number(), Ordering::Release);
        let ioctl = methods.ioctl.map_or(core::ptr::null_mut(), |method| method as *mut ());
        let output = methods.output.map_or(core::ptr::null_mut(), |method| method as *mut ());
        self.ioctl_place().store(ioctl, Ordering::Release);
        let ours = hooks::port_output as *mut ();
        let place = self.output_place();
        let _ = place.compare_exchange(ours, output, Ordering::Release, Ordering::Relaxed);
    }
}

/// The methods and the type that a port's interface had before it became one.
#[derive(Clone, Copy)]
pub struct PortMethods {
    ioctl: c::if_ioctl_fn_t,
    output: c::if_output_fn_t,
    kind: IfType,
}

impl PortMethods {
    /// Hands a request to the driver of `ifp`, whose methods these are. May sleep; may take locks of
    /// the stack.
    ///
    /// # Errors
    /// What its driver returned; EINVAL if it takes no ioctls.
    pub fn forward(&self, ifp: &Ifnet, request: &mut Ioctl<'_>) -> Result {
        let ioctl = self.ioctl.ok_or(Errno::EINVAL)?;
        let (command, data) = (request.command() as u64, request.data().cast());
        // SAFETY: the interface's own method, in its vnet. `Ioctl::new` was promised that the data are what
        // the kernel hands to a driver with the command.
        Errno::check(ifp.in_vnet(|| unsafe { ioctl(ifp.as_ptr(), command, data) }))
    }

    /// The stack's output method for an interface of that type. A VLAN's own method is its parent's, which
    /// may be a port. InfiniBand's is not exported, so the interface's own is used.
    pub(super) fn output(&self) -> c::if_output_fn_t {
        match self.kind {
            IfType::Infiniband => self.output,
            _ => Some(c::ether_output),
        }
    }

    /// Whether the interface is a VLAN.
    pub fn is_vlan(&self) -> bool {
        self.kind == IfType::Vlan
    }

    /// Whether the interface has its own driver's ioctl method.
    pub(super) fn is_ours(&self) -> bool {
        self.ioctl.is_some_and(|method| core::ptr::fn_addr_eq(method, hooks::port_ioctl as IoctlFn))
    }
}

/// What `if_ioctl` points at.
type IoctlFn = unsafe extern "C" fn(*mut c::ifnet, u64, *mut core::ffi::c_char) -> core::ffi::c_int;
