//! Models of the driver itself, through the entry points that the kernel calls.

use std::sync::Arc;

use lagg_rs::kpi::host::testing::TestNic;
use lagg_rs::kpi::host::{self, Attached, Vnet, ifioctl};
use lagg_rs::kpi::ioctl::{
    InterfaceRequest, LaggRequest, PortRequest, SIOCGLAGG, SIOCSIFFLAGS, SIOCSIFMTU, SIOCSLAGG,
    SIOCSLAGGDELPORT, SIOCSLAGGPORT, proto,
};
use lagg_rs::kpi::{
    Counter, Errno, IfType, IfnetRef, LinkState, Mbuf, Name, Result, epoch, iff, publish_relaxed,
};
use loom::thread::{self, JoinHandle};

use super::explore;

/// Explores a model in a vnet of its own.
pub fn lab(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    explore(preemptions, move || Vnet::new().enter(&model));
}

/// Starts a thread in the current vnet.
pub fn spawn<T: 'static>(f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    let vnet = Vnet::current();
    thread::spawn(move || vnet.enter(f))
}

/// A network card with its interface.
#[derive(Clone)]
pub struct Card {
    pub nic: Arc<TestNic>,
    pub ifp: Arc<Attached>,
}

/// The card `em<n>`, up, with its link up.
pub fn card(n: u8) -> Card {
    let nic = TestNic::new();
    let name = format!("em{n}");
    let ifp = Arc::new(nic.attach(&name, [2, 0, 0, 0, 0, n]));
    interface_request(&name, SIOCSIFFLAGS, iff::UP).unwrap();
    host::set_link(&ifp, LinkState::Up);
    Card { nic, ifp }
}

/// A lagg that is up, with these ports.
pub fn lagg_of(name: &str, ports: &[&str]) -> IfnetRef {
    host::clone_create(name, None).unwrap();
    ports.iter().for_each(|port| add(name, port).unwrap());
    interface_request(name, SIOCSIFFLAGS, iff::UP).unwrap();
    host::settle();
    Vnet::current().interface(name).unwrap()
}

fn destroy(lagg: &str) {
    host::clone_destroy(lagg).unwrap();
    host::settle();
}

fn interface_request(ifname: &str, command: usize, value: u32) -> Result {
    let mut request = match command {
        SIOCSIFMTU => InterfaceRequest::with_mtu(value),
        _ => InterfaceRequest::with_flags(value),
    };
    ifioctl(ifname, command, &mut request)
}

fn port_request(lagg: &str, command: usize, port: &str) -> Result {
    let portname = Name::new(port).unwrap();
    ifioctl(lagg, command, &mut PortRequest { portname, ..PortRequest::default() })
}

fn add(lagg: &str, port: &str) -> Result {
    port_request(lagg, SIOCSLAGGPORT, port)
}

fn remove(lagg: &str, port: &str) -> Result {
    port_request(lagg, SIOCSLAGGDELPORT, port)
}

fn set_protocol(lagg: &str, proto: u32) -> Result {
    ifioctl(lagg, SIOCSLAGG, &mut LaggRequest { proto, ..LaggRequest::default() })
}

fn frame() -> Mbuf {
    Mbuf::from_bytes(&[0xff; 60])
}

/// Sends a packet on a thread of its own.
fn sender(lagg: &IfnetRef) -> JoinHandle<Result> {
    let lagg = lagg.clone();
    spawn(move || host::transmit(&lagg, frame()))
}

/// Receives a frame on a thread of its own.
fn receiver(card: &Card) -> JoinHandle<()> {
    let card = card.clone();
    spawn(move || host::receive(&card.ifp, frame()))
}

