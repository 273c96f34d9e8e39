//! Invariants that hold whatever the cables do.

use lagg_rs::lacp::{Link, mux, periodic, receive, transmit};
use lagg_rs::wire::lacpdu::{Info, StateBits};

use super::lab::{Lab, Record, nth};
use super::whole;

/// The state without the bits whose change is not sent at once.
fn told(info: &Info) -> Info {
    Info { state: info.state - StateBits::DEFAULTED - StateBits::EXPIRED, ..*info }
}

impl Record {
    /// At most 3 LACPDUs in any second.
    pub fn check_rate(&mut self) {
        let keep = self.sent.len().saturating_sub(transmit::LIMIT + 1);
        self.sent.drain(..keep);
        if let [first, .., last] = self.sent[..]
            && self.sent.len() > transmit::LIMIT
        {
            assert!(last - first >= u64::from(periodic::FAST), "too many LACPDUs: {:?}", self.sent);
        }
    }

    /// Whether the limit allows no LACPDU now.
    fn is_full(&self, now: u64) -> bool {
        let recent = self.sent.iter().filter(|&&at| at + u64::from(periodic::FAST) > now);
        recent.count() >= transmit::LIMIT
    }
}

impl Lab {
    pub fn check(&mut self) {
        let now = self.time();
        for system in self.systems.iter_mut().filter(|system| system.touched) {
            whole::check(&mut system.lacp, now);
        }
        self.check_ports();
        self.check_partners();
    }

    /// A port's state follows from the LACPDUs that it has received. It has been sent to the partner, or
    /// the limit holds it back.
    fn check_ports(&self) {
        for end in self.cables.iter().flat_map(|cable| &cable.ends).filter(|end| end.present) {
            let system = &self.systems[end.system];
            if !system.touched {
                continue;
            }
            let record = &system.records[usize::from(end.slot)];
            let port = system.lacp.port(nth(end.slot)).unwrap();
            let defaulted = port.actor().state.contains(StateBits::DEFAULTED);
            if port.mux() == mux::MuxState::Distributing && !defaulted {
                let heard = record.heard.expect("distributes without a partner");
                assert!(heard.knew && heard.at + u64::from(receive::LONG_TIMEOUT) > self.now);
                assert!(heard.pdu.actor.state.contains(StateBits::SYNC | StateBits::COLLECTING));
            }
            let speaks = (port.actor().state | port.partner().state).contains(StateBits::ACTIVITY);
            if matches!(end.link, Link::Up(_)) && record.hushed.is_none() && speaks {
                let said =
                    record.said.is_some_and(|said| told(&said.pdu.actor) == told(port.actor()));
                assert!(said || record.is_full(self.now), "not said: {}", self.describe());
            }
        }
    }

    /// No port distributes to one that does not collect for longer than a LACPDU needs to report that: the
    /// limit, and the delay of one. Nothing is checked if LACPDUs of that moment may have been lost or
    /// late.
    fn check_partners(&mut self) {
        for cable in 0..self.cables.len() {
            for from in [0, 1] {
                let end = &self.cables[cable].ends[from];
                let collects = self[end.system]
                    .port(nth(end.slot))
                    .is_some_and(|port| port.actor().state.contains(StateBits::COLLECTING));
                let (now, it) = (self.now, &mut self.cables[cable]);
                let deaf = &mut it.ends[from].deaf;
                *deaf = if collects { None } else { deaf.or(Some(now)) };
                let Some(since) = *deaf else { continue };
                let it = &self.cables[cable];
                let told_by = since + u64::from(periodic::FAST) + it.ways[from].delay;
                if since > it.disturbed[from] && self.is_sound(cable, from) && now > told_by {
                    let other = &it.ends[1 - from];
                    let distributes = self[other.system]
                        .port(nth(other.slot))
                        .is_some_and(|port| port.mux() == mux::MuxState::Distributing);
                    assert!(!distributes, "into a deaf port: {}", self.describe());
                }
            }
        }
    }

    /// Whether frames in this direction arrive, in order, and are accepted.
    fn is_sound(&self, cable: usize, from: usize) -> bool {
        let it = &self.cables[cable];
        let (way, [sender, hearer]) = (it.ways[from], [&it.ends[from], &it.ends[1 - from]]);
        !way.cut
            && (way.lost, way.jitter) == (0, 0)
            && matches!(sender.link, Link::Up(_))
            && !self[sender.system].options().txtest
            && !self[hearer.system].options().rxtest
    }
}
