//! Tests of all protocols, with model ports and packets instead of a driver.

use std::cell::Cell;
use std::num::NonZeroU32;

use zerocopy::FromZeros;

use super::buckets::{Homes, Table};
use super::hash::Key;
use super::lacp::{Exceptions, Paused, Waits};
use super::{Flows, Kind, Lacp, Packet, Port, Ports, Protocol, Role, RoundRobin, Speed, Unsent};
use crate::slots::{Slot, SlotSet};
use crate::wire::flow::Bytes;

/// A model port.
pub struct OfModel {
    pub slot: Slot,
    pub is_active: bool,
}

impl Port for OfModel {
    fn slot(&self) -> Slot {
        self.slot
    }

    fn is_active(&self) -> bool {
        self.is_active
    }
}

/// A lagg's ports, in the order of their slots. The first is the primary, and sends.
pub struct Model(Vec<OfModel>);

impl Model {
    /// These members, of which these are active.
    pub fn new(members: SlotSet, active: SlotSet) -> Self {
        let port = |slot| OfModel { slot, is_active: active.contains(slot) };
        Model(members.iter().map(port).collect())
    }
}

impl Ports for Model {
    type Port = OfModel;

    fn iter(&self) -> impl Iterator<Item = &OfModel> + Clone {
        self.0.iter()
    }

    fn at(&self, place: usize) -> Option<&OfModel> {
        self.0.get(place)
    }

    fn in_slot(&self, slot: Slot) -> Option<&OfModel> {
        self.0.iter().find(|port| port.slot == slot)
    }

    fn in_service(&self) -> usize {
        self.0.len()
    }

    fn sender(&self) -> Option<&OfModel> {
        self.0.first()
    }

    fn primary(&self) -> Option<&OfModel> {
        self.0.first()
    }
}

/// A frame in pieces.
pub struct Frame {
    segments: Vec<Vec<u8>>,
    pub flow_id: Option<u32>,
}

impl Frame {
    pub fn from_segments<const N: usize>(segments: [&[u8]; N]) -> Self {
        let segments = segments.map(<[u8]>::to_vec).into();
        Frame { segments, flow_id: None }
    }
}

impl Bytes for Frame {
    fn head(&self) -> &[u8] {
        self.segments.first().map_or(&[], |first| first)
    }

    fn gather<'a>(&'a self, room: &'a mut [u8]) -> &'a [u8] {
        let bytes = self.segments.concat();
        let length = bytes.len().min(room.len());
        room[..length].copy_from_slice(&bytes[..length]);
        &room[..length]
    }
}

impl Packet for Frame {
    fn length(&self) -> usize {
        self.segments.iter().map(Vec::len).sum()
    }

    fn vlan_tag(&self) -> Option<u16> {
        None
    }

    fn flow_id(&self) -> Option<u32> {
        self.flow_id
    }

    fn numa_domain(&self) -> Option<u8> {
        None
    }
}

type Rules = Protocol<RoundRobin<Cell<u64>>, Flows<Box<Table>>, Lacp<Box<Table>, Box<Exceptions>>>;

/// Four ports, each of which may be active.
const MEMBERS: SlotSet = SlotSet::from_bits(0b1011_0100);

fn flows() -> Flows<Box<Table>> {
    let (mut table, mut homes) = (Box::new(Table::new_zeroed()), Homes::new_zeroed());
    table.rebuild(&mut homes, MEMBERS, MEMBERS);
    Flows { key: Key::new([7; 24]), table, layers: 0, flowid_shift: Some(0) }
}

fn lacp(distributing: SlotSet) -> Lacp<Box<Table>, Box<Exceptions>> {
    Lacp { flows: flows(), collecting: distributing, distributing, exceptions: None }
}

fn rules(kind: Kind, distributing: SlotSet) -> Rules {
    let turns = || RoundRobin::new(Cell::new(0), NonZeroU32::MIN, MEMBERS.len());
    kind.try_with(|| Ok::<_, ()>(turns()), || Ok(flows()), || Ok(lacp(distributing))).unwrap()
}

fn packet(flow_id: u32) -> Frame {
    Frame { flow_id: Some(flow_id), ..Frame::from_segments([&[0; 60]]) }
}

