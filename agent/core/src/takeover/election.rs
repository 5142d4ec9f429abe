//! A primary is gone and nobody certifies it: when the agents of its replicas act for themselves.
//!
//! The servers hold an election first. A replica that was not linked since its own start never stands (measured), and
//! replicas with open slots are kept from standing, since they would lose the marks.

use redisnode_proto::judge::{Candidate, best_replica};
use redisnode_proto::topology::{Health, ViewNode};
use redisnode_proto::{Millis, NodeId, NodeName};

use super::notice::reopened;
use super::{Promotion, Step};
use crate::situation::{Answer, Situation};

/// What to do about an own primary that a majority has as failed. [`Step::Rest`] while the servers may still elect.
pub fn election(s: &Situation<'_>) -> Step {
    let (Some(view), Some(since)) = (s.view(), s.primary_failed_since) else { return Step::Rest };
    let Some(dead) = view.myself().and_then(|me| me.primary.as_ref()).and_then(|id| view.node(id)) else {
        return Step::Rest;
    };
    if dead.health != Health::Failed || dead.slots.is_empty() || s.stopping || s.inbox.death.is_some() {
        return Step::Rest;
    }
    // Others keep the mark of a primary that is back for twice the node time-out; who is linked to it knows better.
    if s.running().is_some_and(|running| running.replication.link_up) || serves_again(s, &dead.id) {
        return Step::Rest;
    }
    let Some(timeout) = s.settled_timeout() else { return Step::Rest };
    let failed_for = s.now.since(since);
    let reopen = reopened(s, &dead.id);
    if !reopen.is_empty() {
        return as_heir(s, dead, failed_for, timeout, reopen);
    }
    if failed_for < timeout.double() || recently_forced(s) {
        return Step::Rest;
    }
    by_offset(s, dead, failed_for >= timeout.double().double())
}

/// By the word of its own agent, given a moment ago.
fn serves_again(s: &Situation<'_>, dead: &NodeId) -> bool {
    let report = s.name_of(dead).and_then(|name| s.fresh(&name));
    report.and_then(|report| report.server.running()).is_some_and(|running| running.view.me == *dead)
}

/// The named heir acts at once; if it does not, the best of the others after twice the node time-out.
fn as_heir(
    s: &Situation<'_>,
    dead: &ViewNode,
    failed_for: Millis,
    timeout: Millis,
    reopen: Vec<(redisnode_proto::Slot, NodeId)>,
) -> Step {
    if recently_forced(s) {
        return Step::Rest;
    }
    let heir = s.ledger.open_slots.as_ref().is_some_and(|open| open.heir == s.me.name);
    if heir {
        return Step::Promote { how: Promotion::Force, reopen };
    }
    if failed_for < timeout.double() { Step::Rest } else { by_offset(s, dead, failed_for >= timeout.double().double()) }
}

/// The best replica by offset, then the smallest name, sends FORCE to its own server; it alone.
fn by_offset(s: &Situation<'_>, dead: &ViewNode, may_ignore_silent: bool) -> Step {
    let Some(running) = s.running() else { return Step::Rest };
    let was_in_sync = s.ledger.identity.as_ref().is_some_and(|identity| identity.in_sync);
    if !was_in_sync {
        // How old the data is is for a person to judge.
        return Step::Rest;
    }
    let siblings = siblings(s, dead);
    let unasked: Vec<NodeName> =
        siblings.iter().filter(|(_, seen)| matches!(seen, Seen::Unasked)).map(|(n, _)| n.clone()).collect();
    if !unasked.is_empty() {
        return Step::Ask(unasked);
    }
    if siblings.iter().any(|(_, seen)| matches!(seen, Seen::Silent)) && !may_ignore_silent {
        return Step::Rest;
    }
    let mine = Candidate { name: s.me.name.clone(), offset: running.replication.offset, synced: true };
    let others = siblings.into_iter().filter_map(|(_, seen)| match seen {
        Seen::Follows(candidate) => Some(candidate),
        Seen::Unasked | Seen::Silent | Seen::Elsewhere => None,
    });
    let best = best_replica(others.chain([mine]));
    if best.is_some_and(|best| best.name == s.me.name) {
        return Step::Promote { how: Promotion::Force, reopen: reopened(s, &dead.id) };
    }
    Step::Rest
}

enum Seen {
    Unasked,
    Silent,
    Elsewhere,
    Follows(Candidate),
}

fn siblings(s: &Situation<'_>, dead: &ViewNode) -> Vec<(NodeName, Seen)> {
    let dead_name = s.name_of(&dead.id);
    let names = s.mates().into_iter().filter(|name| Some(*name) != dead_name.as_ref());
    names.map(|name| (name.clone(), look(s, name, &dead.id))).collect()
}

fn look(s: &Situation<'_>, name: &NodeName, dead: &NodeId) -> Seen {
    if let Some(report) = s.fresh(name) {
        let follows = report.server.running().filter(|running| {
            running.view.myself().is_some_and(|me| me.primary.as_ref() == Some(dead)) && !report.stopping
        });
        return follows.map_or(Seen::Elsewhere, |running| {
            let synced = report.ledger.identity.as_ref().is_some_and(|identity| identity.in_sync);
            Seen::Follows(Candidate { name: name.clone(), offset: running.replication.offset, synced })
        });
    }
    match s.peers.get(name).map(|peer| &peer.answer) {
        Some(Answer::Silent { .. }) => Seen::Silent,
        Some(Answer::Heard { .. } | Answer::NeverAsked) | None => Seen::Unasked,
    }
}

/// A FORCE that is on its way is given its 5 s.
fn recently_forced(s: &Situation<'_>) -> bool {
    s.inbox.forced_at.is_some_and(|at| s.now.since(at) < Millis(5200))
}
