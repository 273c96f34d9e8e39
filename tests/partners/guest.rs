//! A virtual machine that runs Debian's kernel, with the drivers for link aggregation that it comes with.
//!
//! It is made a switch: the far ends of the lagg's cables are its cards eth0, eth1, …, and a bridge takes
//! what it aggregates of them to a last card. On our side the cables are the taps em0, em1, … in the near
//! namespace, and in the far one is `switch` with the address 192.0.2.2, at the end of the last cable.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::lab::{Directory, Lab, has, leave_out_but_in_ci, must, until};

/// Where `kmod/setup.sh test` has unpacked Debian's package.
const KERNEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/build/linux");
/// For whatever the machine is asked. It has no processor of its own.
const LIMIT: Duration = Duration::from_secs(120);

/// Megabits per second of its cards, in the order of their numbers.
pub const SPEEDS: [u32; 4] = [1_000, 1_000, 10_000, 1_000];

/// A way that frames take on a cable.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    Out,
    Back,
    Both,
}

pub struct Guest {
    process: Child,
    console: BufReader<UnixStream>,
    monitor: BufReader<UnixStream>,
    // In the order in which they end.
    pub lab: Lab,
    directory: Directory,
    cards: usize,
    _turn: MutexGuard<'static, ()>,
}

/// One runs at a time: what waits for a processor loses frames, and answers late.
static TURN: Mutex<()> = Mutex::new(());

/// The kernel, and its initial file system, the same for all machines.
fn files() -> &'static Option<[PathBuf; 2]> {
    static FILES: LazyLock<Option<[PathBuf; 2]>> = LazyLock::new(|| {
        let boot = std::fs::read_dir(Path::new(KERNEL).join("boot")).ok()?;
        let kernel = boot.filter_map(|entry| Some(entry.ok()?.path())).find(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
        })?;
        let initramfs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("initramfs");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/partners/initramfs.sh");
        must(&format!("{script} {KERNEL} {}", initramfs.display()));
        Some([kernel, initramfs])
    });
    &FILES
}

/// Waits until the machine has connected.
fn accept(listener: UnixListener, process: &mut Child) -> BufReader<UnixStream> {
    listener.set_nonblocking(true).unwrap();
    let mut stream = None;
    until("the virtual machine has connected", || {
        assert!(process.try_wait().unwrap().is_none(), "the virtual machine has ended");
        stream = listener.accept().ok();
        stream.is_some()
    });
    let (stream, _) = stream.unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    BufReader::new(stream)
}

impl Guest {
    /// Boots it with this many cables; none, and a message, where it cannot be.
    pub fn boot(cards: usize) -> Option<Guest> {
        let needs = [
            ("qemu-system-x86_64", "qemu-system-x86"),
            ("busybox", "busybox-static"),
            ("teamd", "libteam-utils"),
            ("ethtool", "ethtool"),
        ];
        if !needs.into_iter().all(|(program, package)| has(program, package)) {
            return None;
        }
        let Some([kernel, initramfs]) = files() else {
            leave_out_but_in_ci(&format!("there is no Linux kernel in {KERNEL}"));
            return None;
        };
        // A test that failed with it has done no harm.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let lab = Lab::cables(0)?;
        let directory = Directory::new(&lab);
        let path = directory.path();
        let listen = |name| UnixListener::bind(path.join(name)).unwrap();
        let (console, monitor) = (listen("console"), listen("monitor"));

        // It ends with this thread, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "ip", "netns", "exec", &lab.near]);
        command.args(["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"]);
        // Not every machine can do it faster, and some only say that they can.
        command.args(["-accel", "tcg", "-cpu", "max", "-m", "192"]);
        command.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs);
        // Where the machine is busy its timer may look broken.
        let options = "console=ttyS0 quiet no_timer_check ipv6.disable=1";
        command.args(["-append", options]);
        let place = |name| path.join(name).display().to_string();
        command.args(["-serial", &format!("file:{}", place("log"))]);
        command.args(["-qmp", &format!("unix:{}", place("monitor"))]);
        command.args(["-chardev", &format!("socket,id=console,path={}", place("console"))]);
        command.args(["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=console"]);
        for (card, speed) in SPEEDS.iter().enumerate().take(cards + 1) {
            must(&format!("ip -n {} tuntap add em{card} mode tap", lab.near));
            must(&format!("ip -n {} link set em{card} up", lab.near));
            let tap = format!("tap,id=cable{card},ifname=em{card},script=no,downscript=no");
            let address = format!("mac=02:00:5e:00:53:8{card},romfile=");
            // A bond with LACP has no use for links of unknown speed.
            let speed = format!("speed={speed},duplex=full");
            let nic = format!("virtio-net-pci,id=eth{card},netdev=cable{card},{address},{speed}");
            let nowhere = format!("null,id=nowhere{card}");
            command.args(["-netdev", &tap, "-device", &nic, "-chardev", &nowhere]);
        }
        let mut process = command.spawn().unwrap();
        let console = accept(console, &mut process);
        let monitor = accept(monitor, &mut process);

