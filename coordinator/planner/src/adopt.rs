//! The base Layout corrected by what the servers show: failovers that they made are adopted, not fought. It moves no
//! slot and no member; it only says who is what in truth.

use redisnode_proto::judge::{Candidate, best_replica};
use redisnode_proto::topology::Role;
use redisnode_proto::{Layout, LayoutShard, NodeId, NodeName, ShardName, SlotSet};

use crate::draft::{Fate, Shard, Wanted};
use crate::facts::{Facts, Node};

/// The shards of `base` as they are in truth. Every member that owns slots is the primary of exactly one of them.
pub(crate) fn adopt(facts: &Facts, base: &Layout, wanted: &Wanted) -> Vec<Shard> {
    let mut shards: Vec<Shard> = base.shards.iter().filter_map(|shard| seat(facts, shard, wanted)).collect();
    let strays: Vec<NodeName> = owners(facts).filter(|name| !shards.iter().any(|s| s.primary == *name)).collect();
    for name in strays {
        seat_stray(facts, &mut shards, &name);
    }
    for shard in &mut shards {
        // Slots of a life that is over are still the shard's: one of its replicas may hold the only copy.
        let owned = |name| facts.owned(name).union(&facts.left_behind(name));
        shard.owned = shard.nodes().fold(SlotSet::new(), |all, name| all.union(&owned(name)));
    }
    hold(&mut shards);
    shards
}

/// The shard with those of its nodes that are not gone for good, and its primary in truth. A name that will be there
/// again keeps its place, and so does one that left slots; a shard that nobody is left of is no more.
fn seat(facts: &Facts, shard: &LayoutShard, wanted: &Wanted) -> Option<Shard> {
    let here = |name: &NodeName| facts.node(name).is_some_and(|node| !node.is_gone() || facts.left_slots(node));
    let stays = |name: &&NodeName| wanted.has(name) || here(name);
    let nodes: Vec<&NodeName> = shard.nodes().filter(stays).collect();
    let primary = primary_of(facts, shard, &nodes)?.clone();
    let replicas = nodes.into_iter().filter(|name| **name != primary).cloned().collect();
    let empty = Shard::empty(shard.name.clone(), primary);
    Some(Shard { replicas, target: shard.slots.clone(), ..empty })
}

/// Who owns slots; else the listed one as long as it may have the data; else the best of those that hold it; else one
/// that can claim the slots anew: a replica cannot.
fn primary_of<'n>(facts: &Facts, shard: &LayoutShard, nodes: &[&'n NodeName]) -> Option<&'n NodeName> {
    let listed = nodes.iter().copied().find(|name| **name == shard.primary);
    let owner = nodes.iter().copied().filter(|name| !facts.owned(name).is_empty()).max_by_key(|name| {
        let owned = facts.owned(name);
        (owned.intersection(&shard.slots).len(), owned.len(), **name == shard.primary)
    });
    let role = |name: &NodeName| facts.node(name).and_then(Node::role);
    // A member that refuses its folder will own nothing, whatever the folder says.
    let intact = |name: &&NodeName| facts.node(name).is_some_and(|node| node.is_intact() && !node.is_refused());
    let dead = facts.base.and_then(|base| base.member(&shard.primary)).and_then(|m| m.node_id.as_ref());
    let may_hold = |name: &NodeName| facts.node(name).is_some_and(|node| node.may_hold_copy_of(dead));
    let is_primary = |name: &&NodeName| role(name) == Some(Role::Primary);
    let may_own = |name: &&NodeName| intact(name) && role(name) != Some(Role::Replica);
    owner
        .or_else(|| listed.filter(may_own))
        .or_else(|| nodes.iter().copied().find(is_primary).filter(|_| shard.slots.is_empty()))
        .or_else(|| listed.filter(|_| shard.slots.is_empty()))
        .or_else(|| best_holder(facts, dead, nodes))
        .or_else(|| nodes.iter().copied().find(|name| intact(name) && may_hold(name)))
        .or_else(|| nodes.iter().copied().find(is_primary))
        .or_else(|| nodes.iter().copied().find(intact))
        .or(listed)
        .or_else(|| nodes.first().copied())
}

/// Of the nodes whose former primary is dead, the one to promote.
fn best_holder<'n>(facts: &Facts, dead: Option<&NodeId>, nodes: &[&'n NodeName]) -> Option<&'n NodeName> {
    let holders = nodes.iter().filter_map(|name| facts.node(name));
    let holders = holders.filter(|node| node.is_heard() && node.may_hold_copy_of(dead));
    let best = best_replica(holders.map(|node| Candidate {
        name: node.name.clone(),
        offset: node.offset(),
        synced: node.running().is_some_and(|running| running.synced_since_start),
    }))?;
    nodes.iter().copied().find(|name| **name == best.name)
}

/// Members that own slots in truth.
fn owners(facts: &Facts) -> impl Iterator<Item = NodeName> {
    facts.owners.by_node.keys().filter_map(|id| facts.name_of(id)).cloned()
}

/// A member that owns slots beside the primary of its shard, or outside of all: it was promoted in the shard that it
/// was about to leave, and goes back there; else it gives its slots up in a shard of its own.
fn seat_stray(facts: &Facts, shards: &mut Vec<Shard>, name: &NodeName) {
    for shard in shards.iter_mut() {
        shard.replicas.retain(|node| node != name);
    }
    let owned = facts.owned(name);
    let common = |shard: &Shard| shard.target.intersection(&owned).len();
    let ownerless = shards.iter_mut().filter(|shard| facts.owned(&shard.primary).is_empty());
    match ownerless.max_by_key(|shard| common(shard)).filter(|shard| common(shard) > owned.len() / 2) {
        Some(shard) => {
            let old = std::mem::replace(&mut shard.primary, name.clone());
            shard.replicas.push(old);
        }
        None => shards.extend(free_name(shards).map(|fresh| Shard::empty(fresh, name.clone()))),
    }
}

/// Slots that no member owns stay with the shard that should have them.
fn hold(shards: &mut [Shard]) {
    let owned = shards.iter().fold(SlotSet::new(), |all, shard| all.union(&shard.owned));
    for shard in shards {
        shard.held = shard.owned.union(&shard.target.difference(&owned));
        shard.fate = if shard.held.is_empty() && shard.target.is_empty() { Fate::Joins } else { Fate::Stays };
    }
}

/// The first of `shard-1`, `shard-2`, … that none of `shards` is called.
pub(crate) fn free_name(shards: &[Shard]) -> Option<ShardName> {
    let names = (1u32..).filter_map(|number| format!("shard-{number}").parse::<ShardName>().ok());
    names.into_iter().find(|name| !shards.iter().any(|shard| shard.name == *name))
}
