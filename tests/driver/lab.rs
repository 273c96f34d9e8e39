//! Cards, laggs and requests. Each test runs in a vnet of its own.

use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use lagg_rs::driver::Softc;
use lagg_rs::kpi::host::testing::{Model, TestNic};
use lagg_rs::kpi::host::{self, Attached, UserMemory, Vnet, ifioctl};
use lagg_rs::kpi::ioctl::{
    FlagsRequest, InterfaceRequest, LaggRequest, OptionsRequest, PortRequest, SIOCGLAGG,
    SIOCGLAGGFLAGS, SIOCGLAGGOPTS, SIOCGLAGGPORT, SIOCSIFFLAGS, SIOCSIFMTU, SIOCSLAGG,
    SIOCSLAGGDELPORT, SIOCSLAGGHASH, SIOCSLAGGOPTS, SIOCSLAGGPORT, proto,
};
use lagg_rs::kpi::{
    IfType, IfnetRef, InfinibandAddr, LinkState, MacAddr, Mbuf, Module, Name, Ref, Result, epoch,
    iff,
};
use zerocopy::FromBytes;

#[allow(unused_imports, reason = "not all who use this need them all")]
pub use unchanged::{attributes, everything, refused, without_memory};

#[path = "unchanged.rs"]
mod unchanged;

/// All protocols.
pub const PROTOCOLS: [u32; 6] = [
    proto::NONE,
    proto::FAILOVER,
    proto::ROUNDROBIN,
    proto::LOADBALANCE,
    proto::LACP,
    proto::BROADCAST,
];

/// Runs a test in a vnet of its own.
pub fn lab<R>(f: impl FnOnce() -> R) -> R {
    Vnet::new().enter(f)
}

/// Starts a thread in the current vnet.
pub fn spawn<'s, 'e, T: Send + 's>(
    scope: &'s thread::Scope<'s, 'e>,
    f: impl FnOnce() -> T + Send + 's,
) -> ScopedJoinHandle<'s, T> {
    let vnet = Vnet::current();
    scope.spawn(move || vnet.enter(f))
}

/// Waits until `seen` is true.
pub fn until(what: &str, mut seen: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(120);
    while !seen() {
        assert!(Instant::now() < limit, "waited two minutes in vain for {what}");
        thread::yield_now();
    }
}

/// Lets time pass, and waits for what it causes. At each callout the clock stands until what that causes
/// is done: a task reads the time when it begins, and what it sets then counts from a later one.
pub fn pass(ms: u64) {
    pass_with(ms, host::settle);
}

/// The same with another way to wait.
pub fn pass_with(ms: u64, wait: impl Fn()) {
    let vnet = Vnet::current();
    let end = vnet.uptime_ms() + ms;
    wait();
    while let Some(next) = vnet.next_callout().filter(|next| *next <= end) {
        vnet.advance_to(next);
        wait();
    }
    vnet.advance_to(end);
    wait();
}

/// A network card with its interface. Dropping this detaches it.
pub struct Card {
    pub nic: Arc<TestNic>,
    pub ifp: Attached,
}

/// The Ethernet address of the card `em<n>`.
pub fn mac(n: u8) -> MacAddr {
    [2, 0, 0, 0, 0, n]
}

/// The card `em<n>`, up, with its link up.
pub fn card(n: u8) -> Card {
    let nic = TestNic::new();
    let ifp = nic.attach(&format!("em{n}"), mac(n));
    let card = Card { nic, ifp };
    flags(&card.name(), iff::UP).unwrap();
    card.link(LinkState::Up);
    card
}

/// The card `em<n>` of this model, up, with its link up.
pub fn modelled(n: u8, model: &Model) -> Card {
    let (nic, ifp) = model.attach(&format!("em{n}"), mac(n));
    let card = Card { nic, ifp };
    flags(&card.name(), iff::UP).unwrap();
    card.link(LinkState::Up);
    card
}

/// The address of `ib<n>`.
pub fn addr(n: u8) -> InfinibandAddr {
    let mut address = [0xfe; 20];
    address[..4].fill(0);
    address[19] = n;
    address
}

/// The broadcast address of a partition.
pub fn broadcast(partition: u8) -> InfinibandAddr {
    let mut address = [0xff; 20];
    address[..4].fill(0);
    address[9] = partition;
    address
}

