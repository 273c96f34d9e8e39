//! laggstat(8) on a machine where laggs are made, renamed and destroyed while it reads.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::lab::{card, lab, lagg, lagg_of};
use crate::pair::pair;
use crate::{LAGGSTAT, state};

/// What sysctl(8) says while a node goes that it is about to name.
const GONE: &str = "sysctl: sysctl name -1 1024 2";

/// Programs of FreeBSD's names, in a directory of their own.
struct Machine(PathBuf);

impl Machine {
    /// One whose sysctl(8) prints these one after the other, and the last one from then on. It fails after GONE.
    fn that_reads(test: &str, readings: &[&str]) -> Self {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("laggstat").join(test);
        fs::create_dir_all(&directory).unwrap();
        let machine = Machine(directory);
        machine.program("uname", "echo FreeBSD");
        // No time is waited for; a watcher that does not end is ended.
        machine.program("sleep", r#"[ "$(cat "${0%/*}/next")" -lt 99 ] || kill $PPID"#);
        machine.program(
            "sysctl",
            &format!(
                r#"cd "${{0%/*}}" && read -r n <next && echo $((n + 1)) >next
[ -f $n ] || n={}
grep -v ^sysctl: $n
! grep ^sysctl: $n >&2"#,
                readings.len() - 1
            ),
        );
        fs::write(machine.0.join("next"), "0\n").unwrap();
        for (n, reading) in readings.iter().enumerate() {
            fs::write(machine.0.join(n.to_string()), reading).unwrap();
        }
        machine
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.0.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// How often it has been read.
    fn read(&self) -> u32 {
        fs::read_to_string(self.0.join("next")).unwrap().trim().parse().unwrap()
    }

    fn laggstat(&self, options: &[&str]) -> (String, String, i32) {
        let path = format!("{}:{}", self.0.display(), std::env::var("PATH").unwrap());
        let Output { stdout, stderr, status } =
            Command::new("sh").arg(LAGGSTAT).args(options).env("PATH", path).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(stdout), text(stderr), status.code().unwrap())
    }
}

/// A lagg of two ports, all well.
fn good() -> String {
    state(&lagg_of(&[&card(1), &card(2)]))
}

/// These lines of a state alone.
fn only(state: &str, is: impl Fn(&str) -> bool) -> String {
    state.split_inclusive('\n').filter(|line| is(line)).collect()
}

const GOOD: &str = "GOOD lagg0: 2 of 2 ports in service\n";

fn said(text: &str) -> (String, String, i32) {
    (text.to_owned(), String::new(), 0)
}

#[test]
fn laggstat_reads_again_what_has_changed_meanwhile() {
    lab(|| {
        let good = good();
        let from = good.find("net.link.lagg.iface.lagg0.port.em1.mtu").unwrap();
        let half_named =
            only(&good, |line| !line.contains(".port.")) + &good.replace("lagg0", "moved");
        let renamed_midway = only(&good, |line| !line.contains(".mtu")).replace("lagg0", "moved");
        for (test, readings) in [
            ("stopped", &[GONE, &good] as &[&str]),
            ("stopped midway", &[&(good[..from].to_owned() + GONE), &good]),
            // Its ports were there by the time that it had another name.
            ("renamed", &[&half_named, &good]),
            ("renamed twice", &[&(good.clone() + &renamed_midway), GONE, &good]),
            ("port renamed", &[&good[..from], &good]),
        ] {
            let machine = Machine::that_reads(test, readings);
            assert_eq!(machine.laggstat(&["-c"]), said(GOOD), "{test}");
            assert_eq!(machine.read(), readings.len() as u32, "{test}");
        }
        let machine = Machine::that_reads("once", &[&good]);
        assert_eq!(machine.laggstat(&["-c", "lagg0"]), said(GOOD));
        assert_eq!(machine.read(), 1);
    });
}

/// A process that does not answer holds up nobody but itself.
#[test]
fn laggstat_shows_the_laggs_on_linux_that_answer() {
    lab(|| {
        let of_userlagg = |state: String| state.replace("net.link.lagg.iface.", "");
        let machine = Machine::that_reads("Linux", &[&of_userlagg(good())]);
        machine.program("uname", "echo Linux");
        machine.program("userlagg", r#"[ "$1" != -l ] || echo lagg0 lagg1"#);
        machine.program("timeout", r#"[ "$3" != lagg1 ] && cat "${0%/*}/0""#);
        let error = "laggstat: not all could be read\n";
        assert_eq!(machine.laggstat(&["-c"]), (GOOD.to_owned(), error.to_owned(), 3));
        // It says what to do in that system's words.
        let empty = of_userlagg(state(&lagg()));
        fs::write(machine.0.join("0"), empty).unwrap();
        let (line, ..) = machine.laggstat(&["-c"]);
        assert!(line.ends_with("it has no ports: userlagg lagg0 laggport ...\n"), "{line}");
    });
}

#[test]
fn laggstat_gives_no_alarm_for_what_it_could_not_read() {
    lab(|| {
        let good = good();
        let no_mtu = only(&good, |line| !line.contains("port.em2.mtu"));
        let port = Machine::that_reads("half a port", &[&no_mtu]);
        assert_eq!(port.laggstat(&["-c"]), said(GOOD));
        let screen = port.laggstat(&[]).0;
        assert!(screen.contains("\nem1 ") && !screen.contains("em2"), "{screen}");
        // Nor is all well, if nobody has seen it.
        for missing in ["up", "link_up", "ports", "mtu", "dropped.paused"] {
            let half = only(&good, |line| !line.contains(&format!("lagg0.{missing}:")));
            let (line, error, status) = Machine::that_reads("half", &[&half]).laggstat(&["-c"]);
            assert_eq!((&*line, &*error, status), ("", "laggstat: not all could be read\n", 3));
        }
        // An aggregator came into service after the lagg had been read, and before its ports.
        let none = only(&state(&pair(2).left), |line| !line.contains("lagg0.lacp.aggregator:"));
        let another = none + "lagg0.port.em2.reason: another partner\n";
        assert_eq!(Machine::that_reads("since", &[&another]).laggstat(&["-c"]), said(GOOD));
        // The leaves of one that has been read twice are shown once.
        let twice = good.clone() + &good;
        let once = Machine::that_reads("once more", &[&good]).laggstat(&["-j"]);
        assert_eq!(Machine::that_reads("twice", &[&twice]).laggstat(&["-j"]), once);
    });
}

#[test]
fn laggstat_says_what_cannot_be_read() {
    let unloaded = "sysctl: unknown oid 'net.link.lagg'";
    let (screen, error, status) = Machine::that_reads("unloaded", &[unloaded]).laggstat(&[]);
    let hint = "laggstat: nothing to read: is if_lagg_rs loaded?";
    assert_eq!((&*screen, error, status), ("", format!("{unloaded}\n{hint}\n"), 3));
    let machine = Machine::that_reads("another driver", &["net.link.lagg.failover_rx_all: 0\n"]);
    assert_eq!(machine.laggstat(&["-c"]), (String::new(), format!("{hint}\n"), 3));
    for file in ["/nonexistent", "/", ""] {
        let (line, error, status) = machine.laggstat(&["-c", "-f", file]);
        assert_eq!((&*line, status), ("", 3), "{file}");
        let hint = "laggstat: nothing to read: is it what sysctl net.link.lagg prints?";
        assert!(error.starts_with("cat: ") && error.contains(file), "{error}");
        assert!(error.lines().last() == Some(hint), "{error}");
    }
}

#[test]
fn laggstat_watches_until_there_is_nothing_to_see() {
    lab(|| {
        let good = good();
        let gone = "net.link.lagg.version: 0.0.0\n";
        let machine = Machine::that_reads("watched", &[&good, &good, gone]);
        let (screens, error, status) = machine.laggstat(&["-w", "1", "lagg0"]);
        assert_eq!(screens.matches("lagg0  failover  good").count(), 2, "{screens}");
        assert_eq!((&*error, status), ("laggstat: lagg0: no such lagg of this driver\n", 3));
        for seconds in ["", "0", "00", "-1", "0.5", "abc", "100000", "99999999999999999999999"] {
            let (screen, error, status) = machine.laggstat(&["-w", seconds]);
            assert!(screen.is_empty() && error.starts_with("usage: "), "{seconds}: {error}");
            assert_eq!(status, 3);
        }
    });
}

#[test]
fn laggstat_takes_one_way_to_show_it() {
    let machine = Machine::that_reads("options", &["net.link.lagg.version: 0.0.0\n"]);
    for options in [&["-c", "-j"] as &[&str], &["-jp"], &["-c", "-w", "1"], &["-w", "1", "-p"]] {
        let (_, error, status) = machine.laggstat(options);
        assert!(error.starts_with("usage: ") && status == 3, "{options:?}: {error}");
    }
    assert_eq!(machine.laggstat(&["-c", "-c"]), said("GOOD: no laggs\n"));
    assert_eq!(machine.laggstat(&[]), said("no laggs\n"));
    let absent = "laggstat: lagg0: no such lagg of this driver\n";
    for options in [&["-c", "lagg0"] as &[&str], &["lagg0"]] {
        assert_eq!(machine.laggstat(options), (String::new(), absent.to_owned(), 3));
    }
}

/// A name is any bytes: it is shown with %XX for those that could not be, and found by either.
#[test]
fn laggstat_finds_names_of_any_bytes() {
    lab(|| {
        let empty = state(&lagg());
        for (node, shown) in [
            ("a%20b", "a b"),
            ("a%5C%5Cn", r"a\\n"),
            ("%22q%22", "\"q\""),
            ("x%3D1", "x=1"),
            ("%2A", "*"),
            ("a%0Ab", "a%0Ab"),
            ("%C3%A9", "%C3%A9"),
            ("%FF%1B", "%FF%1B"),
            ("x%252E", "x%2E"),
        ] {
            let others = empty.clone() + &empty.replace("lagg0", "a");
            let state = others + &empty.replace("lagg0", node);
            let machine = Machine::that_reads("names", &[&state]);
            let line = format!("DOWN {shown}: 0 of 0 ports in service: it has no ports: ");
            let typed = match node {
                "a%0Ab" => "a\nb",
                "%C3%A9" => "\u{e9}",
                _ => shown,
            };
            for name in [shown, typed] {
                let (lines, error, status) = machine.laggstat(&["-c", "--", name]);
                assert!(lines.starts_with(&line), "{lines}{error}");
                assert_eq!((lines.lines().count(), &*error, status), (1, "", 2), "{name}");
            }
            let (json, ..) = machine.laggstat(&["-j", "--", shown]);
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(json["laggs"][0]["name"], shown);
            let (metrics, ..) = machine.laggstat(&["-p", "--", shown]);
            let label = shown.replace('\\', r"\\").replace('"', "\\\"");
            assert!(metrics.contains(&format!("_up{{lagg=\"{label}\"}} 0\n")), "{metrics}");
        }
        let (_, error, status) =
            Machine::that_reads("names", &[&empty]).laggstat(&["-c", "lagg0 lagg1"]);
        assert_eq!((&*error, status), ("laggstat: lagg0 lagg1: no such lagg of this driver\n", 3));
    });
}
