//! A model of laggs: their state after a number of requests, computed without the driver.

use std::collections::BTreeMap;

use lagg_rs::kpi::host::testing::max_mtu;
use lagg_rs::kpi::host::{self, UserMemory, Vnet, ifioctl};
use lagg_rs::kpi::ioctl::{
    FlagsRequest, LaggRequest, OptionsRequest, PortRequest, SIOCGLAGG, SIOCGLAGGFLAGS,
    SIOCGLAGGOPTS, opt, port, proto,
};
use lagg_rs::kpi::{Errno, IfType, IfnetRef, Result};
use zerocopy::FromBytes;

use super::lab::{attributes, text};

/// A lagg.
pub struct Lagg {
    /// Its ports, in the order of their numbers.
    pub ports: Vec<IfnetRef>,
    pub proto: u32,
    pub hash: u32,
    pub use_flowid: bool,
    pub use_numa: bool,
    pub flowid_shift: i32,
    pub stride: u32,
    /// LACP's options.
    pub lacp: i32,
    pub infiniband: bool,
    /// Whether an administrator has given it its MTU.
    pub has_mtu: bool,
}

impl Lagg {
    /// A new one.
    pub fn new(infiniband: bool) -> Self {
        Lagg {
            ports: Vec::new(),
            proto: proto::FAILOVER,
            hash: 7,
            use_flowid: false,
            use_numa: true,
            flowid_shift: 16,
            stride: 0,
            lacp: 0,
            infiniband,
            has_mtu: false,
        }
    }

    /// SIOCSLAGG.
    pub fn set_protocol(&mut self, to: u32) -> Result {
        if to > proto::BROADCAST || self.infiniband && to != proto::FAILOVER {
            return Err(Errno::EPROTONOSUPPORT);
        }
        self.proto = to;
        self.lacp = if to == proto::LACP { opt::LACP_STRICT } else { 0 };
        if to == proto::ROUNDROBIN {
            self.stride = 1;
        }
        Ok(())
    }

    /// SIOCSLAGGHASH.
    pub fn set_hash(&mut self, flags: u32) -> Result {
        if flags & 7 == 0 {
            return Err(Errno::EINVAL);
        }
        self.hash = flags & 7;
        Ok(())
    }

