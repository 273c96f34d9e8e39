//! Capabilities: the lagg offers what all of its ports have enabled. Each port is asked to enable what is
//! wanted of all of them.
//!
//! Many cards restart when they are asked, and their answer may depend on their other capabilities, MTU and
//! link. So ports are asked only when what is wanted, the set of ports or an MTU has changed. Capabilities
//! that a driver switches by itself are accepted, and a port is not asked if its answer is known.

use super::asked::{Answer, Asked, Question};
use super::softc::Token;
use super::{Port, Softc};
use crate::kpi::offloads::{Offloads, capability};
use crate::kpi::{Boxed, Ref, Result, epoch};

/// Each round takes off what a port has refused. Drivers that still disagree after this many are left as
/// they are.
const ROUNDS: usize = 8;

/// What a lagg without ports offers.
const ALONE: Offloads = Offloads {
    capabilities: capability::HWSTATS,
    enabled: capability::HWSTATS,
    hwassist: 0,
    tso: [0; 3],
};

/// Enables on all ports the capabilities that are wanted of each of them, and offers on the lagg what all
/// of them have. A capability that one port lacks is enabled on the others again when that port leaves.
///
/// `joiner` is not a port yet, but counts as one. When this returns, no packet is in flight that needs what
/// it cannot do. Sleeps; takes `vlan_sx`.
pub(super) fn update(softc: &Softc, _: &Token<'_>, joiner: Option<&Ref<Port>>) {
    let plan = softc.plan_ref();
    let ports = plan.ports().chain(joiner);
    let (mut common, request) = look(softc, ports.clone());
    let mut less = false;
    if let Some(Request { enabled, is_new }) = request {
        if let Some(joiner) = joiner.filter(|_| plan.count().is_some()) {
            // Before the other ports are asked to disable them.
            less = store(softc, softc.ifp().offloads().common(joiner.ifp().offloads()));
        }
        let unanswered = ask(softc, &ports, enabled).is_err();
        if is_new {
            softc.state().asked.unanswered = unanswered;
        }
        common = ports.map(|port| port.ifp().offloads()).reduce(Offloads::common);
    }
    less |= store(softc, common.unwrap_or(ALONE));
    if less && joiner.is_some() {
        epoch::wait();
    }
}

/// What the ports are to be asked for.
struct Request {
    enabled: u64,
    /// The ports have not been asked for that before.
    is_new: bool,
}

/// Looks at each port once. Returns what all of them have, if there are any, and what to ask them for, if
/// any of them has something else.
fn look<'a>(
    softc: &Softc,
    ports: impl Iterator<Item = &'a Ref<Port>>,
) -> (Option<Offloads>, Option<Request>) {
    let mut question = Question::NONE;
    let (mut common, mut any, mut there) = (None::<Offloads>, 0, u64::MAX);
    let mut state = softc.state();
    for port in ports {
        let has = port.ifp().offloads();
        common = Some(common.map_or(has, |common| common.common(has)));
        any |= has.enabled;
        if state.asked.question.had(port.slot()) {
            there &= has.enabled;
        }
        question.wanted &= state.wanted(port);
        question.mtus[port.slot()] = u16::try_from(port.ifp().mtu()).unwrap_or(u16::MAX);
    }
    let before = &state.asked;
    let is_new = question != before.question;
    // F-34: nothing has changed, so no port is asked
    if !is_new && !before.unanswered {
        return (common, None);
    }
    let mut enabled = question.wanted;
    if is_new && question.only_grew(&before.question) {
        // The earlier ports are not asked for what they do not have.
        enabled &= there;
    }
    state.asked = Asked { question, unanswered: false };
    let have = |common: Offloads| common.enabled == enabled && any == enabled;
    let request = (!common.is_some_and(have)).then_some(Request { enabled, is_new });
    (common, request)
}

/// Asks the ports to have this enabled, and no more, until they agree.
///
/// # Errors
/// The error of the last driver that failed.
fn ask<'a>(
    softc: &Softc,
    ports: &(impl Iterator<Item = &'a Ref<Port>> + Clone),
    mut enabled: u64,
) -> Result {
    let mut result = Ok(());
    for _ in 0..ROUNDS {
        enabled = foresee(softc, ports, enabled);
        for port in ports.clone().filter(|port| port.ifp().enabled() != enabled) {
            let mtu = port.ifp().mtu();
            let known = softc.state().answer(port);
            if known.is_some_and(|known| known.asked == enabled && known.mtu == mtu) {
                continue;
            }
            if let Err(errno) = port.restarting(|| port.methods().enable(port.ifp(), enabled)) {
                result = Err(errno);
                continue;
            }
            let answered = port.ifp().enabled();
            if answered != enabled {
                match Boxed::try_zeroed() {
                    Ok(mut answer) => {
                        *answer = Answer { asked: enabled, answered, mtu };
                        softc.state().set_answer(port, answer);
                    }
                    // Treated as no answer.
                    Err(errno) => result = Err(errno),
                }
            }
        }
        let have = ports.clone().fold(u64::MAX, |all, port| all & port.ifp().enabled());
        if have & enabled == enabled {
            break;
        }
        enabled &= have;
    }
    result
}

/// What remains of `enabled` without what a port is known to refuse.
fn foresee<'a>(
    softc: &Softc,
    ports: &(impl Iterator<Item = &'a Ref<Port>> + Clone),
    mut enabled: u64,
) -> u64 {
    let state = softc.state();
    let lacks = |port: &Ref<Port>, enabled: u64| {
        let known = state.answer(port)?;
        let is_same = known.asked == enabled && known.mtu == port.ifp().mtu();
        (is_same && enabled & !known.answered != 0).then_some(known.answered)
    };
    while let Some(answered) = ports.clone().find_map(|port| lacks(port, enabled)) {
        enabled &= answered;
    }
    enabled
}

/// A port's link has changed. Some drivers switch capabilities by themselves when their link comes up; the
/// configuration task follows if they have. Does not wait.
pub(super) fn link_changed(softc: &Ref<Softc>) {
    let (plan, now) = (softc.plan_ref(), softc.ifp().offloads());
    let common = plan.ports().map(|port| port.ifp().offloads()).reduce(Offloads::common);
    if common.is_some_and(|common| offered(common, &now) != now) {
        Softc::wake_configuration(softc);
    }
}

/// What a lagg should offer that offers `now` and whose ports have this in common.
fn offered(mut common: Offloads, now: &Offloads) -> Offloads {
    common.capabilities &= !capability::IPSEC_OFFLOAD;
    common.enabled &= !(capability::IPSEC_OFFLOAD | capability::NETMAP);
    // F-7b: netmap's flag is the lagg's own, whichever ports it has
    common.enabled |= now.enabled & capability::NETMAP;
    common
}

/// Offers this on the lagg and its VLANs. Returns whether that is less than before. The caller has the
/// token.
fn store(softc: &Softc, common: Offloads) -> bool {
    let ifp = softc.ifp();
    let now = ifp.offloads();
    let common = offered(common, &now);
    // F-6: both words
    if common == now {
        return false;
    }
    ifp.store_offloads(&common);
    let Offloads { capabilities, enabled, hwassist, tso: [bytes, segments, size] } = common;
    softc.debug(format_args!(
        "capabilities {capabilities:#x}, enabled {enabled:#x}, hwassist {hwassist:#x}, TSO {bytes} bytes in {segments} segments of {size}"
    ));
    ifp.refresh_vlans();
    now.common(common) != now
}
