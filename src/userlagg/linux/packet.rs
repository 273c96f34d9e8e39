//! Frames of a port: a packet socket (packet(7)) on its Linux interface.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SetSockOpt, SockFlag, SockProtocol, SockType,
    bind, recvmsg, sendmsg, setsockopt, socket, sockopt,
};
use nix::{setsockopt_impl, sockopt_impl};

use super::offload::{self, VNET_HEADER};

sockopt_impl!(
    /// Ignore frames that others send on the interface.
    IgnoreOutgoing, SetOnly, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, bool);
sockopt_impl!(
    /// Each frame comes with the work that is left to the hardware.
    VnetHeader, SetOnly, libc::SOL_PACKET, libc::PACKET_VNET_HDR, bool);
sockopt_impl!(
    /// Each frame comes with the VLAN tag that Linux removed.
    AuxiliaryData, SetOnly, libc::SOL_PACKET, libc::PACKET_AUXDATA, bool);
sockopt_impl!(
    AddMembership,
    SetOnly,
    libc::SOL_PACKET,
    libc::PACKET_ADD_MEMBERSHIP,
    libc::packet_mreq
);
sockopt_impl!(
    DropMembership,
    SetOnly,
    libc::SOL_PACKET,
    libc::PACKET_DROP_MEMBERSHIP,
    libc::packet_mreq
);

const TAG: usize = 4;
const ADDRESSES: usize = 12;
/// Room for a tag that is inserted again, and for the largest unsegmented frame that another process on
/// this host may send.
const BUFFER: usize = TAG + 18 + 65536;

/// Room for one message of auxiliary data: its header, and `struct tpacket_auxdata`.
const CONTROL: usize = 64;

const RECEIVE_BUFFER: usize = 4 << 20;

/// A packet socket that is bound to one interface. Nothing on it blocks.
pub struct PacketSocket {
    fd: OwnedFd,
    index: u32,
}

impl PacketSocket {
    /// Opens the interface.
    ///
    /// # Errors
    /// What Linux refused it with.
    pub fn open(name: &str, index: u32) -> io::Result<PacketSocket> {
        let addresses = getifaddrs()?.filter(|entry| entry.interface_name == name);
        let link = addresses
            .filter_map(|entry| entry.address?.as_link_addr().copied())
            .find(|link| link.ifindex() == index as usize)
            .ok_or(Errno::ENODEV)?;

        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
        setsockopt(&fd, IgnoreOutgoing, &true)?;
        setsockopt(&fd, VnetHeader, &true)?;
        setsockopt(&fd, AuxiliaryData, &true)?;
        // Best effort: it needs CAP_NET_ADMIN of the first user namespace.
        let _ = setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE_BUFFER);
        bind(fd.as_raw_fd(), &link)?;

        let socket = PacketSocket { fd, index };
        // Linux does not report which groups it joins on the lagg.
        socket.membership(AddMembership, libc::PACKET_MR_ALLMULTI)?;
        socket.drain()?;
        Ok(socket)
    }

    /// Receives all frames, or only those for the interface's address. Linux counts such requests, and
    /// undoes them when the socket is closed.
    ///
    /// # Errors
    /// What Linux refused it with.
    pub fn set_promisc(&self, promisc: bool) -> io::Result<()> {
        if promisc {
            self.membership(AddMembership, libc::PACKET_MR_PROMISC)
        } else {
            self.membership(DropMembership, libc::PACKET_MR_PROMISC)
        }
    }

    /// Discards what the socket received before it was bound, from all interfaces, and the report that this
    /// one is down.
    fn drain(&self) -> io::Result<()> {
        let mut buffer = Buffer::new();
        loop {
            match self.receive(&mut buffer, |_| ()) {
                Ok(false) => return Ok(()),
                Err(error) if error.raw_os_error() != Some(libc::ENETDOWN) => return Err(error),
                _ => {}
            }
        }
    }

    fn membership<O>(&self, option: O, kind: i32) -> io::Result<()>
    where
        O: SetSockOpt<Val = libc::packet_mreq>,
    {
        let request = libc::packet_mreq {
            mr_ifindex: self.index as i32,
            mr_type: kind as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        Ok(setsockopt(&self.fd, option, &request)?)
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// What Linux refused it with; the frame is lost.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        let parts = [IoSlice::new(&[0; VNET_HEADER]), IoSlice::new(frame)];
        let flags = MsgFlags::MSG_DONTWAIT;
        sendmsg::<()>(self.fd.as_raw_fd(), &parts, &[], flags, None)?;
        Ok(())
    }

    /// Passes the next frame to `each`, complete as on a wire, or the segments of one that the sender left
    /// to the hardware. Returns false if there is none.
    ///
    /// # Errors
    /// ENETDOWN, once, when the interface has gone down; or what else Linux returned.
    pub fn receive(&self, buffer: &mut Buffer, each: impl FnMut(&[u8])) -> io::Result<bool> {
        let mut header = [0; VNET_HEADER];
        let mut parts = [IoSliceMut::new(&mut header), IoSliceMut::new(&mut buffer.frame[TAG..])];
        let flags = MsgFlags::MSG_DONTWAIT;
        let control = Some(&mut buffer.control[..]);
        let (length, tag) = match recvmsg::<()>(self.fd.as_raw_fd(), &mut parts, control, flags) {
            Ok(message) => (message.bytes, message.cmsgs()?.find_map(|cmsg| vlan_tag(&cmsg))),
            Err(Errno::EAGAIN) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let end = TAG + length.saturating_sub(VNET_HEADER);
        match tag.filter(|_| end > TAG + ADDRESSES) {
            None => offload::complete(&header, &mut buffer.frame[TAG..end], 0, each),
            Some(tag) => {
                buffer.frame.copy_within(TAG..TAG + ADDRESSES, 0);
                buffer.frame[ADDRESSES..ADDRESSES + TAG].copy_from_slice(&tag);
                offload::complete(&header, &mut buffer.frame[..end], TAG, each);
            }
        }
        Ok(true)
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Where a frame is received to.
pub struct Buffer {
    frame: Vec<u8>,
    control: Vec<u8>,
}

impl Buffer {
    pub fn new() -> Buffer {
        Buffer { frame: vec![0; BUFFER], control: vec![0; CONTROL] }
    }
}

/// The 802.1Q tag in a message of auxiliary data (`struct tpacket_auxdata`).
fn vlan_tag(message: &ControlMessageOwned) -> Option<[u8; TAG]> {
    let ControlMessageOwned::Unknown(message) = message else { return None };
    let kind = (message.cmsg_header.cmsg_level, message.cmsg_header.cmsg_type);
    if kind != (libc::SOL_PACKET, libc::PACKET_AUXDATA) {
        return None;
    }
    let (status, rest) = message.data_bytes.split_first_chunk()?;
    let (tci, rest) = rest.get(12..)?.split_first_chunk()?;
    let (tpid, _) = rest.split_first_chunk()?;
    let status = u32::from_ne_bytes(*status);
    if status & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let tpid = match u16::from_ne_bytes(*tpid) {
        tpid if status & libc::TP_STATUS_VLAN_TPID_VALID != 0 => tpid,
        _ => libc::ETH_P_8021Q as u16,
    };
    let [t0, t1] = tpid.to_be_bytes();
    let [c0, c1] = u16::from_ne_bytes(*tci).to_be_bytes();
    Some([t0, t1, c0, c1])
}
