//! Flows: how loadbalance and lacp find a packet's flow, and the flow's port.

use core::ops::Deref;

use super::buckets::Table;
use super::hash::Key;
use super::{Packet, Port, Ports};
use crate::wire::flow::{Flow, Masked, Masks};

/// How a packet's flow is found, and where it goes.
#[derive(Clone)]
#[repr(C)]
pub struct Flows<T> {
    /// The key of the hash, so that a remote host cannot choose a port by its choice of addresses.
    pub key: Key,
    /// The port of each bucket of flows.
    pub table: T,
    /// The layers that identify a flow (`lagghash`).
    pub layers: u8,
    /// By how much the NIC's flow id is shifted, if it is used at all (`use_flowid`).
    pub flowid_shift: Option<u8>,
}

/// A table of flows that may measure what they carry.
pub trait Measures: Deref<Target = Table> {
    /// While flows are measured: [`Flows::flowid_shift`], which none has there then.
    fn flowid_shift(&self) -> Option<u8> {
        None
    }

    /// Adds to what the flows of this hash have carried, if they are measured.
    fn measure(&self, _hash: u32, _bytes: usize) {}
}

/// It measures nothing.
impl Measures for &Table {}

impl<T: Measures> Flows<T> {
    /// The hash of a packet's flow, which the packet is added to if flows are measured.
    pub fn hash(&self, packet: &impl Packet) -> u32 {
        let hash = self.unmeasured_hash(packet);
        self.table.measure(hash, packet.length());
        hash
    }

    fn unmeasured_hash(&self, packet: &impl Packet) -> u32 {
        let id = packet.flow_id().and_then(|id| self.hash_of_id(id));
        id.unwrap_or_else(|| {
            self.key.hash(&Flow::of(packet, packet.vlan_tag(), self.layers.into()))
        })
    }