/// One of two ports leaves while a packet is sent and a frame is received.
fn a_port_leaves() {
    lab(2, || {
        let (em1, em2) = (card(1), card(2));
        let lagg = lagg_of("lagg0", &["em1", "em2"]);
        set_protocol("lagg0", proto::ROUNDROBIN).unwrap();
        let sender = sender(&lagg);
        let receiver = receiver(&em2);
        remove("lagg0", "em2").unwrap();
        sender.join().unwrap().unwrap();
        receiver.join().unwrap();
        assert_eq!(em1.nic.sent() + em2.nic.sent(), 1, "a packet is lost between two plans");
        assert!(em2.ifp.lagg_port().is_none());
        destroy("lagg0");
    });
}

#[test]
fn a_port_leaves_under_packets() {
    a_port_leaves();
}

#[test]
#[should_panic(expected = "Causality violation")]
fn loom_finds_a_plan_published_without_release() {
    publish_relaxed();
    a_port_leaves();
}

#[test]
fn the_last_port_leaves_under_two_packets() {
    lab(2, || {
        let em1 = card(1);
        let lagg = lagg_of("lagg0", &["em1"]);
        set_protocol("lagg0", proto::ROUNDROBIN).unwrap();
        let senders = [(); 2].map(|()| sender(&lagg));
        remove("lagg0", "em1").unwrap();
        let sent = senders.map(|sender| match sender.join().unwrap() {
            Ok(()) => 1,
            Err(errno) => {
                assert_eq!(errno, Errno::ENXIO);
                0
            }
        });
        assert_eq!(em1.nic.sent(), sent.iter().sum());
        assert_eq!(lagg.counter(Counter::Oerrors), 2 - em1.nic.sent());
        destroy("lagg0");
    });
}

#[test]
fn two_write_and_two_read() {
    lab(1, || {
        let (em1, em2) = (card(1), card(2));
        let lagg = lagg_of("lagg0", &["em1", "em2"]);
        let sender = sender(&lagg);
        let receiver = receiver(&em1);
        let switcher = spawn(|| set_protocol("lagg0", proto::LOADBALANCE).unwrap());
        remove("lagg0", "em2").unwrap();
        sender.join().unwrap().unwrap();
        receiver.join().unwrap();
        switcher.join().unwrap();
        assert_eq!(em1.nic.sent() + em2.nic.sent(), 1);
        destroy("lagg0");
    });
}

#[test]
fn the_protocol_changes_under_packets() {
    for (from, to) in [
        (proto::ROUNDROBIN, proto::LOADBALANCE),
        (proto::LOADBALANCE, proto::LACP),
        (proto::LACP, proto::FAILOVER),
        (proto::BROADCAST, proto::NONE),
    ] {
        lab(2, move || {
            let em1 = card(1);
            let lagg = lagg_of("lagg0", &["em1"]);
            set_protocol("lagg0", from).unwrap();
            host::settle();
            em1.nic.take_sent();
            let (sender, receiver) = (sender(&lagg), receiver(&em1));
            set_protocol("lagg0", to).unwrap();
            receiver.join().unwrap();
            let errors = u64::from(sender.join().unwrap().is_err());
            assert_eq!(lagg.counter(Counter::Oerrors), errors);
            destroy("lagg0");
        });
    }
}

#[test]
fn a_lagg_is_destroyed_under_ioctls() {
    let requests: [fn() -> Result; 4] = [
        || ifioctl("lagg0", SIOCGLAGG, &mut LaggRequest::default()),
        || set_protocol("lagg0", proto::ROUNDROBIN),
        || interface_request("lagg0", SIOCSIFMTU, 1400),
        || remove("lagg0", "em1"),
    ];
    for request in requests {
        lab(2, move || {
            let em1 = card(1);
            let lagg = lagg_of("lagg0", &["em1"]);
            let asker = spawn(request);
            host::clone_destroy("lagg0").unwrap();
            if let Err(errno) = asker.join().unwrap() {
                assert!(matches!(errno, Errno::ENXIO | Errno::ENOENT), "{errno:?}");
            }
            host::settle();
            assert!(lagg.lagg_softc().is_none() && em1.ifp.lagg_port().is_none());
        });
    }
}

