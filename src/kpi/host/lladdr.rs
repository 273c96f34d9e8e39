//! Link-level addresses of interfaces.

use super::event::{self, Event};
use super::sync::Mutex;
use super::witness::lock;
use super::{stack, vlan, witness};
use crate::kpi::{IfType, Ifnet, LinkAddr, Result};

/// The broadcast address of interfaces of that type until their driver sets another.
pub(super) fn broadcast(if_type: IfType) -> LinkAddr {
    match if_type {
        IfType::Infiniband => LinkAddr::Infiniband([0; 20]),
        _ => LinkAddr::Ethernet([0xff; 6]),
    }
}

fn store(place: &Mutex<LinkAddr>, address: &LinkAddr) {
    let mut place = lock(place);
    let (new, old) = (address.as_bytes().len(), place.as_bytes().len());
    assert_eq!(new, old, "{address:x?} is an address of another kind");
    *place = *address;
}

impl Ifnet {
    /// Length of its link-level address.
    pub fn addr_len(&self) -> usize {
        self.lladdr().as_bytes().len()
    }

    /// Its link-level address, of InfiniBand or else Ethernet; zeros before it is attached. The caller
    /// keeps the interface from being detached, which leaves a pointer to freed memory.
    pub fn lladdr(&self) -> LinkAddr {
        *lock(&self.lladdr)
    }

    /// Stores a link-level address, and does nothing else: for a lagg's own interface.
    ///
    /// On the host for cards too.
    pub fn store_lladdr(&self, address: &LinkAddr) {
        store(&self.lladdr, address);
    }

    /// Its broadcast address; zeros if it has none, or not any more.
    pub fn broadcast_lladdr(&self) -> LinkAddr {
        *lock(&self.broadcast)
    }

    /// Stores a broadcast address: for an InfiniBand lagg's own interface. Nothing for others, whose is
    /// not the driver's to change.
    ///
    /// On the host for such cards too.
    pub fn store_broadcast_lladdr(&self, address: &LinkAddr) {
        assert!(self.is_infiniband(), "{self:?}: the broadcast address of Ethernet is changed");
        store(&self.broadcast, address);
    }

    /// Gives it a link-level address. Its driver is called, and the handlers of `iflladdr_event`. May
    /// sleep.
    ///
    /// # Errors
    /// EINVAL if it has no such address; ENODEV if its type has another kind, or one that cannot be set.
    pub fn set_lladdr(&self, address: &LinkAddr) -> Result {
        self.assert_attached("if_setlladdr");
        stack::set_lladdr(self, address)
    }

    /// Announces that its address has changed (`iflladdr_event`). May sleep.
    pub fn lladdr_event(&self) {
        witness::may_sleep("iflladdr_event");
        vlan::parent_lladdr(self);
        event::tell(self, &Event::Lladdr(self.lladdr()));
    }
}
