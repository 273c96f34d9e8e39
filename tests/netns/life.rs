//! How the program ends, and what it leaves behind.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lab::{Lab, USERLAGG, inside, must, until};

#[test]
fn destroyed_by_a_signal() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let lab = lab!(2);
        lab.failover();
        let [pid] = lab.processes()[..] else { panic!("one process a lagg") };
        kill(Pid::from_raw(pid), signal).unwrap();
        until("the process has ended", || lab.processes().is_empty());
        lab.assert_clean();
    }
}

#[test]
fn in_the_foreground() {
    let lab = lab!(2);
    let mut child = Command::new("ip")
        .args(["netns", "exec", &lab.near, USERLAGG, "-f", "lagg3", "create", "laggport", "em0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("it answers", || lab.userlagg("lagg3").status.success());
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    assert!(child.wait().unwrap().success());
    lab.assert_clean();
}

/// A killed process leaves a socket, which does not block the next one.
#[test]
fn after_a_kill() {
    let lab = lab!(2);
    lab.failover();
    let [pid] = lab.processes()[..] else { panic!("one process a lagg") };
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    let links = format!("ip -n {} link show", lab.near);
    until("the process has ended", || !must(&links).contains(": lagg0"));
    lab.refused("lagg0", "interface lagg0 does not exist");
    lab.failover();
}

/// Linux's interface for the lagg is deleted, or a port's interface.
#[test]
fn interfaces_go_away() {
    let lab = lab!(2);
    lab.failover();
    must(&format!("ip -n {} link del em0", lab.near));
    lab.until_port("em1", "flags=5<MASTER,ACTIVE>");
    assert!(!lab.ok("lagg0").contains("em0"));
    must(&format!("ip netns exec {} ping -c 1 -W 5 192.0.2.2", lab.near));
    must(&format!("ip -n {} link del lagg0", lab.near));
    until("the process has ended", || lab.processes().is_empty());
    assert!(lab.link("em1").contains("02:00:5e:00:53:01"));
}

#[test]
fn the_same_name_in_two_namespaces() {
    let (one, other) = (lab!(2), lab!(2));
    one.failover();
    other.failover();
    one.ok("lagg0 destroy");
    one.assert_clean();
    assert!(other.ok("lagg0").contains("laggport: em0 flags=5<MASTER,ACTIVE>"));
}

#[test]
fn what_is_refused_leaves_nothing() {
    let lab = lab!(2);
    for (words, line) in [
        ("lagg0 create bogus", "bogus: bad value"),
        ("lagg0 create laggproto bogus", "Invalid aggregation protocol: bogus"),
        ("lagg0 create laggport", "'laggport' requires argument"),
        ("lagg0 create laggport em9", "lagg0 em9: SIOCSLAGGPORT: Invalid argument"),
        ("lagg0 create laggport em0 laggport em9 up", "lagg0 em9: SIOCSLAGGPORT: Invalid argument"),
        ("lagg0 create laggport lo", "lagg0 lo: SIOCSLAGGPORT: Protocol not supported"),
        ("lagg0 create laggport em0 -laggport em1", "SIOCSLAGGDELPORT: Invalid argument"),
        ("lagg0 create laggtype infiniband", "SIOCIFCREATE2 (lagg0): Operation not supported"),
        ("lagg00 create", "SIOCIFCREATE2 (lagg00): Invalid argument"),
        ("bond0 create", "SIOCIFCREATE2 (bond0): Invalid argument"),
        ("lagg0 up", "interface lagg0 does not exist"),
        ("lagg0 destroy", "interface lagg0 does not exist"),
        ("lagg0", "interface lagg0 does not exist"),
    ] {
        lab.refused(words, line);
        lab.assert_clean();
    }
    let script = format!("mount -t tmpfs none /dev/net && exec {USERLAGG} lagg0 create");
    // `ip netns exec` makes a mount namespace too.
    let no_tun = ["netns", "exec", &lab.near, "sh", "-c", &script];
    let output = Command::new("ip").args(no_tun).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "userlagg: SIOCIFCREATE2 (lagg0): /dev/net/tun: No such file or directory\n"
    );
    lab.assert_clean();
}

/// An existing lagg stays as it is when something is refused, as with ifconfig.
#[test]
fn what_is_refused_later() {
    let lab = lab!(3);
    lab.failover();
    lab.refused("lagg0 create", "interface lagg0 already exists");
    lab.refused("lagg0 -laggport em2", "SIOCSLAGGDELPORT: Invalid argument");
    lab.refused("lagg0 rr_limit 5", "SIOCSLAGGOPTS: Invalid argument");
    lab.refused("lagg0 mtu 10", "ioctl SIOCSIFMTU (set mtu): Invalid argument");
    lab.ok("lagg0 laggport em0");
    // A warning: the words after it are carried out.
    lab.refused("lagg0 laggport em9 laggport em2", "lagg0 em9: SIOCSLAGGPORT: Invalid argument");
    assert!(lab.ok("lagg0").contains("laggport: em2 "));
    lab.refused("lagg1 create laggport em0", "lagg1 em0: SIOCSLAGGPORT: Device busy");
    assert_eq!(lab.ok("lagg create"), "lagg1\n");
    assert_eq!(lab.ok("-l"), "lagg0 lagg1\n");
    lab.ok("lagg1 destroy");
    lab.ok("lagg0 destroy");
    lab.assert_clean();
}

/// Any user may look.
#[test]
fn without_privilege() {
    let lab = lab!(2);
    lab.failover();
    // The program's directory may be closed to others.
    let copy = std::env::temp_dir().join(format!("{}.userlagg", lab.near));
    must(&format!("cp {USERLAGG} {}", copy.display()));
    let nobody = |words: &'static str| {
        let copy = copy.clone();
        let child = inside(&lab.near, move || {
            let mut command = Command::new(copy);
            command.args(words.split_whitespace()).uid(65534).gid(65534).output().unwrap()
        });
        child.join().unwrap()
    };
    let error = |words| String::from_utf8(nobody(words).stderr).unwrap();
    assert_eq!(error("lagg1 create"), "userlagg: SIOCIFCREATE2 (lagg1): Operation not permitted\n");
    assert_eq!(error("lagg0 down"), "userlagg: lagg0: permission denied\n");
    assert_eq!(error("lagg0 destroy"), "userlagg: lagg0: permission denied\n");
    assert!(String::from_utf8(nobody("lagg0").stdout).unwrap().contains("laggproto failover"));
    std::fs::remove_file(copy).unwrap();
}
