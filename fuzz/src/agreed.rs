//! What must hold between a lagg, its ports and the stack when nothing is pending.

use lagg_rs::kpi::host::{self, Vnet};
use lagg_rs::kpi::ioctl::{PortRequest, proto};
use lagg_rs::kpi::{Errno, IfType, IfnetRef, LinkState, iff};
use lagg_rs::wire::slow::MULTICAST;

use super::lab::{Lagg, text};

/// Checks a lagg; `refused`: a driver has refused something, and not all is as it should be any more;
/// `keeps_lladdr`: whether a port's driver takes no other address.
pub fn check(lagg: &Lagg, refused: bool, keeps_lladdr: impl Fn(&IfnetRef) -> bool) {
    let (ifp, softc) = (&lagg.ifp, lagg.softc());
    let plan = softc.plan_ref();
    let ports: Vec<IfnetRef> = plan.ports().map(|port| port.ifp().to_ref()).collect();
    let (all, records) = lagg.get(32 * 72).expect("it is there");
    assert_eq!(records.len(), ports.len());
    assert_eq!(lagg.options().expect("it is there").count, ports.len() as u32);
    let index = |record: &PortRequest| {
        Vnet::current().interface(&text(&record.portname)).map(|port| port.index())
    };
    assert!(records.is_sorted_by_key(index));
    assert_eq!(plan.primary().is_some(), !ports.is_empty());
    for port in plan.ports() {
        let claim = port.ifp().lagg_port().expect("it is claimed");
        assert!(claim.is(port) && port.softc().is(&softc));
        assert!(plan.in_slot(port.slot()).is_some_and(|there| std::ptr::eq(there, &**port)));
    }
    let wanted = ifp.flags() & (iff::PROMISC | iff::ALLMULTI);
    let mut groups = host::groups(ifp);
    if all.proto == proto::LACP {
        groups.push(MULTICAST.into());
    }
    let is_vlan = |port: &IfnetRef| text(&port.name()).starts_with("vlan");
    for port in &ports {
        let has = host::groups(port);
        assert!(groups.iter().all(|group| has.contains(group)), "{port:?} is not in all groups");
        if refused {
            continue;
        }
        assert_eq!(port.mtu(), ifp.mtu(), "the MTU of {port:?}");
        assert_eq!(port.flags() & wanted, wanted, "the modes of {port:?}");
        // A port that the stack has taken down gets it at the next `up`. A VLAN gets its parent's whenever
        // that changes.
        let is_up = ifp.flags() & iff::UP != 0;
        if is_up && ifp.if_type() == IfType::Ethernet && !is_vlan(port) && !keeps_lladdr(port) {
            assert_eq!(port.lladdr(), ifp.lladdr(), "the address of {port:?}");
        }
    }
    // No event reports a VLAN that has lost its parent, and its link with it.
    let orphan = |port: &IfnetRef| is_vlan(port) && port.vlan_parent().is_none();
    let known = ifp.link_state() != LinkState::Unknown && !ports.iter().any(orphan);
    if all.proto != proto::LACP && known {
        let is_up = ifp.link_state() == LinkState::Up;
        if ifp.is_running() {
            let up = ports.iter().any(|port| port.is_active());
            assert_eq!(is_up, up, "the link of {ifp:?}");
        } else {
            // The link of a lagg that was taken down goes a second later (F-74).
            let may_be = ports.iter().any(|port| port.link_state() == LinkState::Up);
            assert!(!is_up || may_be, "the link of {ifp:?}, which is down");
        }
    }
    let enabled = ports.iter().map(|port| port.offloads().enabled).reduce(|a, b| a & b);
    // Nor does an event report what a VLAN's parent can do now.
    if let Some(enabled) = enabled.filter(|_| !ports.iter().any(is_vlan)) {
        assert_eq!(ifp.offloads().enabled, enabled, "what {ifp:?} does");
    }
    assert_eq!(lagg.setting("ports"), Ok(ports.len().to_string()));
    // No thread has kept the token: this would wait for it.
    assert_eq!(lagg.remove(&lagg.name), Err(Errno::ENOENT));
}
