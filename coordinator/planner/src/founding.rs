//! How an empty cluster comes to be. Slots are claimed before the members meet, which is fast and allowed only among
//! empty nodes: so every wanted member must have reported, and none may have a key, a slot, a peer or a Layout. One
//! silent member, and it waits and names it.

use redisnode_proto::report::{Report, Running};
use redisnode_proto::slots::SLOT_COUNT;
use redisnode_proto::{Layout, NodeId, NodeName, SlotSet};

use crate::decision::{IntentKind, PlannedEvent, Why};
use crate::draft::{Notes, Shard, Wanted, list};
use crate::facts::{Facts, Node};
use crate::{seats, slots};

/// The shards of a new cluster and the ids of its founders; `None` while it cannot be founded.
pub(crate) fn found(facts: &Facts, wanted: &Wanted, notes: &mut Notes) -> Option<(Vec<Shard>, Vec<NodeId>)> {
    let names: Vec<NodeName> =
        (0..wanted.members).filter_map(|ordinal| NodeName::of(facts.world.name, ordinal).ok()).collect();
    let missing: Vec<&NodeName> = names.iter().filter(|name| !facts.runs(name)).collect();
    if !missing.is_empty() {
        let message = format!("a new cluster waits for the first Report of {}", list(missing));
        notes.decline(Why::FounderMissing, message);
    }
    let founders: Vec<_> = names.iter().filter_map(|name| facts.node(name)).collect();
    let reports = || founders.iter().filter_map(|node| Some((node, node.report?)));
    for (node, reason) in reports().filter_map(|(node, report)| Some((node, not_empty(report)?))) {
        let message = format!("no cluster is founded: {} {reason}; empty its folder, or use another one", node.name);
        notes.decline(Why::FounderNotEmpty, message);
    }
    if !notes.declined.is_empty() {
        return None;
    }
    let mut shards = Vec::new();
    let mut seating = Notes::default();
    seats::seat(facts, &mut shards, wanted, None, &mut seating);
    let none = vec![SlotSet::new(); shards.len()];
    for (shard, target) in shards.iter_mut().zip(slots::balance(&none)) {
        shard.target = target;
    }
    let message = format!("a cluster of {} shards and {} members comes to be", wanted.shards, wanted.members);
    notes.intend(IntentKind::Found, message.clone());
    notes.events.push(PlannedEvent::normal("Founding", message));
    let ids = founders.iter().filter_map(|node| node.id.clone()).collect();
    Some((shards, ids))
}

/// What it holds, if anything.
fn not_empty(report: &Report) -> Option<&'static str> {
    let holds = |running: &Running| {
        let me = running.view.myself();
        if running.keys > 0 {
            Some("holds keys")
        } else if me.is_some_and(|me| !me.slots.is_empty()) {
            Some("owns slots")
        } else if running.view.nodes.iter().any(|node| node.id != running.view.me && !node.handshake) {
            Some("knows other servers")
        } else {
            None
        }
    };
    let history = report.ledger.layout.is_some() || report.ledger.retired;
    if history {
        return Some("has been in a cluster before");
    }
    report.server.running().and_then(holds)
}

/// What becomes of a founding that the base is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It goes on as it is.
    GoesOn,
    /// It is over: everybody's own view was whole once, or the slots are served and the others join later.
    Over,
    /// A founder was replaced: the same assignment goes on as in a cluster that exists.
    Broken,
}

/// How far the founding that `base` describes is.
pub(crate) fn progress(facts: &Facts, base: &Layout, notes: &mut Notes) -> Progress {
    let founders = base.founding.iter().flatten();
    let is_there = |id: &NodeId| facts.name_of(id).is_some();
    if !founders.into_iter().all(is_there) || facts.nodes.iter().any(|n| n.listed.is_some() && !n.is_intact()) {
        notes
            .events
            .push(PlannedEvent::warning("FounderReplaced", "a member was replaced while the cluster came to be"));
        return Progress::Broken;
    }
    let listed = || facts.nodes.iter().filter(|node| node.listed.is_some());
    let is_founded = |node: &Node| node.report.is_some_and(|report| report.ledger.founded);
    let all = listed().all(is_founded);
    let running = || listed().filter(|node| node.running().is_some());
    let enough = running().count() > 0 && running().all(is_founded) && served(facts) == SLOT_COUNT;
    // Who has ended founding saw every slot owned, and refuses the founding Layout of another life.
    let ended = base.generation.term < facts.world.term && listed().any(is_founded);
    if all || enough || ended {
        notes.events.push(PlannedEvent::normal("Founded", "the cluster has come to be"));
        return Progress::Over;
    }
    let waits_for = list(listed().filter(|node| !is_founded(node)).map(|node| node.name));
    notes.intend(IntentKind::Found, "the cluster comes to be");
    notes.decline(Why::FoundingNotEnded, format!("the cluster is being founded: waiting for {waits_for}"));
    Progress::GoesOn
}

/// Slots whose owner's server runs for sure.
fn served(facts: &Facts) -> u16 {
    let running = facts.nodes.iter().filter(|node| node.running().is_some());
    running.fold(SlotSet::new(), |all, node| all.union(&facts.owned(node.name))).len()
}