    /// SIOCSLAGGOPTS.
    pub fn set_option(&mut self, request: &OptionsRequest) -> Result {
        const LACP: [i32; 4] =
            [opt::LACP_STRICT, opt::LACP_TXTEST, opt::LACP_RXTEST, opt::LACP_FAST_TIMO];
        let (asked, on) = (request.opts.wrapping_abs(), request.opts > 0);
        match request.opts {
            0 if request.bkt == 0 => {}
            0 | opt::RR_LIMIT if self.proto == proto::ROUNDROBIN && request.bkt != 0 => {
                self.stride = request.bkt;
            }
            _ if asked == opt::USE_FLOWID => self.use_flowid = on,
            _ if asked == opt::USE_NUMA => self.use_numa = on,
            opt::FLOWIDSHIFT if (0..32).contains(&request.flowid_shift) => {
                self.flowid_shift = request.flowid_shift;
            }
            _ if LACP.contains(&asked) && self.proto == proto::LACP => {
                self.lacp = if on { self.lacp | asked } else { self.lacp & !asked };
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }
}

/// All laggs, and what their ports were before.
#[derive(Default)]
pub struct Model {
    pub laggs: BTreeMap<String, Lagg>,
    /// The nature of each port before it joined, to which it must return.
    before: BTreeMap<String, Vec<(&'static str, String)>>,
}

impl Model {
    /// The lagg whose port an interface is.
    pub fn lagg_of(&self, port: &str) -> Option<&str> {
        let has = |lagg: &Lagg| lagg.ports.iter().any(|ifp| text(&ifp.name()) == port);
        self.laggs.iter().find(|(_, lagg)| has(lagg)).map(|(name, _)| name.as_str())
    }

    /// The result of SIOCSLAGGPORT, except for the port's driver refusing the MTU.
    pub fn may_add(&self, lagg: &str, port: &str) -> Result {
        let ifp = Vnet::current().interface(port).ok_or(Errno::EINVAL)?;
        let is_other = match ifp.if_type() {
            IfType::Other(_) => true,
            IfType::Infiniband => !self.laggs[lagg].infiniband,
            _ => self.laggs[lagg].infiniband,
        };
        match self.lagg_of(port) {
            _ if port == lagg => Err(Errno::EINVAL),
            Some(same) if same == lagg => Err(Errno::EEXIST),
            Some(_) => Err(Errno::EBUSY),
            None if is_other => Err(Errno::EPROTONOSUPPORT),
            None if self.laggs.contains_key(port) => Err(Errno::EINVAL),
            None => Ok(()),
        }
    }

    /// The result of the port's driver for the lagg's MTU.
    pub fn takes_mtu(&self, lagg: &str, port: &str) -> Result {
        let vnet = Vnet::current();
        let (lagg_ifp, ifp) = (vnet.interface(lagg), vnet.interface(port));
        let (Some(lagg_ifp), Some(ifp)) = (lagg_ifp, ifp) else { return Ok(()) };
        let first = |lagg: &Lagg| lagg.ports.is_empty() && !lagg.has_mtu;
        let first = self.laggs.get(lagg).is_none_or(first);
        let most = ifp.vlan_parent().map_or_else(|| max_mtu(&ifp), |parent| parent.mtu());
        let fits = first || ifp.mtu() == lagg_ifp.mtu() || lagg_ifp.mtu() <= most;
        if fits { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Remembers what a port is before it is added.
    pub fn remember(&mut self, port: &str) {
        if let (Some(ifp), None) = (Vnet::current().interface(port), self.lagg_of(port)) {
            self.before.insert(port.to_owned(), nature(&ifp));
        }
    }

    pub fn added(&mut self, lagg: &str, port: &str) {
        let ifp = Vnet::current().interface(port).expect("it was added");
        let lagg = self.laggs.get_mut(lagg).expect("it was added to a lagg");
        lagg.ports.push(ifp);
        lagg.ports.sort_by_key(|ifp| ifp.index());
    }

    pub fn removed(&mut self, port: &IfnetRef) {
        for lagg in self.laggs.values_mut() {
            lagg.ports.retain(|ifp| !ifp.same(port));
        }
        let before = self.before.remove(&text(&port.name()));
        assert_eq!(Some(nature(port)), before, "{port:?} is not what it was");
    }

    /// The lagg is no more.
    pub fn destroyed(&mut self, name: &str) {
        let lagg = self.laggs.remove(name).expect("it was there");
        lagg.ports.iter().for_each(|port| self.removed(port));
    }

    /// Compares every lagg with the model when nothing is pending. A VLAN's link follows its parent's on a
    /// task of the stack.
    pub fn check(&self, interfaces: impl Iterator<Item = IfnetRef>) {
        host::settle();
        for (name, lagg) in &self.laggs {
            check_lagg(name, lagg);
        }
        for ifp in interfaces {
            let name = text(&ifp.name());
            let port = ifp.lagg_port();
            let of = port.as_ref().map(|port| text(&port.softc().ifp().name()));
            assert_eq!(of.as_deref(), self.lagg_of(&name), "whose port is {name}?");
            let types = [IfType::LaggPort, IfType::InfinibandLaggPort];
            assert_eq!(port.is_some(), types.contains(&ifp.if_type()));
        }
    }
}

/// What a port gets back: of an MTU that its driver takes, and what it does on request, apart. A VLAN's address and
/// MTU follow its parent's, which may have been a port meanwhile: the stack has a task for it that reads the
/// address and then sets it, and knows nothing of another one that is set in between.
fn nature(ifp: &IfnetRef) -> Vec<(&'static str, String)> {
    let mut nature = attributes(ifp);
    let is_vlan = ifp.vlan_parent().is_some();
    nature.retain(|(name, _)| {
        ["type", "methods", "port of"].contains(name)
            || ["address", "mtu"].contains(name) && !is_vlan
    });
    nature
}

fn check_lagg(name: &str, lagg: &Lagg) {
    let memory = UserMemory::new(32 * 72);
    let ask = |records: u64| {
        let mut all =
            LaggRequest { size: records * 72, port: memory.address(), ..LaggRequest::default() };
        assert_eq!(ifioctl(name, SIOCGLAGG, &mut all), Ok(()));
        let bytes = memory.read();
        let records = bytes.chunks_exact(72).take(all.ports as usize);
        let records: Vec<_> =
            records.map(|it| PortRequest::read_from_bytes(it).expect("72")).collect();
        (all, records)
    };
    let (all, records) = ask(32);
    assert_eq!(all.proto, lagg.proto);
    let names =
        |records: &[PortRequest]| Vec::from_iter(records.iter().map(|it| text(&it.portname)));
    let ports: Vec<_> = lagg.ports.iter().map(|ifp| text(&ifp.name())).collect();
    assert_eq!(names(&records), ports);
    assert_eq!(all.size, records.len() as u64 * 72);
    assert!(records.iter().all(|record| text(&record.ifname) == name && record.prio == 0));
    let known = port::MASTER | port::ACTIVE | port::COLLECTING | port::DISTRIBUTING;
    assert!(records.iter().all(|record| record.flags & !known == 0));
    if let Some(fewer) = ports.len().checked_sub(1) {
        assert_eq!(names(&ask(fewer as u64).1), ports[..fewer], "with less room");
    }

    let mut flags = FlagsRequest::default();
    assert_eq!(ifioctl(name, SIOCGLAGGFLAGS, &mut flags), Ok(()));
    assert_eq!(flags.flags, lagg.hash);

    let mut options = OptionsRequest::default();
    assert_eq!(ifioctl(name, SIOCGLAGGOPTS, &mut options), Ok(()));
    let with = |on: bool, option: i32| if on { option } else { 0 };
    let opts =
        with(lagg.use_flowid, opt::USE_FLOWID) | with(lagg.use_numa, opt::USE_NUMA) | lagg.lacp;
    assert_eq!(
        (options.opts, options.flowid_shift, options.bkt),
        (opts, lagg.flowid_shift, lagg.stride)
    );
    assert_eq!(options.count, ports.len() as u32);
    let distributing = |record: &&PortRequest| record.flags & port::DISTRIBUTING != 0;
    let can_send = lagg.ports.iter().filter(|ifp| ifp.is_active()).count();
    let is_running = Vnet::current().interface(name).is_some_and(|ifp| ifp.is_running());
    let active = match lagg.proto {
        proto::LACP => records.iter().filter(distributing).count(),
        // Nothing is sent.
        proto::NONE => 0,
        _ if !is_running => 0,
        _ => can_send,
    };
    assert_eq!(options.active, active as u32, "active ports");
    if lagg.proto == proto::FAILOVER {
        let with = |flag| records.iter().filter(|record| record.flags & flag != 0).count();
        assert_eq!(with(port::MASTER), usize::from(!ports.is_empty()));
        assert_eq!(with(port::ACTIVE), can_send.min(1));
    }
}
