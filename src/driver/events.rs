//! What is told of a change: a line of the log, and an event of devctl(4).

use core::ffi::CStr;
use core::fmt::{self, Display};

use super::Softc;
use crate::kpi::{MacAddr, Name, Value, log, notify};
use crate::lacp::{Reason, Report};

/// A change that is told.
pub(super) enum Change {
    /// A port is in service. With failover it may be a standby, with lacp it has a partner.
    Up { port: Name, is_standby: bool, partner: Option<Partner> },
    /// A port is out of service, and for how many seconds its partner was not heard, if that is why.
    Down { port: Name, why: Reason, unheard: Option<u32> },
    /// The interface of a port has gone.
    Gone { port: Name },
    /// A port has another partner than before.
    Partner { port: Name, from: Partner, to: Partner },
    /// A port has another partner than the ports in service.
    Stranger { port: Name, partner: Option<Partner> },
    /// failover sends on another port.
    Sender { from: Name, to: Name, why: &'static str },
    /// Too few ports are in service, so the lagg's link is down. `min_links` is as set.
    Degraded { count: usize, ports: usize, min_links: usize },
    /// Enough are again.
    Restored { count: usize, ports: usize },
    /// Something is wrong with a link.
    Report(Name, Report),
}

/// A partner: its system and its port.
pub(super) type Partner = (MacAddr, u16);

/// The types of events.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Failover,
    PortUp,
    PortDown,
    Degraded,
    Restored,
    Partner,
    Loop,
}

impl Kind {
    /// Its name in devctl(4).
    fn name(self) -> &'static CStr {
        match self {
            Kind::Failover => c"FAILOVER",
            Kind::PortUp => c"PORT_UP",
            Kind::PortDown => c"PORT_DOWN",
            Kind::Degraded => c"DEGRADED",
            Kind::Restored => c"RESTORED",
            Kind::Partner => c"PARTNER",
            Kind::Loop => c"LOOP",
        }
    }
}

impl Change {
    fn kind(&self) -> Kind {
        match self {
            Change::Up { .. } => Kind::PortUp,
            Change::Down { .. } | Change::Gone { .. } => Kind::PortDown,
            Change::Report(_, Report::Looped) => Kind::Loop,
            Change::Partner { .. } | Change::Stranger { .. } | Change::Report(..) => Kind::Partner,
            Change::Sender { .. } => Kind::Failover,
            Change::Degraded { .. } => Kind::Degraded,
            Change::Restored { .. } => Kind::Restored,
        }
    }

    /// Whether it is one of the lagg itself, not of a port.
    pub fn is_of_lagg(&self) -> bool {
        matches!(self.kind(), Kind::Failover | Kind::Degraded | Kind::Restored)
    }

    /// Logs its line. Not under the mutex.
    pub fn log(&self, softc: &Softc) {
        log(softc.ifp(), format_args!("{self}"));
    }

    /// Tells devctl(4) of its event. Not under the mutex; the thread is in the lagg's vnet.
    pub fn notify(&self, softc: &Softc) {
        notify(softc.ifp(), self.kind().name(), format_args!("{}", Data(self)));
    }
}

/// The line. The manual page has each of them.
impl Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Up { port, partner: Some((system, number)), .. } => {
                write!(f, "{port} in service (partner {} port {number})", Mac(system))
            }
            Change::Up { port, is_standby: true, .. } => write!(f, "{port} ready as a standby"),
            Change::Up { port, .. } => write!(f, "{port} in service"),
            Change::Down { port, unheard: Some(seconds), .. } => {
                write!(f, "{port} out of service: no LACPDU for {seconds} s")
            }
            Change::Down { port, why, .. } => {
                write!(f, "{port} out of service: {}", why.text())
            }
            Change::Gone { port } => {
                write!(f, "{port} is no longer a port: its interface has gone")
            }
            Change::Partner { port, from, to } => {
                let (from, old, to, new) = (Mac(&from.0), from.1, Mac(&to.0), to.1);
                write!(f, "{port} has another partner: {to} port {new}, not {from} port {old}")
            }
            Change::Stranger { port, partner } => {
                let (system, _) = partner.unwrap_or_default();
                let system = Mac(&system);
                write!(
                    f,
                    "{port} has the partner {system}, not that of the ports in service: two switches without MLAG?"
                )
            }
            Change::Sender { from, to, why } => write!(f, "{to} takes over from {from} ({why})"),
            Change::Degraded { count, ports, min_links: ..=1 } => {
                write!(f, "{count} of {ports} ports in service: link down")
            }
            Change::Degraded { count, ports, min_links } => write!(
                f,
                "{count} of {ports} ports in service, fewer than min_links {min_links}: link down"
            ),
            Change::Restored { count, ports } => {
                write!(f, "{count} of {ports} ports in service: link up")
            }
            Change::Report(port, report) => write!(f, "{port} {}", report.text()),
        }
    }
}

/// The variables of the event, as devd(8) reads them. `system`, `subsystem` and `type` are taken.
struct Data<'a>(&'a Change);

impl Display for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Change::Up { port, is_standby, partner } => {
                let state = if *is_standby { "standby" } else { "in service" };
                write!(f, "port={} reason={}", Value(port), Value(&state))?;
                partner.iter().try_for_each(|(system, number)| {
                    write!(f, " partner={} partner_port={number}", Mac(system))
                })
            }
            Change::Down { port, why, .. } => {
                write!(f, "port={} reason={}", Value(port), Value(&why.text()))
            }
            Change::Gone { port } => write!(f, "port={} reason=gone", Value(port)),
            Change::Partner { port, from, to } => {
                write!(f, "port={} reason=changed", Value(port))?;
                let (from, to) = (Mac(&from.0), Mac(&to.0));
                write!(f, " partner={to} from={from}")
            }
            Change::Stranger { port, partner } => {
                let why = Reason::AnotherPartner.text();
                write!(f, "port={} reason={}", Value(port), Value(&why))?;
                partner.iter().try_for_each(|(system, _)| write!(f, " partner={}", Mac(system)))
            }
            Change::Sender { from, to, why } => {
                let (from, to) = (Value(from), Value(to));
                write!(f, "port={to} from={from} to={to} reason={}", Value(why))
            }
            Change::Degraded { count, ports, min_links } => {
                write!(f, "active={count} ports={ports}")?;
                if *min_links == 0 { Ok(()) } else { write!(f, " min_links={min_links}") }
            }
            Change::Restored { count, ports } => write!(f, "active={count} ports={ports}"),
            Change::Report(port, report) => {
                write!(f, "port={} reason={}", Value(port), Value(&word(*report)))
            }
        }
    }
}

/// What is wrong with a link, in a word or two.
fn word(report: Report) -> &'static str {
    match report {
        Report::Looped => Reason::Looped.text(),
        Report::TwoPartners => "two partners",
        Report::NoPartner => Reason::NoPartner.text(),
        Report::NotInSync => Reason::NotInSync.text(),
        Report::Slow => "slow",
        Report::Standby => Reason::Standby.text(),
    }
}

/// An Ethernet address, as ifconfig(8) writes it.
pub(super) struct Mac<'a>(pub &'a MacAddr);

impl Display for Mac<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}
