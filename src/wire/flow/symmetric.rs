//! What makes both directions of a conversation one flow.

use super::{Addresses, Flow, Link};

impl Flow {
    /// Puts the addresses in ascending order, and the ports, so that both directions are the same.
    #[cold]
    #[inline(never)]
    pub(super) fn sort(&mut self) {
        match &mut self.addresses {
            Addresses::V4(pair) => *pair = (*pair).min(pair.rotate_left(32)),
            Addresses::V6([a, b, c, d]) => {
                if (*a, *b) > (*c, *d) {
                    (*a, *b, *c, *d) = (*c, *d, *a, *b);
                }
            }
        }
        self.ports = self.ports.min(self.ports.rotate_left(16));
    }
}

impl Link {
    /// The same with the addresses in ascending order.
    #[cold]
    #[inline(never)]
    pub(super) fn sorted(&self) -> Link {
        let mut bytes: [u8; 12] = zerocopy::transmute!(*self);
        let (destination, source) = bytes.split_at(6);
        if destination > source {
            bytes.rotate_left(6);
        }
        zerocopy::transmute!(bytes)
    }
}
