//! Linux's interfaces: what they are and how they change (rtnetlink(7)).

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use lagg_rs::kpi::MacAddr;

/// `RTNLGRP_LINK` as the bit mask that bind(2) takes.
const RTMGRP_LINK: u32 = 1;

/// An interface of Linux.
#[derive(Clone, Debug)]
pub struct Link {
    pub index: u32,
    /// Its current name, which may change.
    pub name: String,
    pub ethernet: bool,
    pub up: bool,
    /// Whether it is up and has a carrier.
    pub lower_up: bool,
    pub mtu: u32,
    pub lladdr: MacAddr,
}

impl From<LinkMessage> for Link {
    fn from(message: LinkMessage) -> Link {
        let flags = message.header.flags;
        let mut link = Link {
            index: message.header.index,
            name: String::new(),
            ethernet: message.header.link_layer_type == LinkLayerType::Ether,
            up: flags.contains(LinkFlags::Up),
            lower_up: flags.contains(LinkFlags::LowerUp),
            mtu: 0,
            lladdr: MacAddr::default(),
        };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::Address(lladdr) => {
                    link.lladdr = lladdr.try_into().unwrap_or_default();
                }
                _ => {}
            }
        }
        link
    }
}

/// A change to make to an interface.
pub enum Change {
    Up(bool),
    Mtu(u32),
    Lladdr(MacAddr),
    Carrier(bool),
    /// Frames that may wait to be sent.
    Queue(u32),
}

/// The interface of that name.
///
/// # Errors
/// What Linux refused it with: ENODEV if there is none.
pub fn link(name: &str) -> io::Result<Link> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    get(message)
}

/// The interface of that number.
///
/// # Errors
/// What Linux refused it with: ENODEV if there is none.
pub fn link_at(index: u32) -> io::Result<Link> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    get(message)
}

fn get(message: LinkMessage) -> io::Result<Link> {
    match request(RouteNetlinkMessage::GetLink(message), 0)? {
        Some(RouteNetlinkMessage::NewLink(message)) => Ok(message.into()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Changes an interface.
///
/// # Errors
/// What Linux refused it with.
pub fn change(index: u32, change: &Change) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    match *change {
        Change::Up(up) => {
            message.header.change_mask = LinkFlags::Up;
            message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        }
        Change::Mtu(mtu) => message.attributes.push(LinkAttribute::Mtu(mtu)),
        Change::Lladdr(lladdr) => {
            message.attributes.push(LinkAttribute::Address(lladdr.to_vec()));
        }
        Change::Carrier(carrier) => {
            message.attributes.push(LinkAttribute::Carrier(carrier.into()));
        }
        Change::Queue(frames) => message.attributes.push(LinkAttribute::TxQueueLen(frames)),
    }
    request(RouteNetlinkMessage::SetLink(message), NLM_F_ACK).map(drop)
}

/// Gives an interface an IPv4 address, or takes it away.
///
/// # Errors
/// What Linux refused it with.
pub fn set_inet(index: u32, address: Ipv4Addr, prefix: u8, add: bool) -> io::Result<()> {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = prefix;
    message.header.scope = AddressScope::Universe;
    message.header.index = index;
    message.attributes.push(AddressAttribute::Local(IpAddr::V4(address)));
    message.attributes.push(AddressAttribute::Address(IpAddr::V4(address)));
    if !add {
        return request(RouteNetlinkMessage::DelAddress(message), NLM_F_ACK).map(drop);
    }
    if prefix < 31 {
        let host_bits = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
        let broadcast = Ipv4Addr::from_bits(address.to_bits() | host_bits);
        message.attributes.push(AddressAttribute::Broadcast(broadcast));
    }
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    request(RouteNetlinkMessage::NewAddress(message), flags).map(drop)
}

/// Sends a request and takes its one answer.
fn request(message: RouteNetlinkMessage, flags: u16) -> io::Result<Option<RouteNetlinkMessage>> {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = NLM_F_REQUEST | flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);

    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
    let (answer, _) = socket.recv_from_full()?;
    match parse(&answer)?.0.payload {
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        NetlinkPayload::InnerMessage(message) => Ok(Some(message)),
        _ => Ok(None),
    }
}

/// The first message in `bytes`, and the rest of them.
fn parse(bytes: &[u8]) -> io::Result<(NetlinkMessage<RouteNetlinkMessage>, &[u8])> {
    let message = NetlinkMessage::deserialize(bytes).map_err(io::Error::other)?;
    // Messages are padded to 4 bytes.
    let length = (message.header.length as usize).next_multiple_of(4);
    Ok((message, bytes.get(length..).unwrap_or_default()))
}

/// A change of an interface that Linux has reported.
pub enum Event {
    Changed(Link),
    /// It is gone, or in another network namespace.
    Gone(u32),
}

/// The socket on which Linux reports changes of interfaces.
pub struct Monitor(Socket);

impl Monitor {
    /// # Errors
    /// What Linux refused it with.
    pub fn new() -> io::Result<Monitor> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, RTMGRP_LINK))?;
        Ok(Monitor(socket))
    }

    /// Waits for the next changes.
    ///
    /// # Errors
    /// ENOBUFS if some were lost: look at all interfaces again.
    pub fn next(&self) -> io::Result<Vec<Event>> {
        let (bytes, _) = self.0.recv_from_full()?;
        let mut rest = &bytes[..];
        let mut events = Vec::new();
        while !rest.is_empty() {
            let (message, after) = parse(rest)?;
            rest = after;
            if let NetlinkPayload::InnerMessage(message) = message.payload {
                events.extend(event(message));
            }
        }
        Ok(events)
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn event(message: RouteNetlinkMessage) -> Option<Event> {
    match message {
        // A bridge reports its ports in messages of its own family.
        RouteNetlinkMessage::NewLink(link)
            if link.header.interface_family == AddressFamily::Unspec =>
        {
            Some(Event::Changed(link.into()))
        }
        RouteNetlinkMessage::DelLink(link)
            if link.header.interface_family == AddressFamily::Unspec =>
        {
            Some(Event::Gone(link.header.index))
        }
        _ => None,
    }
}
