//! Which slots each shard should own. What the base says stays as long as it is right for the shards there are, so
//! that nothing is sent twice while slots move; else it is worked out anew from what the servers own in truth. Slots
//! go neither to a shard that is not secured nor from a newer server to an older one.

use redisnode_proto::spec::Moves;
use redisnode_proto::{NodeId, SlotSet};

use crate::decision::{Declined, IntentKind, PlannedEvent, Why};
use crate::draft::{Fate, Notes, Shard, Wanted, list};
use crate::facts::{Facts, Node};
use crate::weighing::Weighing;
use crate::{even, holding, rebalance, room, slots, versions};

/// What goes from which shard to which.
pub(crate) type Flow<'s> = (&'s Shard, &'s Shard, SlotSet);

/// What is to be next.
struct Aim {
    /// Which shards get slots.
    gets: Vec<bool>,
    /// What each of them should own.
    next: Vec<SlotSet>,
    /// Why, if not because the spec asks for other shards than there are.
    why: String,
}

/// Sets the target of every shard. While there is no room for what is wanted (`full`), every slot keeps the one it has.
pub(crate) fn aim(
    facts: &Facts,
    shards: &mut [Shard],
    wanted: &Wanted,
    weighing: &Weighing,
    full: bool,
    notes: &mut Notes,
) {
    if let Some(aim) = aim_evenly(facts, shards, wanted, weighing, notes) {
        turn(facts, shards, wanted, weighing, aim, full, notes);
    }
    holding::hold(facts, shards, notes);
}

/// What each shard should own, if those that get slots are to have equal shares.
pub(crate) fn ideal(shards: &[Shard], gets: &[bool], weighing: &Weighing) -> Vec<SlotSet> {
    let held: Vec<SlotSet> = shards.iter().zip(gets).filter(|(_, gets)| **gets).map(|(s, _)| s.held.clone()).collect();
    let by_weight = weighing.known().map(|known| even::share_out(&held, &known.weights));
    let mut ideal = by_weight.unwrap_or_else(|| slots::balance(&held)).into_iter();
    gets.iter().map(|gets| if *gets { ideal.next().unwrap_or_default() } else { SlotSet::new() }).collect()
}

/// What the shards should own next, and why if it is not for the spec; nothing while the base's targets are right.
fn aim_evenly(facts: &Facts, shards: &[Shard], wanted: &Wanted, weighing: &Weighing, notes: &mut Notes) -> Option<Aim> {
    let joining = joins_now(facts, shards, wanted, notes);
    let gets: Vec<bool> = shards.iter().map(|shard| gets_slots(shard, joining)).collect();
    if !gets.contains(&true) {
        return None;
    }
    if !is_right(shards, &gets, weighing) {
        let next = ideal(shards, &gets, weighing);
        return Some(Aim { gets, next, why: String::new() });
    }
    if gets.contains(&false) {
        return None;
    }
    let worth = rebalance::worth(facts, shards, wanted, weighing, notes)?;
    Some(Aim { gets, next: worth.next, why: worth.why })
}

/// Sets the targets that were found, unless they must wait.
fn turn(
    facts: &Facts,
    shards: &mut [Shard],
    wanted: &Wanted,
    weighing: &Weighing,
    aim: Aim,
    full: bool,
    notes: &mut Notes,
) {
    let Aim { gets, next, why } = aim;
    let refused = full || refuse(facts, shards, &next, wanted, weighing, notes);
    let next = if refused { patched(shards, &gets) } else { next };
    let moving: u32 = shards.iter().zip(&next).map(|(s, next)| u32::from(s.owned.difference(next).len())).sum();
    if !refused && moving > 0 && facts.world.moves != Moves::Aborted {
        notes.events.push(PlannedEvent::normal("SlotsMove", format!("{moving} slots move to other shards{why}")));
        notes.events.extend(room::judge(facts, &flows(shards, &next), weighing).evicts);
    }
    for (shard, next) in shards.iter_mut().zip(next) {
        shard.target = next;
    }
}

