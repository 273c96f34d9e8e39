//! What the virtual machine aggregates its cards with, and what it knows of them.

use serde_json::Value;

use crate::flow::Flows;
use crate::guest::Guest;
use crate::lab::until;
use crate::view::{ACTIVE, FAST, IDLE, IN_SERVICE, STANDBY, Shown, Side, shown};

/// What aggregates.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// The kernel's driver bonding.
    Bonding,
    /// The kernel's driver team, directed by teamd(8).
    Team,
}

/// The state's bit of a system that speaks unasked.
pub const ACTIVITY: u8 = 0x01;

/// How it does LACP.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub fast: bool,
    pub active: bool,
    /// The administrator's part of its ports' keys.
    pub key: u16,
    /// The system's, and those of its ports, which bonding does not let choose.
    pub priorities: Option<(u16, u16)>,
    /// By what it chooses the active aggregator.
    pub select: Option<&'static str>,
}

pub const SLOW: Options =
    Options { fast: false, active: true, key: 0, priorities: None, select: None };
pub const QUICK: Options = Options { fast: true, ..SLOW };

pub struct Partner {
    pub guest: Guest,
    pub kind: Kind,
}

impl Partner {
    /// Boots one.
    pub fn boot(kind: Kind, cards: usize) -> Option<Partner> {
        Some(Partner { guest: Guest::boot(cards)?, kind })
    }

