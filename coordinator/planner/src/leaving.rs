//! Members that go, in order: no slots, no replicas that need them, their server reset and folder emptied, forgotten
//! by all; only then the machine may remove them, from the highest ordinal down. It never lets a shard that stays have
//! fewer replicas in sync than the spec asks for.

use std::collections::BTreeSet;

use redisnode_proto::NodeName;
use redisnode_proto::report::ServerState;

use crate::decision::{IntentKind, PlannedEvent, Why};
use crate::draft::{Fate, Notes, Shard, Wanted, list};
use crate::facts::{Facts, Node};
use crate::safety::Quorum;
use crate::seats::quota;

/// Takes members out of their shards that may go now, and answers all that are to give up everything.
pub(crate) fn dismiss(
    facts: &Facts,
    quorum: &Quorum,
    shards: &mut [Shard],
    wanted: &Wanted,
    surge: Option<usize>,
    notes: &mut Notes,
) -> BTreeSet<NodeName> {
    for (index, shard) in shards.iter_mut().enumerate() {
        let Err(reason) = can_spare_the_leaving(facts, shard, wanted, quota(wanted, surge, index)) else {
            shard.replicas.retain(|name| wanted.has(name));
            continue;
        };
        let held_back = list(shard.nodes().filter(|name| !wanted.has(name)));
        if held_back != "nobody" {
            notes.decline(reason.0, format!("{held_back} does not leave {} yet: {}", shard.name, reason.1));
        }
    }
    let unseated = facts.nodes.iter().filter(|node| !shards.iter().any(|shard| shard.has(node.name)));
    let leaving = unseated.filter(|node| may_leave(quorum, node, wanted, notes));
    let leaving: BTreeSet<NodeName> = leaving.map(|node| node.name.clone()).collect();
    say(facts, &leaving, notes);
    leaving
}

/// A shard that stays lets its leaving members go when those that stay are complete and in sync, under a primary
/// that stays.
fn can_spare_the_leaving(facts: &Facts, shard: &Shard, wanted: &Wanted, quota: usize) -> Result<(), (Why, String)> {
    if shard.fate == Fate::Ends {
        return Err((Why::SlotsStillMoving, format!("its {} slots must move first", shard.owned.len())));
    }
    if !wanted.has(&shard.primary) {
        return Err((Why::OnlyCopy, format!("its primary {} must hand off first", shard.primary)));
    }
    if !facts.runs(&shard.primary) {
        return Err((Why::PrimaryNotRunning, format!("its primary {} does not run or was not heard", shard.primary)));
    }
    let late: Vec<_> = shard.replicas.iter().filter(|name| wanted.has(name)).collect();
    let late: Vec<_> = late.into_iter().filter(|name| !facts.in_sync(name, &shard.primary)).collect();
    if !late.is_empty() {
        return Err((Why::ReplicasNotInSync, format!("{} must be in sync first", list(late))));
    }
    if shard.staying(wanted) < quota {
        return Err((Why::MemberMissing, "another member must take its place first".to_owned()));
    }
    Ok(())
}

/// A member without a seat that is not wanted, or that began to give up everything, and whose server owns nothing in a
/// majority's eyes.
fn may_leave(quorum: &Quorum, node: &Node, wanted: &Wanted, notes: &mut Notes) -> bool {
    let retired = node.is_retired() && !node.is_replaced();
    if node.is_gone() || (wanted.has(node.name) && !retired) || (node.listed.is_none() && !node.is_heard()) {
        return false;
    }
    let already = node.listed.is_some_and(|listed| listed.leaving);
    let agreed = already || retired || quorum.agrees_it_owns_nothing(node.id.as_ref());
    if !agreed {
        let message = format!("{} does not leave yet: a majority must see that it owns no slots", node.name);
        notes.decline(Why::NotAgreed, message);
    }
    agreed
}

