//! Invariants of one system, whatever it has received.

use lagg_rs::lacp::{self, LagId, Link, Options, Port, System, Time, mux};
use lagg_rs::slots::Slot;
use lagg_rs::wire::lacpdu::{Info, StateBits};

/// The machines, in memory of this process.
pub type Lacp = lacp::Lacp<Vec<Option<Port>>, Vec<Option<LagId>>>;

/// LACP without ports.
pub fn lacp(system: System, lagg: u32, options: Options) -> Lacp {
    let (ports, aggregators) = (Slot::all().map(|_| None), Slot::all().map(|_| None));
    Lacp::new(system, lagg, options, ports.collect(), aggregators.collect())
}

/// Checks a system that has run, and has nothing to send.
pub fn check(lacp: &mut Lacp, now: Time) {
    check_fixpoint(lacp, now);
    check_sets(lacp);
    check_bits(lacp);
}

/// The visible state of a system, to be compared before and after something that must not change it.
fn view(lacp: &Lacp) -> impl PartialEq + std::fmt::Debug + use<> {
    let ports = Slot::all().filter_map(|slot| lacp.port(slot));
    let ports = ports.map(|port| (*port.actor(), *port.partner(), port.mux(), port.churns()));
    (
        ports.collect::<Vec<_>>(),
        (lacp.collecting(), lacp.distributing(), lacp.waiting()),
        (lacp.bandwidth(), lacp.flapping(), lacp.active_aggregator()),
    )
}

/// A second run at the same time changes nothing, and what comes next is in the future.
fn check_fixpoint(lacp: &mut Lacp, now: Time) {
    let before = view(lacp);
    lacp.run(now);
    assert_eq!(before, view(lacp), "it was not at its fixpoint");
    assert_eq!(lacp.poll_transmit(now), None);
    assert_eq!(lacp.poll_marker(lacp.last_order()), None);
    assert!(lacp.deadline(now).is_none_or(|at| at > now), "a busy loop");
}

fn check_sets(lacp: &Lacp) {
    let (collecting, distributing) = (lacp.collecting(), lacp.distributing());
    assert!((distributing - collecting).is_empty());
    assert_eq!(lacp.active_aggregator().is_some(), !distributing.is_empty());
    let id = |info: &Info| (info.system_priority, info.system, info.key);
    let mut lag = None;
    for slot in collecting.iter() {
        let port = lacp.port(slot).unwrap();
        assert!(matches!(lacp.link(slot), Some(Link::Up(_))));
        assert_eq!(lacp.is_active(slot), !distributing.is_empty());
        let defaulted = port.actor().state.contains(StateBits::DEFAULTED);
        let alone = lacp.settings().fallback && collecting.len() == 1;
        assert!(!defaulted || alone, "in service without a partner");
        // All belong to one aggregator, and so to one partner, on both sides.
        let this = (id(port.actor()), id(port.partner()));
        assert_eq!(*lag.get_or_insert(this), this);
        if let Some((actor, partner)) = lacp.active_aggregator() {
            assert_eq!((id(&actor), id(&partner)), this);
        }
    }
    // A partner that reports SYNC belongs to that aggregator too.
    for slot in Slot::all().filter(|slot| lag.is_some() && lacp.is_active(*slot)) {
        let port = lacp.port(slot).unwrap();
        if port.actor().state.contains(StateBits::SYNC) {
            assert_eq!(Some((id(port.actor()), id(port.partner()))), lag);
        }
    }
    for slot in lacp.waiting().iter() {
        assert_ne!(lacp.link(slot), Some(Link::Down), "waits for a link that is down");
    }
}

/// A port's state bits are those of its mux state.
fn check_bits(lacp: &Lacp) {
    for port in Slot::all().filter_map(|slot| lacp.port(slot)) {
        let bits = match port.mux() {
            mux::MuxState::Detached | mux::MuxState::Waiting => StateBits::empty(),
            mux::MuxState::Attached => StateBits::SYNC,
            mux::MuxState::Collecting => StateBits::SYNC | StateBits::COLLECTING,
            mux::MuxState::Distributing => {
                StateBits::SYNC | StateBits::COLLECTING | StateBits::DISTRIBUTING
            }
        };
        let told = StateBits::SYNC | StateBits::COLLECTING | StateBits::DISTRIBUTING;
        assert_eq!(port.actor().state & told, bits);
    }
}
