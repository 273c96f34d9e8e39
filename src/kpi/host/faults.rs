//! The calls of the driver that may fail. They fail only when `testing` makes them.

use crate::kpi::{Ifnet, Result};

#[cfg(feature = "testing")]
use super::testing::injection;

/// What may fail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fault {
    /// An allocation.
    Allocation,
    /// The allocation of a packet, or of its copy, which does not wait for memory: its errno is the
    /// driver's own.
    Packet,
    /// if_addmulti, if the interface is not in the group yet.
    Group,
    /// `if_ioctl` of a card's driver, or of a VLAN's.
    Ioctl,
    /// if_setlladdr of a card.
    Lladdr,
}

/// Called at each such call, with its interface and command.
///
/// # Errors
/// The errno with which the call must fail.
pub(super) fn may_fail(fault: Fault, ifp: Option<&Ifnet>, command: usize) -> Result {
    injection::may_fail(fault, ifp, command)
}

/// Called at each allocation that may sleep, and may fail.
pub(super) fn allocation() -> Result {
    may_fail(Fault::Allocation, None, 0)?;
    injection::allocation_here()
}

/// Called at each allocation that may sleep.
pub(super) fn sleep_for_memory() {
    #[cfg(feature = "testing")]
    super::testing::shortage::wait();
}

/// Called at each allocation of a packet, which does not sleep.
pub(super) fn packet() -> Result {
    may_fail(Fault::Packet, None, 0)?;
    injection::allocation_here()
}

/// Called at each copy of a packet, which does not sleep.
pub(super) fn copy() -> Result {
    injection::copy_here()?;
    may_fail(Fault::Packet, None, 0)
}

/// Nothing fails.
#[cfg(not(feature = "testing"))]
mod injection {
    use super::{Fault, Ifnet, Result};

    pub(super) fn may_fail(_: Fault, _: Option<&Ifnet>, _: usize) -> Result {
        Ok(())
    }

    pub(super) fn allocation_here() -> Result {
        Ok(())
    }

    pub(super) fn copy_here() -> Result {
        Ok(())
    }
}
