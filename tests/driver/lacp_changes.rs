//! What is told of lacp's changes: with whom a port is in service, and why it is not.

use lagg_rs::kpi::LinkState;
use lagg_rs::kpi::host::testing::Events;
use lagg_rs::kpi::ioctl::{opt, proto};
use lagg_rs::lacp::mux::AGGREGATE_WAIT;

use crate::changes::{NONE, tells, told};
use crate::lab::{lab, lagg};
use crate::pair::{Pair, pair, strangers};

/// The system and the port of the partner on a wire, as the log shows them.
fn partner(pair: &Pair, wire: usize) -> String {
    let record = pair.records(&pair.left)[wire];
    let system: Vec<_> = record.psc.partner_mac.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{} port {}", system.join(":"), record.psc.partner_portno)
}

#[test]
fn lacp_says_with_whom_a_port_is_in_service_and_why_not() {
    lab(|| {
        let pair = strangers(2);
        let events = Events::of(&pair.left.ifp);
        pair.pass(AGGREGATE_WAIT + 1_000);
        let lines = told(&events);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[0].0, format!("em1 in service (partner {})", partner(&pair, 0)));
        assert!(lines[0].1.starts_with(r#"PORT_UP port=em1 reason="in service" partner=02:00:"#));
        pair.pass(100_000);
        tells(&events, NONE);
        pair.link(0, LinkState::Down);
        tells(
            &events,
            &[("em1 out of service: no link", r#"PORT_DOWN port=em1 reason="no link""#)],
        );
        pair.link(0, LinkState::Up);
        pair.pass(5_000);
        assert_eq!(told(&events).len(), 1);
        // The partner is taken down: it says that itself.
        pair.right.down();
        pair.pass(100);
        let lines = told(&events);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[2].1.starts_with("DEGRADED active=0 ports=2"), "{lines:?}");
        pair.right.up();
        pair.pass(5_000);
        let lines = told(&events);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines.iter().any(|(_, event)| event.starts_with("RESTORED active=")), "{lines:?}");
    });
}

#[test]
fn lacp_says_for_how_long_a_partner_was_not_heard() {
    for (fast, seconds) in [(false, 90), (true, 3)] {
        lab(|| {
            let mut pair = pair(2);
            if fast {
                let mut options = pair.left.options().unwrap();
                options.opts = opt::LACP_FAST_TIMO;
                pair.left.set_options(options).unwrap();
            }
            pair.pass(40_000);
            let events = Events::of(&pair.left.ifp);
            pair.lost = |_| true;
            pair.pass(100_000);
            let expected = format!("em1 out of service: no LACPDU for {seconds} s");
            let lines = told(&events);
            let event = r#"PORT_DOWN port=em1 reason="no partner""#;
            assert!(lines.contains(&(expected, event.into())), "{lines:?}");
        });
    }
}

/// Another system on the cable, then one that is not that of the other port.
#[test]
fn lacp_says_that_a_port_has_another_partner() {
    lab(|| {
        let pair = pair(2);
        let events = Events::of(&pair.left.ifp);
        let other = lagg();
        other.set_protocol(proto::LACP).unwrap();
        other.up();
        let before = partner(&pair, 1);
        pair.right.remove("em102").unwrap();
        other.add("em102").unwrap();
        pair.pass(20_000);
        let lines = told(&events);
        let has = |line: &str, event: &str| {
            assert!(
                lines.iter().any(|(l, e)| l.starts_with(line) && e.starts_with(event)),
                "{line}: {lines:#?}"
            );
        };
        has("em2 out of service: ", "PORT_DOWN port=em2");
        has("em2 has another partner: 02:00:", "PARTNER port=em2 reason=changed partner=02:00:");
        assert!(lines.iter().any(|(line, _)| line.ends_with(&format!(", not {before}"))));
        has("em2 has the partner 02:00:", r#"PARTNER port=em2 reason="another partner""#);
        assert_eq!(lines.len(), 3, "{lines:#?}");
    });
}

#[test]
fn a_looped_link_is_an_event() {
    lab(|| {
        let pair = pair(2);
        let events = Events::of(&pair.left.ifp);
        pair.loop_back();
        let lines = told(&events);
        assert!(lines.iter().any(|(_, event)| event == "LOOP port=em1 reason=looped"), "{lines:?}");
    });
}