/// A lagg can be found before bpf(4) knows it. Tapping a packet would then dereference NULL.
#[test]
fn a_lagg_is_found_before_it_is_attached() {
    lab(2, || {
        let em1 = card(1);
        let creator = spawn(|| host::clone_create("lagg0", None).unwrap());
        let found = Vnet::current().interface("lagg0");
        let joins = add("lagg0", "em1");
        assert!(found.is_none() || joins.is_ok(), "{joins:?}");
        let sent = found.map(|lagg| host::transmit(&lagg, frame()));
        creator.join().unwrap();
        // The lagg is down, but its port is up.
        assert_eq!(sent.is_some_and(|sent| sent.is_ok()), em1.nic.sent() == 1);
        destroy("lagg0");
    });
}

#[test]
fn a_lagg_is_destroyed_while_a_port_joins_and_a_packet_is_sent() {
    lab(1, || {
        let (em1, em2) = (card(1), card(2));
        let lagg = lagg_of("lagg0", &["em1"]);
        let joiner = spawn(|| add("lagg0", "em2"));
        let sender = sender(&lagg);
        host::clone_destroy("lagg0").unwrap();
        if let Err(errno) = joiner.join().unwrap() {
            assert_eq!(errno, Errno::ENXIO);
        }
        let _ = sender.join().unwrap();
        host::settle();
        assert!(em1.ifp.lagg_port().is_none() && em2.ifp.lagg_port().is_none());
    });
}

#[test]
fn one_of_two_laggs_gets_the_port() {
    lab(2, || {
        let em1 = card(1);
        lagg_of("lagg0", &[]);
        lagg_of("lagg1", &[]);
        let other = spawn(|| add("lagg1", "em1"));
        let results = [add("lagg0", "em1"), other.join().unwrap()];
        let expected = [[Ok(()), Err(Errno::EBUSY)], [Err(Errno::EBUSY), Ok(())]];
        assert!(expected.contains(&results), "{results:?}");
        let port = em1.ifp.lagg_port().unwrap();
        let owner = if results[0].is_ok() { "lagg0" } else { "lagg1" };
        assert!(port.softc().ifp().same(&Vnet::current().interface(owner).unwrap()));
        drop(port);
        destroy("lagg0");
        destroy("lagg1");
        assert!(em1.ifp.lagg_port().is_none());
    });
}

/// The stack reads the type first, and then uses the port without a check.
#[test]
fn a_reader_that_sees_a_ports_type_finds_the_port() {
    lab(2, || {
        let em1 = card(1);
        lagg_of("lagg0", &[]);
        let stack = spawn({
            let em1 = em1.clone();
            move || {
                epoch::section(|_| {
                    let port = em1.ifp.if_type() == IfType::LaggPort;
                    assert!(!port || em1.ifp.lagg_port().is_some());
                });
            }
        });
        add("lagg0", "em1").unwrap();
        remove("lagg0", "em1").unwrap();
        stack.join().unwrap();
        destroy("lagg0");
    });
}

#[test]
fn an_interface_departs_while_it_joins() {
    lab(2, || {
        let em1 = card(1);
        lagg_of("lagg0", &[]);
        let joiner = spawn(|| add("lagg0", "em1"));
        let ifp = em1.ifp.ifp();
        drop(em1);
        if let Err(errno) = joiner.join().unwrap() {
            assert!(matches!(errno, Errno::ENXIO | Errno::EINVAL), "{errno:?}");
        }
        host::settle();
        assert!(ifp.lagg_port().is_none());
        destroy("lagg0");
    });
}

#[test]
fn a_link_event_comes_when_the_port_has_gone() {
    lab(2, || {
        let em1 = card(1);
        lagg_of("lagg0", &["em1"]);
        host::set_link(&em1.ifp, LinkState::Down);
        let swi = spawn(host::settle);
        host::clone_destroy("lagg0").unwrap();
        swi.join().unwrap();
        host::settle();
        assert!(em1.ifp.lagg_port().is_none());
    });
}
