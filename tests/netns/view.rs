//! What a lagg shows of LACP on its ports.

use crate::lab::ok;

/// The flags of a port in service; of a port that is not, in the active aggregation; and of a port in none.
pub const ACTIVE: &str = "flags=1c<ACTIVE,COLLECTING,DISTRIBUTING>";
pub const STANDBY: &str = "flags=4<ACTIVE>";
pub const IDLE: &str = "flags=0<>";

/// The bits of an actor's state, as `userlagg -v` shows them.
pub const IN_SERVICE: u8 = 0x3d;
pub const FAST: u8 = 0x02;

/// One side of a link, in LACP.
#[derive(Debug, PartialEq)]
pub struct Side {
    pub system_priority: u16,
    pub system: String,
    pub key: u16,
    pub port_priority: u16,
    pub port: u16,
}

/// What `userlagg -v` shows of a port.
#[derive(Debug, PartialEq)]
pub struct Shown {
    pub actor: Side,
    pub state: u8,
    pub partner: Side,
}

/// Reads what userlagg shows of a port of a namespace's lagg.
pub fn shown(namespace: &str, port: &str) -> Shown {
    let text = ok(namespace, "-v lagg0");
    let (_, rest) = text.split_once(&format!("\tlaggport: {port} flags=")).expect(&text);
    let mut lines = rest.lines();
    let (_, state) = lines.next().unwrap().split_once(" state=").expect(&text);
    let (state, _) = state.split_once('<').unwrap();
    let mut side = || {
        let line = lines.next().expect(&text);
        let fields: Vec<&str> = line.trim_matches(|c| "\t [](),".contains(c)).split(',').collect();
        let [system_priority, system, key, port_priority, port] = fields[..] else {
            panic!("{text}");
        };
        let number = |text| u16::from_str_radix(text, 16).unwrap();
        Side {
            system_priority: number(system_priority),
            system: system.replace('-', ":").to_lowercase(),
            key: number(key),
            port_priority: number(port_priority),
            port: number(port),
        }
    };
    Shown { state: u8::from_str_radix(state, 16).unwrap(), actor: side(), partner: side() }
}
