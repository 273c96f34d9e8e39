//! The settings `net.link.lagg.iface.<lagg>.<name>`.

use std::thread;

use lagg_rs::kpi::host::{self, Vnet, settings};
use lagg_rs::kpi::ioctl::proto;
use lagg_rs::kpi::{Defaults, Driver, Errno, LinkState, Module, epoch};

use crate::lab::{PROTOCOLS, card, ib_lagg, lab, lagg, lagg_of, refused, until};

/// Each setting with its value in a new lagg, the least and the greatest, and some that are refused.
const NUMBERS: [(&str, u32, u32, u32); 13] = [
    ("min_links", 0, 0, 32),
    ("up_delay", 0, 0, 300_000),
    ("down_delay", 0, 0, 300_000),
    ("rebalance", 0, 0, 3600),
    ("hash_symmetric", 0, 0, 1),
    ("lacp.system_priority", 32768, 0, 65535),
    ("lacp.key", 0, 0, 1023),
    ("lacp.active", 1, 0, 1),
    ("lacp.max_links", 0, 0, 32),
    ("lacp.fallback_delay", 90, 1, 300),
    ("lacp.marker_timeout", 500, 0, 3000),
    ("notify_peers", 1, 0, 255),
    ("notify_interval", 1000, 10, 60_000),
];

#[test]
fn each_setting_has_its_default_and_range() {
    lab(|| {
        let lagg = lagg();
        for (name, default, least, greatest) in NUMBERS {
            assert_eq!(lagg.setting(name).unwrap(), default.to_string(), "{name}");
            for good in [least, greatest, default] {
                lagg.set(name, &good.to_string()).unwrap();
                assert_eq!(lagg.setting(name).unwrap(), good.to_string(), "{name}");
            }
            let greater = (greatest + 1).to_string();
            for bad in (0..least).map(|bad| bad.to_string()) {
                refused(Errno::EINVAL, || lagg.set(name, &bad));
            }
            for bad in [&*greater, "4294967296", "-1", "+1", "", "x", "1x"] {
                refused(Errno::EINVAL, || lagg.set(name, bad));
            }
        }
        assert!(settings().all(|name| lagg.setting(name).is_ok()));
    });
}

#[test]
fn a_setting_is_of_a_lagg_in_this_vnet() {
    lab(|| {
        let lagg = lagg();
        let card = card(1);
        for name in [&*card.name(), "lagg77", ""] {
            assert_eq!(host::sysctl_get(name, "min_links"), Err(Errno::ENOENT));
            assert_eq!(host::sysctl_set(name, "min_links", "1"), Err(Errno::ENOENT));
        }
        assert_eq!(lagg.setting("min_link"), Err(Errno::ENOENT));
        Vnet::new().enter(|| assert_eq!(lagg.setting("min_links"), Err(Errno::ENOENT)));
    });
}

#[test]
fn only_the_privileged_may_change_a_setting() {
    lab(|| {
        let lagg = lagg();
        host::set_privileged(false);
        refused(Errno::EPERM, || lagg.set("min_links", "1"));
        assert_eq!(lagg.setting("min_links").unwrap(), "0");
        host::set_privileged(true);
    });
}

#[test]
fn settings_of_lacp_are_not_for_infiniband() {
    lab(|| {
        let lagg = ib_lagg();
        for name in settings().filter(|name| name.starts_with("lacp.")) {
            let value = lagg.setting(name).unwrap();
            refused(Errno::EOPNOTSUPP, || lagg.set(name, &value));
        }
        lagg.set("min_links", "2").unwrap();
    });
}

/// A name may be changed while a setting is read by the old one.
#[test]
fn a_renamed_lagg_keeps_its_settings() {
    lab(|| {
        let lagg = lagg();
        lagg.set("min_links", "3").unwrap();
        host::rename(&lagg.ifp, "trunk0").unwrap();
        assert_eq!(lagg.setting("min_links"), Err(Errno::ENOENT));
        assert_eq!(host::sysctl_get("trunk0", "min_links").unwrap(), "3");
        host::clone_destroy("trunk0").unwrap();
    });
}

#[test]
fn settings_begin_with_the_defaults_of_the_vnet() {
    lab(|| {
        for (default, expected) in [(2, "2"), (-1, "0"), (33, "0"), (32, "32")] {
            Vnet::current().set_defaults(Defaults { min_links: default, ..Defaults::USUAL });
            assert_eq!(lagg().setting("min_links").unwrap(), expected);
        }
        for (default, expected) in [(0, "0"), (-1, "1"), (256, "1"), (255, "255")] {
            Vnet::current().set_defaults(Defaults { notify_peers: default, ..Defaults::USUAL });
            assert_eq!(lagg().setting("notify_peers").unwrap(), expected);
        }
    });
}

#[test]
fn settings_stay_when_the_protocol_is_switched() {
    lab(|| {
        let lagg = lagg();
        lagg.set("min_links", "3").unwrap();
        for protocol in PROTOCOLS {
            lagg.set_protocol(protocol).unwrap();
            assert_eq!(lagg.setting("min_links").unwrap(), "3");
        }
    });
}

#[test]
fn the_link_is_up_while_min_links_ports_are_in_service() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        let link = |expected| {
            host::settle();
            assert_eq!(lagg.ifp.link_state(), expected);
            let softc = lagg.softc();
            let active = epoch::section(|epoch| Module::media_active(&softc, epoch));
            assert_eq!(active, expected == LinkState::Up);
        };
        for protocol in PROTOCOLS.into_iter().filter(|protocol| *protocol != proto::LACP) {
            lagg.set_protocol(protocol).unwrap();
            link(LinkState::Up);
            lagg.set("min_links", "2").unwrap();
            link(LinkState::Up);
            a.link(LinkState::Down);
            link(LinkState::Down);
            lagg.set("min_links", "1").unwrap();
            link(LinkState::Up);
            lagg.set("min_links", "2").unwrap();
            link(LinkState::Down);
            a.link(LinkState::Up);
            link(LinkState::Up);
            lagg.set("min_links", "0").unwrap();
        }
    });
}

/// A setting is changed while ports come and go and the protocol is switched.
#[test]
fn settings_are_changed_beside_all_else() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        let vnet = Vnet::current();
        thread::scope(|scope| {
            scope.spawn(|| {
                vnet.enter(|| {
                    for n in 0..300_u32 {
                        lagg.set("min_links", &(n % 3).to_string()).unwrap();
                        lagg.setting("min_links").unwrap();
                    }
                })
            });
            for n in 0..60 {
                lagg.set_protocol(PROTOCOLS[n % PROTOCOLS.len()]).unwrap();
                lagg.remove("em2").unwrap();
                lagg.add("em2").unwrap();
            }
        });
        lagg.set_protocol(proto::FAILOVER).unwrap();
        lagg.set("min_links", "0").unwrap();
        until("the link", || lagg.ifp.link_state() == LinkState::Up);
    });
}
