//! Turns words into the requests that ifconfig(8) makes.

use std::io;
use std::net::Ipv4Addr;

use nix::ifaddrs::getifaddrs;
use zerocopy::FromBytes;

use lagg_rs::kpi::host::{
    self, IFM_ACTIVE, MediaRequest, SIOCGIFFLAGS, SIOCGIFMTU, SIOCSIFLLADDR, UserMemory,
};
use lagg_rs::kpi::ioctl::{
    FlagsRequest, InterfaceRequest, LAGG_MAX_PORTS, LaggRequest, OptionsRequest, PortRequest,
    SIOCGIFXMEDIA, SIOCGLAGG, SIOCGLAGGFLAGS, SIOCGLAGGOPTS, SIOCSIFFLAGS, SIOCSIFMTU, SIOCSLAGG,
    SIOCSLAGGDELPORT, SIOCSLAGGHASH, SIOCSLAGGOPTS, SIOCSLAGGPORT, opt,
};
use lagg_rs::kpi::{Errno, MacAddr, Name, iff};

use super::errno::{describe, text};
use super::lagg::Lagg;
use super::netlink;
use super::show::{Inet, Status};
use super::words::Word;

/// The settings of this name, one a line; all of them for none.
///
/// # Errors
/// The message, if there is no such setting.
pub fn settings(lagg: &Lagg, name: Option<&str>) -> Result<String, String> {
    let mut output = String::new();
    for setting in host::settings().filter(|setting| name.is_none_or(|name| name == *setting)) {
        let value = host::sysctl_get(&lagg.name, setting).map_err(text)?;
        output += &format!("{setting}: {value}\n");
    }
    match name {
        Some(name) if output.is_empty() => Err(format!("get {name}: no such setting")),
        _ => Ok(output),
    }
}

/// The settings and the state, one a line, as sysctl(8) shows them below `net.link.lagg.iface`.
pub fn state(lagg: &Lagg) -> String {
    let name = Name::new(&lagg.name).unwrap_or_default().node();
    let lines = host::sysctl_all(&lagg.name).into_iter();
    lines.map(|(leaf, value)| format!("{name}.{leaf}: {value}\n")).collect()
}

/// What ifconfig adds to the flags of an interface with a carrier.
const IFF_LOWER_UP: u32 = 0x0100_0000;

/// Carries out a word.
///
/// # Errors
/// The message that ifconfig prints for it.
pub fn carry_out(lagg: &mut Lagg, word: &Word) -> Result<(), String> {
    let name = lagg.name.clone();
    let failed = |what: &'static str| move |errno| format!("{what}: {}", text(errno));
    match word {
        // The caller handles it.
        Word::Destroy => Ok(()),
        Word::Up => set_flags(&name, iff::UP, 0).map_err(failed("up")),
        Word::Down => set_flags(&name, 0, iff::UP).map_err(failed("down")),
        Word::Proto(proto) => {
            let mut request =
                LaggRequest { ifname: to_name(&name), proto: *proto, ..Default::default() };
            host::ifioctl(&name, SIOCSLAGG, &mut request).map_err(failed("SIOCSLAGG"))
        }
        Word::Port(port) => {
            add_port(lagg, port).map_err(|reason| format!("{name} {port}: SIOCSLAGGPORT: {reason}"))
        }
        Word::RemovePort(port) => {
            // If there is no such interface, the driver reports it.
            let index = lagg.index(port).ok();
            let mut request = port_request(&name, port);
            host::ifioctl(&name, SIOCSLAGGDELPORT, &mut request)
                .map_err(failed("SIOCSLAGGDELPORT"))?;
            index.into_iter().for_each(|index| lagg.detach(index));
            Ok(())
        }
        Word::Hash(flags) => {
            let mut request = FlagsRequest { ifname: to_name(&name), flags: *flags };
            host::ifioctl(&name, SIOCSLAGGHASH, &mut request).map_err(failed("SIOCSLAGGHASH"))
        }
        Word::Option(opts) => {
            set_option(&name, OptionsRequest { opts: *opts, ..Default::default() })
        }
        Word::FlowidShift(shift) => {
            let request = OptionsRequest {
                opts: opt::FLOWIDSHIFT,
                flowid_shift: *shift,
                ..Default::default()
            };
            set_option(&name, request)
        }
        Word::RrLimit(stride) => {
            let request =
                OptionsRequest { opts: opt::RR_LIMIT, bkt: *stride, ..Default::default() };
            set_option(&name, request)
        }
        Word::Set(setting, value) => {
            host::sysctl_set(&name, setting, value).map_err(|errno| match errno {
                Errno::ENOENT => format!("set {setting}: no such setting; {name} get lists all"),
                errno => format!("set {setting}={value}: {}", text(errno)),
            })
        }
        Word::Mtu(mtu) => {
            let mut request = InterfaceRequest::with_mtu(*mtu).named(to_name(&name));
            host::ifioctl(&name, SIOCSIFMTU, &mut request)
                .map_err(failed("ioctl SIOCSIFMTU (set mtu)"))
        }
        Word::Ether(lladdr) => set_lladdr(&name, lladdr).map_err(failed("ioctl (SIOCAIFADDR)")),
        Word::Inet(address, prefix) => set_inet(lagg, *address, *prefix)
            .map_err(|reason| format!("ioctl (SIOCAIFADDR): {reason}")),
    }
}

