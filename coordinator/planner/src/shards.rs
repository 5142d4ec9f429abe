//! Which shards stay and which end. It names them only: slots and members follow from it in `targets` and `seats`.

use std::cmp::Reverse;

use redisnode_proto::NodeName;
use redisnode_proto::slots::SLOT_COUNT;
use redisnode_proto::spec::Moves;
use redisnode_proto::topology::Role;

use crate::decision::{Declined, IntentKind, PlannedEvent};
use crate::draft::{Fate, Notes, Shard, Wanted};
use crate::facts::{Facts, Node};
use crate::safety::Quorum;
use crate::weighing::Weighing;
use crate::{room, targets, versions};

/// Marks the shards that end when there are more than wanted: first those that the base ends already, then those with
/// the fewest slots (or the least weight) to move, then those with the most members that leave.
pub(crate) fn choose(shards: &mut [Shard], wanted: &Wanted, weighing: &Weighing) {
    let surplus = shards.len().saturating_sub(wanted.shards);
    let mut order: Vec<usize> = (0..shards.len()).collect();
    order.sort_by_key(|index| shards.get(*index).map(|shard| rank(shard, *index, shards.len(), wanted, weighing)));
    for index in order.into_iter().take(surplus) {
        if let Some(shard) = shards.get_mut(index) {
            shard.fate = Fate::Ends;
        }
    }
}

/// Keeps the shards that would begin to end now, if their slots cannot go to the others: they are not read there, or there
/// is no room. Nothing of the shrinking begins, and its cause is noted. Answers what is wanted instead; absent when the spec
/// can be followed.
pub(crate) fn keep_what_cannot_go(
    facts: &Facts,
    shards: &mut [Shard],
    wanted: &Wanted,
    weighing: &Weighing,
    notes: &mut Notes,
) -> Option<Wanted> {
    let ends_now = |shard: &Shard| shard.fate == Fate::Ends && !shard.target.is_empty();
    if facts.world.moves == Moves::Aborted || !shards.iter().any(ends_now) {
        return None;
    }
    let stay: Vec<bool> = shards.iter().map(|shard| shard.fate == Fate::Stays).collect();
    let next = targets::ideal(shards, &stay, weighing);
    let flows = targets::flows(shards, &next);
    let refused = versions::judge(facts, &flows).or_else(|| room::judge(facts, &flows, weighing).refused);
    let Declined { why, message } = refused?;
    for shard in shards.iter_mut().filter(|shard| ends_now(shard)) {
        shard.fate = Fate::Stays;
    }
    let kept = shards.iter().filter(|shard| shard.is_kept()).count();
    notes.decline(why, format!("there stay {kept} shards, though {} are wanted: {message}", wanted.shards));
    Some(wanted.with_shards(kept))
}

/// Says which shards begin to end.
pub(crate) fn say_ends(facts: &Facts, shards: &[Shard], wanted: &Wanted, notes: &mut Notes) {
    let begins = |shard: &&Shard| shard.fate == Fate::Ends && !listed_target_is_empty(facts, shard);
    for shard in shards.iter().filter(begins).filter(|_| facts.world.moves != Moves::Aborted) {
        let why = format!("{} ends: {} shards are wanted", shard.name, wanted.shards);
        notes.events.push(PlannedEvent::normal("ShardEnds", why));
    }
}

/// The smallest ends first. A difference of less than a sixteenth of a shard's share is noise: it must not outweigh
/// where the members are.
fn rank(shard: &Shard, index: usize, shards: usize, wanted: &Wanted, weighing: &Weighing) -> impl Ord + use<> {
    let (all, held) = match weighing {
        Weighing::ByNumber | Weighing::Unknown => (u64::from(SLOT_COUNT), u64::from(shard.held.len())),
        Weighing::Known(known) => (known.weights.total(), known.weights.sum(&shard.held)),
    };
    let grain = (all / u64::try_from(shards).unwrap_or(u64::MAX).max(1) / 16).max(1);
    let to_move = held.saturating_add(grain / 2) / grain;
    let leaving = shard.nodes().filter(|name| !wanted.has(name)).count();
    (!shard.target.is_empty(), to_move, Reverse(leaving), Reverse(index))
}

/// Takes out the shards that have nothing left to give up, and new ones that lost their empty primary; their members
/// are free then.
pub(crate) fn dissolve(facts: &Facts, quorum: &Quorum, shards: &mut Vec<Shard>, wanted: &Wanted, notes: &mut Notes) {
    shards.retain(|shard| {
        let moot = shard.fate == Fate::Joins && !wanted.has(&shard.primary);
        let gone = (shard.fate == Fate::Ends || moot) && is_empty_for_sure(facts, quorum, shard);
        if gone && facts.base.is_some_and(|base| base.shard(&shard.name).is_some()) {
            let message = format!("{} has no slots left: its members are free for other work", shard.name);
            notes.events.push(PlannedEvent::normal("ShardEnded", message));
        } else if !gone && shard.fate == Fate::Ends {
            let message = format!("{} gives up its {} slots and ends", shard.name, shard.owned.len());
            notes.intend(IntentKind::MoveSlots, message);
        }
        !gone
    });
}

/// No slot in truth nor in the Layout that the agents have, none on its way to it, and a majority sees it so.
fn is_empty_for_sure(facts: &Facts, quorum: &Quorum, shard: &Shard) -> bool {
    let arriving = |name: &NodeName| {
        // Valkey shows a primary's marks at its replicas too, and left-overs of them stay there.
        let node = facts.node(name).filter(|node| node.role() == Some(Role::Primary));
        let open = node.and_then(Node::view).is_some_and(|view| !view.open.is_empty());
        let sent = facts.nodes.iter().filter_map(|node| node.report).flat_map(|report| &report.jobs);
        open || sent.into_iter().any(|job| job.target == *name && !job.remaining.is_empty())
    };
    // What its dead primary owned is to be taken over first, or said to be lost.
    let orphaned = |name: &NodeName| facts.node(name).is_some_and(|node| facts.hangs_on_orphan(node));
    shard.owned.is_empty()
        && !shard.nodes().any(orphaned)
        && listed_target_is_empty(facts, shard)
        && !shard.nodes().any(arriving)
        && shard.nodes().all(|name| quorum.agrees_it_owns_nothing(facts.node(name).and_then(|n| n.id.as_ref())))
}

fn listed_target_is_empty(facts: &Facts, shard: &Shard) -> bool {
    facts.base.and_then(|base| base.shard(&shard.name)).is_none_or(|listed| listed.slots.is_empty())
}
