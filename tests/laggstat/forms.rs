//! The forms in which laggstat(8) shows names, text and numbers.

use lagg_rs::kpi::host;
use serde_json::Value;

use crate::lab::{card, lab, lagg, lagg_of};
use crate::pair::pair;
use crate::{LAGGSTAT, json_of, laggstat, state};

#[test]
fn laggstat_shows_the_names_of_interfaces() {
    lab(|| {
        let a = card(1);
        let lagg = lagg_of(&[&a]);
        for (name, shown) in
            [("em0.100", "em0.100"), ("a%2E \"b", "a%2E \"b"), ("\u{e4}\n", "%C3%A4%0A")]
        {
            host::rename(&a.ifp, name).unwrap();
            let state = state(&lagg).replace("lagg0", "la%2Egg0");
            let (screen, _) = laggstat(&state, &["la.gg0"]);
            assert!(screen.starts_with("la.gg0 "), "{screen}");
            assert!(screen.lines().any(|line| line.starts_with(&format!("{shown} "))), "{screen}");
            let json = json_of(&state);
            assert_eq!(json["laggs"][0]["name"], "la.gg0");
            assert_eq!(json["laggs"][0]["ports"][0]["name"], shown);
        }
    });
}

/// Whatever the text is: JSON is valid, and the screen has no bytes that a terminal would obey.
#[test]
fn laggstat_shows_text_of_any_bytes() {
    lab(|| {
        let empty = lagg();
        empty.set("primary", "\u{e9}").unwrap();
        let json = json_of(state(&empty));
        assert_eq!(json["laggs"][0]["ports"], Value::Array(Vec::new()));
        assert_eq!(json["laggs"][0]["primary"], "%C3%A9");
        let text = b"net.link.lagg.iface.lagg0.primary: a \"b\\\xff\x1b[31m\t: 7\n";
        let state = [state(&empty).as_bytes(), text].concat();
        assert_eq!(json_of(&state)["laggs"][0]["primary"], "a \"b\\%FF%1B[31m%09: 7");
        let number = b"net.link.lagg.iface.lagg0.speed: \nlagg0.mtu: x\nlagg0.primary: 7\n";
        let json = json_of([&state, &number[..]].concat());
        for (leaf, text) in [("speed", ""), ("mtu", "x"), ("primary", "7")] {
            assert_eq!(json["laggs"][0][leaf], text);
        }
    });
}

#[test]
fn laggstat_shows_numbers_to_prometheus_and_knows_what_it_does_not_know() {
    lab(|| {
        let state = state(&pair(2).left);
        let (numbers, _) = laggstat(&state, &["-p"]);
        for line in [
            r#"sysctl_net_link_lagg_iface_active_ports{lagg="lagg0"} 2"#,
            r#"sysctl_net_link_lagg_iface_dropped{lagg="lagg0",reason="no_ports"} 0"#,
            r#"sysctl_net_link_lagg_iface_port_in_service{lagg="lagg0",port="em2"} 1"#,
            r#"sysctl_net_link_lagg_iface_port_dropped{lagg="lagg0",port="em1",reason="not_accepted"} 0"#,
        ] {
            assert!(numbers.lines().any(|there| there == line), "{line}\n{numbers}");
        }
        assert_eq!(laggstat(&state, &["-c", "lagg7"]).1, 3);
        assert_eq!(laggstat("", &["-c"]).1, 3);
        assert_eq!(laggstat("", &["-x"]).1, 3);
        assert_eq!(laggstat("net.link.lagg.failover_rx_all: 0\n", &[]).1, 3);
    });
}

/// As the text format wants it.
#[test]
fn laggstat_keeps_all_lines_of_a_metric_together() {
    lab(|| {
        let one = state(&pair(2).left);
        let (metrics, _) = laggstat(one.clone() + &one.replace("lagg0", "lagg1"), &["-p"]);
        let mut names: Vec<_> =
            metrics.lines().map(|line| line.split('{').next().unwrap()).collect();
        names.dedup();
        let together = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(together, names.len(), "{metrics}");
        assert!(metrics.lines().count() > 2 * names.len(), "{metrics}");
    });
}

/// Each line that says what is wrong, and each column.
#[test]
fn laggstat_has_a_manual_page_with_all_it_says() {
    let source = std::fs::read_to_string(LAGGSTAT).unwrap();
    let manual = include_str!("../../src/laggstat/laggstat.8");
    let after = |what: &str| source.split(what).skip(1).collect::<Vec<_>>();
    let lines: Vec<_> = ["say(\"", "problem(2, \"", "fail(\""]
        .into_iter()
        .flat_map(after)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert!(lines.len() > 15, "{lines:?}");
    for line in lines {
        assert!(manual.contains(line), "{line}");
    }
    let columns = after("row(wide, lacp, \"PORT\", ")[0].split(')').next().unwrap();
    for column in columns.split(", ").map(|column| column.trim_matches('"')) {
        let is_said = |line: &str| line.starts_with(".It Sy ") && line.contains(column);
        assert!(manual.lines().any(is_said), "{column}");
    }
}
