//! Requests with arbitrary bytes, one after another, and a model of what they must do.

use arbitrary::{Result as Read, Unstructured};
use lagg_rs::kpi::host::{self, UserMemory, Vnet, ifioctl};
use lagg_rs::kpi::ioctl::{
    FlagsRequest, LaggRequest, OptionsRequest, PortRequest, SIOCADDMULTI, SIOCDELMULTI,
    SIOCGIFCAPNV, SIOCGIFMEDIA, SIOCGIFXMEDIA, SIOCGLAGG, SIOCGLAGGFLAGS, SIOCGLAGGOPTS,
    SIOCGLAGGPORT, SIOCSIFCAP, SIOCSIFCAPNV, SIOCSIFFLAGS, SIOCSIFMEDIA, SIOCSIFMTU, SIOCSLAGG,
    SIOCSLAGGDELPORT, SIOCSLAGGHASH, SIOCSLAGGOPTS, SIOCSLAGGPORT, opt,
};
use lagg_rs::kpi::{Errno, Mbuf, Name, Result, iff};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::lab::{frame, text};
use super::model::{Lagg, Model};
use super::world::{self, World};

/// Names for requests and their arguments.
const NAMES: [&str; 13] = [
    "lagg0", "lagg1", "lagg2", "em0", "em1", "em2", "em3", "vlan3", "ib0", "ib1", "gif0", "em9", "",
];

/// The largest number of laggs.
const LAGGS: usize = 3;

/// The errors that a request can have, whatever its argument. The drivers of ports here have no others.
const ANSWERS: [Errno; 12] = [
    Errno::EPERM,
    Errno::ENOENT,
    Errno::ENXIO,
    Errno::EFAULT,
    Errno::EBUSY,
    Errno::EEXIST,
    Errno::ENODEV,
    Errno::EINVAL,
    Errno::ENOSPC,
    Errno::EPROTONOSUPPORT,
    Errno::EOPNOTSUPP,
    Errno::ENOMEM,
];

/// Requests, one after another.
pub fn run(data: &[u8]) {
    let (models, data) = world::models(data);
    world::run(models, |world| {
        let mut lab = Lab { world, model: Model::default(), privileged: true };
        // An error means that the input has ended.
        let _ = lab.live(&mut Unstructured::new(data));
        lab.model.check(lab.world.interfaces());
    });
}

struct Lab<'w> {
    world: &'w mut World,
    model: Model,
    privileged: bool,
}

/// Arbitrary bytes for an argument: a few bytes repeated, so that an input has many requests.
fn garbage<T: FromBytes>(u: &mut Unstructured<'_>) -> Read<T> {
    let few: [u8; 4] = u.arbitrary()?;
    let bytes = Vec::from_iter(few.into_iter().cycle().take(size_of::<T>()));
    Ok(T::read_from_bytes(&bytes).expect("as long as it is"))
}

