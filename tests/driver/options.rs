//! SIOCSLAGGOPTS: a test for each row of its table, and the table as a model for random requests.

use lagg_rs::kpi::ioctl::{OptionsRequest, opt, proto};
use lagg_rs::kpi::{Errno, Name, Result};
use proptest::prelude::*;

use crate::lab::{Lagg, PROTOCOLS, card, everything, lab, lagg, lagg_of, refused};

fn option(opts: i32) -> OptionsRequest {
    OptionsRequest { opts, ..OptionsRequest::default() }
}

fn limit(opts: i32, bkt: u32) -> OptionsRequest {
    OptionsRequest { bkt, ..option(opts) }
}

fn shift(flowid_shift: i32) -> OptionsRequest {
    OptionsRequest { flowid_shift, ..option(opt::FLOWIDSHIFT) }
}

/// Runs a test for each protocol.
fn for_each_protocol(test: impl Fn(&Lagg, u32)) {
    for protocol in PROTOCOLS {
        lab(|| {
            let (a, b) = (card(1), card(2));
            let lagg = lagg_of(&[&a, &b]);
            lagg.set_protocol(protocol).unwrap();
            test(&lagg, protocol);
        });
    }
}

#[test]
fn option_0_changes_nothing() {
    for_each_protocol(|lagg, _| {
        let before = everything();
        lagg.set_options(option(0)).unwrap();
        assert_eq!(everything(), before);
    });
}

#[test]
fn a_limit_without_an_option_is_for_roundrobin() {
    for_each_protocol(|lagg, protocol| {
        if protocol == proto::ROUNDROBIN {
            lagg.set_options(limit(0, 5)).unwrap();
            assert_eq!(lagg.options().unwrap().bkt, 5);
        } else {
            refused(Errno::EINVAL, || lagg.set_options(limit(0, 5)));
        }
    });
}

#[test]
fn rr_limit_is_for_roundrobin_and_not_0() {
    for_each_protocol(|lagg, protocol| {
        refused(Errno::EINVAL, || lagg.set_options(limit(opt::RR_LIMIT, 0)));
        if protocol == proto::ROUNDROBIN {
            for stride in [1, 2, u32::MAX] {
                lagg.set_options(limit(opt::RR_LIMIT, stride)).unwrap();
                assert_eq!(lagg.options().unwrap().bkt, stride);
            }
            // Other protocols return it, and do not change it.
            lagg.set_protocol(proto::LOADBALANCE).unwrap();
            assert_eq!(lagg.options().unwrap().bkt, u32::MAX);
        }
        let protocol = lagg.get(0).unwrap().0.proto;
        if protocol != proto::ROUNDROBIN {
            refused(Errno::EINVAL, || lagg.set_options(limit(opt::RR_LIMIT, 5)));
        }
    });
}

#[test]
fn use_flowid_and_use_numa_are_set_and_cleared_each_by_itself() {
    for_each_protocol(|lagg, _| {
        for (opts, then) in [
            (opt::USE_FLOWID, opt::USE_FLOWID | opt::USE_NUMA),
            (opt::USE_FLOWID, opt::USE_FLOWID | opt::USE_NUMA),
            (-opt::USE_NUMA, opt::USE_FLOWID),
            (-opt::USE_NUMA, opt::USE_FLOWID),
            (-opt::USE_FLOWID, 0),
            (opt::USE_NUMA, opt::USE_NUMA),
            (-opt::USE_FLOWID, opt::USE_NUMA),
        ] {
            lagg.set_options(limit(opts, 9)).unwrap();
            let options = lagg.options().unwrap();
            assert_eq!(options.opts & !opt::LACP_STRICT, then);
            assert_ne!(options.bkt, 9, "that is not asked for");
        }
    });
}

#[test]
fn a_flowid_shift_is_0_to_31() {
    for_each_protocol(|lagg, _| {
        for by in [0, 1, 30, 31] {
            lagg.set_options(shift(by)).unwrap();
            assert_eq!(lagg.options().unwrap().flowid_shift, by);
            for none in [-1, 32, i32::MAX, i32::MIN] {
                refused(Errno::EINVAL, || lagg.set_options(shift(none)));
            }
        }
    });
}

#[test]
fn the_lacp_options_are_for_lacp() {
    let all = [opt::LACP_STRICT, opt::LACP_TXTEST, opt::LACP_RXTEST, opt::LACP_FAST_TIMO];
    for_each_protocol(|lagg, protocol| {
        for opts in all {
            if protocol == proto::LACP {
                lagg.set_options(option(opts)).unwrap();
                assert_eq!(lagg.options().unwrap().opts & opts, opts);
                lagg.set_options(option(-opts)).unwrap();
                assert_eq!(lagg.options().unwrap().opts & opts, 0);
            } else {
                refused(Errno::EINVAL, || lagg.set_options(option(opts)));
                refused(Errno::EINVAL, || lagg.set_options(option(-opts)));
            }
        }
    });
}

