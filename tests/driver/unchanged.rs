//! Requests that are refused change nothing.

use lagg_rs::kpi::host::{self, Vnet, ifioctl, testing};
use lagg_rs::kpi::ioctl::{FlagsRequest, LacpInfo, OptionsRequest, SIOCGLAGGFLAGS, SIOCGLAGGOPTS};
use lagg_rs::kpi::{Errno, Ifnet, Result};

use super::{get, text};

/// Makes a request that must be refused with `errno`, and checks that nothing in the vnet has changed.
#[track_caller]
pub fn refused<T>(errno: Errno, request: impl FnOnce() -> Result<T>) {
    let before = everything();
    assert_eq!(request().map(drop), Err(errno));
    assert_eq!(everything(), before, "changed by a request that was refused");
}

/// Repeats a request so that each of its allocations fails once.
#[track_caller]
pub fn without_memory(request: impl Fn() -> Result) {
    for n in 1.. {
        let before = everything();
        host::fail_allocation(n);
        let result = request();
        if host::fail_allocation(0) != 0 {
            result.unwrap();
            assert!(n > 1, "it allocates nothing");
            return;
        }
        assert_eq!(result, Err(Errno::ENOMEM));
        assert_eq!(everything(), before, "changed without memory");
    }
}

/// All that the stack has of an interface, except its counters.
pub fn attributes(ifp: &Ifnet) -> Vec<(&'static str, String)> {
    let mut attributes = testing::attributes(ifp);
    let port = ifp.lagg_port();
    let slot = port.map(|port| format!("{:?} slot {}", port.softc().ifp(), port.slot().number()));
    attributes.push(("port of", format!("{slot:?}")));
    attributes
}

/// What requests can change: all of every interface in the vnet, and the answers of every lagg.
pub fn everything() -> Vec<String> {
    host::settle();
    let mut lines = Vec::new();
    let interfaces = Vnet::current().interfaces();
    let first = interfaces.iter().map(|ifp| ifp.index()).min().unwrap_or(0);
    for ifp in interfaces {
        let attributes = attributes(&ifp);
        lines.extend(attributes.iter().map(|(name, value)| format!("{ifp:?} {name}: {value}")));
        if ifp.lagg_softc().is_some() {
            let lagg = text(&ifp.name());
            let (mut all, mut records) = get(&lagg, 32 * 72).unwrap();
            records.iter_mut().for_each(|record| renumber(&mut record.psc, first));
            renumber(&mut all.psc, first);
            let (mut options, mut flags) = (OptionsRequest::default(), FlagsRequest::default());
            ifioctl(&lagg, SIOCGLAGGOPTS, &mut options).unwrap();
            ifioctl(&lagg, SIOCGLAGGFLAGS, &mut flags).unwrap();
            lines.push(format!(
                "{lagg} answers: {} {:x?} {options:?} {flags:?}",
                all.proto, all.psc
            ));
            lines.extend(records.iter().map(|record| format!("{lagg} answers: {record:x?}")));
            let setting = |name| format!("{lagg} {name}: {:?}", host::sysctl_get(&lagg, name));
            lines.extend(host::settings().map(setting));
        }
    }
    lines
}

/// Renumbers interfaces from `first` on, so that the same setup has the same numbers each time.
fn renumber(info: &mut LacpInfo, first: u32) {
    for port in [&mut info.actor_portno, &mut info.partner_portno] {
        *port = if *port == 0 { 0 } else { port.wrapping_sub(first as u16) };
    }
    for key in [&mut info.actor_key, &mut info.partner_key] {
        *key = match *key {
            0 => 0,
            individual @ 0x8000.. => individual.wrapping_sub(first as u16) | 0x8000,
            aggregatable => aggregatable.wrapping_sub((first << 5) as u16) & 0x7fff,
        };
    }
}
