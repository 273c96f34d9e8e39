//! Capabilities: those that the lagg offers, and those that its ports keep.

use std::sync::{Arc, Mutex};

use lagg_rs::kpi::host::{self, Nic, ifioctl};
use lagg_rs::kpi::ioctl::{InterfaceRequest, SIOCSIFCAP};
use lagg_rs::kpi::offloads::{Offloads, capability};
use lagg_rs::kpi::{Epoch, Errno, IfType, Ifnet, Ioctl, Mbuf};
use zerocopy::IntoBytes;

use crate::lab::{Card, card, lab, lagg, lagg_of, mac, mtu, name};

const RXCSUM: u64 = 1;
const TXCSUM: u64 = 1 << 1;
const NV: u64 = 1 << 17;
/// The first capability of the second word, which SIOCSIFCAP cannot set.
const RXTLS: u64 = 1 << 32;

/// A card with these capabilities, all enabled.
pub fn able(n: u8, can: u64) -> Card {
    let card = card(n);
    card.ifp.store_offloads(&Offloads {
        capabilities: can,
        enabled: can,
        hwassist: can,
        tso: [65535, u32::from(n), 0],
    });
    card
}

fn enabled(card: &Card) -> u64 {
    card.ifp.offloads().enabled
}

/// `ifconfig NAME` with capabilities.
pub fn set(name: &str, to: u64) -> Result<(), Errno> {
    let mut request = InterfaceRequest::with_capabilities(to as u32);
    ifioctl(name, SIOCSIFCAP, &mut request)
}

#[test]
fn the_lagg_can_do_what_all_of_its_ports_can() {
    lab(|| {
        let (a, b) = (able(1, RXCSUM | TXCSUM), able(2, TXCSUM | capability::HWSTATS));
        let lagg = lagg();
        assert_eq!(lagg.ifp.offloads().enabled, capability::HWSTATS);
        lagg.add("em1").unwrap();
        assert_eq!(lagg.ifp.offloads(), a.ifp.offloads());
        lagg.add("em2").unwrap();
        let common = Offloads {
            capabilities: TXCSUM,
            enabled: TXCSUM,
            hwassist: TXCSUM,
            tso: [65535, 1, 0],
        };
        assert_eq!(lagg.ifp.offloads(), common);
        assert_eq!((enabled(&a), enabled(&b)), (TXCSUM, TXCSUM));
    });
}

#[test]
fn what_the_administrator_asks_of_the_lagg_its_ports_do() {
    lab(|| {
        let (a, b) = (able(1, RXCSUM | TXCSUM), able(2, RXCSUM | TXCSUM));
        let lagg = lagg_of(&[&a, &b]);
        set(&lagg.name, RXCSUM).unwrap();
        assert_eq!([enabled(&a), enabled(&b), lagg.ifp.offloads().enabled], [RXCSUM; 3]);
        assert_eq!(set(&lagg.name, 1 << 4), Err(Errno::EINVAL), "what it cannot do");
        set(&lagg.name, RXCSUM | TXCSUM).unwrap();
        assert_eq!([enabled(&a), enabled(&b)], [RXCSUM | TXCSUM; 2]);
        // Asked of one port, the lagg and the others follow.
        set("em2", TXCSUM).unwrap();
        host::settle();
        assert_eq!([enabled(&a), enabled(&b), lagg.ifp.offloads().enabled], [TXCSUM; 3]);
    });
}

/// A card that records the arguments of requests.
#[derive(Default)]
struct Attentive(Mutex<Vec<InterfaceRequest>>);

impl Nic for Attentive {
    fn transmit(&self, _: &Ifnet, _: Mbuf, _: &Epoch) -> Result<(), Errno> {
        Ok(())
    }

    fn ioctl(&self, ifp: &Ifnet, r: &mut Ioctl<'_>) -> Result<(), Errno> {
        if let Ok(request) = r.argument::<InterfaceRequest>() {
            self.0.lock().unwrap().push(*request);
        }
        host::default_ioctl(ifp, r)
    }
}