/// Says which slots are on their way, unless that is held up.
pub(crate) fn say_moves(facts: &Facts, shards: &[Shard], notes: &mut Notes) {
    let held = facts.world.moves.are_held() || facts.world.spec.migration.pause;
    let targets: Vec<SlotSet> = shards.iter().map(|shard| shard.target.clone()).collect();
    for (from, to, slots) in flows(shards, &targets).into_iter().filter(|_| !held) {
        notes.intend(IntentKind::MoveSlots, format!("{} sends {} slots to {}", from.name, slots.len(), to.name));
    }
    let owned = shards.iter().fold(SlotSet::new(), |all, shard| all.union(&shard.owned));
    for shard in shards {
        let free = shard.target.difference(&owned);
        if !free.is_empty() {
            let message = format!("{} claims {} slots that no member owns", shard.name, free.len());
            notes.intend(IntentKind::MoveSlots, message);
        }
    }
}

fn gets_slots(shard: &Shard, joining: bool) -> bool {
    match shard.fate {
        Fate::Stays => true,
        Fate::Joins => joining,
        Fate::Ends => false,
    }
}

/// New shards get their slots all in one step, when the last of them is ready.
fn joins_now(facts: &Facts, shards: &[Shard], wanted: &Wanted, notes: &mut Notes) -> bool {
    let new: Vec<&Shard> = shards.iter().filter(|shard| shard.fate == Fate::Joins).collect();
    let nobody_stays = !shards.iter().any(|shard| shard.fate == Fate::Stays);
    if new.is_empty() || nobody_stays {
        return nobody_stays;
    }
    let kept = shards.iter().filter(|shard| shard.is_kept()).count();
    let unready: Vec<(Why, String)> = new.iter().filter_map(|shard| unready(facts, shard, wanted, true)).collect();
    for (why, reason) in &unready {
        notes.decline(*why, format!("new shards get no slots yet: {reason}"));
    }
    unready.is_empty() && kept >= wanted.shards
}

/// Why `shard` cannot take slots: its primary must run, and its replicas be in sync, if it is to have any.
/// `all_of_them` asks for as many as the spec wants; else those that it has must do.
fn unready(facts: &Facts, shard: &Shard, wanted: &Wanted, all_of_them: bool) -> Option<(Why, String)> {
    if !facts.runs(&shard.primary) {
        let reason =
            format!("the server of {}, primary of {}, does not run or was not heard", shard.primary, shard.name);
        return Some((Why::PrimaryNotRunning, reason));
    }
    if let Some(reason) = too_few_in_sync(facts, shard, wanted, all_of_them) {
        return Some((Why::ReplicasNotInSync, reason));
    }
    knows_too_little(facts, shard).map(|reason| (Why::OwnersUnknown, reason))
}

fn too_few_in_sync(facts: &Facts, shard: &Shard, wanted: &Wanted, all_of_them: bool) -> Option<String> {
    if facts.world.spec.migration.without_replicas {
        return None;
    }
    // One that has left never syncs: it is not waited for (simulated).
    let living = shard.replicas.iter().filter(|name| facts.node(name).is_none_or(|node| !node.is_retired())).count();
    let needed = if all_of_them { wanted.replicas } else { wanted.replicas.min(living) };
    let synced = shard.replicas.iter().filter(|name| facts.in_sync(name, &shard.primary)).count();
    let late = || shard.replicas.iter().filter(|name| !facts.in_sync(name, &shard.primary));
    (synced < needed)
        .then(|| format!("{} has {synced} of {needed} replicas in sync; waiting for {}", shard.name, list(late())))
}