/// The slots that packets of 1,024 flows were sent on, and why the others were not sent.
fn sent(rules: &Rules, ports: &Model) -> (SlotSet, Vec<Unsent>) {
    let (mut slots, mut unsent) = (SlotSet::EMPTY, Vec::new());
    for id in 0..1024 {
        let packet = packet(id);
        let turn = match rules {
            Protocol::RoundRobin(turns) => ports.at(turns.next()),
            _ => None,
        };
        let selected = rules.select(turn, ports, &packet);
        // What chooses by flow finds the same in the flow's bucket.
        if let Some(flows) = rules.flows() {
            let bucket = Table::bucket_of(flows.hash(&packet));
            let found = rules.select_in_bucket(ports, &packet, bucket);
            assert_eq!(found.map(Port::slot), selected.map(Port::slot));
            let slot = flows.table.slot(bucket);
            let first = ports.in_slot(slot).filter(|port| port.is_active());
            let goes = rules.sends_on(ports).contains(slot)
                && rules.exceptions().is_none_or(|there| there.allow(bucket, slot, None));
            if goes && let Some(port) = first {
                assert_eq!(selected.map(Port::slot), Ok(port.slot()));
            }
        }
        match selected {
            Ok(port) => slots.insert(port.slot()),
            Err(why) => unsent.push(why),
        }
    }
    (slots, unsent)
}

/// All sets of active ports.
fn each_active() -> impl Iterator<Item = (SlotSet, Model)> {
    let sets = (0..=0xff).map(SlotSet::from_bits).filter(|set| (*set - MEMBERS).is_empty());
    sets.map(|active| (active, Model::new(MEMBERS, active)))
}

#[test]
fn each_protocol_has_a_number_and_a_name_of_its_own() {
    for kind in Kind::ALL {
        assert_eq!(Kind::numbered(kind.about().number), Some(kind));
        assert_eq!(rules(kind, MEMBERS).kind(), kind);
        let names = Kind::ALL.into_iter().filter(|other| other.about().name == kind.about().name);
        assert_eq!(names.count(), 1);
    }
    assert_eq!(Kind::numbered(6), None);
}

#[test]
fn packets_go_to_active_ports_alone() {
    for (active, ports) in each_active() {
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Broadcast) {
            let rules = rules(kind, MEMBERS);
            let (slots, unsent) = sent(&rules, &ports);
            let expected = match kind {
                Kind::None => SlotSet::EMPTY,
                Kind::Failover => active.iter().take(1).collect(),
                _ => active,
            };
            assert_eq!(slots, expected, "{kind:?}");
            let why = if kind == Kind::None { Unsent::Disabled } else { Unsent::NoActivePort };
            let dropped = if expected.is_empty() { 1024 } else { 0 };
            assert_eq!(unsent, vec![why; dropped]);
        }
    }
}

#[test]
fn lacp_sends_where_it_distributes_and_takes_in_where_it_collects() {
    for (distributing, ports) in each_active() {
        let rules = rules(Kind::Lacp(()), distributing);
        assert_eq!(sent(&rules, &Model::new(MEMBERS, MEMBERS)).0, distributing);
        assert_eq!(rules.in_service(), Some(distributing.len() as usize));
        for port in ports.iter() {
            let collects = distributing.contains(port.slot());
            assert_eq!(rules.takes_from(&ports).contains(port.slot()), collects);
            assert_eq!(rules.accepts(&ports, port, || false), collects);
        }
    }
}

#[test]
fn a_flow_that_waits_is_not_sent_and_has_a_port_all_the_same() {
    let mut lacp = lacp(MEMBERS);
    let (mut waits, mut paused) = (Waits::new_zeroed(), Paused::NONE);
    waits.all(MEMBERS);
    assert!(waits.settle(MEMBERS, &mut paused));
    lacp.exceptions = Some(Box::new(Exceptions { domains: None, paused }));
    let (rules, ports): (Rules, _) = (Protocol::Lacp(lacp), Model::new(MEMBERS, MEMBERS));
    assert_eq!(sent(&rules, &ports), (SlotSet::EMPTY, vec![Unsent::Paused; 1024]));
    assert!(rules.port_of_flow(&ports, Some(1), None).is_some());
}

#[test]
fn failover_takes_in_what_comes_on_the_port_that_sends() {
    let rules = rules(Kind::Failover, MEMBERS);
    for (active, ports) in each_active() {
        let sends = active.iter().next();
        for (place, port) in ports.iter().enumerate() {
            let takes = |rx_all| rules.accepts(&ports, port, rx_all);
            assert_eq!(rules.takes_from(&ports).contains(port.slot()), place == 0);
            assert!(takes(|| true));
            let stands_in = sends.is_none_or(|sends| sends == port.slot());
            assert_eq!(takes(|| false), place == 0 || stands_in);
            let role = Role { master: place == 0, active: sends == Some(port.slot()) };
            assert_eq!(rules.role(&ports, port), Some(role));
        }
        assert_eq!(rules.speed(&ports), Speed::Of(sends.into_iter().collect()));
    }
}

impl super::Measures for Box<super::buckets::Table> {}
