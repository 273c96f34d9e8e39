//! Parses the words of ifconfig(8) that apply to a lagg.

use std::net::Ipv4Addr;

use lagg_rs::kpi::ioctl::{hash, opt, proto};
use lagg_rs::kpi::{IFNAMSIZ, LaggType, MacAddr};

/// The protocols' names, the usual one first: `default` is another name for failover.
pub const PROTOCOLS: [(&str, u32); 7] = [
    ("failover", proto::FAILOVER),
    ("lacp", proto::LACP),
    ("loadbalance", proto::LOADBALANCE),
    ("roundrobin", proto::ROUNDROBIN),
    ("broadcast", proto::BROADCAST),
    ("none", proto::NONE),
    ("default", proto::FAILOVER),
];

const OPTIONS: [(&str, i32); 6] = [
    ("use_flowid", opt::USE_FLOWID),
    ("use_numa", opt::USE_NUMA),
    ("lacp_strict", opt::LACP_STRICT),
    ("lacp_txtest", opt::LACP_TXTEST),
    ("lacp_rxtest", opt::LACP_RXTEST),
    ("lacp_fast_timeout", opt::LACP_FAST_TIMO),
];

/// A word with its argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    Destroy,
    Up,
    Down,
    Proto(u32),
    Port(String),
    RemovePort(String),
    Hash(u32),
    /// `LAGG_OPT_*`; negative to clear it.
    Option(i32),
    FlowidShift(i32),
    RrLimit(u32),
    Mtu(u32),
    Ether(MacAddr),
    Inet(Ipv4Addr, u8),
    /// A setting that ifconfig(8) has no word for: its name, and its value.
    Set(String, String),
}

/// The words of one command line.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// With `create`: the type of lagg.
    pub create: Option<LaggType>,
    /// The rest, in the order in which they are carried out.
    pub words: Vec<Word>,
}

impl Line {
    /// Reads the words after the interface's name. As with ifconfig(8), addresses are set last.
    ///
    /// # Errors
    /// The message for a word that is wrong.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Line, String> {
        let mut rest = words.iter().map(AsRef::as_ref).peekable();
        let mut line = Line { create: None, words: Vec::new() };
        if rest.next_if(|&word| word == "create" || word == "plumb").is_some() {
            line.create = Some(LaggType::Ethernet);
            while rest.next_if_eq(&"laggtype").is_some() {
                line.create = Some(lagg_type(argument("laggtype", rest.next())?)?);
            }
        }

        let mut address = None;
        let mut prefix = None;
        while let Some(word) = rest.next() {
            let mut next = || argument(word, rest.next());
            line.words.push(match word {
                "destroy" | "unplumb" => Word::Destroy,
                "up" => Word::Up,
                "down" => Word::Down,
                "laggproto" => Word::Proto(protocol(next()?)?),
                "laggport" => Word::Port(interface(next()?)?),
                "-laggport" => Word::RemovePort(interface(next()?)?),
                "lagghash" => Word::Hash(hash_flags(next()?)?),
                "flowid_shift" => Word::FlowidShift(flowid_shift(next()?)?),
                "rr_limit" => Word::RrLimit(rr_limit(next()?)?),
                "set" => Word::Set(next()?.to_owned(), argument(word, rest.next())?.to_owned()),
                "mtu" => Word::Mtu(number("mtu", next()?)?),
                "ether" | "link" | "lladdr" => Word::Ether(mac(next()?)?),
                "netmask" => {
                    prefix = Some(netmask(next()?)?);
                    continue;
                }
                "inet" => {
                    address = Some(inet(next()?)?);
                    continue;
                }
                _ => match option(word) {
                    Some(value) => Word::Option(value),
                    None => {
                        address = Some(inet(word)?);
                        continue;
                    }
                },
            });
        }
        match (address, prefix) {
            (Some((address, Some(length))), None) | (Some((address, _)), Some(length)) => {
                line.words.push(Word::Inet(address, length));
            }
            (Some((address, None)), None) => return Err(format!("{address}: no netmask")),
            (None, Some(_)) => return Err("netmask without an address".to_owned()),
            (None, None) => {}
        }
        Ok(line)
    }
}

fn argument<'a>(word: &str, next: Option<&'a str>) -> Result<&'a str, String> {
    next.ok_or_else(|| format!("'{word}' requires argument"))
}

fn bad_value(word: &str) -> String {
    format!("{word}: bad value")
}

fn lagg_type(word: &str) -> Result<LaggType, String> {
    match word {
        "ethernet" => Ok(LaggType::Ethernet),
        "infiniband" => Ok(LaggType::Infiniband),
        _ => Err(format!("invalid lagg type: {word}")),
    }
}

fn protocol(word: &str) -> Result<u32, String> {
    let known = PROTOCOLS.iter().find(|(name, _)| *name == word);
    known.map(|&(_, proto)| proto).ok_or(format!("Invalid aggregation protocol: {word}"))
}

