//! LACPDUs and Marker PDUs as tshark(1) reads them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use lagg_rs::wire::lacpdu::{Info, Lacpdu, StateBits};
use lagg_rs::wire::marker::{self, Kind, Marker};
use lagg_rs::wire::slow::{FRAME, Subtype};

use crate::lab::{Directory, Lab, has, inside, must, some, until};
use crate::lacp::laggs;
use crate::packet::{Buffer, PacketSocket};

/// tshark's fields: first its complaints, then the contents of the frames.
const FIELDS: [&str; 23] = [
    "_ws.malformed",
    "_ws.expert.severity",
    "_ws.expert.message",
    "eth.dst",
    "slow.subtype",
    "lacp.version",
    "lacp.actor.sys_priority",
    "lacp.actor.sysid",
    "lacp.actor.key",
    "lacp.actor.port_priority",
    "lacp.actor.port",
    "lacp.actor.state",
    "lacp.partner.sys_priority",
    "lacp.partner.sysid",
    "lacp.partner.key",
    "lacp.partner.port_priority",
    "lacp.partner.port",
    "lacp.partner.state",
    "marker.version",
    "marker.tlvType",
    "marker.requesterPort",
    "marker.requesterSystem",
    "marker.requesterTransId",
];

/// Decodes frames with tshark, which must not complain. Returns its fields.
fn decode(lab: &Lab, frames: &[[u8; FRAME]]) -> Vec<BTreeMap<&'static str, String>> {
    let directory = Directory::new(lab);
    let [text, capture] = ["frames.txt", "frames.pcap"].map(|name| directory.path().join(name));
    let mut dump = String::new();
    for frame in frames {
        dump += "000000";
        frame.iter().for_each(|octet| write!(dump, " {octet:02x}").unwrap());
        dump += "\n";
    }
    fs::write(&text, dump).unwrap();
    let capture = capture.display();
    must(&format!("text2pcap -q {} {capture}", text.display()));
    let whole = must(&format!("tshark -r {capture} -V"));
    assert!(!whole.contains("Malformed") && !whole.contains("Expert Info"), "{whole}");
    let fields = FIELDS.map(|field| format!("-e {field}")).join(" ");
    let lines = must(&format!("tshark -r {capture} -T fields {fields}"));
    let decoded: Vec<BTreeMap<_, _>> = lines
        .lines()
        .map(|line| FIELDS.into_iter().zip(line.split('\t').map(str::to_owned)).collect())
        .collect();
    for fields in &decoded {
        assert!(FIELDS[..3].iter().all(|field| fields[field].is_empty()), "{fields:?}");
        assert_eq!(fields["eth.dst"], "01:80:c2:00:00:02");
    }
    assert_eq!(decoded.len(), frames.len());
    decoded
}

fn mac(octets: [u8; 6]) -> String {
    octets.map(|octet| format!("{octet:02x}")).join(":")
}

/// What tshark must find in a frame.
fn expected(frame: &[u8; FRAME]) -> Vec<(&'static str, String)> {
    if Subtype::of(frame) == Some(Subtype::Marker) {
        let (frame, kind) = marker::Frame::parse(frame).unwrap();
        let Marker { port, system, transaction } = frame.marker();
        // The terminator is a TLV too.
        let kind = if kind == Kind::Information { "0x01,0x00" } else { "0x02,0x00" };
        return vec![
            ("slow.subtype", "0x02".to_owned()),
            ("marker.version", "0x01".to_owned()),
            ("marker.tlvType", kind.to_owned()),
            ("marker.requesterPort", port.to_string()),
            ("marker.requesterSystem", mac(system)),
            ("marker.requesterTransId", transaction.to_string()),
        ];
    }
    let Lacpdu { actor, partner } = Lacpdu::parse(frame).unwrap();
    let mut all = vec![("slow.subtype", "0x01".to_owned()), ("lacp.version", "0x01".to_owned())];
    for (names, info) in [(&FIELDS[6..12], actor), (&FIELDS[12..18], partner)] {
        let values = [
            info.system_priority.to_string(),
            mac(info.system),
            info.key.to_string(),
            info.port_priority.to_string(),
            info.port.to_string(),
            format!("0x{:02x}", info.state.bits()),
        ];
        all.extend(names.iter().copied().zip(values));
    }
    all
}

