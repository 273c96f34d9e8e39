//! Two network namespaces with cables between them, as `ip netns` makes them.
//!
//! On the near side are the cards em0, em1, … of the lagg; on the far side their other ends, port0,
//! port1, …, are ports of a bridge with the address 192.0.2.2, as a switch would have them.

use std::fs::File;
use std::io::{self, Write};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

/// The program under test.
pub const USERLAGG: &str = env!("CARGO_BIN_EXE_userlagg");
/// For all that has to come true without our doing.
const LIMIT: Duration = Duration::from_secs(20);

pub struct Lab {
    pub near: String,
    pub far: String,
}

/// Runs a command and returns what it did.
pub fn run(command: &str) -> Output {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output();
    output.unwrap_or_else(|error| panic!("{command}: {error}"))
}

/// Runs a command that must succeed, and returns its output.
pub fn must(command: &str) -> String {
    let output = run(command);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {}: {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until something is seen, with a limit.
pub fn until(what: &str, mut seen: impl FnMut() -> bool) {
    let start = Instant::now();
    while !seen() {
        assert!(start.elapsed() < LIMIT, "not seen in {LIMIT:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Runs `f` on a thread of its own in a network namespace.
pub fn inside<T: Send + 'static>(
    namespace: &str,
    f: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let file = File::open(format!("/run/netns/{namespace}")).unwrap();
    thread::spawn(move || {
        setns(file, CloneFlags::CLONE_NEWNET).unwrap();
        f()
    })
}

/// Whether the tests must run; where they need not they are left out if they cannot, and say so.
fn must_run() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty())
}

impl Lab {
    /// Lays `cards` cables; none, and a message, where network namespaces are refused.
    pub fn new(cards: usize) -> Option<Lab> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("userlagg{}.{number}", std::process::id());
        let lab = Lab { near: format!("{name}.near"), far: format!("{name}.far") };
        let made = run(&format!("ip netns add {}", lab.near));
        if !made.status.success() {
            let reason = String::from_utf8_lossy(&made.stderr).trim().to_owned();
            assert!(!must_run(), "no network namespaces: {reason}");
            let bar = "*".repeat(72);
            // Not by eprintln, which is heard only if the test fails.
            let _ = writeln!(
                io::stderr(),
                "\n{bar}\n* LEFT OUT, network namespaces are refused here: {reason}\n{bar}"
            );
            return None;
        }
        lab.lay(cards);
        Some(lab)
    }

    fn lay(&self, cards: usize) {
        let Lab { near, far } = self;
        must(&format!("ip netns add {far}"));
        must(&format!("ip -n {far} link add switch type bridge"));
        for i in 0..cards {
            must(&format!(
                "ip link add em{i} netns {near} address 02:00:5e:00:53:0{i} type veth \
                 peer name port{i} netns {far}"
            ));
            must(&format!("ip -n {far} link set port{i} master switch up"));
        }
        must(&format!("ip -n {far} addr add 192.0.2.2/24 dev switch"));
        must(&format!("ip -n {far} link set switch up"));
        must(&format!("ip -n {near} link set lo up"));
    }

    /// userlagg on the near side.
    pub fn userlagg(&self, words: &str) -> Output {
        run(&format!("ip netns exec {} {USERLAGG} {words}", self.near))
    }

    /// userlagg on the near side, which must succeed without a word of complaint.
    pub fn ok(&self, words: &str) -> String {
        let output = self.userlagg(words);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.is_empty(), "userlagg {words}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// userlagg on the near side, which must fail with this one line.
    #[track_caller]
    pub fn refused(&self, words: &str, line: &str) {
        let output = self.userlagg(words);
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            format!("userlagg: {line}\n"),
            "{words}"
        );
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{words}");
        assert_eq!(output.status.code(), Some(1), "{words}");
    }

    /// A lagg of the first two cards, up, with an address, and reaching the far side.
    pub fn failover(&self) {
        self.ok("lagg0 create laggproto failover laggport em0 laggport em1 192.0.2.1/24 up");
        self.until_port("em0", "flags=5<MASTER,ACTIVE>");
    }

    /// Waits until the lagg shows that of a port.
    pub fn until_port(&self, port: &str, flags: &str) {
        let line = format!("\tlaggport: {port} {flags}\n");
        until(&line, || self.ok("lagg0").contains(&line));
    }

    /// What Linux shows of a card.
    pub fn link(&self, card: &str) -> String {
        must(&format!("ip -n {} -o link show dev {card}", self.near))
    }

    /// The number of an interface.
    pub fn index(&self, namespace: &str, name: &str) -> u32 {
        let link = must(&format!("ip -n {namespace} -o link show dev {name}"));
        link.split(':').next().unwrap().parse().unwrap()
    }

    /// How many frames have come over each of the first two cables to the far side.
    pub fn carried(&self) -> [u64; 2] {
        let Lab { far, .. } = self;
        [0, 1].map(|card| {
            let file = format!("/sys/class/net/port{card}/statistics/rx_packets");
            must(&format!("ip netns exec {far} cat {file}")).trim().parse().unwrap()
        })
    }

    /// Takes the cable out of a card.
    pub fn cut(&self, card: usize) {
        must(&format!("ip -n {} link set port{card} down", self.far));
    }

    /// Puts it in again.
    pub fn heal(&self, card: usize) {
        must(&format!("ip -n {} link set port{card} up", self.far));
    }

    /// The processes on the near side.
    pub fn processes(&self) -> Vec<i32> {
        let pids = must(&format!("ip netns pids {}", self.near));
        pids.lines().map(|pid| pid.parse().unwrap()).collect()
    }

    /// Nothing is there but what the lab itself has made.
    pub fn assert_clean(&self) {
        until("the process has ended", || self.processes().is_empty());
        let links = must(&format!("ip -n {} -o link show", self.near));
        assert!(!links.contains(": lagg"), "{links}");
        let inode = run(&format!("ip netns exec {} stat -L -c %i /proc/self/ns/net", self.near));
        let inode = String::from_utf8(inode.stdout).unwrap();
        let sockets = std::fs::read_dir("/run/userlagg").map_or(Vec::new(), |entries| {
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        });
        let prefix = format!("{}-", inode.trim());
        assert!(!sockets.iter().any(|socket| socket.starts_with(&prefix)), "{sockets:?}");
        for i in 0..2 {
            let link = self.link(&format!("em{i}"));
            assert!(link.contains(&format!("link/ether 02:00:5e:00:53:0{i}")), "{link}");
            assert!(link.contains("mtu 1500"), "{link}");
            assert!(!link.contains("PROMISC"), "{link}");
            let path = format!("/proc/sys/net/ipv6/conf/em{i}/disable_ipv6");
            assert_eq!(must(&format!("ip netns exec {} cat {path}", self.near)), "0\n");
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A test that fails leaves its laggs running, which end well if they can.
        for signal in ["TERM", "KILL"] {
            let pids = || run(&format!("ip netns pids {}", self.near)).stdout;
            for pid in String::from_utf8_lossy(&pids()).lines() {
                run(&format!("kill -{signal} {pid}"));
            }
            let start = Instant::now();
            while !pids().is_empty() && start.elapsed() < Duration::from_secs(3) {
                thread::sleep(Duration::from_millis(5));
            }
        }
        for namespace in [&self.near, &self.far] {
            run(&format!("ip netns del {namespace}"));
        }
    }
}
