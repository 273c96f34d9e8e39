//! A lagg as ifconfig(8) shows it.

use std::fmt::{Formatter, Result, Write};
use std::net::Ipv4Addr;

use lagg_rs::kpi::MacAddr;
use lagg_rs::kpi::ioctl::{LacpInfo, PortRequest, hash, proto};

use super::words::PROTOCOLS;

const IFF: [&str; 25] = [
    "UP",
    "BROADCAST",
    "DEBUG",
    "LOOPBACK",
    "POINTOPOINT",
    "NEEDSEPOCH",
    "RUNNING",
    "NOARP",
    "PROMISC",
    "ALLMULTI",
    "DRV_OACTIVE",
    "SIMPLEX",
    "LINK0",
    "LINK1",
    "LINK2",
    "MULTICAST",
    "CANTCONFIG",
    "PPROMISC",
    "MONITOR",
    "STATICARP",
    "STICKYARP",
    "DYING",
    "RENAMING",
    "PALLMULTI",
    "LOWER_UP",
];
const IFCAP: [&str; 35] = [
    "RXCSUM",
    "TXCSUM",
    "NETCONS",
    "VLAN_MTU",
    "VLAN_HWTAGGING",
    "JUMBO_MTU",
    "POLLING",
    "VLAN_HWCSUM",
    "TSO4",
    "TSO6",
    "LRO",
    "WOL_UCAST",
    "WOL_MCAST",
    "WOL_MAGIC",
    "TOE4",
    "TOE6",
    "VLAN_HWFILTER",
    "NV",
    "VLAN_HWTSO",
    "LINKSTATE",
    "NETMAP",
    "RXCSUM_IPV6",
    "TXCSUM_IPV6",
    "HWSTATS",
    "TXRTLMT",
    "HWRXTSTMP",
    "MEXTPG",
    "TXTLS4",
    "TXTLS6",
    "VXLAN_HWCSUM",
    "VXLAN_HWTSO",
    "TXTLS_RTLMT",
    "RXTLS4",
    "RXTLS6",
    "IPSEC",
];
const OPTIONS: [&str; 8] = [
    "USE_FLOWID",
    "",
    "USE_NUMA",
    "",
    "LACP_STRICT",
    "LACP_TXTEST",
    "LACP_RXTEST",
    "LACP_FAST_TIMO",
];
const PORT: [&str; 5] = ["MASTER", "STACK", "ACTIVE", "COLLECTING", "DISTRIBUTING"];
const STATE: [&str; 8] = [
    "ACTIVITY",
    "TIMEOUT",
    "AGGREGATION",
    "SYNC",
    "COLLECTING",
    "DISTRIBUTING",
    "DEFAULTED",
    "EXPIRED",
];

/// An IPv4 address of the interface.
pub struct Inet {
    pub address: Ipv4Addr,
    pub mask: Ipv4Addr,
    pub broadcast: Option<Ipv4Addr>,
}

/// Everything that is shown.
pub struct Status {
    pub name: String,
    pub flags: u32,
    /// `if_capabilities`, and the second word of them in the upper half.
    pub capabilities: u64,
    pub mtu: u32,
    pub lladdr: MacAddr,
    pub inet: Vec<Inet>,
    pub proto: u32,
    pub aggregator: LacpInfo,
    pub hash: u32,
    pub options: u32,
    pub flowid_shift: i32,
    pub rr_limit: u32,
    pub active: u32,
    pub flapping: u32,
    pub ports: Vec<PortRequest>,
    /// The media's status.
    pub carrier: bool,
    /// Show all (`-v`).
    pub verbose: bool,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}: flags={:x}", self.name, self.flags)?;
        bits(f, self.flags, &IFF, true)?;
        writeln!(f, " metric 0 mtu {}", self.mtu)?;
        // Like ifconfig: the lower half as a number, all of them by name.
        write!(f, "\toptions={:x}", self.capabilities & 0xffff_ffff)?;
        bits(f, self.capabilities, &IFCAP, true)?;
        writeln!(f)?;
        writeln!(f, "\tether {}", Mac(&self.lladdr, ':', false))?;
        // A lagg has no address of its own.
        if self.lladdr != MacAddr::default() {
            writeln!(f, "\thwaddr {}", Mac(&MacAddr::default(), ':', false))?;
        }
        for inet in &self.inet {
            write!(f, "\tinet {} netmask 0x{:x}", inet.address, inet.mask.to_bits())?;
            if let Some(broadcast) = inet.broadcast {
                write!(f, " broadcast {broadcast}")?;
            }
            writeln!(f)?;
        }
        self.lagg(f)?;
        writeln!(f, "\tgroups: lagg")?;
        writeln!(f, "\tmedia: Ethernet autoselect")?;
        writeln!(f, "\tstatus: {}", if self.carrier { "active" } else { "no carrier" })?;
        if self.verbose {
            writeln!(f, "\tdrivername: {}", self.name)?;
        }
        Ok(())
    }
}

