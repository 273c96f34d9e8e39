//! ioctl(2) on an interface: what the stack does before and after its driver (ifioctl, ifhwioctl).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::methods::{self, IoctlMethod};
use super::vnet::Vnet;
use super::{multicast, offloads, privilege, witness};
use crate::kpi::ioctl::{
    InterfaceRequest, Ioctl, SIOCADDMULTI, SIOCDELMULTI, SIOCSIFADDR, SIOCSIFCAP, SIOCSIFCAPNV,
    SIOCSIFFLAGS, SIOCSIFMEDIA, SIOCSIFMTU,
};
use crate::kpi::{Errno, Ifnet, LinkAddr, MacAddr, Result, iff};

/// Get interface flags.
pub const SIOCGIFFLAGS: usize = 0xc020_6911;
/// Get MTU.
pub const SIOCGIFMTU: usize = 0xc020_6933;
/// Set link-level address.
pub const SIOCSIFLLADDR: usize = 0x8020_693c;
const AF_LINK: u8 = 18;
/// IFF_PPROMISC: promiscuous at a user's request.
const PPROMISC: u32 = 0x2_0000;

/// An argument on the stack, aligned for any.
#[repr(C, align(8))]
struct Aligned<T>(T);

/// A user's ioctl on the interface `name` of the current vnet. `argument` is written back only if
/// there was no error. Sleeps.
///
/// # Errors
/// ENXIO without such an interface, EBUSY in a vnet that ends, EPERM without privilege, or what the stack
/// or the driver returns.
///
/// # Panics
/// If the command's argument has another size.
pub fn ifioctl<T>(name: &str, command: usize, argument: &mut T) -> Result
where
    T: FromBytes + IntoBytes + KnownLayout + Immutable,
{
    witness::may_sleep("ioctl");
    if Vnet::current().is_shutting_down() {
        return Err(Errno::EBUSY);
    }
    let ifp = Vnet::current().interface(name).ok_or(Errno::ENXIO)?;
    assert_eq!((command >> 16) & 0x1fff, size_of::<T>(), "the argument of {command:#x}");
    let mut copy = Aligned(T::read_from_bytes(argument.as_bytes()).expect("as long as itself"));
    request(&ifp, command, copy.0.as_mut_bytes())?;
    *argument = copy.0;
    Ok(())
}

/// The same with bytes, 8-aligned and of the length that the command contains.
fn request(ifp: &Ifnet, command: usize, data: &mut [u8]) -> Result {
    match command {
        SIOCGIFFLAGS => {
            let running = if ifp.is_running() { 0x40 } else { 0 };
            ifreq(data).set_flags(ifp.flags() | running);
            Ok(())
        }
        SIOCGIFMTU => {
            ifreq(data).set_mtu(ifp.mtu());
            Ok(())
        }
        SIOCSIFFLAGS => set_flags(ifp, data),
        SIOCSIFMTU => set_mtu(ifp, data),
        SIOCSIFLLADDR => {
            privilege::check()?;
            let (length, address) = ifreq(data).lladdr();
            if usize::from(length) != ifp.addr_len() {
                return Err(Errno::EINVAL);
            }
            let address = match ifp.lladdr() {
                LinkAddr::Ethernet(_) => address.into(),
                infiniband => infiniband,
            };
            ifp.set_lladdr(&address)
        }
        SIOCSIFCAP => {
            offloads::check(ifp, ifreq(data))?;
            driver(ifp, command, data)
        }
        SIOCSIFCAPNV => {
            let argument = *ifreq(data);
            offloads::with_driver_data(&argument, |data| driver_with(ifp, command, data))
        }
        SIOCADDMULTI | SIOCDELMULTI => multicast(ifp, command, data),
        SIOCSIFMEDIA => {
            privilege::check()?;
            driver(ifp, command, data)
        }
        // Only the protocols send this to a driver.
        SIOCSIFADDR => Err(Errno::EINVAL),
        _ => {
            let was_up = ifp.flags() & iff::UP != 0;
            let result = driver(ifp, command, data);
            if !was_up && ifp.flags() & iff::UP != 0 {
                ifp.up();
            }
            result
        }
    }
}

/// Calls `if_ioctl`.
fn driver(ifp: &Ifnet, command: usize, data: &mut [u8]) -> Result {
    driver_with(ifp, command, data.as_mut_ptr())
}

fn driver_with(ifp: &Ifnet, command: usize, data: *mut u8) -> Result {
    if ifp.ioctl_method() == IoctlMethod::None {
        return Err(Errno::EOPNOTSUPP);
    }
    // SAFETY: the callers have what this command brings to a driver, aligned and theirs alone.
    methods::run_current(ifp, &mut unsafe { Ioctl::new(command, data) })
}

fn ifreq(data: &mut [u8]) -> &mut InterfaceRequest {
    InterfaceRequest::mut_from_bytes(data).expect("the command's argument is a struct ifreq")
}

fn set_flags(ifp: &Ifnet, data: &mut [u8]) -> Result {
    privilege::check()?;
    // The flags that belong to the stack or the driver (IFF_CANTCHANGE).
    let fixed = iff::BROADCAST
        | iff::SIMPLEX
        | iff::MULTICAST
        | iff::ALLMULTI
        | iff::PROMISC
        | iff::DYING
        | 0x50
        | 0x400;
    let new = ifreq(data).flags();
    let was_up = ifp.flags() & iff::UP != 0;
    let up = new & iff::UP != 0;
    if was_up && !up {
        ifp.down();
    }
    if (ifp.flags() ^ new) & PPROMISC != 0 {
        multicast::set_for_good(ifp, new & PPROMISC != 0);
    }
    ifp.change_flags(new & !fixed, !new & !fixed & !iff::RENAMING);
    let _ = driver(ifp, SIOCSIFFLAGS, data);
    if up && !was_up {
        ifp.up();
    }
    Ok(())
}

fn set_mtu(ifp: &Ifnet, data: &mut [u8]) -> Result {
    let old = ifp.mtu();
    privilege::check()?;
    if !(72..=65535).contains(&ifreq(data).mtu()) {
        return Err(Errno::EINVAL);
    }
    let result = driver(ifp, SIOCSIFMTU, data);
    if ifp.mtu() != old {
        ifp.notify_mtu();
    }
    result
}

fn multicast(ifp: &Ifnet, command: usize, data: &[u8]) -> Result {
    privilege::check()?;
    if ifp.flags() & iff::MULTICAST == 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    // ifr_addr: a sockaddr_dl, of which 14 bytes of address fit, after 8 of header.
    if data[17] != AF_LINK {
        return Err(Errno::EINVAL);
    }
    let group = MacAddr::try_from(&data[24..30]).expect("6 bytes").into();
    if command == SIOCADDMULTI {
        multicast::join(ifp, &group)
    } else {
        multicast::leave(ifp, &group);
        Ok(())
    }
}
