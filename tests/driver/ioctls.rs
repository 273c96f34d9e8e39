//! The lagg's ioctls: what they answer, and with which errno they refuse (spec A.5, A.6, A.8).

use lagg_rs::kpi::Errno;
use lagg_rs::kpi::LinkState;
use lagg_rs::kpi::host::{self, ifioctl};
use lagg_rs::kpi::ioctl::{
    LaggRequest, OptionsRequest, SIOCGLAGG, SIOCGLAGGPORT, SIOCSLAGGPORT, hash, opt, port, proto,
};

use crate::lab::{card, lab, lagg, lagg_of, name, port_request, text};

fn option(opts: i32) -> OptionsRequest {
    OptionsRequest { opts, ..OptionsRequest::default() }
}

#[test]
fn siocglagg_has_a_record_for_each_port_as_far_as_there_is_room() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        let lagg = lagg_of(&[&a, &b, &c]);
        let (all, ports) = lagg.get(32 * 72).unwrap();
        assert_eq!((all.proto, all.ports, all.size), (proto::FAILOVER, 3, 3 * 72));
        assert_eq!(text(&ports[0].ifname), "lagg0");
        assert_eq!(text(&ports[1].portname), "em2");
        let flags: Vec<_> = ports.iter().map(|port| port.flags).collect();
        assert_eq!(flags, [port::MASTER | port::ACTIVE, 0, 0]);

        a.link(LinkState::Down);
        let flags: Vec<_> = lagg.get(32 * 72).unwrap().1.iter().map(|port| port.flags).collect();
        assert_eq!(flags, [port::MASTER, port::ACTIVE, 0]);

        for (room, records) in [(0, 0), (71, 0), (72, 1), (143, 1), (144, 2)] {
            let (all, ports) = lagg.get(room).unwrap();
            assert_eq!(
                (all.ports, all.size, ports.len()),
                (records, records as u64 * 72, ports.len())
            );
        }
    });
}

#[test]
fn siocglagg_to_nowhere_is_efault() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let mut request = LaggRequest { size: 2304, port: 16, ..LaggRequest::default() };
        assert_eq!(ifioctl(&lagg.name, SIOCGLAGG, &mut request), Err(Errno::EFAULT));
        // The size counts by its lower 32 bits alone.
        request.size = 1 << 32;
        ifioctl(&lagg.name, SIOCGLAGG, &mut request).unwrap();
        assert_eq!((request.ports, request.size), (0, 0));
    });
}

#[test]
fn sioclagg_takes_the_protocols_that_are_there() {
    lab(|| {
        let lagg = lagg();
        for proto in [proto::NONE, proto::FAILOVER, proto::FAILOVER] {
            lagg.set_protocol(proto).unwrap();
            assert_eq!(lagg.get(0).unwrap().0.proto, proto);
        }
        for proto in [6, 7, u32::MAX] {
            assert_eq!(lagg.set_protocol(proto), Err(Errno::EPROTONOSUPPORT));
        }
        assert_eq!(lagg.get(0).unwrap().0.proto, proto::FAILOVER);
    });
}

#[test]
fn siocglaggopts_counts_ports() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        b.link(LinkState::Down);
        let options = lagg.options().unwrap();
        assert_eq!((options.count, options.active, options.flapping), (2, 1, 0));
        assert_eq!((options.opts, options.flowid_shift), (opt::USE_NUMA, 16));
    });
}

#[test]
fn siocslaggopts_takes_one_option_a_call() {
    lab(|| {
        let lagg = lagg();
        lagg.set_options(option(0)).unwrap();
        lagg.set_options(option(opt::USE_FLOWID)).unwrap();
        assert_eq!(lagg.options().unwrap().opts, opt::USE_FLOWID | opt::USE_NUMA);
        lagg.set_options(option(-opt::USE_FLOWID)).unwrap();
        assert_eq!(lagg.options().unwrap().opts, opt::USE_NUMA);
        lagg.set_options(option(-opt::USE_NUMA)).unwrap();
        assert_eq!(lagg.options().unwrap().opts, 0);
        let shift = |by| OptionsRequest { flowid_shift: by, ..option(opt::FLOWIDSHIFT) };
        lagg.set_options(shift(31)).unwrap();
        assert_eq!(lagg.options().unwrap().flowid_shift, 31);
        for refused in [
            shift(32),
            shift(-1),
            option(opt::USE_FLOWID | opt::USE_NUMA),
            option(opt::LACP_STRICT),
            option(-opt::LACP_FAST_TIMO),
            option(8),
            option(i32::MIN),
            OptionsRequest { bkt: 5, ..option(0) },
            OptionsRequest { bkt: 5, ..option(opt::RR_LIMIT) },
        ] {
            assert_eq!(lagg.set_options(refused), Err(Errno::EINVAL), "{refused:?}");
        }
        assert_eq!(lagg.options().unwrap().flowid_shift, 31);
    });
}

#[test]
fn siocslagghash_wants_a_known_flag() {
    lab(|| {
        let lagg = lagg();
        assert_eq!(lagg.hash(), hash::L2 | hash::L3 | hash::L4);
        lagg.set_hash(hash::L3 | 0x80).unwrap();
        assert_eq!(lagg.hash(), hash::L3);
        assert_eq!(lagg.set_hash(0x80), Err(Errno::EINVAL));
        assert_eq!(lagg.hash(), hash::L3);
    });
}

#[test]
fn siocglaggport_asks_lagg_and_port() {
    lab(|| {
        let (a, _b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        assert_eq!(lagg.port("").map(drop), Err(Errno::EINVAL));
        assert_eq!(lagg.port("em9").map(drop), Err(Errno::EINVAL));
        assert_eq!(lagg.port("em2").map(drop), Err(Errno::ENOENT));
        let record = port_request("em1", SIOCGLAGGPORT, "em1").unwrap();
        assert_eq!((record.ifname, record.portname), (name("lagg0"), name("em1")));
        assert_eq!(record.flags, port::MASTER | port::ACTIVE);
        let other = port_request("em1", SIOCGLAGGPORT, "em2");
        assert_eq!(other.map(drop), Err(Errno::EINVAL));
        let no_port = port_request("em2", SIOCGLAGGPORT, "em2");
        assert_eq!(no_port.map(drop), Err(Errno::EINVAL), "the driver's own answer");
    });
}

#[test]
fn an_unprivileged_user_changes_nothing() {
    lab(|| {
        let (a, _b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        host::set_privileged(false);
        let refused = [
            lagg.add("em2"),
            lagg.remove("em1"),
            lagg.set_protocol(proto::NONE),
            lagg.set_options(option(opt::USE_FLOWID)),
            lagg.set_hash(hash::L2),
            lagg.set_mtu(1400),
        ];
        assert_eq!(refused, [Err(Errno::EPERM); 6]);
        assert_eq!(lagg.ports(), ["em1"]);
        assert_eq!(lagg.options().unwrap().opts, opt::USE_NUMA);
        lagg.port("em1").unwrap();
        host::set_privileged(true);
        port_request(&lagg.name, SIOCSLAGGPORT, "em2").unwrap();
    });
}