fn name(u: &mut Unstructured<'_>) -> Read<&'static str> {
    Ok(*u.choose(&NAMES)?)
}

/// A name in the ABI, with arbitrary bytes after its NUL.
fn dirty(u: &mut Unstructured<'_>, text: &str) -> Read<Name> {
    let mut name = [u.arbitrary()?; 16];
    name[..text.len()].copy_from_slice(text.as_bytes());
    name[text.len()] = 0;
    Ok(name.into())
}

/// Makes a request, whose error must be one of the expected ones.
fn ask<T>(ifname: &str, command: usize, argument: &mut T) -> Result
where
    T: FromBytes + IntoBytes + KnownLayout + Immutable,
{
    let before = argument.as_bytes().to_vec();
    let result = ifioctl(ifname, command, argument);
    if let Err(errno) = result {
        assert!(ANSWERS.contains(&errno), "{ifname} {command:#x}: {errno:?}");
        assert_eq!(argument.as_bytes(), before, "{ifname} {command:#x}: written to, and refused");
    }
    result
}

impl Lab<'_> {
    fn live(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        while !u.is_empty() {
            match u.int_in_range(0..=17)? {
                0 => self.create(u)?,
                1 => self.destroy(u)?,
                2 | 3 => self.port(u)?,
                4 => self.lagg::<LaggRequest>(u, SIOCSLAGG)?,
                5 => self.lagg::<OptionsRequest>(u, SIOCSLAGGOPTS)?,
                6 => self.lagg::<FlagsRequest>(u, SIOCSLAGGHASH)?,
                7 => self.records(u)?,
                8 | 9 => self.interface(u)?,
                10 => media(u)?,
                11 => unknown(u)?,
                12 => self.send(u)?,
                13 => {
                    let vnet = Vnet::current();
                    vnet.advance_to(vnet.uptime_ms() + u64::from(u.arbitrary::<u16>()?));
                }
                14 => host::settle(),
                15 => self.world.links_up(),
                16 => {
                    self.privileged = u.ratio(3, 4)?;
                    host::set_privileged(self.privileged);
                }
                _ => self.model.check(self.world.interfaces()),
            }
        }
        Ok(())
    }

    /// The result of the check of privilege, which comes first.
    fn privilege(&self) -> Result {
        if self.privileged { Ok(()) } else { Err(Errno::EPERM) }
    }

    fn create(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        if self.model.laggs.len() == LAGGS {
            return Ok(());
        }
        let names = ["lagg", "lagg0", "lagg1", "lagg2", "lagg01", "lagg32768", "lag", "em0"];
        let name = *u.choose(&names)?;
        let parameters: Option<[u8; 18]> = u.arbitrary()?;
        let given = u.int_in_range(0..=18)?;
        let parameters = parameters.as_ref().map(|parameters| &parameters[..given]);
        let result = host::clone_create(name, parameters);
        let expected = self.privilege().and_then(|()| match name {
            "lagg01" | "lag" | "em0" => Err(Errno::EINVAL),
            "lagg32768" => Err(Errno::ENOSPC),
            name if self.model.laggs.contains_key(name) => Err(Errno::EEXIST),
            _ => Ok(()),
        });
        let kind = parameters.map(|parameters| parameters.get(..16).map(|it| it[0]));
        match (expected, kind) {
            (Err(errno), _) => assert_eq!(result, Err(errno), "{name}"),
            (_, Some(None)) => assert_eq!(result, Err(Errno::EFAULT)),
            (_, Some(Some(2..))) => assert_eq!(result, Err(Errno::EINVAL)),
            (_, kind) => {
                let name = result.expect("nothing is against it");
                self.model.laggs.insert(name, Lagg::new(kind == Some(Some(1))));
            }
        }
        Ok(())
    }

    fn destroy(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        let name = name(u)?;
        let result = host::clone_destroy(name);
        let expected = self.privilege().and_then(|()| match name {
            name if self.model.laggs.contains_key(name) => Ok(()),
            name if Vnet::current().interface(name).is_some() => Err(Errno::EINVAL),
            _ => Err(Errno::ENXIO),
        });
        assert_eq!(result, expected, "destroy {name}");
        if result.is_ok() {
            self.model.destroyed(name);
        }
        Ok(())
    }

    /// SIOCSLAGGPORT, SIOCSLAGGDELPORT, SIOCGLAGGPORT.
    fn port(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        let (ifname, port) = (name(u)?, name(u)?);
        let command = *u.choose(&[SIOCSLAGGPORT, SIOCSLAGGDELPORT, SIOCGLAGGPORT])?;
        let mut request = PortRequest { portname: dirty(u, port)?, ..garbage(u)? };
        let of = self.model.lagg_of(port).map(str::to_owned);
        let is_lagg = self.model.laggs.contains_key(ifname);
        let exists = |name| Vnet::current().interface(name).is_some();
        let listed = || match of.as_deref() {
            _ if !exists(port) => Err(Errno::EINVAL),
            Some(lagg) if lagg == ifname => Ok(()),
            _ => Err(Errno::ENOENT),
        };
        let expected = match command {
            _ if !exists(ifname) => Err(Errno::ENXIO),
            SIOCGLAGGPORT if is_lagg => listed(),
            // On the port itself.
            SIOCGLAGGPORT if port == ifname && of.is_some() => Ok(()),
            _ if !is_lagg => Err(Errno::EINVAL),
            SIOCSLAGGDELPORT => self.privilege().and_then(|()| listed()),
            _ => self.privilege().and_then(|()| {
                self.model.may_add(ifname, port)?;
                self.model.takes_mtu(ifname, port)
            }),
        };
        if command == SIOCSLAGGPORT {
            self.model.remember(port);
        }
        let result = ask(ifname, command, &mut request);
        assert_eq!(result, expected, "{command:#x} {ifname} {port}");
        match command {
            SIOCGLAGGPORT if result.is_ok() => {
                assert_eq!(text(&request.portname), port);
                assert_eq!(of, Some(text(&request.ifname)));
            }
            SIOCSLAGGPORT if result.is_ok() => self.model.added(ifname, port),
            SIOCSLAGGDELPORT if result.is_ok() => {
                let ifp = Vnet::current().interface(port).expect("it was removed, not destroyed");
                self.model.removed(&ifp);
            }
            _ => {}
        }
        Ok(())
    }

    /// Makes a request that sets something of a lagg.
    fn lagg<T: Sets>(&mut self, u: &mut Unstructured<'_>, command: usize) -> Read<()> {
        let ifname = name(u)?;
        let mut request: T = garbage(u)?;
        request.narrow(u)?;
        let exists = Vnet::current().interface(ifname).is_some();
        let privilege = self.privilege();
        let expected = match self.model.laggs.get_mut(ifname) {
            Some(lagg) => privilege.and_then(|()| request.set(lagg)),
            None => Err(if exists { Errno::EINVAL } else { Errno::ENXIO }),
        };
        assert_eq!(ask(ifname, command, &mut request), expected, "{command:#x} {ifname}");
        Ok(())
    }

    /// SIOCGLAGG with any room at any address; the other two requests that get something.
    fn records(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        let ifname = name(u)?;
        let memory = UserMemory::new(u.int_in_range(1..=300)?);
        let mut request: LaggRequest = garbage(u)?;
        if u.ratio(3, 4)? {
            request.port = memory.address();
            request.size = u.int_in_range(0..=300)?;
        }
        if let Ok(()) = ask(ifname, SIOCGLAGG, &mut request) {
            let ports = self.model.laggs[ifname].ports.len();
            assert!((0..=ports as i32).contains(&request.ports));
            assert_eq!(request.size, request.ports as u64 * 72);
        }
        let (mut flags, mut options) = (garbage::<FlagsRequest>(u)?, garbage::<OptionsRequest>(u)?);
        let results =
            [ask(ifname, SIOCGLAGGFLAGS, &mut flags), ask(ifname, SIOCGLAGGOPTS, &mut options)];
        assert_eq!(results.map(|it| it.is_ok()), [self.model.laggs.contains_key(ifname); 2]);
        Ok(())
    }

    /// Makes a request that all interfaces have.
    fn interface(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        let ifname = name(u)?;
        let commands = [
            SIOCSIFFLAGS,
            SIOCSIFMTU,
            SIOCSIFCAP,
            SIOCSIFCAPNV,
            SIOCGIFCAPNV,
            SIOCADDMULTI,
            SIOCDELMULTI,
            SIOCSIFMEDIA,
            host::SIOCSIFLLADDR,
        ];
        let command = *u.choose(&commands)?;
        // Leaving a group on a port may leave one of the lagg's, and InfiniBand addresses have no room in
        // the request.
        let has_groups = self.model.laggs.get(ifname).is_some_and(|lagg| !lagg.infiniband);
        if matches!(command, SIOCADDMULTI | SIOCDELMULTI) && !has_groups {
            return Ok(());
        }
        let mut request: [u8; 32] = garbage(u)?;
        match command {
            SIOCSIFMTU => {
                let mtu = u32::from(u.arbitrary::<u16>()?);
                request[16..20].copy_from_slice(&(mtu & 0x3fff).to_ne_bytes());
            }
            SIOCSIFFLAGS => {
                // A user's permanent modes keep those of the stack from being counted.
                let flags = u32::from_ne_bytes(request[16..20].try_into().expect("4"));
                let flags = flags & !(iff::DYING | iff::RENAMING | iff::MONITOR);
                request[16..20].copy_from_slice(&flags.to_ne_bytes());
            }
            SIOCADDMULTI | SIOCDELMULTI => {
                request[17] = 18;
                request[24..30].copy_from_slice(&[1, 0, 0x5e, 0, 0, u.int_in_range(0..=3)?]);
            }
            host::SIOCSIFLLADDR => request[16] = u.int_in_range(5..=6)?,
            _ => {}
        }
        let result = ask(ifname, command, &mut request);
        if self.privilege().is_err() && command != SIOCGIFCAPNV && command != SIOCSIFCAPNV {
            assert!(result.is_err(), "{ifname} {command:#x} without privilege");
        }
        if let Some(lagg) = self.model.laggs.get_mut(ifname) {
            lagg.has_mtu |= command == SIOCSIFMTU && result.is_ok();
        }
        if self.model.lagg_of(ifname).is_some() && command == SIOCSIFMTU {
            assert!(result.is_err(), "a port's MTU is the lagg's");
        }
        Ok(())
    }

    fn send(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        let Some(ifp) = Vnet::current().interface(name(u)?) else { return Ok(()) };
        let result = host::transmit(&ifp, Mbuf::from_bytes(&frame(u.arbitrary()?)));
        let nowhere = [Errno::ENXIO, Errno::ENETDOWN, Errno::ENOENT, Errno::ENOBUFS];
        if let Err(errno) = result {
            assert!(nowhere.contains(&errno), "{errno:?}");
        }
        Ok(())
    }
}