/// With slots it votes, and a vote for the replica of a primary that it never met is one that it refuses: the others
/// could be short of a majority for good (simulated).
fn knows_too_little(facts: &Facts, shard: &Shard) -> Option<String> {
    let view = facts.node(&shard.primary).and_then(Node::view)?;
    let knows = |id: &NodeId| view.node(id).is_some_and(|line| !line.handshake);
    let unknown: Vec<&str> = facts.owners.by_node.keys().filter(|id| !knows(id)).map(NodeId::short).collect();
    let reason = || {
        let (primary, name, unknown) = (&shard.primary, &shard.name, list(&unknown));
        format!("the server of {primary}, primary of {name}, does not know {unknown} yet, which owns slots")
    };
    (!unknown.is_empty()).then(reason)
}

/// The base's targets are what is wanted now. Where shares are even by weight they may have grown apart: that is judged
/// elsewhere.
fn is_right(shards: &[Shard], gets: &[bool], weighing: &Weighing) -> bool {
    let targets: Vec<SlotSet> =
        shards.iter().zip(gets).filter(|(_, gets)| **gets).map(|(shard, _)| shard.target.clone()).collect();
    let none_else = shards.iter().zip(gets).all(|(shard, gets)| *gets || shard.target.is_empty());
    none_else
        && match weighing {
            Weighing::ByNumber => slots::is_balanced(&targets),
            Weighing::Unknown | Weighing::Known(_) => slots::is_whole(&targets),
        }
}

/// Whether the moves that `next` asks for must wait, and why.
fn refuse(
    facts: &Facts,
    shards: &[Shard],
    next: &[SlotSet],
    wanted: &Wanted,
    weighing: &Weighing,
    notes: &mut Notes,
) -> bool {
    let flows = flows(shards, next);
    let lack = room::judge(facts, &flows, weighing).refused;
    let mut refused = lack.is_some();
    if let Some(Declined { why, message }) = lack {
        notes.decline(why, format!("slots are not moved yet: {message}"));
    }
    if let Some(Declined { why, message }) = versions::judge(facts, &flows) {
        notes.decline(why, message);
        refused = true;
    }
    for (_, to, _) in flows {
        if to.fate == Fate::Stays
            && let Some((why, reason)) = unready(facts, to, wanted, false)
        {
            notes.decline(why, format!("slots are not moved yet: {reason}"));
            refused = true;
        }
    }
    refused
}

/// What goes from where to where when the shards should own `next`.
pub(crate) fn flows<'s>(shards: &'s [Shard], next: &[SlotSet]) -> Vec<Flow<'s>> {
    let pairs = || shards.iter().zip(next);
    let gains: Vec<(&Shard, SlotSet)> = pairs().map(|(to, next)| (to, next.difference(&to.owned))).collect();
    let gains: Vec<_> = gains.into_iter().filter(|(_, gain)| !gain.is_empty()).collect();
    let mut flows = Vec::new();
    for (from, next) in pairs().filter(|(from, next)| !from.owned.is_subset(next)) {
        let excess = from.owned.difference(next);
        let shared = gains.iter().map(|(to, gain)| (from, *to, excess.intersection(gain)));
        flows.extend(shared.filter(|(_, _, slots)| !slots.is_empty()));
    }
    flows
}

/// The base's targets, with the slots that none of them has given to the smallest: every slot must be somebody's.
fn patched(shards: &[Shard], gets: &[bool]) -> Vec<SlotSet> {
    let open: Vec<SlotSet> =
        shards.iter().zip(gets).filter(|(_, gets)| **gets).map(|(shard, _)| shard.target.clone()).collect();
    let loose = shards.iter().fold(SlotSet::full(), |rest, shard| rest.difference(&shard.target));
    let mut whole = slots::complete(&open, &loose).into_iter();
    let mut target = |shard: &Shard, gets| if gets { whole.next() } else { Some(shard.target.clone()) };
    shards.iter().zip(gets).map(|(shard, gets)| target(shard, *gets).unwrap_or_default()).collect()
}
