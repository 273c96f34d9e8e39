//! What both ends are set to, as the other one shows it.

use crate::lab::{some, until};
use crate::partner::{ACTIVITY, Kind, Options, Partner, QUICK};
use crate::view::{FAST, IN_SERVICE, shown};
use crate::{create, in_changes, in_service, know_speeds};

/// What is set at either end is what the other one shows.
pub fn shows_what_was_set(kind: Kind) {
    let mut partner = some!(in_service(kind, true, QUICK));
    let mut flows = partner.flows();
    let set = |partner: &Partner, words: &str| {
        partner.guest.lab.ok(&format!("lagg0 {words}"));
    };
    let system = "02:00:5e:00:53:dd";
    flows.during(|| {
        set(&partner, &format!("set lacp.system_priority 4097 set lacp.system_id {system}"));
        set(&partner, "set lacp.key 77 set port_priority em0:100");
        until("it shows what we are", || {
            (0..2).all(|card| {
                let [_, (ours, _)] = partner.shown("agg0", card);
                let key = ours.key >> 5;
                (ours.system_priority, &*ours.system, key, ours.port_priority)
                    == (4097, system, 77, [100, 32768][card])
            })
        });
        partner.until_agreed("agg0", &[0, 1], &[], true, QUICK);
    });
    flows.during(|| {
        set(&partner, "set lacp.active 0");
        until("it shows that we are passive", || {
            (0..2).all(|card| partner.shown("agg0", card)[1].1 == (IN_SERVICE | FAST) & !ACTIVITY)
        });
        set(&partner, "set lacp.active 1");
        partner.until_agreed("agg0", &[0, 1], &[], true, QUICK);
    });
    // The better one, and then the other, which is.
    for (words, used) in [("set lacp.max_links 1", 0), ("set port_priority em1:50", 1)] {
        flows.during(|| {
            set(&partner, words);
            partner.until_agreed("agg0", &[used], &[1 - used], true, QUICK);
        });
    }
    flows.during(|| {
        set(&partner, "set lacp.max_links 0");
        partner.until_agreed("agg0", &[0, 1], &[], true, QUICK);
    });
    flows.during(|| {
        partner.destroy("agg0");
        let options = Options { key: 5, priorities: Some((4000, 300)), ..QUICK };
        partner.create("agg0", &[0, 1], options);
        partner.until_agreed("agg0", &[0, 1], &[], true, options);
        for card in [0, 1] {
            let its = shown(&partner.guest.lab.near, &format!("em{card}")).partner;
            let (key, port) = match kind {
                Kind::Bonding => (its.key >> 6, 255),
                Kind::Team => (its.key, 300),
            };
            assert_eq!((its.system_priority, key, its.port_priority), (4000, 5, port));
        }
    });
    in_changes(flows);
}

/// Of two slow links and a fast one, which cannot be aggregated, both ends use those that each is set to prefer.
pub fn selects_as_we_do(kind: Kind) {
    let mut partner = some!(Partner::boot(kind, 3));
    know_speeds(&partner);
    for (select, used) in [("count", &[0, 1][..]), ("bandwidth", &[2])] {
        create(&partner, 3, true);
        partner.guest.lab.ok(&format!("lagg0 set lacp.select {select}"));
        let options = Options { select: Some(select), ..QUICK };
        partner.create("agg0", &[0, 1, 2], options);
        partner.until_same_use("agg0", used);
        partner.guest.lab.ok("lagg0 destroy");
        partner.destroy("agg0");
    }
}