impl Status {
    /// The part that ifconfig prints for laggs only.
    fn lagg(&self, f: &mut Formatter<'_>) -> Result {
        let name = PROTOCOLS.iter().find(|(_, proto)| *proto == self.proto);
        write!(f, "\tlaggproto {}", name.map_or("<unknown>", |(name, _)| name))?;
        let layers = [(hash::L2, "l2"), (hash::L3, "l3"), (hash::L4, "l4")];
        let mut separator = " lagghash ";
        for (_, layer) in layers.iter().filter(|(flag, _)| self.hash & flag != 0) {
            write!(f, "{separator}{layer}")?;
            separator = ",";
        }
        writeln!(f)?;

        let lacp = self.verbose && self.proto == proto::LACP;
        if self.verbose {
            write!(f, "\tlagg options:\n\t\tflags={:x}", self.options)?;
            bits(f, self.options, &OPTIONS, false)?;
            writeln!(f, "\n\t\tflowid_shift: {}", self.flowid_shift)?;
            if self.proto == proto::ROUNDROBIN {
                writeln!(f, "\t\trr_limit: {}", self.rr_limit)?;
            }
            writeln!(f, "\tlagg statistics:")?;
            writeln!(f, "\t\tactive ports: {}", self.active)?;
            writeln!(f, "\t\tflapping: {}", self.flapping)?;
        }
        if lacp {
            writeln!(f, "\tlag id: {}", Peers(&self.aggregator))?;
        }
        for port in &self.ports {
            write!(f, "\tlaggport: {} flags={:x}", port.portname, port.flags)?;
            bits(f, port.flags, &PORT, false)?;
            if lacp {
                let state = port.psc.actor_state;
                write!(f, " state={state:x}")?;
                bits(f, state, &STATE, false)?;
                write!(f, "\n\t\t{}", Peers(&port.psc))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The names of the bits that are set. ifconfig has two ways to write an empty list.
fn bits(
    f: &mut Formatter<'_>,
    value: impl Into<u64>,
    names: &[&str],
    bare_if_none: bool,
) -> Result {
    let value = value.into();
    let set =
        names.iter().enumerate().filter(|(bit, name)| value >> bit & 1 != 0 && !name.is_empty());
    let set: Vec<&str> = set.map(|(_, name)| *name).collect();
    if set.is_empty() && bare_if_none {
        return Ok(());
    }
    write!(f, "<{}>", set.join(","))
}

struct Mac<'a>(&'a MacAddr, char, bool);

impl std::fmt::Display for Mac<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Mac(octets, separator, upper) = self;
        for (i, octet) in octets.iter().enumerate() {
            if i != 0 {
                f.write_char(*separator)?;
            }
            if *upper { write!(f, "{octet:02X}")? } else { write!(f, "{octet:02x}")? }
        }
        Ok(())
    }
}

/// Actor and partner.
struct Peers<'a>(&'a LacpInfo);

