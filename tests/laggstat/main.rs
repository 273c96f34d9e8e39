//! laggstat(8), over the state of laggs that are wired or configured in a wrong way: it names the cause.

#[path = "../driver/lab.rs"]
#[allow(dead_code, reason = "more than these tests need")]
mod lab;
#[path = "../driver/pair.rs"]
#[allow(dead_code, reason = "more than these tests need")]
mod pair;

mod forms;
mod machine;

use std::io::Write;
use std::process::{Command, Stdio};

use lagg_rs::kpi::LinkState;
use lagg_rs::kpi::host::{self, IFM_ETHER_AUTO, IFM_HDX, media_of};
use lagg_rs::kpi::ioctl::proto;
use serde_json::Value;

use crate::lab::{Lagg, card, flags, lab, lagg, lagg_of, pass};
use crate::pair::{Pair, pair, strangers};

const LAGGSTAT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/laggstat/laggstat.sh");

/// What laggstat prints of a state with these options, and the status that it exits with.
fn laggstat(state: impl AsRef<[u8]>, options: &[&str]) -> (String, i32) {
    let mut child = Command::new("sh")
        .arg(LAGGSTAT)
        .args(["-f", "-"])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(state.as_ref()).unwrap();
    let output = child.wait_with_output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (String::from_utf8(printed).unwrap(), output.status.code().unwrap())
}

/// What laggstat -j prints of a state.
fn json_of(state: impl AsRef<[u8]>) -> Value {
    let (json, status) = laggstat(state, &["-j"]);
    assert_eq!(status, 0, "{json}");
    serde_json::from_str(&json).unwrap()
}

/// What sysctl(8) prints of a lagg, as lagg0.
fn state(lagg: &Lagg) -> String {
    let leaves = lagg.leaves(|_| true).into_iter();
    let lines = leaves.map(|(name, value)| format!("net.link.lagg.iface.lagg0.{name}: {value}\n"));
    "net.link.lagg.version: 0.0.0\n".to_owned() + &lines.collect::<String>()
}

/// Checks what it says of a lagg: all is well if that is nothing.
#[track_caller]
fn says(lagg: &Lagg, status: i32, problems: &[&str]) {
    let state = state(lagg);
    let (screen, _) = laggstat(&state, &[]);
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = problems.iter().all(|problem| words(&screen).contains(problem));
    assert!(said, "{problems:?}\n{screen}\n{state}");
    assert!(screen.lines().all(|line| line.len() <= 80), "{screen}");
    let (line, is) = laggstat(&state, &["-c"]);
    assert_eq!(is, status, "{line}");
    assert!(problems.iter().all(|problem| line.contains(problem)), "{line}");
    let (json, _) = laggstat(&state, &["-j"]);
    assert_eq!(json.matches("\"ports\":").count(), 1, "{json}");
    let json = json_of(&state);
    fits_schema(&json);
    let word = ["good", "degraded", "down"][status as usize];
    assert_eq!(json["laggs"][0]["state"], word);
    assert_eq!(json["laggs"][0]["problems"], Value::from(problems), "{json:#}");
}

/// Checks that what docs/laggstat.schema.json requires is there, and of its type.
fn fits_schema(json: &Value) {
    let schema = include_str!("../../docs/laggstat.schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let has = |it: &Value, required: &Value| {
        for name in required.as_array().unwrap() {
            assert!(!it[name.as_str().unwrap()].is_null(), "no {name}: {it:#}");
        }
    };
    has(json, &schema["required"]);
    assert_eq!(json["version"], schema["properties"]["version"]["const"]);
    let lagg = &json["laggs"][0];
    has(lagg, &schema["$defs"]["lagg"]["required"]);
    only_values(lagg);
    for port in lagg["ports"].as_array().unwrap() {
        has(port, &schema["$defs"]["port"]["required"]);
        only_values(port);
    }
}

/// Checks that all but the lists are numbers, text, or objects of these.
fn only_values(object: &Value) {
    for (name, value) in object.as_object().unwrap() {
        let is_text = name.contains("system") && !name.contains("priority");
        match value {
            Value::Number(number) => assert!(number.is_u64() && !is_text, "{name}: {number}"),
            Value::String(_) => {}
            Value::Object(_) => only_values(value),
            _ => assert!(["ports", "problems"].contains(&name.as_str()), "{name}: {value}"),
        }
    }
}

