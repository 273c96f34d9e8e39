//! Requests to the lagg: their answers, and the errno with which they refuse. Joining and leaving are in
//! `join_requests.rs`, SIOCSLAGGOPTS is in `options.rs`, and the records of ports are in `records.rs`.

use lagg_rs::kpi::host::{self, UserMemory, ifioctl};
use lagg_rs::kpi::ioctl::{
    FlagsRequest, LacpInfo, LaggRequest, OptionsRequest, PortRequest, SIOCGLAGG, SIOCGLAGGFLAGS,
    SIOCGLAGGOPTS, SIOCGLAGGPORT, SIOCSLAGG, SIOCSLAGGDELPORT, SIOCSLAGGPORT, hash, opt, proto,
};
use lagg_rs::kpi::{Errno, LinkState};
use lagg_rs::wire::slow::MULTICAST;
use proptest::prelude::*;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::lab::{
    PROTOCOLS, card, flags, frame, lab, lagg, lagg_of, name, refused, text, without_memory,
};

/// A request full of garbage, which the caller may pass.
fn garbage<T: FromBytes + IntoBytes + KnownLayout + Immutable>() -> T {
    T::read_from_bytes(&vec![0xa5; size_of::<T>()]).unwrap()
}

#[test]
fn siocglagg_returns_the_protocol_and_leaves_the_aggregator_alone() {
    lab(|| {
        let lagg = lagg();
        for protocol in PROTOCOLS {
            lagg.set_protocol(protocol).unwrap();
            let mut request = LaggRequest { size: 0, ..garbage() };
            ifioctl(&lagg.name, SIOCGLAGG, &mut request).unwrap();
            assert_eq!((request.proto, request.ports, request.size), (protocol, 0, 0));
            let no_aggregator = LacpInfo::default();
            let psc = if protocol == proto::LACP { no_aggregator } else { garbage() };
            assert_eq!(request.psc, psc);
            assert_eq!((request.ifname, request.port), ([0xa5; 16].into(), garbage()));
        }
    });
}

#[test]
fn siocglagg_has_a_record_for_each_port_as_far_as_there_is_room() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        let lagg = lagg();
        for card in [&c, &a, &b] {
            lagg.add(&card.name()).unwrap();
        }
        let all = ["em1", "em2", "em3"];
        for room in [0, 1, 71, 72, 143, 144, 215, 216, 217, 32 * 72] {
            let fit = (room / 72).min(3);
            let (request, records) = lagg.get(room).unwrap();
            assert_eq!((request.ports, request.size), (fit as i32, fit as u64 * 72));
            let names: Vec<_> = records.iter().map(|record| text(&record.portname)).collect();
            assert_eq!(names, all[..fit], "in the order of if_index");
        }
    });
}

/// Only the lower 32 bits of the size count.
#[test]
fn siocglagg_writes_no_more_than_the_size_allows() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        for (size, fit) in [
            (u64::from(u32::MAX), 2),
            (1 << 32, 0),
            (1 << 32 | 71, 0),
            (1 << 32 | 72, 1),
            (u64::MAX << 32 | 144, 2),
        ] {
            let memory = UserMemory::new(3 * 72);
            let port = memory.address();
            let mut request = LaggRequest { size, port, ..LaggRequest::default() };
            ifioctl(&lagg.name, SIOCGLAGG, &mut request).unwrap();
            assert_eq!((request.ports, request.size), (fit, fit as u64 * 72), "{size:#x}");
            assert!(memory.read()[fit as usize * 72..].iter().all(|&byte| byte == 0));
        }
    });
}

#[test]
fn siocglagg_to_nowhere_is_efault() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        let short = UserMemory::new(143);
        for port in [0, 16, short.address(), u64::MAX - 71] {
            let mut request = LaggRequest { size: 144, port, ports: 77, ..LaggRequest::default() };
            refused(Errno::EFAULT, || ifioctl(&lagg.name, SIOCGLAGG, &mut request));
            assert_eq!((request.size, request.ports), (144, 77));
        }
        // Without ports nothing is written.
        let mut request = LaggRequest::default();
        ifioctl(&lagg.name, SIOCGLAGG, &mut request).unwrap();
    });
}

