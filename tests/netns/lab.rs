//! Two network namespaces with cables between them, as `ip netns` makes them.
//!
//! On the near side are the cards em0, em1, … of the lagg; on the far side their other ends, port0,
//! port1, …, as a rule ports of a bridge with the address 192.0.2.2, as a switch would have them.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

/// The value. Ends the test if there is none.
macro_rules! some {
    ($option:expr) => {
        match $option {
            Some(value) => value,
            None => return,
        }
    };
}
pub(crate) use some;

/// The program under test.
pub const USERLAGG: &str = env!("CARGO_BIN_EXE_userlagg");
/// The limit for what the tests wait to observe.
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

/// Whether the tests must run. If not, those that cannot run are left out with a message.
fn must_run() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty())
}

/// Connects a card's cable between two namespaces. The indexes of its ends differ, because if a veth's peer
/// in another namespace has the same index, Linux reports a lost carrier up to a second late.
pub fn lay(card: usize, near: &str, far: &str) {
    must(&format!(
        "ip link add em{card} index 1{card} netns {near} address 02:00:5e:00:53:0{card} type veth \
         peer name port{card} netns {far} address 02:00:5e:00:53:8{card}"
    ));
}

/// Sets one of Linux's `net.*` in a namespace.
pub fn set(namespace: &str, name: &'static str, value: &'static str) {
    let path = Path::new("/proc/sys/net").join(name);
    inside(namespace, move || std::fs::write(path, value).unwrap()).join().unwrap();
}

/// Prints that something is not tested, and why. Not with eprintln, whose output is shown only if the test
/// fails.
pub fn leave_out(reason: &str) {
    let bar = "*".repeat(72);
    let _ = writeln!(io::stderr(), "\n{bar}\n* LEFT OUT, {reason}\n{bar}");
}

/// The same for what CI must have.
pub fn leave_out_but_in_ci(reason: &str) {
    assert!(!must_run(), "{reason}");
    leave_out(reason);
}

/// Whether a program is installed. Prints a message if it is not.
pub fn has(program: &str, package: &str) -> bool {
    let has = Command::new(program).arg("--version").output().is_ok();
    if !has {
        leave_out_but_in_ci(&format!("{program} is missing here (Debian's package {package})"));
    }
    has
}

/// Runs userlagg in a namespace.
pub fn userlagg(namespace: &str, words: &str) -> Output {
    run(&format!("ip netns exec {namespace} {USERLAGG} {words}"))
}

