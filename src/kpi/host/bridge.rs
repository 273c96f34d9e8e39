//! if_bridge(4), which here sends every packet on all its members.

use super::attach::{self, Attached};
use super::driver::Kind;
use super::sync::Mutex;
use super::witness::lock;
use crate::kpi::Errno;
use crate::kpi::{Epoch, IfType, Ifnet, IfnetRef, LinkAddr, Mbuf, Name, Result};

/// The members of a bridge.
#[derive(Default)]
pub(super) struct Members(Mutex<Vec<IfnetRef>>);

/// Creates a bridge without members, in the current vnet. Sleeps.
///
/// # Errors
/// EEXIST for a name that is taken.
pub fn bridge_create(name: &str) -> Result<Attached> {
    let name = Name::new(name).ok_or(Errno::EINVAL)?;
    let lladdr = LinkAddr::Ethernet([2, 0, 0, 0, 0, 0xbb]);
    let ifp = IfnetRef::new(name, Kind::Bridge(Members::default()), IfType::Bridge, lladdr);
    ifp.set_running(true);
    attach::link(ifp)
}

/// Makes an interface a member.
///
/// # Panics
/// If `bridge` is not a bridge.
pub fn bridge_add(bridge: &Ifnet, member: &Ifnet) {
    let Kind::Bridge(members) = &bridge.kind else { panic!("{bridge:?} is no bridge") };
    lock(&members.0).push(member.to_ref());
}

impl Members {
    /// Whether an interface is a member.
    pub(super) fn have(&self, ifp: &Ifnet) -> bool {
        lock(&self.0).iter().any(|member| member.same(ifp))
    }

    pub(super) fn transmit(&self, m: Mbuf, epoch: &Epoch) -> Result {
        let members = lock(&self.0).clone();
        for member in members {
            if let Some(copy) = m.copy() {
                // The error is not reported.
                let _ = member.transmit(copy, epoch);
            }
        }
        Ok(())
    }
}
