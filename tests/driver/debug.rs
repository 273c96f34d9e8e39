//! What the driver logs with IFF_DEBUG on the lagg.

use lagg_rs::kpi::host::testing::Events;
use lagg_rs::kpi::host::{self, Event, ifioctl};
use lagg_rs::kpi::ioctl::{InterfaceRequest, SIOCSIFMEDIA, proto};
use lagg_rs::kpi::{Errno, LinkState, Offloads, iff};

use crate::lab::{Lagg, card, flags, lab, lagg, lagg_of};

const IFM_ETHER_AUTO: u32 = 0x20;
const IFM_ETHER_10_T: u32 = 0x23;

fn logged(events: &Events) -> Vec<String> {
    host::settle();
    let lines = events.take().into_iter().filter_map(|event| match event {
        Event::Log(line) => Some(line),
        _ => None,
    });
    lines.collect()
}

fn set_media(lagg: &Lagg, media: u32) -> lagg_rs::kpi::Result {
    let mut request = InterfaceRequest::with_media(media);
    ifioctl(&lagg.name, SIOCSIFMEDIA, &mut request)
}

#[test]
fn with_it_changes_are_logged() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        let events = Events::of(&lagg.ifp);
        flags(&lagg.name, iff::UP | iff::DEBUG).unwrap();
        assert_eq!(logged(&events), [""; 0]);

        lagg.set_protocol(proto::LOADBALANCE).unwrap();
        assert_eq!(
            logged(&events),
            ["the protocol is loadbalance", "1024 of 1024 buckets of flows go to em1"]
        );
        lagg.add("em2").unwrap();
        let halves =
            ["512 of 1024 buckets of flows go to em1", "512 of 1024 buckets of flows go to em2"];
        assert_eq!(logged(&events), halves);
        b.link(LinkState::Down);
        assert_eq!(
            logged(&events),
            [
                "1024 of 1024 buckets of flows go to em1",
                "0 of 1024 buckets of flows go to em2",
                "em2 out of service: no link"
            ]
        );
        b.link(LinkState::Up);
        assert_eq!(logged(&events), [halves[0], halves[1], "em2 in service"]);
        lagg.set_hash(1).unwrap();
        assert_eq!(logged(&events), [""; 0], "the table is what it was");
        lagg.set_protocol(proto::LOADBALANCE).unwrap();
        assert_eq!(logged(&events)[1..], halves, "a table of its own");

        set_media(&lagg, IFM_ETHER_AUTO).unwrap();
        assert_eq!(logged(&events), ["the media are set to autoselect, the only choice"]);
        assert_eq!(set_media(&lagg, IFM_ETHER_10_T), Err(Errno::ENXIO));
        assert_eq!(logged(&events), [""; 0]);
    });
}

#[test]
fn with_it_capabilities_are_logged() {
    const RXCSUM: u64 = 1;
    lab(|| {
        let a = card(1);
        let can =
            Offloads { capabilities: RXCSUM, enabled: RXCSUM, hwassist: 6, tso: [65535, 35, 2048] };
        a.ifp.store_offloads(&can);
        host::netmap_register(&a.ifp, drop);
        let lagg = lagg();
        let events = Events::of(&lagg.ifp);
        flags(&lagg.name, iff::DEBUG).unwrap();
        lagg.add("em1").unwrap();
        let line =
            "capabilities 0x1, enabled 0x1, hwassist 0x6, TSO 65535 bytes in 35 segments of 2048";
        assert_eq!(logged(&events), [line], "netmap's bit of a port does not count");
        host::netmap_register(&lagg.ifp, drop);
        lagg.set_mtu(1400).unwrap();
        assert_eq!(logged(&events), [""; 0], "nor does the lagg's own bit count");
        host::netmap_unregister(&lagg.ifp);
        lagg.remove("em1").unwrap();
        let alone =
            "capabilities 0x800000, enabled 0x800000, hwassist 0x0, TSO 0 bytes in 0 segments of 0";
        assert_eq!(logged(&events), [alone]);
    });
}

#[test]
fn without_it_only_what_nobody_asked_for_is_logged() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        let events = Events::of(&lagg.ifp);
        lagg.set_protocol(proto::LOADBALANCE).unwrap();
        lagg.add("em2").unwrap();
        host::settle();
        b.link(LinkState::Down);
        set_media(&lagg, IFM_ETHER_AUTO).unwrap();
        assert_eq!(logged(&events), ["em2 out of service: no link"]);
        lagg.remove("em2").unwrap();
        lagg.remove("em1").unwrap();
        assert_eq!(logged(&events), [""; 0]);
    });
}
