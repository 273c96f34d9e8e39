//! The process of a lagg, and its callers.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{chdir, dup2_stderr, dup2_stdin, dup2_stdout, setsid, write};

use lagg_rs::kpi::host::Event;
use lagg_rs::kpi::{Ifnet, LaggType, host, iff};

use super::control::{self, Reply};
use super::errno::{describe, text};
use super::lagg::Lagg;
use super::netlink::{self, Change};
use super::request;
use super::words::{Line, Word};
use super::{GET, STATE};

/// Runs the lagg from its creation to its end. A command line that fails leaves nothing behind.
pub fn run(name: &str, line: &Line, detached: bool) -> Reply {
    // Before other threads start, which inherit it.
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    let refused = |reason: &str| Reply::failure(format!("SIOCIFCREATE2 ({name}): {reason}"));
    if let Err(error) = signals.thread_block() {
        return refused(error.desc());
    }
    let mut lagg = match Lagg::create(name, line.create.unwrap_or(LaggType::Ethernet)) {
        Ok(lagg) => lagg,
        Err(reason) if reason.is_empty() => {
            return Reply::failure(format!("interface {name} already exists"));
        }
        Err(reason) => return refused(&reason),
    };
    for word in &line.words {
        if let Err(message) = request::carry_out(&mut lagg, word) {
            lagg.destroy();
            return Reply::failure(message);
        }
    }
    let result = Listener::bind(name).and_then(|listener| {
        let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)?;
        if detached {
            detach()?;
            log_to_syslog(&lagg.ifp);
        }
        Ok((listener, signals))
    });
    match result {
        Ok((listener, signals)) => serve(lagg, &listener, &signals),
        Err(error) => {
            lagg.destroy();
            refused(&describe(&error))
        }
    }
}

/// Tells the waiting caller that its words are carried out, and detaches from its terminal.
fn detach() -> io::Result<()> {
    setsid()?;
    chdir("/")?;
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    write(io::stdin(), &[0])?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}

/// What the driver logs of `ifp` goes to syslog(3) too, if there is one: daemon.notice.
fn log_to_syslog(ifp: &Ifnet) {
    let Ok(socket) = UnixDatagram::unbound() else { return };
    // Whoever logs waits for no reader: a message is lost if there is no room.
    if socket.set_nonblocking(true).is_err() {
        return;
    }
    host::listen(ifp, move |ifp, event| {
        if let Event::Log(line) = event {
            let message = format!("<29>userlagg: {}: {line}", ifp.name());
            let _ = socket.send_to(message.as_bytes(), "/dev/log");
        }
    });
}

/// Serves callers until the lagg is destroyed, by a word or a signal.
fn serve(mut lagg: Lagg, listener: &Listener, signals: &SignalFd) -> Reply {
    loop {
        let mut fds =
            [listener.0.as_fd(), signals.as_fd(), lagg.stop.as_fd(), lagg.changed.as_fd()]
                .map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        if poll(&mut fds, PollTimeout::NONE).is_err() {
            continue;
        }
        let [call, signal, stop, changed] = fds.map(|fd| fd.any().unwrap_or(false));
        if signal || stop {
            lagg.destroy();
            return Reply::default();
        }
        if changed {
            let _ = lagg.changed.read();
            follow_linux(&mut lagg);
        }
        // A malformed request gets no answer.
        if call
            && let Ok((stream, _)) = listener.0.accept()
            && let Ok(request) = control::receive(&stream)
        {
            let privileged = getsockopt(&stream, PeerCredentials).is_ok_and(|peer| peer.uid() == 0);
            let (reply, end) = answer(&mut lagg, &request, privileged);
            if end {
                lagg.destroy();
                listener.remove();
                let _ = control::answer(&stream, &reply);
                return Reply::default();
            }
            let _ = control::answer(&stream, &reply);
        }
    }
}

/// Applies to the lagg what others have changed on its Linux interface.
fn follow_linux(lagg: &mut Lagg) {
    let Ok(link) = netlink::link_at(lagg.tap.index()) else { return };
    if link.up != (lagg.ifp.flags() & iff::UP != 0) {
        let _ = request::carry_out(lagg, if link.up { &Word::Up } else { &Word::Down });
    }
    if link.mtu != lagg.ifp.mtu() && request::carry_out(lagg, &Word::Mtu(link.mtu)).is_err() {
        let _ = netlink::change(link.index, &Change::Mtu(lagg.ifp.mtu()));
    }
}

/// Carries out a caller's words. Returns whether the lagg is to be destroyed.
fn answer(lagg: &mut Lagg, request: &control::Request, privileged: bool) -> (Reply, bool) {
    if request.words.is_empty() {
        let reply = match request::show(lagg, request.verbose) {
            Ok(status) => Reply { output: status.to_string(), ..Reply::default() },
            Err(errno) => Reply::failure(format!("{}: {}", lagg.name, text(errno))),
        };
        return (reply, false);
    }
    if request.words == [STATE] {
        return (Reply { output: request::state(lagg), ..Reply::default() }, false);
    }
    if let [GET, name @ ..] = &*request.words.iter().map(String::as_str).collect::<Vec<_>>() {
        let reply = match request::settings(lagg, name.first().copied()) {
            Ok(output) => Reply { output, ..Reply::default() },
            Err(message) => Reply::failure(message),
        };
        return (reply, false);
    }
    if !privileged {
        return (Reply::failure(format!("{}: permission denied", lagg.name)), false);
    }
    let line = match Line::parse(&request.words) {
        Ok(line) => line,
        Err(message) => return (Reply::failure(message), false),
    };
    let mut reply = Reply::default();
    for word in &line.words {
        if *word == Word::Destroy {
            return (reply, true);
        }
        if let Err(message) = request::carry_out(lagg, word) {
            reply.status = 1;
            reply.messages.push(message);
            // A card that fails does not affect the others.
            if !matches!(word, Word::Port(_)) {
                break;
            }
        }
    }
    (reply, false)
}

/// The socket on which callers come.
struct Listener(UnixListener, PathBuf);

impl Listener {
    fn bind(lagg: &str) -> io::Result<Listener> {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(control::DIRECTORY)?;
        let path = control::path(lagg)?;
        // A killed process has left it; its interface is ours now.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        // Any user may look; changes check the caller.
        fs::set_permissions(&path, PermissionsExt::from_mode(0o666))?;
        Ok(Listener(listener, path))
    }

    fn remove(&self) {
        let _ = fs::remove_file(&self.1);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.remove();
    }
}
