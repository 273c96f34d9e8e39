//! The ABI of lagg's ioctls: numbers, structures and constants (`net/if_lagg.h`).
//!
//! All fields are in host byte order. Names need not end in a NUL ([`Name`]).

use core::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Errno, Name, Result};

pub use super::ifreq::InterfaceRequest;

/// Get port (SIOCGLAGGPORT).
pub const SIOCGLAGGPORT: usize = 0xc048_698c;
/// Add port (SIOCSLAGGPORT).
pub const SIOCSLAGGPORT: usize = 0x8048_698d;
/// Remove port (SIOCSLAGGDELPORT).
pub const SIOCSLAGGDELPORT: usize = 0x8048_698e;
/// Get lagg and its ports (SIOCGLAGG).
pub const SIOCGLAGG: usize = 0xc050_698f;
/// Set protocol (SIOCSLAGG).
pub const SIOCSLAGG: usize = 0x8050_6990;
/// Get hash flags (SIOCGLAGGFLAGS).
pub const SIOCGLAGGFLAGS: usize = 0xc014_6991;
/// Set hash flags (SIOCSLAGGHASH).
pub const SIOCSLAGGHASH: usize = 0x8014_6992;
/// Get options (SIOCGLAGGOPTS).
pub const SIOCGLAGGOPTS: usize = 0xc028_6998;
/// Set an option (SIOCSLAGGOPTS).
pub const SIOCSLAGGOPTS: usize = 0x8028_6999;

/// Set interface flags.
pub const SIOCSIFFLAGS: usize = 0x8020_6910;
/// Set the interface's address; `data` is not an `ifreq` inside the kernel.
pub const SIOCSIFADDR: usize = 0x8020_690c;
/// A multicast group was joined; the driver's entry gets no data.
pub const SIOCADDMULTI: usize = 0x8020_6931;
/// A multicast group was left; the driver's entry gets no data.
pub const SIOCDELMULTI: usize = 0x8020_6932;
/// Set the MTU.
pub const SIOCSIFMTU: usize = 0x8020_6934;
/// Change a VLAN's id or parent.
pub const SIOCSETVLAN: usize = 0x8020_6939;
/// Set capabilities.
pub const SIOCSIFCAP: usize = 0x8020_691e;
/// Set capabilities, all words of them. Inside the kernel `data` is not an `ifreq`, but shorter (`struct
/// siocsifcapnv_driver_data`), so it has no [`Argument`].
pub const SIOCSIFCAPNV: usize = 0x8020_699b;
/// Get capabilities, all words of them.
pub const SIOCGIFCAPNV: usize = 0xc020_699c;
/// Set media.
pub const SIOCSIFMEDIA: usize = 0xc020_6937;
/// Get media.
pub const SIOCGIFMEDIA: usize = 0xc030_6938;
/// Get media, extended.
pub const SIOCGIFXMEDIA: usize = 0xc030_698b;

/// `struct lacp_opreq`: actor and partner of a port or of an aggregator.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
#[expect(missing_docs, reason = "802.1AX's words, twice")]
pub struct LacpInfo {
    pub actor_prio: u16,
    pub actor_mac: [u8; 6],
    pub actor_key: u16,
    pub actor_portprio: u16,
    pub actor_portno: u16,
    pub actor_state: u8,
    pub pad1: u8,
    pub partner_prio: u16,
    pub partner_mac: [u8; 6],
    pub partner_key: u16,
    pub partner_portprio: u16,
    pub partner_portno: u16,
    pub partner_state: u8,
    pub pad2: u8,
}

/// `struct lagg_reqport`: one port.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PortRequest {
    /// The lagg, or the port, that the request is for.
    pub ifname: Name,
    /// The port.
    pub portname: Name,
    /// Not used; 0.
    pub prio: u32,
    /// `LAGG_PORT_*`.
    pub flags: u32,
    /// LACP's view of the port, only for protocol lacp.
    pub psc: LacpInfo,
}

/// `struct lagg_reqall`: the lagg, and a place for the records of its ports.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LaggRequest {
    /// The lagg.
    pub ifname: Name,
    /// The protocol, `LAGG_PROTO_*`.
    pub proto: u32,
    /// Padding.
    pub pad1: u32,
    /// Size of the array at `port`, in bytes. Returns the size that was written.
    pub size: u64,
    /// Where in the caller's memory an array of [`PortRequest`] is.
    pub port: u64,
    /// Returns the number of records written.
    pub ports: i32,
    /// The active aggregator, only for protocol lacp.
    pub psc: LacpInfo,
    /// Padding.
    pub pad2: u32,
}

/// `struct lagg_reqflags`: the hash flags.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FlagsRequest {
    /// The lagg.
    pub ifname: Name,
    /// `LAGG_F_HASH*`.
    pub flags: u32,
}

