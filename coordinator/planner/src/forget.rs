//! Ids that must not stay in anybody's node table: former lives of members, and members that have gone. An id is
//! forgotten when a majority sees it dead and it owns nothing; or when it owns slots that nobody has a copy of, and
//! then the loss is said. An id that a member has now is never among them.

use std::collections::BTreeSet;

use redisnode_proto::{NodeId, NodeName, ShardName};

use crate::decision::{IntentKind, PlannedEvent, Why};
use crate::draft::{Notes, Shard, list};
use crate::facts::{Facts, Node};
use crate::safety::{Quorum, looks_dead};

/// All ids that are to be forgotten now.
pub(crate) fn forget(facts: &Facts, quorum: &Quorum, shards: &[Shard], notes: &mut Notes) -> BTreeSet<NodeId> {
    let mut ids: BTreeSet<NodeId> = facts.base.iter().flat_map(|base| &base.forget).cloned().collect();
    ids.retain(|id| is_current(facts, id).is_none() && is_still_known(facts, id));
    for node in &facts.nodes {
        if let Some(id) = node.former_id().filter(|id| is_current(facts, id).is_none())
            && may_forget(facts, quorum, shards, Some(node), id, notes)
            && is_still_known(facts, id)
        {
            ids.insert(id.clone());
        }
    }
    for id in strangers(facts) {
        if may_forget(facts, quorum, shards, None, &id, notes) {
            ids.insert(id);
        }
    }
    if !ids.is_empty() {
        notes.intend(IntentKind::Forget, format!("the servers forget {}", list(ids.iter().map(NodeId::short))));
    }
    ids
}

/// Whether the id that the base lists for `node` may be replaced by the present one: it owns nothing any more, or
/// it is to be forgotten. Until then the member's own agent must be able to read whose death it certifies.
pub(crate) fn is_settled(facts: &Facts, ids: &BTreeSet<NodeId>, node: &Node) -> bool {
    // That nobody shows its slots is no sign that somebody else has them: whoever knows may be silent.
    let listed = facts.base.and_then(|base| base.shard_of(node.name)).filter(|shard| shard.primary == *node.name);
    let others = || facts.nodes.iter().filter(|other| other.name != node.name && !other.is_gone());
    let somebody_is_silent = others().any(|other| other.listed.is_some() && other.view().is_none());
    let unseen = listed.is_some_and(|shard| !shard.slots.is_subset(&facts.owners.covered())) && somebody_is_silent;
    node.former_id().is_none_or(|id| ids.contains(id) || (facts.owners.slots_of(id).is_empty() && !unseen))
}

/// The member whose server has `id` now and is not on its way out.
fn is_current<'f>(facts: &'f Facts, id: &NodeId) -> Option<&'f NodeName> {
    facts.name_of(id).filter(|name| facts.node(name).is_some_and(|node| !node.is_retired()))
}

/// As long as anybody may still have it in its table: known by one that answers, or somebody does not answer.
fn is_still_known(facts: &Facts, id: &NodeId) -> bool {
    let has_say = |node: &&Node| !node.is_gone() && !node.is_retired() && node.listed.is_some();
    facts.nodes.iter().filter(has_say).any(|node| node.view().is_none_or(|view| view.node(id).is_some()))
}

/// Ids in node tables that no member has or is known to have had.
fn strangers(facts: &Facts) -> BTreeSet<NodeId> {
    let lines = facts.views().flat_map(|(_, view)| &view.nodes).filter(|line| !line.handshake);
    let hinted = |id: &NodeId| facts.nodes.iter().any(|node| node.former_id() == Some(id));
    lines.map(|line| &line.id).filter(|id| facts.name_of(id).is_none() && !hinted(id)).cloned().collect()
}

fn may_forget(
    facts: &Facts,
    quorum: &Quorum,
    shards: &[Shard],
    node: Option<&Node>,
    id: &NodeId,
    notes: &mut Notes,
) -> bool {
    let known_to_forget = facts.base.is_some_and(|base| base.forget.contains(id));
    if known_to_forget {
        return true;
    }
    let name = node.map_or_else(|| id.short().to_owned(), |node| format!("{} (before as {})", node.name, id.short()));
    if node.is_some_and(Node::is_retired) {
        return quorum.is_heard();
    }
    if !quorum.agrees_it_is_dead(id) {
        let alive = facts.views().any(|(_, view)| view.node(id).is_some_and(|line| !looks_dead(line)));
        if alive && node.is_none() {
            let message = format!("{name} is in the cluster and belongs to no member: find out whose server it is");
            notes.decline(Why::StrangerPresent, message);
        } else {
            notes.decline(Why::NotAgreed, format!("{name} is not forgotten yet: a majority must see it dead"));
        }
        return false;
    }
    let listed = node.and_then(|node| facts.base.and_then(|base| base.shard_of(node.name)));
    let was_primary = listed.filter(|shard| node.is_some_and(|node| shard.primary == *node.name));
    let owned = facts.owners.slots_of(id);
    let covered = facts.owners.covered();
    let unheld = was_primary.is_some_and(|shard| !shard.slots.is_empty() && shard.slots.is_disjoint(&covered));
    if owned.is_empty() && !unheld {
        return true;
    }
    let shard = was_primary.map(|shard| &shard.name).or_else(|| shard_with_most(shards, &owned));
    loss(facts, shards, node, id, shard, notes)
}

/// The dead owned slots: forgotten only if for sure nobody has a copy.
fn loss(
    facts: &Facts,
    shards: &[Shard],
    node: Option<&Node>,
    id: &NodeId,
    shard: Option<&ShardName>,
    notes: &mut Notes,
) -> bool {
    let mates = shards.iter().filter(|s| Some(&s.name) == shard).flat_map(Shard::nodes);
    let mates = mates.filter_map(|name| facts.node(name)).filter(|mate| node.is_none_or(|n| n.name != mate.name));
    let elsewhere = facts.nodes.iter().filter(|other| facts.is_thought_to_follow(other, id));
    let holders: BTreeSet<&NodeName> =
        mates.chain(elsewhere).filter(|mate| mate.may_hold_copy_of(Some(id))).map(|mate| mate.name).collect();
    let name = shard.map_or("a shard", ShardName::as_str);
    if let Some(node) = node.filter(|node| !node.has_lost_its_folder()) {
        let message = format!("{name} lost its primary; {} may come back with its data", node.name);
        notes.decline(Why::TakeoverPending, message);
        return false;
    }
    if !holders.is_empty() {
        let message = format!("{name} lost its primary; {} may still take over", list(holders));
        notes.decline(Why::TakeoverPending, message);
        return false;
    }
    let slots = facts.owners.slots_of(id);
    let message = format!(
        "the data of {name} (slots {slots}) is lost: its primary came back without its folder, and no \
         replica had a copy; its slots are claimed anew, empty"
    );
    notes.events.push(PlannedEvent::warning("DataLost", message));
    true
}

fn shard_with_most<'s>(shards: &'s [Shard], slots: &redisnode_proto::SlotSet) -> Option<&'s ShardName> {
    let best = shards.iter().max_by_key(|shard| shard.target.intersection(slots).len())?;
    (!best.target.is_disjoint(slots)).then_some(&best.name)
}