/// A request that sets something of a lagg.
trait Sets: FromBytes + IntoBytes + KnownLayout + Immutable {
    /// Makes the fields that count likely to be valid.
    fn narrow(&mut self, u: &mut Unstructured<'_>) -> Read<()>;

    /// Applies it to the model.
    fn set(&self, lagg: &mut Lagg) -> Result;
}

impl Sets for LaggRequest {
    fn narrow(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        if u.ratio(7, 8)? {
            self.proto = u.int_in_range(0..=6)?;
        }
        Ok(())
    }

    fn set(&self, lagg: &mut Lagg) -> Result {
        lagg.set_protocol(self.proto)
    }
}

impl Sets for OptionsRequest {
    fn narrow(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        if u.ratio(7, 8)? {
            let options = [
                0,
                opt::USE_FLOWID,
                opt::FLOWIDSHIFT,
                opt::USE_NUMA,
                opt::LACP_STRICT,
                opt::LACP_TXTEST,
                opt::LACP_RXTEST,
                opt::LACP_FAST_TIMO,
                opt::RR_LIMIT,
            ];
            let option = *u.choose(&options)?;
            self.opts = if u.arbitrary()? { option } else { -option };
            self.flowid_shift = u.int_in_range(-1..=32)?;
            self.bkt = u.int_in_range(0..=3)?;
        }
        Ok(())
    }

