//! A Linux interface as a network card for the driver.

use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::{fs, io};

use nix::net::if_::if_indextoname;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use lagg_rs::kpi::host::{self, Attached, Nic};
use lagg_rs::kpi::ioctl::{SIOCSIFFLAGS, SIOCSIFMTU};
use lagg_rs::kpi::{Epoch, IfType, Ifnet, IfnetRef, Ioctl, LinkState, MacAddr, Mbuf, Result, iff};

use super::errno::from_linux;
use super::netlink::{self, Change, Link};
use super::packet::{Buffer, PacketSocket};
use super::quiet::Quiet;

/// The driver of the card.
struct Card {
    /// Identifies the interface, whose name may change.
    index: u32,
    socket: PacketSocket,
    promisc: Mutex<bool>,
    /// The next change to down belongs to a change of the address, which Linux does while the interface is up.
    stays_up: AtomicBool,
    /// While it is a port.
    quiet: Mutex<Option<Quiet>>,
}

impl Nic for Card {
    fn transmit(&self, _: &Ifnet, m: Mbuf, _: &Epoch) -> Result {
        self.socket.send(&m.into_vec()).map_err(|error| from_linux(&error))
    }

    fn ioctl(&self, ifp: &Ifnet, request: &mut Ioctl<'_>) -> Result {
        match request.command() {
            SIOCSIFFLAGS => self.set_flags(ifp),
            SIOCSIFMTU => {
                let mtu = host::requested_mtu(request)?;
                self.change(&Change::Mtu(mtu))?;
                ifp.store_mtu(mtu);
                Ok(())
            }
            _ => host::default_ioctl(ifp, request),
        }
    }

    fn media(&self, ifp: &Ifnet) -> u32 {
        let half = self.attribute("duplex").as_deref() == Some("half");
        let media = host::media_of(ifp.baudrate());
        if half { media & !host::IFM_FDX | host::IFM_HDX } else { media }
    }

    fn set_lladdr(&self, ifp: &Ifnet, lladdr: &MacAddr) -> Result {
        // First, or frames that Linux still sends would have the lagg's address, and a switch would learn it
        // on this card.
        self.quiet().map_err(|error| from_linux(&error))?;
        self.change(&Change::Lladdr(*lladdr))?;
        self.stays_up.store(ifp.flags() & iff::UP != 0, Ordering::Relaxed);
        Ok(())
    }
}

impl Card {
    fn set_flags(&self, ifp: &Ifnet) -> Result {
        let up = ifp.flags() & iff::UP != 0;
        if !up && self.stays_up.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let wanted = ifp.flags() & iff::PROMISC != 0;
        let mut promisc = lock(&self.promisc);
        if *promisc != wanted {
            self.socket.set_promisc(wanted).map_err(|error| from_linux(&error))?;
            *promisc = wanted;
        }
        self.change(&Change::Up(up))?;
        ifp.set_running(up);
        Ok(())
    }

    /// In bits a second; 0 if Linux does not know.
    fn speed(&self) -> u64 {
        let megabits: Option<u64> = self.attribute("speed").and_then(|text| text.parse().ok());
        megabits.unwrap_or(0).saturating_mul(1_000_000)
    }

    /// A value from sysfs; none while the interface is down.
    fn attribute(&self, name: &str) -> Option<String> {
        let interface = if_indextoname(self.index).ok()?.into_string().ok()?;
        let text = fs::read_to_string(format!("/sys/class/net/{interface}/{name}")).ok()?;
        Some(text.trim_end().to_owned())
    }

    fn quiet(&self) -> io::Result<()> {
        let mut quiet = lock(&self.quiet);
        if quiet.is_none() {
            *quiet = Some(Quiet::new(self.index)?);
        }
        Ok(())
    }

    fn change(&self, change: &Change) -> Result {
        netlink::change(self.index, change).map_err(|error| from_linux(&error))
    }
}

/// A Linux interface that is attached to the driver's stack. Dropping it returns it to Linux alone; by then
/// it is no longer a port, or no longer exists.
pub struct Port {
    card: Arc<Card>,
    // In the order in which they end.
    _receiver: Receiver,
    attached: Attached,
    /// Bound to a name, of the interface's number, that only one process of this network namespace can have.
    _claim: UnixDatagram,
}

impl Port {
    /// Attaches the interface.
    ///
    /// # Errors
    /// ENODEV if there is none of that name, EADDRINUSE if another userlagg has it; or what else
    /// Linux returned.
    pub fn attach(name: &str) -> io::Result<Port> {
        let link = netlink::link(name)?;
        let claim = SocketAddr::from_abstract_name(format!("userlagg/port/{}", link.index))?;
        let claim = UnixDatagram::bind_addr(&claim)?;
        let card = Arc::new(Card {
            index: link.index,
            socket: PacketSocket::open(name, link.index)?,
            promisc: Mutex::new(false),
            stays_up: AtomicBool::new(false),
            quiet: Mutex::new(None),
        });
        // This is not the number of a type that a lagg takes.
        let if_type = if link.ethernet { IfType::Ethernet } else { IfType::Other(1) };
        let attached = host::attach(name, if_type, link.lladdr, link.mtu, 0, card.clone());
        let receiver = Receiver::start(card.clone(), attached.ifp())?;
        let port = Port { card, _receiver: receiver, attached, _claim: claim };
        port.changed(&link);
        Ok(port)
    }

    /// Its number in Linux.
    pub fn index(&self) -> u32 {
        self.card.index
    }

    /// Keeps Linux's own stack away from the interface, which is a port now.
    ///
    /// # Errors
    /// What Linux refused it with.
    pub fn quiet(&self) -> io::Result<()> {
        self.card.quiet()
    }

    /// Updates the card with what Linux reports.
    pub fn changed(&self, link: &Link) {
        let ifp = &*self.attached;
        // Linux reports nothing for a name that it has already, and an error for one that is taken.
        let _ = host::rename(ifp, &link.name);
        if link.up != (ifp.flags() & iff::UP != 0) {
            if link.up { ifp.up() } else { ifp.down() }
        }
        ifp.set_running(link.up);
        ifp.store_mtu(link.mtu);
        ifp.set_baudrate(self.card.speed());
        host::set_link(ifp, if link.lower_up { LinkState::Up } else { LinkState::Down });
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // The card itself may live a grace period longer.
        lock(&self.card.quiet).take();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread that receives frames.
struct Receiver {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    fn start(card: Arc<Card>, ifp: IfnetRef) -> io::Result<Receiver> {
        let stop = Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC)?);
        let stopped = stop.clone();
        let thread = thread::Builder::new().name("port".to_owned()).spawn(move || {
            let mut buffer = Buffer::new();
            while wait(&card.socket, &stopped) {
                let mut each = |frame: &[u8]| host::receive(&ifp, Mbuf::from_bytes(frame));
                // The error comes once: the interface is down, which netlink reports as well.
                while let Ok(true) = card.socket.receive(&mut buffer, &mut each) {}
            }
        })?;
        Ok(Receiver { stop, thread: Some(thread) })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // The counter of an eventfd does not overflow by 1.
        let _ = self.stop.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits until there is something to read. Returns false when told to stop.
pub fn wait(readable: &impl AsFd, stop: &EventFd) -> bool {
    let mut fds = [
        PollFd::new(readable.as_fd(), PollFlags::POLLIN),
        PollFd::new(stop.as_fd(), PollFlags::POLLIN),
    ];
    loop {
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => return !fds[1].any().unwrap_or(false),
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// Whether it was told to stop.
pub fn stopped(stop: &EventFd) -> bool {
    let mut fds = [PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}