/// Connects the other end of a wire to another lagg.
fn wire_to(pair: &Pair, wire: usize, other: &Lagg) {
    let name = pair.wires[wire].1.name();
    pair.right.remove(&name).unwrap();
    other.set_protocol(proto::LACP).unwrap();
    other.add(&name).unwrap();
    other.up();
}

#[test]
fn laggstat_has_nothing_to_say_if_all_is_well() {
    lab(|| {
        says(&pair(2).left, 0, &[]);
        says(&lagg_of(&[&card(11), &card(12)]), 0, &[]);
    });
}

#[test]
fn laggstat_names_two_switches() {
    lab(|| {
        let pair = pair(2);
        let other = lagg();
        wire_to(&pair, 1, &other);
        pair.pass(100_000);
        let partner =
            |n: u8| pair.left.setting(&format!("port.em{n}.lacp.partner.system")).unwrap();
        let (ours, theirs) = (partner(1), partner(2));
        let line = format!(
            "em2: its partner is {theirs}, not {ours}: two switches, which are no MLAG pair?"
        );
        says(&pair.left, 1, &[&line]);
    });
}

#[test]
fn laggstat_names_a_port_that_is_in_no_group() {
    lab(|| {
        let pair = pair(2);
        pair.right.remove("em102").unwrap();
        pair.pass(150_000);
        let age = pair.left.count("port.em2.lacp.pdu_age");
        let line =
            format!("em2: link up, no LACPDU for {age} s: is the switch port in an LACP group?");
        says(&pair.left, 1, &[&line]);
    });
}

#[test]
fn laggstat_names_passive_ends() {
    lab(|| {
        let pair = strangers(1);
        for lagg in [&pair.left, &pair.right] {
            lagg.set("lacp.active", "0").unwrap();
        }
        pair.pass(10_000);
        // Whether one of them had spoken before makes two messages of it.
        let (line, status) = laggstat(state(&pair.left), &["-c"]);
        assert!(line.contains("passive (lacp.active 0)"), "{line}");
        assert_eq!(status, 2);
    });
}

#[test]
fn laggstat_names_another_speed() {
    lab(|| {
        let pair = strangers(2);
        pair.link(1, LinkState::Down);
        for end in [&pair.wires[1].0, &pair.wires[1].1] {
            end.nic.set_media(media_of(100_000_000));
            end.ifp.set_baudrate(100_000_000);
        }
        pair.link(1, LinkState::Up);
        pair.pass(10_000);
        let line = "em2: 100Mb/s, others have 1Gb/s: LACP aggregates links of one speed";
        says(&pair.left, 1, &[line]);
    });
}

#[test]
fn laggstat_names_a_loop() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        lagg.set_protocol(proto::LACP).unwrap();
        for _ in 0..10 {
            pass(1_000);
            for frame in a.nic.take_sent() {
                a.receive(&frame);
            }
            host::settle();
        }
        let line =
            "em1: hears our own LACPDUs: a loop, a hub, or a partner with our lacp.system_id";
        says(&lagg, 2, &["no port is in service", line]);
    });
}

#[test]
fn laggstat_names_an_mtu_that_a_card_has_changed() {
    lab(|| {
        let pair = pair(2);
        pair.wires[1].0.ifp.store_mtu(1496);
        says(&pair.left, 1, &["em2: its MTU is 1496, that of the lagg 1500"]);
    });
}

#[test]
fn laggstat_names_min_links() {
    lab(|| {
        let pair = pair(2);
        pair.left.set("min_links", "2").unwrap();
        pair.link(1, LinkState::Down);
        pair.pass(1_000);
        says(
            &pair.left,
            2,
            &[
                "1 of 2 ports in service, fewer than min_links 2",
                "em2: no link: is the cable in, and the other end up?",
            ],
        );
    });
}