/// The card `ib<n>`, in the partition `n`, up, with its link up.
pub fn ib(n: u8) -> Card {
    let nic = TestNic::new();
    let name = format!("ib{n}");
    let ifp = host::attach(&name, IfType::Infiniband, addr(n), 2044, 10_000_000_000, nic.clone());
    ifp.store_broadcast_lladdr(&broadcast(n).into());
    let card = Card { nic, ifp };
    flags(&name, iff::UP).unwrap();
    card.link(LinkState::Up);
    card
}

impl Card {
    pub fn name(&self) -> String {
        text(&self.ifp.name())
    }

    /// Changes the link, and waits until that is handled.
    pub fn link(&self, state: LinkState) {
        host::set_link(&self.ifp, state);
        host::settle();
    }

    /// Receives a frame.
    pub fn receive(&self, bytes: &[u8]) {
        host::receive(&self.ifp, Mbuf::from_bytes(bytes));
    }

    /// How many frames were sent since the last call.
    pub fn sent(&self) -> usize {
        self.nic.take_sent().len()
    }
}

/// A lagg. Dropping this destroys it, unless it is destroyed already.
pub struct Lagg {
    pub name: String,
    pub ifp: IfnetRef,
}

/// A new lagg.
pub fn lagg() -> Lagg {
    let name = host::clone_create("lagg", None).unwrap();
    let ifp = Vnet::current().interface(&name).unwrap();
    Lagg { name, ifp }
}

/// A new InfiniBand lagg.
pub fn ib_lagg() -> Lagg {
    let mut parameters = [0; 16];
    parameters[0] = 1;
    let name = host::clone_create("lagg", Some(&parameters)).unwrap();
    let ifp = Vnet::current().interface(&name).unwrap();
    Lagg { name, ifp }
}

/// A lagg that is up, with these ports.
pub fn lagg_of(cards: &[&Card]) -> Lagg {
    let lagg = lagg();
    for card in cards {
        lagg.add(&card.name()).unwrap();
    }
    lagg.up();
    host::settle();
    lagg
}

impl Drop for Lagg {
    fn drop(&mut self) {
        if !thread::panicking() {
            let vnet = self.ifp.vnet();
            vnet.enter(|| {
                let _ = host::clone_destroy(&self.name);
            });
        }
    }
}

impl Lagg {
    pub fn softc(&self) -> Ref<Softc> {
        self.ifp.lagg_softc().unwrap()
    }

    /// Whether a frame received on the port at this place is accepted. The lagg's counters do not show
    /// that, because they are its ports'.
    pub fn takes_in(&self, place: usize, bytes: &[u8]) -> bool {
        epoch::section(|epoch| {
            let softc = self.softc();
            let port = softc.plan(epoch).at(place).unwrap();
            Module::input(port.ifp(), port, Mbuf::from_bytes(bytes), epoch).is_some()
        })
    }

    pub fn destroy(&self) {
        host::clone_destroy(&self.name).unwrap();
    }

    pub fn add(&self, port: &str) -> Result {
        self.port_request(SIOCSLAGGPORT, port).map(drop)
    }

    pub fn remove(&self, port: &str) -> Result {
        self.port_request(SIOCSLAGGDELPORT, port).map(drop)
    }

    /// The record of a port, as the lagg returns it.
    pub fn port(&self, port: &str) -> Result<PortRequest> {
        self.port_request(SIOCGLAGGPORT, port)
    }

    fn port_request(&self, command: usize, port: &str) -> Result<PortRequest> {
        port_request(&self.name, command, port)
    }

    pub fn up(&self) {
        flags(&self.name, iff::UP).unwrap();
    }

    pub fn down(&self) {
        flags(&self.name, 0).unwrap();
    }

    pub fn set_mtu(&self, to: u32) -> Result {
        mtu(&self.name, to)
    }

    pub fn set_protocol(&self, proto: u32) -> Result {
        let mut request = LaggRequest { proto, ..LaggRequest::default() };
        ifioctl(&self.name, SIOCSLAGG, &mut request)
    }