    /// Makes an aggregate of LACP, a port of the switch.
    pub fn create(&mut self, name: &str, cards: &[usize], options: Options) {
        let Options { fast, active, key, priorities, select } = options;
        match self.kind {
            Kind::Bonding => {
                let rate = if fast { "fast" } else { "slow" };
                let active = if active { "on" } else { "off" };
                let mut options =
                    format!("lacp_rate {rate} lacp_active {active} ad_user_port_key {key}");
                if let Some((system, _)) = priorities {
                    options += &format!(" ad_actor_sys_prio {system}");
                }
                if let Some(select) = select {
                    options += &format!(" ad_select {select}");
                }
                self.bond(name, cards, &format!("802.3ad xmit_hash_policy layer3+4 {options}"));
            }
            Kind::Team => {
                let hash = r#""tx_hash": ["ip", "l4"]"#;
                let mut runner =
                    format!(r#""name": "lacp", {hash}, "fast_rate": {fast}, "active": {active}"#);
                let mut port = format!(r#""lacp_key": {key}"#);
                if let Some((system, its)) = priorities {
                    runner += &format!(r#", "sys_prio": {system}"#);
                    port += &format!(r#", "lacp_prio": {its}"#);
                }
                if let Some(select) = select {
                    runner += &format!(r#", "agg_select_policy": "{select}""#);
                }
                self.team(name, cards, &runner, &port);
            }
        }
    }

    /// Makes an aggregate of one link that is one system with others of its kind, as far as LACP shows. Neither passes
    /// on to the other what comes in, and only agg0 gets what the switch sends to all of its ports.
    pub fn create_half(&mut self, name: &str, card: usize) {
        self.create(name, &[card], QUICK);
        self.rename(name, "02:00:5e:00:53:bb");
        let port = format!("/sys/class/net/{name}/brport");
        self.guest.run(&format!("echo 1 >{port}/isolated"));
        if name != "agg0" {
            for kind in ["unicast", "multicast", "broadcast"] {
                self.guest.run(&format!("echo 0 >{port}/{kind}_flood"));
            }
        }
    }

    /// Makes one that uses one of its ports: the primary one, while its link is up.
    pub fn create_active_backup(&mut self, name: &str, cards: &[usize], primary: usize) {
        match self.kind {
            Kind::Bonding => {
                self.bond(name, cards, "active-backup");
                self.guest.run(&format!("ip link set {name} type bond primary eth{primary}"));
            }
            Kind::Team => {
                self.team(name, cards, r#""name": "activebackup""#, "");
                let prefers = r#"{"prio": 100}"#;
                self.guest
                    .run(&format!("teamdctl {name} port config update eth{primary} '{prefers}'"));
            }
        }
    }

    fn bond(&mut self, name: &str, cards: &[usize], mode: &str) {
        self.guest.run(&format!("ip link add {name} type bond miimon 50 mode {mode}"));
        for card in cards {
            self.guest.run(&format!("ip link set eth{card} down"));
            self.guest.run(&format!("ip link set eth{card} master {name}"));
        }
        self.guest.run(&format!("ip link set {name} master br0 up"));
    }

    fn team(&mut self, name: &str, cards: &[usize], runner: &str, port: &str) {
        let watch = r#""link_watch": {"name": "ethtool"}"#;
        for card in cards {
            self.guest.run(&format!("ip link set eth{card} down"));
        }
        let ports: Vec<_> =
            cards.iter().map(|card| format!(r#""eth{card}": {{{port}}}"#)).collect();
        let ports = format!(r#""ports": {{{}}}"#, ports.join(", "));
        let config = format!(r#"{{"device": "{name}", "runner": {{{runner}}}, {watch}, {ports}}}"#);
        self.guest.run(&format!("teamd -d -c '{config}'"));
        self.guest.run(&format!("ip link set {name} master br0 up"));
    }

    pub fn destroy(&mut self, name: &str) {
        self.guest.run(&match self.kind {
            Kind::Bonding => format!("ip link del {name}"),
            // It says so if that takes long.
            Kind::Team => format!("teamd -k -t {name} || true"),
        });
        until("it is gone", || !self.guest.run("ls /sys/class/net").contains(name));
    }

    /// Takes a card out of an aggregate.
    pub fn leave(&mut self, card: usize) {
        self.guest.run(&format!("ip link set eth{card} nomaster"));
    }

    /// Has an aggregate become another system.
    pub fn rename(&mut self, name: &str, system: &str) {
        let what = match self.kind {
            Kind::Bonding => "type bond ad_actor_system",
            Kind::Team => "address",
        };
        self.guest.run(&format!("ip link set {name} {what} {system}"));
    }

    /// Whether it sends and takes in frames on a card: what its kernel does, whatever LACP says.
    fn carries(&mut self, name: &str, card: usize) -> bool {
        match self.kind {
            Kind::Bonding => {
                let file = format!("/sys/class/net/eth{card}/bonding_slave/state");
                self.guest.run(&format!("cat {file}")) == "active\n"
            }
            Kind::Team => {
                let option = format!("teamnl -p eth{card} {name} getoption enabled");
                self.guest.run(&option).trim() == "true"
            }
        }
    }

    /// What it has of a card: its own side, and ours.
    pub fn shown(&mut self, name: &str, card: usize) -> [(Side, u8); 2] {
        match self.kind {
            Kind::Bonding => {
                let text = self.guest.run(&format!("cat /proc/net/bonding/{name}"));
                let section = text.split("Slave Interface: ");
                let section = section.into_iter().find(|s| s.starts_with(&format!("eth{card}\n")));
                bonding_shows(section.expect(&text)).unwrap_or_else(|| panic!("{text}"))
            }
            Kind::Team => {
                let text = self.guest.run(&format!("teamdctl {name} state dump"));
                let state: Value = serde_json::from_str(&text).unwrap();
                let runner = &state["ports"][format!("eth{card}")]["runner"];
                let sides = ["actor_lacpdu_info", "partner_lacpdu_info"];
                sides.map(|side| team_shows(&runner[side]).unwrap_or_else(|| panic!("{text}")))
            }
        }
    }

    /// Waits until both ends use these cards, and agree on each other, and neither uses the others.
    pub fn until_agreed(
        &mut self,
        name: &str,
        used: &[usize],
        unused: &[usize],
        fast: bool,
        options: Options,
    ) {
        let ours = IN_SERVICE | if fast { FAST } else { 0 };
        let its = IN_SERVICE | if options.fast { FAST } else { 0 };
        let its = if options.active { its } else { its & !ACTIVITY };
        for &card in used {
            let em = format!("em{card}");
            self.guest.lab.until_port(&em, ACTIVE);
            until("both sides agree", || {
                let [(actor, its_state), (partner, our_state)] = self.shown(name, card);
                (its_state, our_state) == (its, ours)
                    && shown(&self.guest.lab.near, &em)
                        == Shown { actor: partner, state: our_state, partner: actor }
            });
            until(&format!("eth{card} carries frames"), || self.carries(name, card));
        }
        for &card in unused {
            self.until_unused(name, card);
        }
    }

    /// Waits until neither end uses a card.
    pub fn until_unused(&mut self, name: &str, card: usize) {
        let port = format!("\tlaggport: em{card} ");
        until(&format!("em{card} is not used"), || {
            let text = self.guest.lab.ok("lagg0");
            [IDLE, STANDBY].iter().any(|flags| text.contains(&format!("{port}{flags}\n")))
        });
        until(&format!("eth{card} does not carry frames"), || !self.carries(name, card));
    }

    /// Waits until both ends use the same ones of three cards, none but these.
    pub fn until_same_use(&mut self, name: &str, cards: &[usize]) {
        until(&format!("both ends use the same ones of {cards:?}"), || {
            let text = self.guest.lab.ok("lagg0");
            let uses = |card| text.contains(&format!("\tlaggport: em{card} {ACTIVE}\n"));
            let used: Vec<usize> = (0..3).filter(|card| uses(*card)).collect();
            let carries: Vec<usize> = (0..3).filter(|card| self.carries(name, *card)).collect();
            !used.is_empty() && used == carries && used.iter().all(|card| cards.contains(card))
        });
    }

    pub fn flows(&self) -> Flows {
        let lab = &self.guest.lab;
        Flows::start((&lab.near, "192.0.2.1"), (&lab.far, "192.0.2.2"))
    }
}

/// Reads what `/proc/net/bonding` has of a port.
fn bonding_shows(section: &str) -> Option<[(Side, u8); 2]> {
    let (_, lacp) = section.split_once("details actor lacp pdu:\n")?;
    let (actor, partner) = lacp.split_once("details partner lacp pdu:\n")?;
    let side = |text: &str| {
        let field = |names: [&str; 2]| {
            let mut fields = text.lines().filter_map(|line| line.trim().split_once(": "));
            fields.find(|(name, _)| names.contains(name)).map(|(_, value)| value.to_owned())
        };
        let number = |name| field([name, ""])?.parse().ok();
        let side = Side {
            system_priority: number("system priority")?,
            system: field(["system mac address", ""])?,
            key: field(["port key", "oper key"])?.parse().ok()?,
            port_priority: number("port priority")?,
            port: number("port number")?,
        };
        Some((side, number("port state")? as u8))
    };
    Some([side(actor)?, side(partner)?])
}

/// Reads what teamd has of one end of a port.
fn team_shows(info: &Value) -> Option<(Side, u8)> {
    let number = |name| info[name].as_u64()?.try_into().ok();
    let side = Side {
        system_priority: number("system_priority")?,
        system: info["system"].as_str()?.to_owned(),
        key: number("key")?,
        port_priority: number("port_priority")?,
        port: number("port")?,
    };
    Some((side, number("state")? as u8))
}
