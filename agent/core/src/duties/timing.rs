//! Settings that follow from the situation, not from the user: the node time-out while founding, and who may stand for
//! election while slots are open.

use super::{Duty, FOUNDING_TIMEOUT, is_founding};
use crate::situation::Situation;

pub(super) fn set(s: &Situation<'_>, out: &mut Vec<Duty>) {
    let wanted = if is_founding(s) { Some(FOUNDING_TIMEOUT) } else { s.settled_timeout() };
    if let (Some(wanted), Some(now)) = (wanted, s.node_timeout)
        && wanted != now
    {
        out.push(Duty::SetNodeTimeout(wanted));
    }
    let told = s.ledger.open_slots.as_ref().is_some_and(|open| !open.slots.is_empty());
    let closed = told && !s.is_primary() && !s.marks_survive;
    if s.no_failover.is_some_and(|now| now != closed) {
        out.push(Duty::SetNoFailover(closed));
    }
}
