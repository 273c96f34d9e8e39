//! How a command line reaches the process of its lagg: over a Unix socket.
//!
//! The caller sends its words, each ended by a NUL, the first of them `-v` or nothing, and closes
//! its side. The answer is the exit status, the length of the output, the output, and the messages
//! for the error output.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Where the sockets are.
pub const DIRECTORY: &str = "/run/userlagg";

/// How long a slow caller is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
const LONGEST_REQUEST: u64 = 64 * 1024;

/// The prefix of the sockets of this network namespace, because names of interfaces are its own.
///
/// # Errors
/// If /proc is not there.
pub fn prefix() -> io::Result<String> {
    Ok(format!("{}-", fs::metadata("/proc/thread-self/ns/net")?.ino()))
}

/// The socket of a lagg.
///
/// # Errors
/// If /proc is not there.
pub fn path(lagg: &str) -> io::Result<PathBuf> {
    Ok(PathBuf::from(DIRECTORY).join(format!("{}{lagg}.sock", prefix()?)))
}

/// The units of the laggs in this network namespace whose processes answer.
///
/// # Errors
/// If the sockets cannot be looked for.
pub fn laggs() -> io::Result<Vec<String>> {
    let prefix = prefix()?;
    let entries = match fs::read_dir(DIRECTORY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut laggs = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let lagg = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(".sock"));
        if let Some(lagg) = lagg
            && UnixStream::connect(path(lagg)?).is_ok()
        {
            laggs.push(lagg.to_owned());
        }
    }
    laggs.sort_by_key(|lagg| (lagg.len(), lagg.clone()));
    Ok(laggs)
}

/// A command line for a lagg.
pub struct Request {
    pub verbose: bool,
    pub words: Vec<String>,
}

/// The answer to a command line.
#[derive(Default)]
pub struct Reply {
    /// The exit status.
    pub status: u8,
    pub output: String,
    /// One a line.
    pub messages: Vec<String>,
}

impl Reply {
    /// A reply with an error message.
    pub fn failure(message: String) -> Reply {
        Reply { status: 1, messages: vec![message], ..Reply::default() }
    }
}

/// Asks the lagg's process.
///
/// # Errors
/// NotFound or ConnectionRefused if there is no such lagg.
pub fn ask(lagg: &str, request: &Request) -> io::Result<Reply> {
    let mut stream = UnixStream::connect(path(lagg)?)?;
    let mut bytes = if request.verbose { b"-v\0".to_vec() } else { b"\0".to_vec() };
    for word in &request.words {
        bytes.extend_from_slice(word.as_bytes());
        bytes.push(0);
    }
    stream.write_all(&bytes)?;
    stream.shutdown(Shutdown::Write)?;

    let mut header = [0; 5];
    stream.read_exact(&mut header)?;
    let [status, length @ ..] = header;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (output, messages) = text
        .split_at_checked(u32::from_ne_bytes(length) as usize)
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let messages = messages.lines().map(str::to_owned).collect();
    Ok(Reply { status, output: output.to_owned(), messages })
}

/// Reads a caller's request.
///
/// # Errors
/// If it is not one, or is slow in coming.
pub fn receive(stream: &UnixStream) -> io::Result<Request> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.take(LONGEST_REQUEST).read_to_string(&mut text)?;
    let text = text.strip_suffix('\0').ok_or(io::ErrorKind::InvalidData)?;
    let mut words = text.split('\0');
    let verbose = words.next() == Some("-v");
    Ok(Request { verbose, words: words.map(str::to_owned).collect() })
}

/// Answers a caller.
///
/// # Errors
/// If it has gone.
pub fn answer(mut stream: &UnixStream, reply: &Reply) -> io::Result<()> {
    let mut bytes = vec![reply.status];
    bytes.extend_from_slice(&(reply.output.len() as u32).to_ne_bytes());
    bytes.extend_from_slice(reply.output.as_bytes());
    for message in &reply.messages {
        bytes.extend_from_slice(message.as_bytes());
        bytes.push(b'\n');
    }
    stream.write_all(&bytes)
}
