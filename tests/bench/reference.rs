//! C lagg's approach, written from a description of what it does, over the same host: a list of ports that
//! is walked, a separate count, one counter for all processors, remainders, a hash byte by byte. It exists
//! only for comparison, and is not fit for use. All of it is inlined; only the figures of a kernel include
//! C lagg's calls (`make vm-bench`).

use std::iter;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use lagg_rs::kpi::ioctl::proto;
use lagg_rs::kpi::{Epoch, IfnetRef, Mbuf, iff};

use crate::lab::{Lagg, give_back};

struct Port {
    ifp: IfnetRef,
    next: Option<Arc<Port>>,
    detaching: AtomicBool,
    collecting: AtomicBool,
}

pub struct Reference {
    ifp: IfnetRef,
    protocol: AtomicU32,
    count: AtomicU32,
    ports: Option<Arc<Port>>,
    primary: Option<Arc<Port>>,
    sequence: AtomicU32,
    stride: AtomicU32,
    use_flowid: AtomicBool,
    key: u32,
    /// For loadbalance and lacp.
    table: [Option<Arc<Port>>; 32],
    table_count: AtomicU32,
    suppressed: AtomicBool,
}

impl Reference {
    /// Over the same ports.
    pub fn new(lagg: &Lagg, protocol: u32) -> Self {
        let ports = lagg.ports.iter().rev().fold(None, |next, port| {
            let (detaching, collecting) = (AtomicBool::new(false), AtomicBool::new(true));
            Some(Arc::new(Port { ifp: port.ifp().to_ref(), next, detaching, collecting }))
        });
        let mut list = iter::successors(ports.clone(), |port| port.next.clone());
        let count = lagg.ports.len() as u32;
        Reference {
            ifp: lagg.softc.ifp().to_ref(),
            protocol: protocol.into(),
            count: count.into(),
            primary: ports.clone(),
            sequence: AtomicU32::new(0),
            stride: AtomicU32::new(1),
            use_flowid: AtomicBool::new(false),
            key: 0x9e37_79b9,
            table: std::array::from_fn(|_| list.next()),
            table_count: count.into(),
            suppressed: AtomicBool::new(false),
            ports,
        }
    }

    fn list(&self) -> impl Iterator<Item = &Port> {
        iter::successors(self.ports.as_deref(), |port| port.next.as_deref())
    }

    fn active<'a>(&'a self, start: Option<&'a Port>) -> Option<&'a Port> {
        let is_active = |port: &&Port| port.ifp.is_active();
        let next = || start?.next.as_deref().filter(is_active);
        start.filter(is_active).or_else(next).or_else(|| self.list().find(is_active))
    }

    fn hash(&self, m: &Mbuf) -> u32 {
        match m.flow() {
            Some(flow) if self.use_flowid.load(Ordering::Relaxed) => flow >> 16,
            _ => hash(m, self.key),
        }
    }

    pub fn transmit(&self, m: Mbuf, epoch: &Epoch) {
        assert_ne!(self.count.load(Ordering::Relaxed), 0);
        self.ifp.bpf_tap(&m);
        let port = match self.protocol.load(Ordering::Relaxed) {
            proto::FAILOVER => self.active(self.primary.as_deref()),
            proto::ROUNDROBIN => {
                let turn = self.sequence.fetch_add(1, Ordering::Relaxed)
                    / self.stride.load(Ordering::Relaxed).max(1);
                let place = turn.checked_rem(self.count.load(Ordering::Relaxed)).unwrap();
                self.active(self.list().nth(place as usize))
            }
            proto::LOADBALANCE => {
                let place = self.hash(&m).checked_rem(self.count.load(Ordering::Relaxed)).unwrap();
                self.active(self.table[place as usize % 32].as_deref())
            }
            proto::LACP => {
                assert!(!self.suppressed.load(Ordering::Acquire));
                let count = self.table_count.load(Ordering::Acquire);
                let place = self.hash(&m).checked_rem(count).unwrap();
                self.table[place as usize % 32].as_deref()
            }
            _ => return self.broadcast(m, epoch),
        };
        enqueue(port.unwrap(), m, epoch);
    }

    fn broadcast(&self, m: Mbuf, epoch: &Epoch) {
        let mut last: Option<&Port> = None;
        for port in self.list().filter(|port| port.ifp.is_active()) {
            if let Some(last) = last {
                enqueue(last, m.copy().unwrap(), epoch);
            }
            last = Some(port);
        }
        enqueue(self.active(last).unwrap(), m, epoch);
    }

    /// Receives a frame from the first port.
    pub fn input(&self, mut m: Mbuf, _: &Epoch) {
        let port = self.ports.as_deref().unwrap();
        assert!(self.ifp.is_running() && !port.detaching.load(Ordering::Relaxed));
        let accepted = match self.protocol.load(Ordering::Relaxed) {
            proto::FAILOVER => self.primary.as_deref().is_some_and(|there| ptr::eq(there, port)),
            proto::LACP => !is_slow(&m) && port.collecting.load(Ordering::Relaxed),
            _ => true,
        };
        assert!(accepted);
        m.set_receiver(&self.ifp);
        self.ifp.bpf_tap(&m);
        assert!(self.ifp.flags() & iff::MONITOR == 0 && !self.ifp.has_netmap());
        give_back(m);
    }
}

fn enqueue(port: &Port, m: Mbuf, epoch: &Epoch) {
    assert!(!m.has_tag());
    port.ifp.transmit(m, epoch).unwrap();
}

fn is_slow(m: &Mbuf) -> bool {
    m.vlan_tag().is_none() && m.first().get(12..14) == Some(&[0x88, 0x09])
}

/// FNV-1 of the fields that identify a flow.
fn hash(m: &Mbuf, key: u32) -> u32 {
    let fold = |hash: u32, bytes: &[u8]| {
        bytes.iter().fold(hash, |hash, byte| hash.wrapping_mul(0x0100_0193) ^ u32::from(*byte))
    };
    let mut header = [0; 40];
    let mut read = |offset: usize, length: usize| {
        let bytes = &mut header[..length];
        match m.first().get(offset..offset + length) {
            Some(from) => bytes.copy_from_slice(from),
            None => assert!(m.copy_to(offset, bytes)),
        }
        <[u8; 40]>::clone(&header)
    };
    let ethernet = read(0, 14);
    let mut hash = fold(fold(key, &ethernet[6..12]), &ethernet[..6]);
    let (mut kind, mut offset) = ([ethernet[12], ethernet[13]], 14);
    if kind == [0x81, 0] {
        let tag = read(offset, 4);
        hash = fold(hash, &tag[..2]);
        (kind, offset) = ([tag[2], tag[3]], offset + 4);
    }
    match kind {
        [8, 0] => {
            let ip = read(offset, 20);
            hash = fold(fold(hash, &ip[12..16]), &ip[16..20]);
            if matches!(ip[9], 6 | 17 | 132) {
                let ports = read(offset + usize::from(ip[0] & 15) * 4, 4);
                hash = fold(hash, &ports[..4]);
            }
        }
        [0x86, 0xdd] => {
            let ip = read(offset, 40);
            hash = fold(fold(hash, &ip[8..24]), &ip[24..40]);
            hash = fold(hash, &ip[..4]);
        }
        _ => {}
    }
    hash
}