    /// SIOCGLAGG with room for this many bytes of records.
    pub fn get(&self, room: usize) -> Result<(LaggRequest, Vec<PortRequest>)> {
        get(&self.name, room)
    }

    /// The names of the ports, in their order.
    pub fn ports(&self) -> Vec<String> {
        self.get(32 * 72).unwrap().1.iter().map(|record| text(&record.portname)).collect()
    }

    pub fn options(&self) -> Result<OptionsRequest> {
        let mut request = OptionsRequest::default();
        ifioctl(&self.name, SIOCGLAGGOPTS, &mut request)?;
        Ok(request)
    }

    pub fn set_options(&self, mut request: OptionsRequest) -> Result {
        ifioctl(&self.name, SIOCSLAGGOPTS, &mut request)
    }

    pub fn hash(&self) -> u32 {
        let mut request = FlagsRequest::default();
        ifioctl(&self.name, SIOCGLAGGFLAGS, &mut request).unwrap();
        request.flags
    }

    pub fn set_hash(&self, flags: u32) -> Result {
        let mut request = FlagsRequest { flags, ..FlagsRequest::default() };
        ifioctl(&self.name, SIOCSLAGGHASH, &mut request)
    }

    /// The setting or leaf `net.link.lagg.iface.<lagg>.<name>`.
    pub fn setting(&self, name: &str) -> Result<String> {
        host::sysctl_get(&self.name, name)
    }

    /// Sets it.
    pub fn set(&self, name: &str, to: &str) -> Result {
        host::sysctl_set(&self.name, name, to)
    }

    /// The number in a leaf, `net.link.lagg.iface.<lagg>.<name>`.
    #[track_caller]
    pub fn count(&self, name: &str) -> u64 {
        let value = self.setting(name).unwrap_or_else(|errno| panic!("{name}: {errno:?}"));
        value.parse().unwrap()
    }

    /// All leaves of this lagg whose names are so, and their values.
    pub fn leaves(&self, is: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        host::sysctl_all(&self.name).into_iter().filter(|(name, _)| is(name)).collect()
    }

    /// Sends a frame.
    pub fn send(&self, bytes: &[u8]) -> Result {
        host::transmit(&self.ifp, Mbuf::from_bytes(bytes))
    }
}

pub fn get(lagg: &str, room: usize) -> Result<(LaggRequest, Vec<PortRequest>)> {
    let memory = UserMemory::new(room.max(1));
    let (size, port) = (room as u64, memory.address());
    let mut request = LaggRequest { size, port, ..LaggRequest::default() };
    ifioctl(lagg, SIOCGLAGG, &mut request)?;
    let bytes = memory.read();
    let records = bytes.chunks_exact(72).take(request.ports as usize);
    Ok((request, records.map(|r| PortRequest::read_from_bytes(r).unwrap()).collect()))
}

pub fn port_request(ifname: &str, command: usize, port: &str) -> Result<PortRequest> {
    let mut request = PortRequest { portname: name(port), ..PortRequest::default() };
    ifioctl(ifname, command, &mut request)?;
    Ok(request)
}

/// `ifconfig NAME up`, `ifconfig NAME down`.
pub fn flags(ifname: &str, flags: u32) -> Result {
    let mut request = InterfaceRequest::with_flags(flags);
    ifioctl(ifname, SIOCSIFFLAGS, &mut request)
}

/// `ifconfig NAME mtu N`.
pub fn mtu(ifname: &str, mtu: u32) -> Result {
    let mut request = InterfaceRequest::with_mtu(mtu);
    ifioctl(ifname, SIOCSIFMTU, &mut request)
}

/// `ifconfig NAME ether …`.
pub fn ether(ifname: &str, to: MacAddr) -> Result {
    let mut request = InterfaceRequest::with_lladdr(&to);
    ifioctl(ifname, host::SIOCSIFLLADDR, &mut request)
}

/// A name in the ABI.
pub fn name(text: &str) -> Name {
    Name::new(text).unwrap_or_default()
}

/// A name of the ABI as text.
pub fn text(name: &Name) -> String {
    name.to_string()
}

/// A broadcast frame of 60 bytes that ends in `n`.
pub fn frame(n: u8) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(mac(99));
    frame.resize(59, 0);
    frame.push(n);
    frame
}