#[test]
fn siocslagg_accepts_the_protocols_that_exist() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        for protocol in PROTOCOLS {
            lagg.set_protocol(protocol).unwrap();
            for unknown in [6, 7, 1 << 16 | proto::FAILOVER, u32::MAX] {
                refused(Errno::EPROTONOSUPPORT, || lagg.set_protocol(unknown));
            }
            assert_eq!(lagg.get(0).unwrap().0.proto, protocol);
        }
    });
}

/// Only the number counts.
#[test]
fn siocslagg_reads_nothing_but_the_protocol() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        let mut request = LaggRequest { proto: proto::BROADCAST, ..garbage() };
        ifioctl(&lagg.name, SIOCSLAGG, &mut request).unwrap();
        assert_eq!((lagg.get(0).unwrap().0.proto, lagg.ports().len()), (proto::BROADCAST, 1));
    });
}

#[test]
fn siocslagg_of_the_same_protocol_starts_it_again() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        lagg.set_protocol(proto::ROUNDROBIN).unwrap();
        let limit = OptionsRequest { opts: opt::RR_LIMIT, bkt: 3, ..OptionsRequest::default() };
        lagg.set_options(limit).unwrap();
        for _ in 0..4 {
            lagg.send(&frame(0)).unwrap();
        }
        assert_eq!((a.sent(), b.sent()), (3, 1));
        lagg.set_protocol(proto::ROUNDROBIN).unwrap();
        assert_eq!(lagg.options().unwrap().bkt, 1);
        lagg.send(&frame(0)).unwrap();
        assert_eq!((a.sent(), b.sent()), (1, 0), "at the first port again");
    });
}

#[test]
fn d21_siocslagg_without_memory_leaves_the_protocol() {
    lab(|| {
        let (a, b) = (card(1), card(2));
        let lagg = lagg_of(&[&a, &b]);
        host::join_group(&lagg.ifp, &[1, 0, 0x5e, 0, 0, 1].into()).unwrap();
        for from in PROTOCOLS {
            for to in PROTOCOLS {
                lagg.set_protocol(from).unwrap();
                if from != proto::LACP && to != proto::LACP {
                    without_memory(|| lagg.set_protocol(to));
                    assert_eq!(lagg.get(0).unwrap().0.proto, to);
                    continue;
                }
                // lacp succeeds without some of the memory: its last LACPDUs are lost then, or it waits
                // (D-21).
                for n in 1.. {
                    host::fail_allocation(n);
                    let result = lagg.set_protocol(to);
                    let all_came = host::fail_allocation(0) != 0;
                    let now = lagg.get(0).unwrap().0.proto;
                    for card in [&a, &b] {
                        let hears = host::groups(&card.ifp).contains(&MULTICAST.into());
                        assert_eq!(hears, now == proto::LACP, "{from} to {to}, {n}");
                    }
                    match result {
                        Ok(()) => assert_eq!(now, to),
                        Err(errno) => assert_eq!((errno, now), (Errno::ENOMEM, from)),
                    }
                    if all_came {
                        break;
                    }
                    lagg.set_protocol(from).unwrap();
                }
                assert_eq!(lagg.get(0).unwrap().0.proto, to);
            }
        }
    });
}

#[test]
fn siocglaggopts_fills_in_everything() {
    lab(|| {
        let (a, b, c) = (card(1), card(2), card(3));
        let lagg = lagg_of(&[&a, &b, &c]);
        let mut bkt = 0;
        for protocol in PROTOCOLS {
            lagg.set_protocol(protocol).unwrap();
            bkt = bkt.max(u32::from(protocol == proto::ROUNDROBIN));
            let counts = |active| {
                let mut options: OptionsRequest = garbage();
                ifioctl(&lagg.name, SIOCGLAGGOPTS, &mut options).unwrap();
                // With lacp there is no partner here, and none sends nothing.
                let is_lacp = protocol == proto::LACP;
                let active = if is_lacp || protocol == proto::NONE { 0 } else { active };
                assert_eq!((options.count, options.active, options.flapping), (3, active, 0));
                let strict = if is_lacp { opt::LACP_STRICT } else { 0 };
                assert_eq!((options.opts, options.flowid_shift), (opt::USE_NUMA | strict, 16));
                assert_eq!(options.bkt, bkt, "roundrobin's, since it was there once");
                assert_eq!(options.ifname, [0xa5; 16].into());
            };
            counts(3);
            b.link(LinkState::Down);
            counts(2);
            b.link(LinkState::Unknown);
            counts(2);
            b.link(LinkState::Up);
            flags("em3", 0).unwrap();
            counts(2);
            flags("em3", 1).unwrap();
        }
    });
}

