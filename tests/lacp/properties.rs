//! Random events of cables and systems. What must always hold is checked at every event (`checks.rs`), and
//! afterwards all systems must agree.

use lagg_rs::lacp::{Link, Options, mux, mux::AGGREGATE_WAIT, periodic};
use lagg_rs::wire::lacpdu::{Info, StateBits};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::lab::{DEFAULTS, GIGABIT, Lab, Way, mac, set};
use crate::negotiation::plug;

/// The longest extra delay of a frame, in milliseconds.
const JITTER: u64 = 2_000;

/// After this many milliseconds without a disturbance all have agreed. The last late frames arrive; each
/// side sends at least one LACPDU, which arrives; the ports wait for each other; and the limit holds up
/// what follows once on each side.
const BOUND: u64 = JITTER + (periodic::SLOW + AGGREGATE_WAIT + 2 * periodic::FAST) as u64;

#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Way { cable: usize, from: usize, way: Way },
    Heal(usize),
    Link { cable: usize, end: usize, link: Link },
    Unplug(usize),
    Plug(usize),
    Leave { cable: usize, end: usize },
    Join { cable: usize, end: usize },
    Options { system: usize, options: Options },
    Restart { system: usize, name: u8, lagg: u32 },
    Address { system: usize, name: u8 },
    Markers { system: usize, slots: u32 },
}

/// The systems at the ends of the cables. 1 and 2 are an MLAG pair at times; 0 never is.
const SYSTEMS: usize = 3;
const CABLES: [(usize, usize); 4] = [(0, 1), (0, 1), (0, 2), (0, 2)];

fn name(system: usize, name: u8) -> lagg_rs::kpi::MacAddr {
    if name == 0 && system != 0 { mac(99) } else { mac(10 * system as u8 + name) }
}

fn way() -> impl Strategy<Value = Way> {
    let (often, jitter) = (prop_oneof![Just(0), 0..=100_u64], prop_oneof![Just(0), 0..=JITTER]);
    (any::<bool>(), 1..500_u64, jitter, often.clone(), often)
        .prop_map(|(cut, delay, jitter, lost, doubled)| Way { cut, delay, jitter, lost, doubled })
}

fn options() -> impl Strategy<Value = Options> {
    any::<[bool; 4]>().prop_map(|[strict, fast_timeout, txtest, rxtest]| Options {
        strict,
        fast_timeout,
        txtest,
        rxtest,
    })
}

fn event() -> impl Strategy<Value = Event> {
    let (cable, side, system) = (0..CABLES.len(), 0..2_usize, 0..SYSTEMS);
    let link = prop_oneof![
        Just(Link::Down),
        Just(Link::Unfit),
        Just(GIGABIT),
        Just(Link::Up(10_000_000_000)),
        Just(Link::Up(0)),
    ];
    let end = (cable.clone(), side.clone());
    prop_oneof![
        3 => (0..50_u64).prop_map(Event::Pass),
        4 => (0..5_000_u64).prop_map(Event::Pass),
        2 => (0..100_000_u64).prop_map(Event::Pass),
        2 => (end.clone(), way())
            .prop_map(|((cable, from), way)| Event::Way { cable, from, way }),
        2 => cable.clone().prop_map(Event::Heal),
        2 => (end.clone(), link)
            .prop_map(|((cable, end), link)| Event::Link { cable, end, link }),
        1 => cable.clone().prop_map(Event::Unplug),
        2 => cable.prop_map(Event::Plug),
        1 => end.clone().prop_map(|(cable, end)| Event::Leave { cable, end }),
        1 => end.prop_map(|(cable, end)| Event::Join { cable, end }),
        2 => (system.clone(), options())
            .prop_map(|(system, options)| Event::Options { system, options }),
        1 => (system.clone(), 0..3_u8, prop_oneof![Just(22), Just(33)])
            .prop_map(|(system, name, lagg)| Event::Restart { system, name, lagg }),
        1 => (system.clone(), 0..3_u8).prop_map(|(system, name)| Event::Address { system, name }),
        1 => (system, any::<u32>())
            .prop_map(|(system, slots)| Event::Markers { system, slots }),
    ]
}