/// A port that stands by is no fault.
#[test]
fn laggstat_shows_a_standby() {
    lab(|| {
        let pair = pair(2);
        pair.left.set("lacp.max_links", "1").unwrap();
        pair.pass(10_000);
        says(&pair.left, 0, &[]);
        let (screen, _) = laggstat(state(&pair.left), &[]);
        assert!(screen.lines().any(|line| line.starts_with("em2  standby ")), "{screen}");
    });
}

#[test]
fn laggstat_names_another_channel_group() {
    lab(|| {
        let pair = pair(2);
        let other = lagg();
        other.set("lacp.system_id", &pair.left.setting("lacp.partner.system").unwrap()).unwrap();
        other.set("lacp.key", "77").unwrap();
        wire_to(&pair, 1, &other);
        pair.pass(100_000);
        let (ours, theirs) =
            (pair.left.count("lacp.partner.key"), pair.left.count("port.em2.lacp.partner.key"));
        let line =
            format!("em2: in another channel group of the same switch: key {theirs}, not {ours}");
        says(&pair.left, 1, &[&line]);
    });
}

#[test]
fn laggstat_names_half_duplex() {
    lab(|| {
        let pair = strangers(2);
        pair.link(1, LinkState::Down);
        pair.wires[1].0.nic.set_media(IFM_ETHER_AUTO | IFM_HDX);
        pair.link(1, LinkState::Up);
        pair.pass(10_000);
        let line = "em2: half duplex, or no Ethernet: LACP aggregates only full duplex links";
        says(&pair.left, 1, &[line]);
    });
}

/// What is rare with this partner: its state is that of another one, with these lines in place of those there.
#[test]
fn laggstat_names_what_a_partner_does() {
    lab(|| {
        let state = state(&pair(2).left);
        let port = |name: &str| format!("lagg0.port.em2.{name}: ");
        let with = |changes: &[(&str, &str)]| {
            let mut lines: String = state
                .split_inclusive('\n')
                .filter(|line| !changes.iter().any(|(name, _)| line.contains(&port(name))))
                .collect();
            lines.extend(changes.iter().map(|(name, value)| port(name) + value + "\n"));
            laggstat(&lines, &["-c", "lagg0"])
        };
        let rate = [
            ("lacp.actor.state", "63"),
            ("lacp.timeouts", "7"),
            ("last_flap", "no partner"),
            ("last_flap_age", "20"),
        ];
        let says = |changes: &[(&str, &str)], text: &str| {
            let (line, status) = with(changes);
            assert!(line.contains(text) && status == 1, "{line}");
        };
        says(&rate, "em2: its partner timed out 7 times: does it send each second");
        says(
            &[("reason", "individual")],
            "em2: the partner wants to use it alone: is the switch port in an LACP group?",
        );
        says(&[("reason", "not collecting")], "em2: the partner is in sync, but takes no frames");
        says(
            &[("reason", "not in sync")],
            "em2: the partner is not in sync on it yet, or does not want it in its group: see why on the switch",
        );
        says(
            &[("lacp.receive", "DEFAULTED")],
            "em2: in service without a partner, by lacp.fallback",
        );
        says(
            &[("reason", "waits up_delay")],
            "em2: it has a link, and has to keep it for up_delay, 0 ms",
        );
    });
}

#[test]
fn laggstat_names_a_lagg_that_is_down_or_has_no_ports() {
    lab(|| {
        let pair = pair(2);
        pair.left.down();
        says(&pair.left, 2, &["it is down: ifconfig lagg0 up"]);
        pair.left.up();
        for end in [&pair.wires[0].0, &pair.wires[1].0] {
            flags(&end.name(), 0).unwrap();
        }
        pair.pass(1_000);
        let lines = ["em1", "em2"].map(|port| format!("{port}: it is down: ifconfig {port} up"));
        says(&pair.left, 2, &["no port is in service", &lines[0], &lines[1]]);
        pair.left.set_protocol(proto::NONE).unwrap();
        pair.pass(1_000);
        let none = "its protocol is none, which sends and accepts nothing";
        says(&pair.left, 2, &[none, &lines[0], &lines[1]]);
        let empty = lagg();
        empty.up();
        says(&empty, 2, &["it has no ports: ifconfig lagg0 laggport ..."]);
    });
}