#[test]
fn siocglaggflags_returns_the_hash() {
    lab(|| {
        let lagg = lagg();
        let mut request: FlagsRequest = garbage();
        ifioctl(&lagg.name, SIOCGLAGGFLAGS, &mut request).unwrap();
        assert_eq!(request.flags, hash::L2 | hash::L3 | hash::L4, "of a new one");
        assert_eq!(request.ifname, [0xa5; 16].into());
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn siocslagghash_takes_any_flags_of_which_one_is_known(
        wanted in prop::collection::vec(prop_oneof![0..16_u32, any::<u32>()], 1..8),
        protocol in prop::sample::select(&PROTOCOLS[..]),
    ) {
        lab(|| {
            let lagg = lagg();
            lagg.set_protocol(protocol).unwrap();
            for flags in wanted {
                if flags & 7 == 0 {
                    refused(Errno::EINVAL, || lagg.set_hash(flags));
                } else {
                    lagg.set_hash(flags).unwrap();
                    assert_eq!(lagg.hash(), flags & 7);
                }
            }
        });
    }
}

#[test]
fn options_and_hash_without_memory_stay() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        for protocol in PROTOCOLS {
            lagg.set_protocol(protocol).unwrap();
            for (bits, opts) in [(hash::L3, opt::USE_FLOWID), (hash::L4, -opt::USE_FLOWID)] {
                without_memory(|| lagg.set_hash(bits));
                let option = OptionsRequest { opts, ..OptionsRequest::default() };
                without_memory(|| lagg.set_options(option));
            }
        }
    });
}

#[test]
fn siocglaggport_needs_a_port_of_this_lagg() {
    lab(|| {
        let (a, b, _c) = (card(1), card(2), card(3));
        let (lagg0, _lagg1) = (lagg_of(&[&a]), lagg_of(&[&b]));
        for unknown in ["", "em9", "EM1", "em1 "] {
            refused(Errno::EINVAL, || lagg0.port(unknown));
        }
        for other in ["em2", "em3", "lagg0", "lagg1"] {
            refused(Errno::ENOENT, || lagg0.port(other));
        }
        lagg0.port("em1").unwrap();
    });
}

/// A name ends at its NUL, or after 16 bytes.
#[test]
fn names_count_up_to_their_nul() {
    lab(|| {
        let (a, _b) = (card(1), card(2));
        let lagg = lagg_of(&[&a]);
        let ask = |ifname: &str, command, portname: [u8; 16]| {
            let portname = portname.into();
            let mut request = PortRequest { portname, ..PortRequest::default() };
            ifioctl(ifname, command, &mut request).map(|()| request.portname.as_bytes().to_vec())
        };
        let dirty = |text: &str| {
            let mut name = [0xa5; 16];
            name[..text.len()].copy_from_slice(text.as_bytes());
            name[text.len()] = 0;
            name
        };
        for asked in [&*lagg.name, "em1"] {
            assert_eq!(
                ask(asked, SIOCGLAGGPORT, dirty("em1")),
                Ok(name("em1").as_bytes().to_vec())
            );
            refused(Errno::EINVAL, || ask(asked, SIOCGLAGGPORT, dirty("")));
            refused(Errno::EINVAL, || ask(asked, SIOCGLAGGPORT, [0xff; 16]));
            refused(Errno::EINVAL, || ask(asked, SIOCGLAGGPORT, *b"em1em1em1em1em1e"));
        }
        ask(&lagg.name, SIOCSLAGGPORT, dirty("em2")).unwrap();
        assert_eq!(lagg.ports(), ["em1", "em2"]);
        ask(&lagg.name, SIOCSLAGGDELPORT, dirty("em2")).unwrap();
        assert_eq!(lagg.ports(), ["em1"]);
    });
}
