//! The lagg as Linux sees it: a TAP interface.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use lagg_rs::kpi::host::tap;

use super::errno::describe;
use super::netlink;

/// Frames that Linux queues while this process is not running.
const QUEUE: u32 = 4096;

/// A TAP interface, removed when this is dropped. Nothing on it blocks.
pub struct Tap {
    file: File,
    index: u32,
}

impl Tap {
    /// Creates the interface, down and without a carrier.
    ///
    /// # Errors
    /// AlreadyExists if there is an interface of that name; or what else Linux returned.
    pub fn create(name: &str) -> io::Result<Tap> {
        if netlink::link(name).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = Path::new(tap::NODE);
        node.metadata().map_err(|error| {
            io::Error::other(format!("{}: {}", node.display(), describe(&error)))
        })?;
        let file = tap::create(name)?;
        let index = netlink::link(name)?.index;
        netlink::change(index, &netlink::Change::Queue(QUEUE))?;
        netlink::change(index, &netlink::Change::Carrier(false))?;
        Ok(Tap { file, index })
    }

    /// Its number.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Passes a frame to Linux.
    ///
    /// # Errors
    /// EIO while the interface is down.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        (&self.file).write(frame).map(drop)
    }

    /// The next frame that Linux sends, if there is one.
    ///
    /// # Errors
    /// EBADFD once the interface is gone.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match (&self.file).read(buffer) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