fn say(facts: &Facts, leaving: &BTreeSet<NodeName>, notes: &mut Notes) {
    for name in leaving {
        let Some(node) = facts.node(name) else { continue };
        if !node.listed.is_some_and(|listed| listed.leaving) {
            notes
                .events
                .push(PlannedEvent::normal("MemberLeaves", format!("{name} is not wanted any more and leaves")));
        }
        if !node.is_retired() {
            notes.intend(IntentKind::Leave, format!("{name} gives up its data and leaves"));
        }
    }
}

/// Members that the machine may remove now, and how many ordinals it should run.
pub(crate) fn removals(
    facts: &Facts,
    quorum: &Quorum,
    wanted: &Wanted,
    leaving: &BTreeSet<NodeName>,
    notes: &mut Notes,
) -> (Vec<NodeName>, u32) {
    let mut remove = Vec::new();
    let mut members = wanted.members;
    let may = |node: &Node| may_be_removed(facts, quorum, leaving, node);
    // One that is gone and left slots is made anew: its successor may have its folder.
    for node in facts.nodes.iter().rev().filter(|node| !node.is_gone() || facts.left_slots(node)) {
        let above = !wanted.has(node.name);
        // Above what is wanted only from the top: the machine runs ordinals without gaps.
        let in_turn = !above || members == wanted.members;
        match may(node) {
            Ok(()) if in_turn && (above || node.is_retired()) => remove.push(node.name.clone()),
            Ok(()) => {
                if above {
                    members = members.max(node.ordinal().saturating_add(1));
                }
            }
            Err((why, reason)) => {
                if above {
                    members = members.max(node.ordinal().saturating_add(1));
                    notes.decline(why, format!("{} is not removed yet: {reason}", node.name));
                }
            }
        }
    }
    (remove, members)
}

fn may_be_removed(
    facts: &Facts,
    quorum: &Quorum,
    leaving: &BTreeSet<NodeName>,
    node: &Node,
) -> Result<(), (Why, String)> {
    if !quorum.is_heard() {
        return Err((Why::MajorityNotHeard, "a majority of the members must be heard".to_owned()));
    }
    if node.listed.is_none() && !leaving.contains(node.name) {
        return never_had_anything(facts, node);
    }
    if !node.is_retired() && !is_dead_weight(facts, quorum, node) {
        return Err((Why::NotRetired, "it must have given up everything".to_owned()));
    }
    let known_by = |id| facts.views().filter(move |(_, view)| view.node(id).is_some()).map(|(node, _)| node.name);
    let known: Vec<&NodeName> = node.former_id().into_iter().flat_map(known_by).collect();
    if !known.is_empty() {
        return Err((Why::NotForgotten, format!("{} must forget it", list(known))));
    }
    Ok(())
}

/// A member that was told to leave, whose server is certainly down and owns nothing: it cannot give up anything, and
/// must not stand in the way of a configuration that is taken back. A folder that is not its own is left alone.
fn is_dead_weight(facts: &Facts, quorum: &Quorum, node: &Node) -> bool {
    let told = node.listed.is_some_and(|listed| listed.leaving);
    let down = node.report.is_some_and(|report| {
        matches!(report.server, ServerState::Dead { .. } | ServerState::Waiting { .. }) && !node.has_foreign_folder()
    });
    told && down && !facts.left_slots(node) && quorum.agrees_it_owns_nothing(node.id.as_ref())
}

/// A silent member that no Layout lists holds nothing for sure when everybody else is heard and no slot has an owner
/// without a name.
fn never_had_anything(facts: &Facts, node: &Node) -> Result<(), (Why, String)> {
    let silent: Vec<_> = facts.nodes.iter().filter(|n| n.listed.is_some() && !n.is_gone() && !n.is_heard()).collect();
    let nameless = facts.owners.by_node.keys().any(|id| facts.name_of(id).is_none());
    if node.is_heard() || nameless || !silent.is_empty() {
        return Err((Why::NotRetired, "it must be heard first: it may hold something".to_owned()));
    }
    Ok(())
}
