//! Requests that are refused: without privilege, and to interfaces that are not laggs.

use lagg_rs::kpi::host::{self, ifioctl};
use lagg_rs::kpi::ioctl::{
    OptionsRequest, SIOCGLAGG, SIOCGLAGGFLAGS, SIOCGLAGGOPTS, SIOCGLAGGPORT, SIOCSLAGG,
    SIOCSLAGGDELPORT, SIOCSLAGGHASH, SIOCSLAGGOPTS, SIOCSLAGGPORT, hash, opt, proto,
};
use lagg_rs::kpi::{Errno, Result};

use crate::lab::{card, everything, lab, lagg, lagg_of, port_request, refused};

/// Requests that set something check PRIV_NET_LAGG first; requests that get something are for all users.
#[test]
fn an_unprivileged_user_may_ask_and_change_nothing() {
    lab(|| {
        let (a, _b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        let option = |opts| OptionsRequest { opts, ..OptionsRequest::default() };
        let before = everything();
        host::set_privileged(false);
        for name in ["em2", "em1", "em9", ""] {
            assert_eq!(lagg.add(name), Err(Errno::EPERM));
            assert_eq!(lagg.remove(name), Err(Errno::EPERM));
        }
        for protocol in [proto::NONE, proto::FAILOVER, 6] {
            assert_eq!(lagg.set_protocol(protocol), Err(Errno::EPERM));
        }
        for opts in [0, opt::USE_FLOWID, opt::RR_LIMIT, 8] {
            assert_eq!(lagg.set_options(option(opts)), Err(Errno::EPERM));
        }
        for flags in [hash::L2, 0] {
            assert_eq!(lagg.set_hash(flags), Err(Errno::EPERM));
        }
        // This makes all four requests that get something.
        assert_eq!(everything(), before);
        lagg.port("em1").unwrap();
        port_request("em1", SIOCGLAGGPORT, "em1").unwrap();
        host::set_privileged(true);
    });
}

/// The results of all nine requests to a lagg, with empty arguments.
fn ask_all(ifname: &str) -> [Result; 9] {
    [
        ask::<80>(ifname, SIOCGLAGG),
        ask::<80>(ifname, SIOCSLAGG),
        ask::<40>(ifname, SIOCGLAGGOPTS),
        ask::<40>(ifname, SIOCSLAGGOPTS),
        ask::<20>(ifname, SIOCGLAGGFLAGS),
        ask::<20>(ifname, SIOCSLAGGHASH),
        ask::<72>(ifname, SIOCGLAGGPORT),
        ask::<72>(ifname, SIOCSLAGGPORT),
        ask::<72>(ifname, SIOCSLAGGDELPORT),
    ]
}

fn ask<const SIZE: usize>(ifname: &str, command: usize) -> Result {
    ifioctl(ifname, command, &mut [0_u8; SIZE])
}

#[test]
fn an_unknown_name_is_enxio() {
    lab(|| {
        let _lagg = lagg();
        for name in ["lagg1", "lagg", "lagg00"] {
            for answer in ask_all(name) {
                assert_eq!(answer, Err(Errno::ENXIO));
            }
        }
    });
}

/// Unused numbers between those of lagg's requests, and the two of 32-bit programs.
#[test]
fn numbers_that_are_not_laggs_are_einval() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        for number in 147..=151 {
            for direction in [0x8000_0000, 0xc000_0000] {
                let command = |size: usize| direction | size << 16 | 0x6900 | number;
                refused(Errno::EINVAL, || ask::<20>(&lagg.name, command(20)));
                refused(Errno::EINVAL, || ask::<40>(&lagg.name, command(40)));
                refused(Errno::EINVAL, || ask::<72>(&lagg.name, command(72)));
            }
        }
        refused(Errno::EINVAL, || ask::<64>(&lagg.name, 0xc040_698f));
        refused(Errno::EINVAL, || ask::<64>(&lagg.name, 0x8040_6990));
        refused(Errno::EINVAL, || ask::<32>(&lagg.name, 0xc020_69ff));
    });
}

/// ifconfig(8) asks every interface, and treats one that refuses as not a lagg.
#[test]
fn interfaces_that_are_not_laggs_refuse_all_of_them() {
    lab(|| {
        let (a, _b) = (card(1), card(2));
        let _lagg = lagg_of(&[&a]);
        let before = everything();
        for name in ["em1", "em2"] {
            assert_eq!(ask_all(name), [Err(Errno::EINVAL); 9]);
        }
        assert_eq!(everything(), before);
    });
}
