//! Link-level addresses of interfaces.

use super::super::{Ifnet, LinkAddr, Result};
use super::witness::lock;
use super::{event, stack, vlan, witness};

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
        let mut lladdr = lock(&self.lladdr);
        let (new, old) = (address.as_bytes().len(), lladdr.as_bytes().len());
        assert_eq!(new, old, "{self:?} gets an address of another kind");
        *lladdr = *address;
    }

    /// Gives it another link-level address, by its driver if it is up (if_setlladdr). Sleeps.
    ///
    /// # Errors
    /// EINVAL for one of another length, ENODEV for a type that has none that could be set, or what
    /// its driver returned.
    pub fn set_lladdr(&self, address: &LinkAddr) -> Result {
        stack::set_lladdr(self, address)
    }

    /// Tells others that the link-level address is another one (iflladdr_event). Sleeps.
    pub fn lladdr_event(&self) {
        witness::may_sleep("iflladdr_event");
        vlan::parent_lladdr(self);
        event::tell(self, &event::Event::Lladdr(self.lladdr()));
    }
}