/// Fields of a request to a port that are not set have garbage from the stack.
#[test]
fn f05_requests_to_a_port_are_zeroed() {
    lab(|| {
        let (a, nic) = (able(1, TXCSUM), Arc::new(Attentive::default()));
        mtu("em1", 4000).unwrap();
        let ifp = host::attach("em2", IfType::Ethernet, mac(2), 1500, 0, nic.clone());
        let both = RXCSUM | TXCSUM;
        let can = Offloads { capabilities: both, enabled: both, ..Offloads::default() };
        ifp.store_offloads(&can);
        let lagg = lagg_of(&[&a]);
        lagg.add("em2").unwrap();
        lagg.remove("em2").unwrap();
        let requests = std::mem::take(&mut *nic.0.lock().unwrap());
        let values: Vec<_> = requests.iter().map(InterfaceRequest::all_capabilities).collect();
        assert_eq!(values, [4000, TXCSUM, 1500, both]);
        // The name, and zeros after the word that is set.
        let zeroed = |r: &InterfaceRequest| {
            r.name == name("em2") && r.as_bytes()[3..16] == [0; 13] && r.as_bytes()[20..] == [0; 12]
        };
        assert!(requests.iter().all(zeroed));
    });
}

/// A port's second word of capabilities is lost when it leaves.
#[test]
fn f04_both_words_of_capabilities_come_back() {
    lab(|| {
        let (a, b) = (able(1, RXCSUM), able(2, NV | RXCSUM | RXTLS));
        let lagg = lagg_of(&[&a, &b]);
        assert_eq!(enabled(&b), RXCSUM);
        lagg.remove("em2").unwrap();
        assert_eq!(enabled(&b), NV | RXCSUM | RXTLS);
    });
}

/// A change of the second word alone is not seen.
#[test]
fn f06_a_change_of_the_second_word_alone_counts() {
    lab(|| {
        let (a, b) = (able(1, NV | RXTLS), able(2, NV));
        b.ifp.store_offloads(&Offloads { hwassist: NV | RXTLS, ..b.ifp.offloads() });
        let lagg = lagg_of(&[&a]);
        a.ifp.store_offloads(&Offloads { enabled: NV, ..a.ifp.offloads() });
        assert_eq!(lagg.ifp.offloads().capabilities, NV | RXTLS);
        lagg.add("em2").unwrap();
        assert_eq!(lagg.ifp.offloads().capabilities, NV);
    });
}

/// What one port could not do stays off on the others when it has left.
#[test]
fn f07_capabilities_grow_back() {
    lab(|| {
        let (a, b) = (able(1, RXCSUM | TXCSUM), able(2, TXCSUM));
        let lagg = lagg_of(&[&a, &b]);
        assert_eq!(enabled(&a), TXCSUM);
        lagg.remove("em2").unwrap();
        assert_eq!(enabled(&a), RXCSUM | TXCSUM);
        assert_eq!(lagg.ifp.offloads().enabled, RXCSUM | TXCSUM);
        lagg.remove("em1").unwrap();
        assert_eq!(lagg.ifp.offloads().enabled, capability::HWSTATS);
    });
}

/// Two cards of which each refuses what the other insists on must not keep the lagg busy for ever.
#[test]
fn cards_that_never_agree_are_left_at_that() {
    lab(|| {
        let (a, b) = (able(1, RXCSUM | TXCSUM), able(2, TXCSUM));
        a.nic.refuse_all(SIOCSIFCAP, Errno::EIO);
        let lagg = lagg_of(&[&a, &b]);
        assert_eq!((enabled(&a), enabled(&b)), (RXCSUM | TXCSUM, TXCSUM));
        assert_eq!(lagg.ifp.offloads().enabled, TXCSUM);
    });
}
