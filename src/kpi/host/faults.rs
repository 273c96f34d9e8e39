//! Where what the driver calls may fail. By itself none of it does: `testing` has it fail.

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
    /// if_addmulti, where the interface is not in the group yet.
    Group,
    /// `if_ioctl` of a card's driver, or of a VLAN's.
    Ioctl,
    /// if_setlladdr of a card.
    Lladdr,
}

/// Such a call comes: on this interface, by this command.
///
/// # Errors
/// What it is to fail with.
pub(super) fn may_fail(fault: Fault, ifp: Option<&Ifnet>, command: usize) -> Result {
    injection::may_fail(fault, ifp, command)
}

/// An allocation comes that does not sleep.
pub(super) fn allocation() -> Result {
    may_fail(Fault::Allocation, None, 0)?;
    injection::allocation_here()
}

/// The allocation of a packet comes, which does not sleep.
pub(super) fn packet() -> Result {
    may_fail(Fault::Packet, None, 0)?;
    injection::allocation_here()
}

/// The copy of a packet comes, which does not sleep.
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