#[test]
fn anything_else_is_refused() {
    for_each_protocol(|lagg, _| {
        for opts in [
            opt::USE_FLOWID | opt::USE_NUMA,
            opt::USE_FLOWID | opt::FLOWIDSHIFT,
            -(opt::USE_FLOWID | opt::USE_NUMA),
            -opt::FLOWIDSHIFT,
            -opt::RR_LIMIT,
            opt::RR_LIMIT | opt::USE_FLOWID,
            8,
            0x200,
            i32::MAX,
            i32::MIN,
        ] {
            let request = OptionsRequest { flowid_shift: 3, bkt: 3, ..option(opts) };
            refused(Errno::EINVAL, || lagg.set_options(request));
        }
    });
}

/// What a lagg keeps, as the model has it. Its `set` is the table of SIOCSLAGGOPTS.
#[derive(Debug, PartialEq)]
struct Model {
    protocol: u32,
    opts: i32,
    flowid_shift: i32,
    bkt: u32,
}

impl Model {
    const NEW: Model =
        Model { protocol: proto::FAILOVER, opts: opt::USE_NUMA, flowid_shift: 16, bkt: 0 };

    fn of(lagg: &Lagg) -> Model {
        let OptionsRequest { opts, flowid_shift, bkt, .. } = lagg.options().unwrap();
        Model { protocol: lagg.get(0).unwrap().0.proto, opts, flowid_shift, bkt }
    }

    fn set_protocol(&mut self, protocol: u32) {
        self.protocol = protocol;
        self.opts &= 0x5;
        if protocol == proto::LACP {
            self.opts |= opt::LACP_STRICT;
        }
        if protocol == proto::ROUNDROBIN {
            self.bkt = 1;
        }
    }

    fn set(&mut self, request: OptionsRequest) -> Result {
        let is_roundrobin = self.protocol == proto::ROUNDROBIN;
        match request.opts {
            0 if request.bkt == 0 => {}
            0 if !is_roundrobin => return Err(Errno::EINVAL),
            0 => self.bkt = request.bkt,
            0x1 | 0x4 => self.opts |= request.opts,
            -0x1 | -0x4 => self.opts &= !-request.opts,
            0x2 if !(0..=31).contains(&request.flowid_shift) => return Err(Errno::EINVAL),
            0x2 => self.flowid_shift = request.flowid_shift,
            0x100 if !is_roundrobin || request.bkt == 0 => return Err(Errno::EINVAL),
            0x100 => self.bkt = request.bkt,
            0x10 | 0x20 | 0x40 | 0x80 if self.protocol == proto::LACP => self.opts |= request.opts,
            -0x10 | -0x20 | -0x40 | -0x80 if self.protocol == proto::LACP => {
                self.opts &= !-request.opts;
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }
}

/// A random request; valid ones are frequent enough.
fn request() -> impl Strategy<Value = OptionsRequest> {
    let bits = (0..10_u32, any::<bool>()).prop_map(|(n, on)| if on { 1 << n } else { -(1 << n) });
    let opts = prop_oneof![4 => bits, 2 => Just(0), 2 => -0x200..=0x200, 1 => any::<i32>()];
    let shift = prop_oneof![-2..35, any::<i32>()];
    let bkt = prop_oneof![Just(0), 1..9_u32, any::<u32>()];
    (opts, shift, bkt, any::<[u32; 3]>()).prop_map(|(opts, flowid_shift, bkt, others)| {
        let [count, active, flapping] = others;
        let ifname = Name::default();
        OptionsRequest { ifname, opts, count, active, flapping, flowid_shift, bkt }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_request_does_what_the_table_says(
        steps in prop::collection::vec(
            (prop::option::weighted(0.2, prop::sample::select(&PROTOCOLS[..])), request()),
            1..40,
        ),
    ) {
        lab(|| {
            let (lagg, mut model) = (lagg(), Model::NEW);
            for (protocol, request) in steps {
                if let Some(protocol) = protocol {
                    lagg.set_protocol(protocol).unwrap();
                    model.set_protocol(protocol);
                }
                match model.set(request) {
                    Ok(()) => lagg.set_options(request).unwrap(),
                    Err(errno) => refused(errno, || lagg.set_options(request)),
                }
                assert_eq!(Model::of(&lagg), model, "after {request:?}");
            }
        });
    }
}