    /// What hashes flows by the layers of `masks`, which are this one's.
    #[inline(always)]
    pub fn by<'a>(&'a self, masks: &'a Masks) -> Masked<'a, &'a Key> {
        Masked(&self.key, masks)
    }

    /// The same for packets with this flow id; none if flow ids are not used.
    pub fn hash_of_id(&self, id: u32) -> Option<u32> {
        let by = self.flowid_shift.or_else(|| self.table.flowid_shift())?;
        Some(id.wrapping_shr(by.into()))
    }

    /// The same for this packet, for those that have no closer look.
    #[inline(always)]
    pub fn usual_flow_id(&self, packet: &impl Packet) -> Option<u32> {
        // It is seldom used, so check that before the packet.
        let by = self.flowid_shift?;
        Some(packet.flow_id()?.wrapping_shr(by.into()))
    }

    /// The port for a hash: its bucket's first choice, the second if that is not active, else any active
    /// port. None if no port is active.
    pub fn select<'p, P: Ports>(&self, ports: &'p P, hash: u32) -> Option<&'p P::Port> {
        self.select_where(ports, hash, P::Port::is_active)
    }

    /// The same with a further condition on the port.
    pub(super) fn select_where<'p, P: Ports>(
        &self,
        ports: &'p P,
        hash: u32,
        is_usable: impl Fn(&P::Port) -> bool,
    ) -> Option<&'p P::Port> {
        let choices = [self.table.first(hash), self.table.second(hash)];
        let mut chosen = choices.into_iter().flatten().filter_map(|slot| ports.in_slot(slot));
        let any = || ports.iter().find(|port| is_usable(port));
        chosen.find(|port| is_usable(port)).or_else(any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::Frame;
    use crate::wire::flow::{Bytes, Unusual, Vlans, layers};

    fn flows(layers: u32) -> Flows<Box<Table>> {
        let table = Box::new(zerocopy::FromZeros::new_zeroed());
        Flows { key: Key::new([7; 24]), table, layers: layers as u8, flowid_shift: None }
    }

    /// UDP over IPv4 or IPv6, with this many tags in the frame, and this many words of options or of an
    /// extension header.
    fn frame(ipv6: bool, tags: usize, words: u8) -> Vec<u8> {
        let mut frame: Vec<u8> = (0..12).collect();
        frame.extend([0x81, 0, 0, 5].repeat(tags));
        if ipv6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 40, if words == 0 { 17 } else { 60 }, 64]);
            frame.extend(0x20..0x40);
            if words != 0 {
                frame.extend([17, words - 1]);
                frame.resize(frame.len() - 2 + 8 * usize::from(words), 0);
            }
        } else {
            frame.extend([8, 0, 0x45 + words, 0, 0, 40, 0, 0, 0, 0, 64, 17, 0, 0]);
            frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
            frame.resize(frame.len() + 4 * usize::from(words), 1);
        }
        frame.extend([0x30, 0x39, 0, 53]);
        frame.extend([0; 40]);
        frame
    }

    /// A usual frame or not, whole or in pieces.
    #[test]
    fn a_frame_has_one_hash() {
        for counted in 0..=layers::ALL {
            let flows = flows(counted);
            for (ipv6, tags, words) in (0..24).map(|n| (n % 2 == 0, n / 2 % 3, n / 6)) {
                let frame = frame(ipv6, tags.into(), words);
                let expected = flows.key.hash(&Flow::of(&frame[..], None, counted));
                let whole = Frame::from_segments([&frame]);
                assert_eq!(flows.hash(&whole), expected, "{ipv6}, {tags}, {words}");
                let masks = Masks::of(counted);
                let (hash, found) = (flows.by(&masks), Some(expected));
                let near = Flow::near(&frame, Vlans::NONE, || true, hash);
                assert_eq!(near, found.filter(|_| !ipv6 || words == 0), "{ipv6}, {tags}, {words}");
                // Each kind of frame is found in its own way.
                let none = Vlans::NONE;
                let way = Flow::usual(&frame, none, hash).or_else(|unusual| {
                    let found = match unusual {
                        Unusual::Portless => Flow::portless(&frame, none, hash),
                        Unusual::Options => Flow::with_options(&frame, none, hash),
                        Unusual::Ipv6 => Flow::ipv6(&frame, none, hash),
                        Unusual::Tag => Flow::tagged(&frame, none, hash),
                        Unusual::Foreign => Flow::foreign(&frame, none, hash),
                        Unusual::Short => None,
                    };
                    found.ok_or(unusual)
                });
                let expected_way = match (ipv6, tags, words) {
                    (false, 0, _) | (true, 0, 0) | (false, 1 | 2, 0) | (true, 1, 0) => Ok(expected),
                    (true, 0, _) => Err(Unusual::Ipv6),
                    _ => Err(Unusual::Tag),
                };
                assert_eq!(way, expected_way, "{ipv6}, {tags}, {words}");
                for first in 14..frame.len() {
                    let (head, rest) = frame.split_at(first);
                    let (middle, tail) = rest.split_at(rest.len() / 2);
                    let cut = Frame::from_segments([head, middle, tail]);
                    assert_eq!(flows.hash(&cut), expected, "{ipv6}, {tags}, {words}, {first}");
                    let near = Flow::near(cut.head(), Vlans::NONE, || false, hash);
                    assert!(near.is_none() || near == found, "{words}, {first}");
                }
            }
        }
    }

    #[test]
    fn another_flow_has_another_hash() {
        let flows = flows(layers::ALL);
        for (ipv6, tags) in [(false, 0), (false, 1), (true, 0), (true, 1)] {
            let frame = frame(ipv6, tags, 0);
            let hash = |frame: &[u8]| flows.hash(&Frame::from_segments([frame]));
            let ports = frame.len() - 44;
            for at in (0..12).chain(ports - 8..ports + 4) {
                let mut other = frame.clone();
                other[at] ^= 1;
                assert_ne!(hash(&other), hash(&frame), "byte {at}");
            }
        }
    }
}