impl std::fmt::Display for Peers<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let info = self.0;
        let mut peer = |open, prio, mac, key, portprio, portno, close| {
            let mac = Mac(mac, '-', true);
            write!(f, "{open}({prio:04X},{mac},{key:04X},{portprio:04X},{portno:04X}){close}")
        };
        peer(
            "[",
            info.actor_prio,
            &info.actor_mac,
            info.actor_key,
            info.actor_portprio,
            info.actor_portno,
            ",\n\t\t ",
        )?;
        peer(
            "",
            info.partner_prio,
            &info.partner_mac,
            info.partner_key,
            info.partner_portprio,
            info.partner_portno,
            "]",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lagg_rs::kpi::Name;
    use lagg_rs::kpi::ioctl::port;

    fn port_record(name: &str, flags: u32) -> PortRequest {
        PortRequest { portname: Name::new(name).unwrap(), flags, ..PortRequest::default() }
    }

    fn status(proto: u32, ports: Vec<PortRequest>) -> Status {
        Status {
            name: "lagg0".to_owned(),
            flags: 0x0100_8843,
            capabilities: 0,
            mtu: 1500,
            lladdr: [0x02, 0, 0x5e, 0, 0x53, 0x0a],
            inet: vec![Inet {
                address: Ipv4Addr::new(192, 0, 2, 1),
                mask: Ipv4Addr::new(255, 255, 255, 0),
                broadcast: Some(Ipv4Addr::new(192, 0, 2, 255)),
            }],
            proto,
            aggregator: LacpInfo::default(),
            hash: hash::MASK,
            options: 4,
            flowid_shift: 16,
            rr_limit: 0,
            active: 2,
            flapping: 0,
            ports,
            carrier: true,
            verbose: true,
        }
    }

    #[test]
    fn failover_in_full() {
        let ports =
            vec![port_record("epair0a", port::MASTER | port::ACTIVE), port_record("epair1a", 0)];
        assert_eq!(
            status(proto::FAILOVER, ports).to_string(),
            "lagg0: flags=1008843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST,LOWER_UP> metric 0 mtu 1500\n\
             \toptions=0\n\
             \tether 02:00:5e:00:53:0a\n\
             \thwaddr 00:00:00:00:00:00\n\
             \tinet 192.0.2.1 netmask 0xffffff00 broadcast 192.0.2.255\n\
             \tlaggproto failover lagghash l2,l3,l4\n\
             \tlagg options:\n\
             \t\tflags=4<USE_NUMA>\n\
             \t\tflowid_shift: 16\n\
             \tlagg statistics:\n\
             \t\tactive ports: 2\n\
             \t\tflapping: 0\n\
             \tlaggport: epair0a flags=5<MASTER,ACTIVE>\n\
             \tlaggport: epair1a flags=0<>\n\
             \tgroups: lagg\n\
             \tmedia: Ethernet autoselect\n\
             \tstatus: active\n\
             \tdrivername: lagg0\n"
        );
    }

    #[test]
    fn in_short() {
        let status = Status {
            flags: 0x8802,
            capabilities: 1 << 23 | 1 << 34,
            lladdr: [0; 6],
            inet: Vec::new(),
            hash: 0,
            carrier: false,
            verbose: false,
            ..status(proto::NONE, Vec::new())
        };
        assert_eq!(
            status.to_string(),
            "lagg0: flags=8802<BROADCAST,SIMPLEX,MULTICAST> metric 0 mtu 1500\n\
             \toptions=800000<HWSTATS,IPSEC>\n\
             \tether 00:00:00:00:00:00\n\
             \tlaggproto none\n\
             \tgroups: lagg\n\
             \tmedia: Ethernet autoselect\n\
             \tstatus: no carrier\n"
        );
    }

    #[test]
    fn lacp_peers() {
        let mut record = port_record("em0", port::ACTIVE | port::COLLECTING | port::DISTRIBUTING);
        record.psc = LacpInfo {
            actor_prio: 0x8000,
            actor_mac: [2, 0, 0x5e, 0, 0x53, 0xab],
            actor_key: 0x01a5,
            actor_portprio: 0x8000,
            actor_portno: 3,
            actor_state: 0x3d,
            partner_prio: 0x7fff,
            partner_mac: [2, 0, 0x5e, 0, 0x53, 1],
            partner_key: 1,
            partner_portprio: 0x8000,
            partner_portno: 4,
            ..LacpInfo::default()
        };
        let text = status(proto::LACP, vec![record]).to_string();
        assert!(text.contains(
            "\tlag id: [(0000,00-00-00-00-00-00,0000,0000,0000),\n\
             \t\t (0000,00-00-00-00-00-00,0000,0000,0000)]\n\
             \tlaggport: em0 flags=1c<ACTIVE,COLLECTING,DISTRIBUTING> \
             state=3d<ACTIVITY,AGGREGATION,SYNC,COLLECTING,DISTRIBUTING>\n\
             \t\t[(8000,02-00-5E-00-53-AB,01A5,8000,0003),\n\
             \t\t (7FFF,02-00-5E-00-53-01,0001,8000,0004)]\n"
        ));
    }

    #[test]
    fn roundrobin_shows_its_stride() {
        let text = status(proto::ROUNDROBIN, Vec::new()).to_string();
        assert!(text.contains("\t\tflowid_shift: 16\n\t\trr_limit: 0\n\tlagg statistics:\n"));
    }
}
