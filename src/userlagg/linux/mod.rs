//! The command line: parsed, and passed to the process of the lagg.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, Stdio};

use nix::unistd::geteuid;

use control::{Reply, Request};
use words::{Line, Word};

mod control;
mod errno;
mod lagg;
mod netlink;
mod offload;
mod packet;
mod port;
mod quiet;
mod request;
mod server;
mod show;
mod tap;
mod words;

const USAGE: &str = "\
usage: userlagg [-v] [lagg]
       userlagg -l
       userlagg [-f] lagg create [laggtype type] [word ...]
       userlagg lagg word ...
       userlagg lagg get [setting]
       userlagg lagg state

words: laggproto failover|none|...  laggport interface  -laggport interface
       lagghash l2,l3,l4  [-]use_flowid  [-]use_numa  [-]lacp_strict
       [-]lacp_fast_timeout  flowid_shift n  rr_limit n  up  down  mtu n
       ether address  [inet] address/length  set setting value  destroy

Without words it shows the lagg, or all; -v shows more, -l their names. create
starts a process for the lagg, or with -f becomes it. The words are those of
ifconfig(8), except set, for what it has no word for. get shows these settings.
state shows them and all that is known of the lagg and its ports, in lines as
lagg0.port.em0.flaps: 2, which sysctl(8) of FreeBSD begins with
net.link.lagg.iface. (lagg_rs(4)).";

/// The word that shows the state.
const STATE: &str = "state";

/// The word that shows the settings.
const GET: &str = "get";

/// The options.
#[derive(Default)]
struct Options {
    verbose: bool,
    /// Names alone.
    list: bool,
    foreground: bool,
    /// Started by another userlagg, which waits at the other end of the standard input.
    detach: bool,
}

/// Carries out the command line.
pub fn main() -> ExitCode {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1).peekable();
    while let Some(option) = arguments.next_if(|argument| argument.starts_with('-')) {
        match option.as_str() {
            "-v" => options.verbose = true,
            "-l" => options.list = true,
            "-f" => options.foreground = true,
            "--detach" => options.detach = true,
            "-h" | "--help" => {
                println!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            "-V" | "--version" => {
                println!("userlagg {}", env!("CARGO_PKG_VERSION"));
                return ExitCode::SUCCESS;
            }
            _ => {
                eprintln!("userlagg: unknown option {option}\n{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    let lagg = arguments.next();
    let words: Vec<String> = arguments.collect();
    print(&match lagg {
        None => show_all(&options),
        Some(lagg) if is_question(&words) => ask(&lagg, &options, words),
        Some(lagg) => match Line::parse(&words) {
            Err(message) => Reply::failure(message),
            Ok(Line { create: None, .. }) => ask(&lagg, &options, words),
            Ok(line) => create(&lagg, &options, line, words),
        },
    })
}

/// Whether these words only ask, which any user may.
fn is_question(words: &[String]) -> bool {
    match words {
        [] => true,
        [word] => word == STATE || word == GET,
        [word, _] => word == GET,
        _ => false,
    }
}

/// Prints the reply to a command.
fn print(reply: &Reply) -> ExitCode {
    let mut output = io::stdout();
    let written = output.write_all(reply.output.as_bytes()).and_then(|()| output.flush());
    for message in &reply.messages {
        eprintln!("userlagg: {message}");
    }
    if written.is_err() { ExitCode::FAILURE } else { ExitCode::from(reply.status) }
}

fn show_all(options: &Options) -> Reply {
    let laggs = match control::laggs() {
        Ok(laggs) => laggs,
        Err(error) => return Reply::failure(errno::describe(&error)),
    };
    if options.list {
        return Reply { output: laggs.join(" ") + "\n", ..Reply::default() };
    }
    let mut all = Reply::default();
    for reply in laggs.iter().map(|lagg| ask(lagg, options, Vec::new())) {
        all.status = all.status.max(reply.status);
        all.output += &reply.output;
        all.messages.extend(reply.messages);
    }
    all
}

/// Passes the words to the process of the lagg.
fn ask(lagg: &str, options: &Options, words: Vec<String>) -> Reply {
    let request = Request { verbose: options.verbose, words };
    control::ask(lagg, &request).unwrap_or_else(|error| {
        Reply::failure(match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                format!("interface {lagg} does not exist")
            }
            _ => format!("{lagg}: {}", errno::describe(&error)),
        })
    })
}

fn create(lagg: &str, options: &Options, line: Line, words: Vec<String>) -> Reply {
    let refused = |reason: &str| Reply::failure(format!("SIOCIFCREATE2 ({lagg}): {reason}"));
    if !geteuid().is_root() {
        return refused("Operation not permitted");
    }
    let unit = lagg.strip_prefix("lagg");
    if unit == Some("") {
        return create_any(options, line, words);
    }
    let number = unit.and_then(|unit| unit.parse::<u16>().ok()).filter(|unit| *unit <= 32767);
    if number.map(|number| number.to_string()).as_deref() != unit || unit.is_none() {
        return refused("Invalid argument");
    }
    if line.words.contains(&Word::Destroy) {
        return Reply::failure("create and destroy in one line".to_owned());
    }
    if options.foreground || options.detach {
        return server::run(lagg, &line, options.detach);
    }
    start(lagg, &words).unwrap_or_else(|error| refused(&errno::describe(&error)))
}

/// `lagg create`: takes the first free unit, and prints its name.
fn create_any(options: &Options, line: Line, words: Vec<String>) -> Reply {
    let mut units = (0..=32767).map(|unit| format!("lagg{unit}"));
    let Some(name) = units.find(|name| netlink::link(name).is_err()) else {
        return Reply::failure("SIOCIFCREATE2 (lagg): No space left on device".to_owned());
    };
    if options.foreground {
        println!("{name}");
        return create(&name, options, line, words);
    }
    let mut reply = create(&name, options, line, words);
    if reply.status == 0 {
        reply.output = format!("{name}\n");
    }
    reply
}

/// Starts the process of a lagg, and waits until it has carried out the words.
fn start(lagg: &str, words: &[String]) -> io::Result<Reply> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let mut child = Command::new("/proc/self/exe")
        .arg("--detach")
        .arg(lagg)
        .args(words)
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .spawn()?;
    // The process has printed the error itself.
    let mut status = [1];
    if ours.read_exact(&mut status).is_err() {
        child.wait()?;
    }
    let [status] = status;
    Ok(Reply { status, ..Reply::default() })
}