/// `struct lagg_reqopts`: the options, or one to set.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct OptionsRequest {
    /// The lagg.
    pub ifname: Name,
    /// `LAGG_OPT_*`; to clear one, its negative.
    pub opts: i32,
    /// Number of ports.
    pub count: u32,
    /// Number of active ports.
    pub active: u32,
    /// How often a port left DISTRIBUTING.
    pub flapping: u32,
    /// The number of bits by which the flow id is shifted, 0 to 31.
    pub flowid_shift: i32,
    /// Packets that roundrobin sends on a port before the next.
    pub bkt: u32,
}

static_assertions::assert_eq_size!(LacpInfo, [u8; 32]);
static_assertions::assert_eq_size!(PortRequest, [u8; 72]);
static_assertions::assert_eq_size!(LaggRequest, [u8; 80]);
static_assertions::assert_eq_size!(FlagsRequest, [u8; 20]);
static_assertions::assert_eq_size!(OptionsRequest, [u8; 40]);

/// Ports that a lagg can have.
pub const LAGG_MAX_PORTS: usize = 32;

/// Protocols.
pub mod proto {
    #![expect(missing_docs, reason = "lagg(4) describes them")]
    pub const NONE: u32 = 0;
    pub const ROUNDROBIN: u32 = 1;
    pub const FAILOVER: u32 = 2;
    pub const LOADBALANCE: u32 = 3;
    pub const LACP: u32 = 4;
    pub const BROADCAST: u32 = 5;
}

/// Hash flags, `LAGG_F_HASHL2` and so on.
pub mod hash {
    /// Ethernet addresses and the VLAN.
    pub const L2: u32 = 1;
    /// IP addresses.
    pub const L3: u32 = 2;
    /// Transport ports.
    pub const L4: u32 = 4;
    /// All of them.
    pub const MASK: u32 = 7;
}

/// Port flags, `LAGG_PORT_*`.
pub mod port {
    /// The primary port of a failover lagg.
    pub const MASTER: u32 = 1;
    /// Packets are sent on it.
    pub const ACTIVE: u32 = 4;
    /// LACP collects on it.
    pub const COLLECTING: u32 = 8;
    /// LACP distributes to it.
    pub const DISTRIBUTING: u32 = 16;
}

/// Options, `LAGG_OPT_*`.
pub mod opt {
    #![expect(missing_docs, reason = "ifconfig(8) describes them")]
    pub const USE_FLOWID: i32 = 0x1;
    pub const FLOWIDSHIFT: i32 = 0x2;
    pub const USE_NUMA: i32 = 0x4;
    pub const LACP_STRICT: i32 = 0x10;
    pub const LACP_TXTEST: i32 = 0x20;
    pub const LACP_RXTEST: i32 = 0x40;
    pub const LACP_FAST_TIMO: i32 = 0x80;
    pub const RR_LIMIT: i32 = 0x100;
}

/// The argument of a command.
pub trait Argument: FromBytes + IntoBytes + sealed::Argument {
    /// The commands that carry it.
    const COMMANDS: &'static [usize];
}

mod sealed {
    pub trait Argument {}
}

macro_rules! arguments {
    ($($argument:ty: $($command:ident),+;)*) => {
        $(
            impl sealed::Argument for $argument {}
            impl Argument for $argument {
                const COMMANDS: &'static [usize] = &[$($command),+];
            }
            // A command contains the length of its argument (IOCPARM_LEN).
            $(const _: () = assert!(($command >> 16) & 0x1fff == size_of::<$argument>());)+
        )*
    };
}

arguments! {
    PortRequest: SIOCGLAGGPORT, SIOCSLAGGPORT, SIOCSLAGGDELPORT;
    LaggRequest: SIOCGLAGG, SIOCSLAGG;
    FlagsRequest: SIOCGLAGGFLAGS, SIOCSLAGGHASH;
    OptionsRequest: SIOCGLAGGOPTS, SIOCSLAGGOPTS;
    InterfaceRequest: SIOCSIFMTU, SIOCSIFCAP, SIOCSETVLAN;
}

/// A request to an interface: a command and its argument in kernel memory.
pub struct Ioctl<'a> {
    command: usize,
    data: *mut u8,
    life: PhantomData<&'a mut [u8]>,
}

impl Ioctl<'_> {
    /// # Safety
    /// For `'a`, `data` is what the kernel hands to `if_ioctl` with `command`: for the commands of
    /// [`Argument`] it points at that argument, aligned and the caller's alone.
    pub(super) unsafe fn new(command: usize, data: *mut u8) -> Self {
        Ioctl { command, data, life: PhantomData }
    }

    /// The command.
    pub fn command(&self) -> usize {
        self.command
    }

    /// What the kernel passed with the command, to be passed on.
    pub(super) fn data(&self) -> *mut u8 {
        self.data
    }

    /// The command's argument.
    ///
    /// # Errors
    /// EINVAL if the command carries another type.
    pub fn argument<T: Argument>(&mut self) -> Result<&mut T> {
        if self.data.is_null() || !T::COMMANDS.contains(&self.command) {
            return Err(Errno::EINVAL);
        }
        // SAFETY: `new` was promised a `T` for its commands; every bit pattern is one.
        Ok(unsafe { &mut *self.data.cast() })
    }
}
