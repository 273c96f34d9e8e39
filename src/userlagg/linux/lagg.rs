//! A lagg: the driver and its stack, and Linux on both sides of it.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use nix::sys::eventfd::{EfdFlags, EventFd};

use lagg_rs::kpi::host::{self, Event};
use lagg_rs::kpi::{Errno, IfnetRef, LaggType, LinkState, MacAddr, Mbuf};

use super::errno::{describe, text};
use super::netlink::{self, Change, Monitor};
use super::port::{Port, stopped, wait};
use super::tap::Tap;

/// The largest frame that Linux sends: the largest MTU, a header and a tag.
const BUFFER: usize = 65535 + 18;

/// A lagg and what belongs to it.
pub struct Lagg {
    pub name: String,
    pub ifp: IfnetRef,
    pub tap: Arc<Tap>,
    ports: Arc<Mutex<Vec<Port>>>,
    /// Signals the threads to stop.
    pub stop: Arc<EventFd>,
    /// Something happened to Linux's interface.
    pub changed: Arc<EventFd>,
    threads: Vec<JoinHandle<()>>,
}

impl Lagg {
    /// Creates the lagg and its Linux interface.
    ///
    /// # Errors
    /// A message; empty if the interface exists already.
    pub fn create(name: &str, kind: LaggType) -> Result<Lagg, String> {
        if kind == LaggType::Infiniband {
            return Err(text(Errno::EOPNOTSUPP));
        }
        let tap = Tap::create(name).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::ResourceBusy => String::new(),
            _ => describe(&error),
        })?;
        let tap = Arc::new(tap);
        host::clone_create(name, None).map_err(text)?;
        let ifp = host::Vnet::current().interface(name).ok_or("it is gone")?;
        let event = || EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC).map(Arc::new);
        let described = |error: nix::errno::Errno| error.desc().to_owned();
        let mut lagg = Lagg {
            name: name.to_owned(),
            ifp,
            tap,
            ports: Arc::default(),
            stop: event().map_err(described)?,
            changed: event().map_err(described)?,
            threads: Vec::new(),
        };
        match lagg.start() {
            Ok(()) => Ok(lagg),
            Err(error) => {
                lagg.destroy();
                Err(describe(&error))
            }
        }
    }

    /// Connects both sides.
    fn start(&mut self) -> io::Result<()> {
        // Weak: the lagg's ifnet may outlive the TAP interface by a grace period.
        let tap = Arc::downgrade(&self.tap);
        host::listen(&self.ifp, move |ifp, event| {
            if let Some(tap) = tap.upgrade() {
                follow(&tap, event);
            }
            if *event == Event::Announced {
                // The lagg counts what it cannot send.
                let frame = reverse_arp(&ifp.lladdr().ethernet());
                let _ = host::transmit(ifp, Mbuf::from_bytes(&frame));
            }
        });
        let tap = Arc::downgrade(&self.tap);
        host::set_input(&self.ifp, move |m: Mbuf| {
            // A TAP interface that is down accepts nothing.
            let _ = tap.upgrade().map(|tap| tap.send(&m.into_vec()));
        });

        let (tap, ifp, stop) = (self.tap.clone(), self.ifp.clone(), self.stop.clone());
        self.spawn("tap", move || from_linux(&tap, &ifp, &stop))?;
        let (vnet, stop) = (host::Vnet::current(), self.stop.clone());
        self.spawn("clock", move || vnet.run_clock(|| stopped(&stop)))?;
        let watcher = Watcher {
            monitor: Monitor::new()?,
            ports: self.ports.clone(),
            lagg: self.tap.index(),
            changed: self.changed.clone(),
        };
        let stop = self.stop.clone();
        self.spawn("netlink", move || watcher.run(&stop))
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(thread::Builder::new().name(name.to_owned()).spawn(run)?);
        Ok(())
    }

    /// Attaches an interface unless it is attached already. Returns whether it was not.
    ///
    /// # Errors
    /// What Linux refused it with.
    pub fn attach(&self, name: &str) -> io::Result<bool> {
        if self.is_attached(self.index(name)?) {
            return Ok(false);
        }
        let port = Port::attach(name)?;
        lock(&self.ports).push(port);
        // Changes of the interface before it was in the list.
        look_again(&self.ports);
        Ok(true)
    }

    /// Keeps Linux's stack away from a port, known by its number.
    ///
    /// # Errors
    /// What Linux refused it with.
    pub fn quiet(&self, index: u32) -> io::Result<()> {
        lock(&self.ports).iter().filter(|port| port.index() == index).try_for_each(Port::quiet)
    }

    /// Whether the interface is attached.
    fn is_attached(&self, index: u32) -> bool {
        lock(&self.ports).iter().any(|port| port.index() == index)
    }

    /// The number of the interface that has this name now. Its port is updated as well.
    ///
    /// # Errors
    /// What Linux refused it with: ENODEV if there is none.
    pub fn index(&self, name: &str) -> io::Result<u32> {
        look_again(&self.ports);
        Ok(netlink::link(name)?.index)
    }

    /// Returns an interface that is no longer a port to Linux.
    pub fn detach(&self, index: u32) {
        // F-51: by number, because names may change
        let at = lock(&self.ports).iter().position(|port| port.index() == index);
        let port = at.map(|at| lock(&self.ports).remove(at));
        drop(port);
    }

    /// Ends the lagg: restores its ports, and removes its Linux interface.
    pub fn destroy(mut self) {
        if let Err(errno) = host::clone_destroy(&self.name) {
            eprintln!("userlagg: SIOCIFDESTROY: {}", text(errno));
        }
        // The counter of an eventfd does not overflow by 1.
        let _ = self.stop.write(1);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        let ports = std::mem::take(&mut *lock(&self.ports));
        drop(ports);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Brings a port up to date with its Linux interface.
fn look_again(ports: &Mutex<Vec<Port>>) {
    for port in &*lock(ports) {
        if let Ok(link) = netlink::link_at(port.index()) {
            port.changed(&link);
        }
    }
}

/// A frame of no meaning to hosts, from which switches learn where an address is: it asks all what IP
/// address belongs to it (RFC 903). This process does not know the IP addresses of Linux's interface.
fn reverse_arp(own: &MacAddr) -> Vec<u8> {
    let header = [&[0xff; 6][..], own, &[0x80, 0x35]].concat();
    let request = [&[0, 1, 8, 0, 6, 4, 0, 3][..], own, &[0; 4], own, &[0; 4]].concat();
    let mut frame = [header, request].concat();
    frame.resize(60, 0);
    frame
}

/// Brings the Linux interface up to date with the lagg.
fn follow(tap: &Tap, event: &Event) {
    let change = match event {
        Event::Up => Change::Up(true),
        Event::Down => Change::Up(false),
        Event::Link(state) => Change::Carrier(*state == LinkState::Up),
        Event::Mtu(mtu) => Change::Mtu(*mtu),
        // A lagg without ports has no address, which Linux does not support.
        Event::Lladdr(lladdr) if *lladdr != [0; 6] => Change::Lladdr(lladdr.ethernet()),
        _ => return,
    };
    if let Err(error) = netlink::change(tap.index(), &change) {
        eprintln!("userlagg: {event:?}: {}", describe(&error));
    }
}

/// Passes what Linux sends to the lagg, until it is told to stop or the interface is gone.
fn from_linux(tap: &Tap, ifp: &IfnetRef, stop: &EventFd) {
    let mut buffer = vec![0; BUFFER];
    while wait(tap, stop) {
        loop {
            match tap.receive(&mut buffer) {
                // The lagg counts what it cannot send.
                Ok(Some(length)) => {
                    let _ = host::transmit(ifp, Mbuf::from_bytes(&buffer[..length]));
                }
                Ok(None) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    let _ = stop.write(1);
                    return;
                }
            }
        }
    }
}