fn compare(lab: &Lab, frames: &[[u8; FRAME]]) {
    for (frame, decoded) in frames.iter().zip(decode(lab, frames)) {
        for (field, value) in expected(frame) {
            assert_eq!(decoded[field], value, "{field} {decoded:?}");
        }
    }
}

#[test]
fn tshark_reads_what_was_put_in() {
    if !has("tshark", "tshark") {
        return;
    }
    let lab = some!(Lab::cables(0));
    let actor = Info {
        system_priority: 0x8001,
        system: [2, 0x11, 0x22, 0x33, 0x44, 0x55],
        key: 0x016b,
        port_priority: 0x8203,
        port: 0x0405,
        state: StateBits::ACTIVITY | StateBits::AGGREGATION,
    };
    let partner = Info { system: [2, 9, 8, 7, 6, 5], key: 0xfedc, port: 0xffff, ..actor };
    let marker = Marker { port: 0x0102, system: [2, 3, 4, 5, 6, 7], transaction: 0x8070_6050 };
    let mut frames: Vec<_> = (0..=u8::MAX)
        .map(|bits| {
            let [state, other] = [bits, !bits].map(StateBits::from_bits_retain);
            let (actor, partner) = (Info { state, ..actor }, Info { state: other, ..partner });
            Lacpdu { actor, partner }.emit([2, 0, 0, 0, 0, 1])
        })
        .collect();
    frames.push(marker.emit([2, 0, 0, 0, 0, 1]));
    let (asked, _) = marker::Frame::parse(&frames[256]).unwrap();
    frames.push(asked.response([2, 0, 0, 0, 0, 9]));
    compare(&lab, &frames);
    // Compared by hand, in case both sides of the comparison are wrong in the same way.
    let decoded = decode(&lab, &[frames[0x3d], frames[256], frames[257]]);
    assert_eq!(decoded[0]["lacp.actor.sysid"], "02:11:22:33:44:55");
    assert_eq!(decoded[0]["lacp.actor.key"], "363");
    assert_eq!(decoded[0]["lacp.actor.state"], "0x3d");
    assert_eq!(decoded[0]["lacp.partner.state"], "0xc2");
    assert_eq!(decoded[1]["marker.requesterPort"], "258");
    assert_eq!(decoded[1]["marker.tlvType"], "0x01,0x00");
    assert_eq!(decoded[2]["marker.tlvType"], "0x02,0x00");
}

/// All that a lagg sends from the first LACPDU to the last, including markers and their responses.
#[test]
fn tshark_reads_a_negotiation() {
    if !has("tshark", "tshark") {
        return;
    }
    let lab = some!(Lab::cables(2));
    let index = lab.index(&lab.far, "port0");
    let open = move || PacketSocket::open("port0", index).unwrap();
    let socket = inside(&lab.far, open).join().unwrap();
    laggs(&lab);
    let (mut frames, mut buffer) = (Vec::new(), Buffer::new());
    let mut listen = || {
        // ENETDOWN once, from the time before the port was up.
        while let Ok(true) | Err(_) = socket.receive(&mut buffer, |frame| {
            if Subtype::of(frame).is_some() {
                frames.push(<[u8; FRAME]>::try_from(frame).unwrap());
            }
        }) {}
        frames.clone()
    };
    // Flows move to the second link when it comes back, so a marker is sent on the first.
    lab.cut(1);
    lab.until_port("em1", crate::view::STANDBY);
    lab.heal(1);
    for (what, kind) in [("a marker", Kind::Information), ("an answer", Kind::Response)] {
        until(&format!("{what} has come"), || {
            listen().iter().any(|frame| marker::Frame::parse(frame).is_ok_and(|(_, k)| k == kind))
        });
    }
    lab.ok("lagg0 destroy");
    until("the farewell has come", || {
        let said = |frame: &[u8; FRAME]| Lacpdu::parse(frame).ok().map(|pdu| pdu.actor.state);
        let last = listen().last().and_then(said);
        last.is_some_and(|state| !state.contains(StateBits::AGGREGATION))
    });
    let frames = listen();
    assert!(frames.len() > 5, "{}", frames.len());
    compare(&lab, &frames);
}