        let mut guest = Guest { process, console, monitor, lab, directory, cards, _turn: turn };
        guest.ask("qmp_capabilities", "");
        guest.becomes_a_switch();
        let Lab { near, far } = &guest.lab;
        must(&format!("ip -n {near} link set em{cards} netns {far} name switch"));
        must(&format!("ip -n {far} addr add 192.0.2.2/24 dev switch"));
        must(&format!("ip -n {far} link set switch up"));
        Some(guest)
    }

    /// Waits until it has booted.
    fn becomes_a_switch(&mut self) {
        let mut line = String::new();
        while line != "ready\n" {
            line.clear();
            self.console.read_line(&mut line).expect("the virtual machine boots");
        }
        let last = self.cards;
        self.run("ip link add br0 type bridge; ip link set br0 up");
        self.run(&format!("ip link set eth{last} master br0 up"));
    }

    /// Boots it again. Its links stay up meanwhile.
    pub fn reboot(&mut self) {
        self.ask("system_reset", "");
        self.becomes_a_switch();
    }

    /// Has its shell run commands, of which the last one must succeed, and returns what they say.
    pub fn run(&mut self, commands: &str) -> String {
        self.console.get_mut().write_all(format!("{commands}\n").as_bytes()).unwrap();
        let mut said = String::new();
        loop {
            let mut line = String::new();
            self.console.read_line(&mut line).unwrap_or_else(|error| panic!("{commands}: {error}"));
            match line.trim_end().strip_prefix("= ") {
                None => said += &line,
                Some("0") => return said,
                Some(status) => panic!("{commands}: {status}: {said}"),
            }
        }
    }

    /// Asks QEMU, by QMP.
    fn ask(&mut self, command: &str, arguments: &str) {
        let request = format!("{{\"execute\": \"{command}\", \"arguments\": {{{arguments}}}}}\n");
        self.monitor.get_mut().write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        // There are a greeting and events as well.
        while !answer.starts_with("{\"return\"") {
            assert!(!answer.starts_with("{\"error\""), "{request} {answer}");
            answer.clear();
            self.monitor.read_line(&mut answer).unwrap();
        }
    }

    /// Takes a cable away, which both ends see.
    pub fn cut(&mut self, card: usize) {
        self.set_carrier(card, false);
    }

    /// Puts it back.
    pub fn heal(&mut self, card: usize) {
        self.set_carrier(card, true);
    }

    fn set_carrier(&mut self, card: usize, up: bool) {
        self.ask("set_link", &format!("\"name\": \"eth{card}\", \"up\": {up}"));
        let carrier = if up { "on" } else { "off" };
        must(&format!("ip -n {} link set em{card} carrier {carrier}", self.lab.near));
    }

    /// Frames of a card do not come through any more, which neither end sees.
    pub fn silence(&mut self, card: usize, way: Way) {
        let queue = match way {
            Way::Out => "tx",
            Way::Back => "rx",
            Way::Both => "all",
        };
        self.ask(
            "object-add",
            &format!(
                "\"qom-type\": \"filter-redirector\", \"id\": \"silence{card}\", \"netdev\": \
                 \"cable{card}\", \"queue\": \"{queue}\", \"outdev\": \"nowhere{card}\""
            ),
        );
    }

    /// They do again.
    pub fn end_silence(&mut self, card: usize) {
        self.ask("object-del", &format!("\"id\": \"silence{card}\""));
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.directory.path().join("log"));
            eprintln!("its kernel said: {}", log.unwrap_or_default());
        }
    }
}