fn interface(word: &str) -> Result<String, String> {
    if word.is_empty() || word.len() >= IFNAMSIZ || word.contains(['/', '\0']) {
        return Err(format!("{word}: bad interface name"));
    }
    Ok(word.to_owned())
}

fn hash_flags(word: &str) -> Result<u32, String> {
    let flag = |layer| match layer {
        "l2" => Ok(hash::L2),
        "l3" => Ok(hash::L3),
        "l4" => Ok(hash::L4),
        _ => Err(format!("Invalid lagghash option: {layer}")),
    };
    word.split(',').try_fold(0, |flags, layer| Ok(flags | flag(layer)?))
}

fn option(word: &str) -> Option<i32> {
    let (name, sign) = word.strip_prefix('-').map_or((word, 1), |name| (name, -1));
    OPTIONS.iter().find(|(known, _)| *known == name).map(|(_, value)| sign * value)
}

fn flowid_shift(word: &str) -> Result<i32, String> {
    let wrong = || format!("Invalid flowid_shift option: {word}");
    word.parse().ok().filter(|shift| (0..32).contains(shift)).ok_or_else(wrong)
}

fn rr_limit(word: &str) -> Result<u32, String> {
    let wrong = || format!("Invalid round-robin stride: {word}");
    word.parse().ok().filter(|&stride| stride != 0).ok_or_else(wrong)
}

fn number(word: &str, value: &str) -> Result<u32, String> {
    value.parse().map_err(|_| format!("{word}: {value}: bad value"))
}

fn mac(word: &str) -> Result<MacAddr, String> {
    let octets: Option<Vec<u8>> =
        word.split([':', '-']).map(|octet| u8::from_str_radix(octet, 16).ok()).collect();
    let octets = octets.and_then(|octets| MacAddr::try_from(octets).ok());
    octets.ok_or_else(|| "malformed link-level address".to_owned())
}

fn inet(word: &str) -> Result<(Ipv4Addr, Option<u8>), String> {
    let (address, length) = match word.split_once('/') {
        None => (word, None),
        Some((address, length)) => {
            let width = || format!("{word}: bad value (width invalid)");
            let length: u8 = length.parse().ok().filter(|l| *l <= 32).ok_or_else(width)?;
            (address, Some(length))
        }
    };
    Ok((address.parse().map_err(|_| bad_value(word))?, length))
}

/// The prefix length of a netmask, written 255.255.255.0 or 0xffffff00.
fn netmask(word: &str) -> Result<u8, String> {
    let mask = match word.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => word.parse().ok().map(Ipv4Addr::to_bits),
    };
    let mask = mask.filter(|mask| mask.leading_ones() == mask.count_ones());
    mask.map(|mask| mask.leading_ones() as u8).ok_or_else(|| bad_value(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Line, String> {
        Line::parse(&line.split_whitespace().collect::<Vec<_>>())
    }

    #[test]
    fn a_whole_line() {
        let line = parse("create laggproto failover laggport em0 192.0.2.1/24 -use_numa up");
        let words = vec![
            Word::Proto(proto::FAILOVER),
            Word::Port("em0".to_owned()),
            Word::Option(-opt::USE_NUMA),
            Word::Up,
            Word::Inet(Ipv4Addr::new(192, 0, 2, 1), 24),
        ];
        assert_eq!(line, Ok(Line { create: Some(LaggType::Ethernet), words }));
    }

    #[test]
    fn addresses() {
        let set = |words| parse(words).map(|line| line.words);
        let address = Ipv4Addr::new(192, 0, 2, 1);
        assert_eq!(set("192.0.2.1 netmask 0xffffff00"), Ok(vec![Word::Inet(address, 24)]));
        assert_eq!(set("inet 192.0.2.1 netmask 255.255.0.0"), Ok(vec![Word::Inet(address, 16)]));
        assert_eq!(set("ether 02:0:5E:00:53:1"), Ok(vec![Word::Ether([2, 0, 0x5e, 0, 0x53, 1])]));
    }

    #[test]
    fn wrong_words() {
        for (line, message) in [
            ("bogus", "bogus: bad value"),
            ("192.0.2.1/33", "192.0.2.1/33: bad value (width invalid)"),
            ("192.0.2.1", "192.0.2.1: no netmask"),
            ("192.0.2.1 netmask 255.0.255.0", "255.0.255.0: bad value"),
            ("laggproto bogus", "Invalid aggregation protocol: bogus"),
            ("laggport", "'laggport' requires argument"),
            ("laggport abcdefghijklmnop", "abcdefghijklmnop: bad interface name"),
            ("lagghash l2,l5", "Invalid lagghash option: l5"),
            ("flowid_shift 32", "Invalid flowid_shift option: 32"),
            ("rr_limit 0", "Invalid round-robin stride: 0"),
            ("create laggtype token", "invalid lagg type: token"),
            ("laggtype ethernet", "laggtype: bad value"),
            ("up create", "create: bad value"),
            ("ether 1:2:3", "malformed link-level address"),
        ] {
            assert_eq!(parse(line), Err(message.to_owned()), "{line}");
        }
    }
}
