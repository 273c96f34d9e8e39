//! Link-level addresses of interfaces.

use super::event::{self, Event};
use super::sync::Mutex;
use super::witness::lock;
use super::{stack, vlan, witness};
use crate::kpi::{Epoch, IfType, Ifnet, LinkAddr, Result};

/// What the interfaces of that type have as broadcast address until their driver knows a better one.
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
    /// Length of its link-level address (`if_addrlen`).
    pub fn addr_len(&self) -> usize {
        self.lladdr().as_bytes().len()
    }

    /// Its link-level address.
    pub fn lladdr(&self) -> LinkAddr {
        *lock(&self.lladdr)
    }

    /// Sets the link-level address, and no more: for a lagg's own interface, and for cards.
    pub fn store_lladdr(&self, address: &LinkAddr) {
        store(&self.lladdr, address);
    }

    /// Its broadcast address (`if_broadcastaddr`).
    pub fn broadcast_lladdr(&self) -> LinkAddr {
        *lock(&self.broadcast)
    }

    /// Sets the broadcast address: for an InfiniBand lagg's own interface, and for such cards.
    pub fn store_broadcast_lladdr(&self, address: &LinkAddr) {
        assert!(self.is_infiniband(), "{self:?}: the broadcast address of Ethernet is changed");
        store(&self.broadcast, address);
    }

    /// Gives it another link-level address, by its driver if it is up (if_setlladdr). Sleeps.
    ///
    /// # Errors
    /// EINVAL for one of another length, ENODEV for a type that has none that could be set, or what
    /// its driver returned.
    pub fn set_lladdr(&self, address: &LinkAddr) -> Result {
        self.assert_attached("if_setlladdr");
        stack::set_lladdr(self, address)
    }

    /// Has its neighbours hear its link-level address: a gratuitous ARP for each IPv4 address (arp(4)).
    pub fn announce(&self, _: &Epoch) {
        event::tell(self, &Event::Announced);
    }

    /// Tells others that the link-level address is another one (iflladdr_event). Sleeps.
    pub fn lladdr_event(&self) {
        witness::may_sleep("iflladdr_event");
        vlan::parent_lladdr(self);
        event::tell(self, &Event::Lladdr(self.lladdr()));
    }
}