/// Keeps the ports and the lagg up to date with Linux's interfaces.
struct Watcher {
    monitor: Monitor,
    ports: Arc<Mutex<Vec<Port>>>,
    /// The number of the lagg's own interface.
    lagg: u32,
    changed: Arc<EventFd>,
}

impl Watcher {
    fn run(&self, stop: &EventFd) {
        while wait(&self.monitor, stop) {
            match self.monitor.next() {
                Ok(events) => events.iter().for_each(|event| self.happened(event)),
                // Some events were lost.
                Err(_) => {
                    self.tell_lagg();
                    look_again(&self.ports);
                }
            }
        }
    }

    /// Wakes the one thread that serves callers, which handles it.
    fn tell_lagg(&self) {
        // The counter of an eventfd does not overflow by 1.
        let _ = self.changed.write(1);
    }

    fn happened(&self, event: &netlink::Event) {
        let mut ports = lock(&self.ports);
        match event {
            netlink::Event::Changed(link) if link.index == self.lagg => self.tell_lagg(),
            netlink::Event::Changed(link) => {
                if let Some(port) = ports.iter().find(|port| port.index() == link.index) {
                    port.changed(link);
                }
            }
            netlink::Event::Gone(index) => {
                let at = ports.iter().position(|port| port.index() == *index);
                let port = at.map(|at| ports.remove(at));
                // Leaving the lagg takes time.
                drop(ports);
                drop(port);
            }
        }
    }
}