/// Runs userlagg in a namespace. It must succeed without any message but what the driver logs until the process is in
/// the background.
#[track_caller]
pub fn ok(namespace: &str, words: &str) -> String {
    let output = userlagg(namespace, words);
    let errors = String::from_utf8_lossy(&output.stderr);
    let are_logged = errors.lines().all(|line| line.starts_with("lagg0: "));
    assert!(output.status.success() && are_logged, "userlagg {words}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until the lagg of a namespace shows these flags of a port.
pub fn until_port(namespace: &str, port: &str, flags: &str) {
    let line = format!("\tlaggport: {port} {flags}\n");
    until(&line, || ok(namespace, "lagg0").contains(&line));
}

/// Waits until the lagg of a namespace has no link.
pub fn until_no_link(namespace: &str) {
    let link = format!("ip -n {namespace} -o link show dev lagg0");
    until("the link is down", || must(&link).contains("NO-CARRIER"));
}

/// A directory for files, gone with this.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new(lab: &Lab) -> Directory {
        let directory = std::env::temp_dir().join(&lab.near);
        std::fs::create_dir(&directory).unwrap();
        Directory(directory)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Lab {
    /// Connects `cards` cables to a switch. Returns none, with a message, if network namespaces are
    /// refused.
    pub fn new(cards: usize) -> Option<Lab> {
        let lab = Lab::cables(cards)?;
        let far = &lab.far;
        must(&format!("ip -n {far} link add switch type bridge"));
        for i in 0..cards {
            must(&format!("ip -n {far} link set port{i} master switch up"));
        }
        must(&format!("ip -n {far} addr add 192.0.2.2/24 dev switch"));
        must(&format!("ip -n {far} link set switch up"));
        Some(lab)
    }

    /// Connects `cards` cables with nothing at their far ends.
    pub fn cables(cards: usize) -> Option<Lab> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("userlagg{}.{number}", std::process::id());
        let lab = Lab { near: format!("{name}.near"), far: format!("{name}.far") };
        let made = run(&format!("ip netns add {}", lab.near));
        if !made.status.success() {
            let reason = String::from_utf8_lossy(&made.stderr).trim().to_owned();
            leave_out_but_in_ci(&format!("network namespaces are refused here: {reason}"));
            return None;
        }
        must(&format!("ip netns add {}", lab.far));
        must(&format!("ip -n {} link set lo up", lab.near));
        // A process that was killed in a namespace of the same number has left its socket.
        lab.sockets().iter().for_each(|socket| std::fs::remove_file(socket).unwrap());
        for card in 0..cards {
            lay(card, &lab.near, &lab.far);
        }
        Some(lab)
    }

    /// userlagg on the near side.
    pub fn userlagg(&self, words: &str) -> Output {
        userlagg(&self.near, words)
    }

    /// Runs userlagg on the near side. It must succeed without any message.
    #[track_caller]
    pub fn ok(&self, words: &str) -> String {
        ok(&self.near, words)
    }

    /// Runs userlagg on the near side. It must fail with this one line.
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

    /// Creates a lagg of the first two cards that is up, has an address, and reaches the far side.
    pub fn failover(&self) {
        self.ok("lagg0 create laggproto failover laggport em0 laggport em1 192.0.2.1/24 up");
        self.until_port("em0", "flags=5<MASTER,ACTIVE>");
    }

    /// Waits until the lagg shows these flags of a port.
    pub fn until_port(&self, port: &str, flags: &str) {
        until_port(&self.near, port, flags);
    }

    /// Sends pings from the near side to the far one, each of which must be answered once.
    pub fn ping(&self, count: u32) {
        let ping = format!("ping -c {count} -i 0.01 -W 2 192.0.2.2");
        let output = must(&format!("ip netns exec {} {ping}", self.near));
        assert!(output.contains(&format!(" {count} received, 0% packet loss")), "{output}");
        assert!(!output.contains("DUP!"), "{output}");
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

    /// How many frames the far side has received on each of the first two cables.
    pub fn carried(&self) -> [u64; 2] {
        let Lab { far, .. } = self;
        [0, 1].map(|card| {
            let file = format!("/sys/class/net/port{card}/statistics/rx_packets");
            must(&format!("ip netns exec {far} cat {file}")).trim().parse().unwrap()
        })
    }

    /// Unplugs a card's cable.
    pub fn cut(&self, card: usize) {
        must(&format!("ip -n {} link set port{card} down", self.far));
    }

    /// Plugs it in again.
    pub fn heal(&self, card: usize) {
        must(&format!("ip -n {} link set port{card} up", self.far));
    }

    /// The processes on the near side.
    pub fn processes(&self) -> Vec<i32> {
        let pids = must(&format!("ip netns pids {}", self.near));
        pids.lines().map(|pid| pid.parse().unwrap()).collect()
    }

    /// The sockets of laggs on the near side.
    fn sockets(&self) -> Vec<PathBuf> {
        let inode = must(&format!("ip netns exec {} stat -L -c %i /proc/self/ns/net", self.near));
        let prefix = format!("/run/userlagg/{}-", inode.trim());
        let Ok(entries) = std::fs::read_dir("/run/userlagg") else { return Vec::new() };
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.to_str().unwrap().starts_with(&prefix)).collect()
    }

    /// Checks that only what the lab itself has made is left.
    pub fn assert_clean(&self) {
        until("the process has ended", || self.processes().is_empty());
        let links = must(&format!("ip -n {} -o link show", self.near));
        assert!(!links.contains(": lagg"), "{links}");
        assert_eq!(self.sockets(), Vec::<PathBuf>::new());
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
        // A test that fails leaves its laggs running. Let them end cleanly if they can.
        for signal in ["TERM", "KILL"] {
            let pids = || {
                let of = |side| run(&format!("ip netns pids {side}")).stdout;
                [of(&self.near), of(&self.far)].concat()
            };
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