fn apply(lab: &mut Lab, event: &Event) {
    match *event {
        Event::Pass(ms) => lab.advance(ms),
        Event::Way { cable, from, way } => lab.way(cable, from, way),
        Event::Heal(cable) => lab.heal(cable),
        Event::Link { cable, end, link } => lab.link(cable, end, link),
        Event::Unplug(cable) => lab.unplug(cable),
        Event::Plug(cable) => lab.plug(cable),
        Event::Leave { cable, end } if lab.cables[cable].ends[end].present => {
            lab.leave(cable, end);
        }
        Event::Join { cable, end } if !lab.cables[cable].ends[end].present => {
            lab.join(cable, end);
        }
        Event::Leave { .. } | Event::Join { .. } => {}
        Event::Options { system, options } => lab.options(system, options),
        Event::Restart { system, name: n, lagg } => {
            let options = lab[system].options();
            lab.restart(system, name(system, n), lagg, options);
        }
        Event::Address { system, name: n } => lab.set_address(system, name(system, n)),
        Event::Markers { system, slots } => {
            let waiting = lab[system].waiting();
            let asked = lab.at(system, |lacp, now| lacp.ask_markers(set(slots), now));
            assert_eq!(lab[system].waiting(), waiting | asked);
        }
    }
}

/// Plugs in all cables, makes them sound, joins all ports, and turns the test options off.
fn end_disturbances(lab: &mut Lab) {
    for system in 0..SYSTEMS {
        let options = Options { txtest: false, rxtest: false, ..lab[system].options() };
        lab.options(system, options);
    }
    for cable in 0..CABLES.len() {
        lab.heal(cable);
        for end in [0, 1] {
            if !lab.cables[cable].ends[end].present {
                lab.join(cable, end);
            }
        }
        lab.plug(cable);
    }
}

/// What partners have recorded of each other, without bits whose change is not sent at once.
fn known(info: &Info) -> Info {
    Info { state: info.state - StateBits::DEFAULTED - StateBits::EXPIRED, ..*info }
}

fn all_agree(lab: &Lab) {
    // All ports to the active partner of system 0 are in service, at both ends. The others stand by there;
    // their partners, which have no other link, are in sync.
    let (_, active) = lab[0].active_aggregator().unwrap();
    let id = |info: &Info| (info.system_priority, info.system, info.key);
    let mut wanted = [0; SYSTEMS];
    for cable in 0..CABLES.len() {
        let ports = [0, 1].map(|end| lab.port(cable, end));
        let mut muxes = [mux::MuxState::Waiting, mux::MuxState::Attached];
        if id(ports[0].partner()) == id(&active) {
            muxes = [mux::MuxState::Distributing; 2];
            for end in &lab.cables[cable].ends {
                wanted[end.system] |= 1 << end.slot;
            }
        }
        assert_eq!(ports.map(|port| port.mux()), muxes, "{}", lab.describe());
        for [hears, says] in [ports, [ports[1], ports[0]]] {
            assert_eq!(known(hears.partner()), known(says.actor()), "{}", lab.describe());
        }
    }
    for (system, wanted) in wanted.into_iter().enumerate() {
        assert_eq!(
            (lab[system].distributing().bits(), lab[system].collecting().bits()),
            (wanted, wanted)
        );
    }
}

fn lab(seed: u64, options: &[Options], priorities: &[u16]) -> Lab {
    let mut lab = Lab::new();
    lab.seed(seed);
    for system in 0..SYSTEMS {
        lab.system(name(system, 0), 22, options[system]);
        lab.set_priority(system, priorities[system]);
    }
    for (a, b) in CABLES {
        lab.cable(a, b);
    }
    plug(&mut lab, [0, 1, 2, 3]);
    lab
}

fn priority() -> impl Strategy<Value = u16> {
    prop_oneof![Just(1), Just(0x8000), Just(0x8001), any::<u16>()]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn after_any_disturbances_all_agree_within_the_bound(
        seed in any::<u64>(),
        options in vec(options(), SYSTEMS),
        priorities in vec(priority(), SYSTEMS),
        events in vec(event(), 1..40),
    ) {
        let mut lab = lab(seed, &options, &priorities);
        for event in &events {
            apply(&mut lab, event);
        }
        end_disturbances(&mut lab);
        lab.advance(BOUND);
        all_agree(&lab);
        // And they still agree when nothing else happens.
        let flapping = [0, 1, 2].map(|system| lab[system].flapping());
        lab.advance(200_000);
        all_agree(&lab);
        prop_assert_eq!(flapping, [0, 1, 2].map(|system| lab[system].flapping()));
    }
}

/// A LACPDU that the limit holds back is sent when it ends, even if nothing else happens then.
#[test]
fn what_the_limit_holds_back_is_sent_when_it_ends() {
    let options = [Options { strict: false, ..DEFAULTS }; SYSTEMS];
    let mut lab = lab(0, &options, &[1; SYSTEMS]);
    lab.advance(2);
    lab.restart(0, name(0, 0), 22, options[0]);
    lab.advance(2_003);
    // The third LACPDU since 3,001; the port goes out of sync just after.
    lab.set_address(1, name(1, 1));
    lab.advance(2_001);
    let told = lab.systems[1].records[0].said.unwrap();
    assert_eq!((lab.now, told.at), (5_006, 4_001));
    assert!(!told.pdu.actor.state.contains(StateBits::COLLECTING));
}