    fn set(&self, lagg: &mut Lagg) -> Result {
        lagg.set_option(self)
    }
}

impl Sets for FlagsRequest {
    fn narrow(&mut self, _: &mut Unstructured<'_>) -> Read<()> {
        Ok(())
    }

    fn set(&self, lagg: &mut Lagg) -> Result {
        lagg.set_hash(self.flags)
    }
}

/// SIOCGIFMEDIA, SIOCGIFXMEDIA.
fn media(u: &mut Unstructured<'_>) -> Read<()> {
    let (ifname, command) = (name(u)?, *u.choose(&[SIOCGIFMEDIA, SIOCGIFXMEDIA])?);
    let mut request: [u8; 48] = garbage(u)?;
    let _ = ask(ifname, command, &mut request);
    Ok(())
}

/// An arbitrary command.
fn unknown(u: &mut Unstructured<'_>) -> Read<()> {
    let (ifname, number) = (name(u)?, usize::from(u.arbitrary::<u8>()?));
    let direction = if u.arbitrary()? { 0x8000_0000 } else { 0xc000_0000 };
    let command = |size: usize| direction | size << 16 | 0x6900 | number;
    // lagg's own commands are made above.
    if (140..=153).contains(&number) {
        return Ok(());
    }
    let _ = ask(ifname, command(20), &mut garbage::<[u8; 20]>(u)?);
    let _ = ask(ifname, command(40), &mut garbage::<[u8; 40]>(u)?);
    let _ = ask(ifname, command(72), &mut garbage::<[u8; 72]>(u)?);
    let _ = ask(ifname, command(80), &mut garbage::<[u8; 80]>(u)?);
    Ok(())
}
