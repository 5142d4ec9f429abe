//! ClusterOK: every slot has one living owner, and all servers that answer agree on it. Counted here, slot by slot:
//! `cluster_state:ok` says nothing about coverage. A silent owner is unknown, not dead.

use std::collections::BTreeMap;

use redisnode_proto::status::Truth;
use redisnode_proto::topology::{Role, View, ViewNode};
use redisnode_proto::{ConfigEpoch, NodeId, NodeName, SlotSet};

use super::{Seen, slots_of, slots_on_their_way};
use crate::draft::list;
use crate::facts::Node;
use crate::safety::Quorum;

/// A truth, its reason and its sentence.
pub(super) type Verdict = (Truth, &'static str, String);

/// Slots whose owner's server runs and answers, and holds no writes back. While slots move, Reports run after each
/// other: a slot that its source has let go of in a newer Report than its target has taken it in counts as served if
/// any server shows it with an owner that serves.
pub(super) fn served(seen: &Seen) -> SlotSet {
    let own_words = slots_of(seen.facts, seen.facts.nodes.iter().filter(|node| serves(node)));
    if !is_moving(seen) {
        return own_words;
    }
    let lines = seen.facts.views().flat_map(|(_, view)| &view.nodes);
    let alive = lines.filter(|line| seen.facts.nodes.iter().any(|n| n.id.as_ref() == Some(&line.id) && serves(n)));
    alive.fold(own_words, |all, line| all.union(&line.slots))
}

/// A target's Report may be older than its source's last word: the marks in it tell that slots were arriving.
fn is_moving(seen: &Seen) -> bool {
    let has_jobs = |node: &Node| node.report.is_some_and(|report| !report.jobs.is_empty());
    let has_open = |node: &Node| node.running().is_some_and(|running| !running.view.open.is_empty());
    let marked = seen.facts.nodes.iter().any(|node| has_jobs(node) || has_open(node));
    slots_on_their_way(seen.shards) > 0 || marked || has_just_moved(seen)
}

/// Somebody knows a newer epoch of an owner than its own Report says: that one is from before it took slots in. An atomic
/// move leaves no mark, and its source tells of its end first.
fn has_just_moved(seen: &Seen) -> bool {
    let owns = |line: &&ViewNode| line.role == Role::Primary && !line.slots.is_empty();
    let own_lines = seen.facts.views().filter_map(|(_, view)| view.myself());
    let own_lines = own_lines.filter(|own| own.role == Role::Primary);
    let said: BTreeMap<&NodeId, ConfigEpoch> = own_lines.map(|own| (&own.id, own.epoch)).collect();
    let mut lines = seen.facts.views().flat_map(|(_, view)| &view.nodes).filter(owns);
    lines.any(|line| said.get(&line.id).is_some_and(|own| *own < line.epoch))
}

fn serves(node: &Node) -> bool {
    node.running().is_some_and(|running| !running.writes_paused)
}

/// Whether every slot has one living owner and all agree.
pub(super) fn judge(seen: &Seen) -> Verdict {
    if seen.facts.base.is_none() {
        return not_founded(seen);
    }
    if let Some(refusal) = Quorum::of(seen.facts).refusal() {
        return (Truth::Unknown, "MajorityNotHeard", refusal.message);
    }
    let unserved = SlotSet::full().difference(&served(seen));
    if !unserved.is_empty() {
        return why_unserved(seen, &unserved);
    }
    let disagreeing = disagreeing(seen);
    if disagreeing.is_empty() {
        (Truth::True, "AllSlotsServed", "every slot has one living owner, and all servers agree on it".to_owned())
    } else {
        let message = format!("{} sees other owners of slots than the owners themselves", list(disagreeing));
        (Truth::False, "ViewsDisagree", message)
    }
}

fn not_founded(seen: &Seen) -> Verdict {
    if seen.facts.nodes.iter().any(Node::is_heard) {
        (Truth::False, "NotFounded", "the cluster has not come to be yet".to_owned())
    } else {
        (Truth::Unknown, "NobodyHeard", "no member was heard yet".to_owned())
    }
}

/// Unknown as long as silent members might serve all of it; false as soon as one slot is without owner for sure.
fn why_unserved(seen: &Seen, unserved: &SlotSet) -> Verdict {
    let facts = seen.facts;
    let silent =
        |node: &&Node| !node.is_heard() && node.machine.is_some_and(|m| m.presence == crate::Presence::Present);
    let maybe = slots_of(facts, facts.nodes.iter().filter(silent));
    let owners = facts.nodes.iter().filter(|node| !facts.owned(node.name).is_disjoint(unserved));
    let owners: Vec<&NodeName> = owners.map(|node| node.name).collect();
    if unserved.is_subset(&maybe) {
        let message = format!("{} owns slots {unserved} and is silent", list(owners));
        return (Truth::Unknown, "OwnerSilent", message);
    }
    let message = if owners.is_empty() {
        format!("slots {unserved} have no owner")
    } else {
        format!("slots {unserved} have no living owner: {} does not serve them", list(owners))
    };
    (Truth::False, "SlotsUncovered", message)
}

/// Members whose server sees other owners than the true ones. While slots move, views run after each other: then only
/// slots that a view gives to nobody count. Right after a change of owner an idle node's view is behind: it does not even
/// know the owner's epoch yet, and says nothing against it.
fn disagreeing<'s>(seen: &'s Seen) -> Vec<&'s NodeName> {
    let moving = is_moving(seen);
    let views = seen.facts.views().filter(|(node, _)| seen.shards.iter().any(|shard| shard.has(node.name)));
    let own_lines = seen.facts.views().filter_map(|(_, view)| view.myself()).filter(|line| !line.slots.is_empty());
    let newest = own_lines.map(|line| line.epoch).max().unwrap_or_default();
    let objects = |view: &View| view.current_epoch >= newest && !agrees(seen, view);
    let off = views.filter(|(_, view)| if moving { view.covered() != SlotSet::full() } else { objects(view) });
    off.map(|(node, _)| node.name).collect()
}

fn agrees(seen: &Seen, view: &View) -> bool {
    let none = SlotSet::new();
    seen.facts.owners.by_node.iter().all(|(id, slots)| view.node(id).map_or(&none, |line| &line.slots) == slots)
}