/// SIOCSLAGGPORT. Adding an interface that is already a port is no error.
fn add_port(lagg: &Lagg, port: &str) -> Result<(), String> {
    let attached = match lagg.attach(port) {
        Ok(attached) => attached,
        // The driver's error for an interface that does not exist.
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
            return Err(text(Errno::EINVAL));
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(text(Errno::EBUSY)),
        Err(error) => return Err(describe(&error)),
    };
    let index = lagg.index(port).map_err(|error| describe(&error))?;
    let mut request = port_request(&lagg.name, port);
    match host::ifioctl(&lagg.name, SIOCSLAGGPORT, &mut request) {
        Ok(()) => lagg.quiet(index).map_err(|error| {
            let _ = host::ifioctl(&lagg.name, SIOCSLAGGDELPORT, &mut request);
            lagg.detach(index);
            describe(&error)
        }),
        Err(Errno::EEXIST) => Ok(()),
        Err(errno) => {
            if attached {
                lagg.detach(index);
            }
            Err(text(errno))
        }
    }
}

fn set_flags(name: &str, set: u32, clear: u32) -> Result<(), Errno> {
    let mut request = InterfaceRequest::default().named(to_name(name));
    host::ifioctl(name, SIOCGIFFLAGS, &mut request)?;
    request.set_flags((request.flags() | set) & !clear);
    host::ifioctl(name, SIOCSIFFLAGS, &mut request)
}

fn set_option(name: &str, request: OptionsRequest) -> Result<(), String> {
    let mut request = OptionsRequest { ifname: to_name(name), ..request };
    host::ifioctl(name, SIOCSLAGGOPTS, &mut request)
        .map_err(|errno| format!("SIOCSLAGGOPTS: {}", text(errno)))
}

fn set_lladdr(name: &str, lladdr: &MacAddr) -> Result<(), Errno> {
    let mut request = InterfaceRequest::with_lladdr(lladdr).named(to_name(name));
    host::ifioctl(name, SIOCSIFLLADDR, &mut request)
}

/// Replaces the first address of the Linux interface, which also brings the lagg up.
fn set_inet(lagg: &Lagg, address: Ipv4Addr, prefix: u8) -> Result<(), String> {
    let index = lagg.tap.index();
    if let Some(old) = inet(&lagg.name).map_err(|error| describe(&error))?.first() {
        let prefix = old.mask.to_bits().leading_ones() as u8;
        netlink::set_inet(index, old.address, prefix, false).map_err(|error| describe(&error))?;
    }
    netlink::set_inet(index, address, prefix, true).map_err(|error| describe(&error))?;
    host::set_address(&lagg.ifp).map_err(text)
}

/// The IPv4 addresses of Linux's interface.
fn inet(name: &str) -> io::Result<Vec<Inet>> {
    let addresses = getifaddrs()?.filter(|entry| entry.interface_name == name);
    let inet = addresses.filter_map(|entry| {
        Some(Inet {
            address: entry.address?.as_sockaddr_in()?.ip(),
            mask: entry.netmask?.as_sockaddr_in()?.ip(),
            broadcast: entry.broadcast.and_then(|address| Some(address.as_sockaddr_in()?.ip())),
        })
    });
    Ok(inet.collect())
}

/// Everything that ifconfig asks for to show the lagg.
///
/// # Errors
/// What the driver refused it with.
pub fn show(lagg: &Lagg, verbose: bool) -> Result<Status, Errno> {
    let name = &lagg.name;
    let mut flags = InterfaceRequest::default().named(to_name(name));
    host::ifioctl(name, SIOCGIFFLAGS, &mut flags)?;
    let mut mtu = InterfaceRequest::default().named(to_name(name));
    host::ifioctl(name, SIOCGIFMTU, &mut mtu)?;
    let mut media = MediaRequest { name: to_name(name), ..MediaRequest::default() };
    host::ifioctl(name, SIOCGIFXMEDIA, &mut media)?;
    let carrier = media.status & IFM_ACTIVE != 0;

    let mut options = OptionsRequest { ifname: to_name(name), ..OptionsRequest::default() };
    host::ifioctl(name, SIOCGLAGGOPTS, &mut options)?;
    let mut hash = FlagsRequest { ifname: to_name(name), flags: 0 };
    host::ifioctl(name, SIOCGLAGGFLAGS, &mut hash)?;
    let (all, ports) = get_lagg(name)?;

    Ok(Status {
        name: name.clone(),
        flags: flags.flags() | if carrier { IFF_LOWER_UP } else { 0 },
        capabilities: lagg.ifp.offloads().capabilities,
        mtu: mtu.mtu(),
        lladdr: lagg.ifp.lladdr().ethernet(),
        inet: inet(name).unwrap_or_default(),
        proto: all.proto,
        aggregator: all.psc,
        hash: hash.flags,
        options: options.opts.cast_unsigned(),
        flowid_shift: options.flowid_shift,
        rr_limit: options.bkt,
        active: options.active,
        flapping: options.flapping,
        ports,
        carrier,
        verbose,
    })
}

/// SIOCGLAGG: the lagg and its ports.
fn get_lagg(name: &str) -> Result<(LaggRequest, Vec<PortRequest>), Errno> {
    let memory = UserMemory::new(LAGG_MAX_PORTS * size_of::<PortRequest>());
    let mut request = LaggRequest {
        ifname: to_name(name),
        size: memory.read().len() as u64,
        port: memory.address(),
        ..LaggRequest::default()
    };
    host::ifioctl(name, SIOCGLAGG, &mut request)?;
    let records = memory.read();
    let records = records.chunks_exact(size_of::<PortRequest>());
    let ports = records.take(request.ports.unsigned_abs() as usize);
    Ok((request, ports.filter_map(|record| PortRequest::read_from_bytes(record).ok()).collect()))
}

fn port_request(lagg: &str, port: &str) -> PortRequest {
    PortRequest { ifname: to_name(lagg), portname: to_name(port), ..PortRequest::default() }
}

/// A name as the ABI has it; the words' lengths are looked at where they are read.
fn to_name(name: &str) -> Name {
    Name::new(name).unwrap_or_default()
}
