//! VLANs on ports, laggs on VLANs, and packets that loop.

use lagg_rs::kpi::host::{self, Attached};
use lagg_rs::kpi::{Errno, Mbuf, iff};

use crate::lab::{card, flags, frame, lab, lagg_of};

const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 2;

/// A VLAN, up.
fn vlan(parent: &lagg_rs::kpi::Ifnet, tag: u16, name: &str) -> Attached {
    let vlan = host::vlan_create(parent, tag, name).unwrap();
    flags(name, iff::UP).unwrap();
    vlan
}

fn output(ifp: &lagg_rs::kpi::Ifnet, family: u8) -> lagg_rs::kpi::Result {
    host::output(ifp, family, Mbuf::from_bytes(&frame(1)))
}

/// A VLAN passes its packets to its parent's output method. Here that is a port's method, which finds no
/// port by the VLAN's interface.
#[test]
fn d34_a_vlan_on_a_port_sends_nothing() {
    lab(|| {
        let a = card(1);
        let on_port = vlan(&a.ifp, 3, "vlan3");
        let on_vlan = vlan(&on_port, 4, "vlan4");
        assert_eq!(output(&on_port, AF_INET), Ok(()));
        assert_eq!(output(&on_vlan, AF_INET), Ok(()));
        let lagg = lagg_of(&[&a]);
        a.sent();
        for ifp in [&on_port, &on_vlan] {
            for family in [AF_INET, AF_UNSPEC] {
                assert_eq!(output(ifp, family), Err(Errno::ENETDOWN));
            }
        }
        assert_eq!(a.sent(), 0);
        lagg.remove("em1").unwrap();
        assert_eq!(output(&on_port, AF_INET), Ok(()));
    });
}

/// The VLAN is a port itself, of the same lagg or of another.
#[test]
fn d34_a_vlan_on_a_port_that_is_a_port_itself() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let below = vlan(&a.ifp, 3, "vlan3");
        let (same, other) = (lagg_of(&[&a]), lagg_of(&[&b]));
        for lagg in [&same, &other] {
            lagg.add("vlan3").unwrap();
            a.sent();
            assert_eq!(output(&below, AF_INET), Err(Errno::ENETDOWN));
            // A frame written by bpf(4) goes to the VLAN's driver, and from there to the parent's.
            assert_eq!(output(&below, AF_UNSPEC), Ok(()));
            assert_eq!(a.sent(), 1);
            lagg.remove("vlan3").unwrap();
        }
    });
}
