//! Events of cards, and frames from their links.

use arbitrary::{Result as Read, Unstructured};
use lagg_rs::kpi::host::testing::SET_LLADDR;
use lagg_rs::kpi::host::{self, IFM_ETHER, IFM_ETHER_AUTO, IFM_HDX, Vnet};
use lagg_rs::kpi::ioctl::{SIOCGIFXMEDIA, SIOCSIFCAP, SIOCSIFFLAGS, SIOCSIFMTU};
use lagg_rs::kpi::{Errno, LinkState, iff};
use lagg_rs::wire::lacpdu::{Info, Lacpdu, StateBits};
use lagg_rs::wire::marker::{Frame, Kind};
use lagg_rs::wire::slow::{MULTICAST, Subtype};

use super::super::lab::{Card, flags, modelled};
use super::super::world::{self, CARDS, JAIL};
use super::{Lab, nature};

impl Lab<'_> {
    pub(super) fn card(&self, u: &mut Unstructured<'_>) -> Read<Option<&Card>> {
        let cards = &self.world.cards;
        if cards.is_empty() { Ok(None) } else { u.choose(cards).map(Some) }
    }

    pub(super) fn link(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        let state =
            *u.choose(&[LinkState::Down, LinkState::Up, LinkState::Up, LinkState::Unknown])?;
        if let Some(card) = self.card(u)? {
            host::set_link(&card.ifp, state);
        }
        Ok(())
    }

    /// An administrator takes the card itself down, or up.
    pub(super) fn own_flags(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        let up = if u.ratio(3, 4)? { iff::UP } else { 0 };
        if let Some(card) = self.card(u)? {
            card.ifp.in_vnet(|| flags(&card.name(), up)).expect("it is there");
        }
        Ok(())
    }

    pub(super) fn depart(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        if !self.world.cards.is_empty() {
            let card = self.world.cards.swap_remove(u.choose_index(self.world.cards.len())?);
            let ifp = card.ifp.ifp();
            card.ifp.detach();
            assert!(ifp.lagg_port().is_none());
        }
        Ok(())
    }

    pub(super) fn arrive(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        let (n, which) = (u.int_in_range(0..=CARDS)?, u.arbitrary()?);
        let is_free = |vnet: Vnet| vnet.interface(&format!("em{n}")).is_none();
        if is_free(Vnet::current()) && is_free(*JAIL) {
            let model = world::model(which);
            let card = modelled(n, model);
            self.models.insert(card.ifp.index(), model);
            self.natures.insert(card.ifp.index(), nature(&card.ifp));
            self.world.cards.push(card);
        }
        Ok(())
    }

    pub(super) fn rename(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        let to = *u.choose(&["em0", "em1", "wan0", "wan1"])?;
        if JAIL.interface(to).is_none()
            && let Some(card) = self.card(u)?
            && card.ifp.vnet() == Vnet::current()
        {
            let result = host::rename(&card.ifp, to);
            assert!(matches!(result, Ok(()) | Err(Errno::EEXIST)));
        }
        Ok(())
    }

    pub(super) fn refuse(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        let commands = [SIOCSIFMTU, SIOCSIFFLAGS, SIOCSIFCAP, SIOCGIFXMEDIA, SET_LLADDR];
        let (command, n) = (*u.choose(&commands)?, u.int_in_range(1..=3)?);
        if let Some(card) = self.card(u)? {
            card.nic.refuse(command, n, Errno::EIO);
            self.refused = true;
        }
        Ok(())
    }

    pub(super) fn receive(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        let slow = u.arbitrary()?;
        let len = u.int_in_range(0..=130)?;
        let mut bytes = u.bytes(len)?.to_vec();
        if slow && bytes.len() > 14 {
            bytes[..6].copy_from_slice(&MULTICAST);
            bytes[12..14].copy_from_slice(&[0x88, 0x09]);
        }
        if let Some(card) = self.card(u)? {
            card.receive(&bytes);
        }
        Ok(())
    }

    /// Answers each LACPDU and marker that was sent, as a partner that agrees.
    pub(super) fn partners_answer(&mut self) {
        host::settle();
        for (n, card) in self.world.cards.iter().enumerate() {
            for sent in card.nic.take_sent() {
                if let Some(answer) = answer(&sent, n as u16) {
                    card.receive(&answer);
                }
            }
        }
        host::settle();
    }

    pub(super) fn media(&mut self, u: &mut Unstructured<'_>) -> Read<()> {
        let media = [0, IFM_ETHER | 3, IFM_ETHER | IFM_HDX | 6, IFM_ETHER_AUTO, 0x80, u32::MAX];
        let media = *u.choose(&media)?;
        if let Some(card) = self.card(u)? {
            card.nic.set_media(media);
        }
        Ok(())
    }
}

/// The answer of a partner to a frame, if there is one.
fn answer(sent: &[u8], n: u16) -> Option<Vec<u8>> {
    match Subtype::of(sent)? {
        Subtype::Lacp => {
            let pdu = Lacpdu::parse(sent).expect("what is sent is well formed");
            let actor = Info {
                system_priority: 0x8000,
                system: [2, 0, 0, 0, 9, 9],
                key: 9,
                port_priority: 0x8000,
                port: 900 + n,
                state: pdu.actor.state | StateBits::COLLECTING | StateBits::DISTRIBUTING,
            };
            Some(Lacpdu { actor, partner: pdu.actor }.emit([2, 0, 0, 0, 9, 9]).to_vec())
        }
        Subtype::Marker => {
            let (frame, kind) = Frame::parse(sent).expect("what is sent is well formed");
            (kind == Kind::Information).then(|| frame.response([2, 0, 0, 0, 9, 9]).to_vec())
        }
    }
}
