//! Servers that must restart for their configuration: replicas first, a primary only after its handoff, one member of a
//! shard at a time and as many shards as the spec allows. What is not in order stops the restart of what is; a member that is not ready itself and holds no only
//! copy is always next, so that a bad configuration can be taken back.

use redisnode_proto::NodeName;
use redisnode_proto::judge::majority;

use crate::decision::{IntentKind, PlannedEvent, Why};
use crate::draft::{Notes, Shard, Wanted};
use crate::facts::{Facts, Node};
use crate::{handoffs, health, versions};

/// Where one more member than the spec asks for belongs: in the first shard that has to restart its primary and is to
/// have no replica. It takes the shard over, and who is freed does the same for the next one.
pub(crate) fn surge(facts: &Facts, shards: &[Shard], wanted: &Wanted) -> Option<usize> {
    if wanted.replicas > 0 || shards.len() != wanted.shards {
        return None;
    }
    shards.iter().position(|shard| shard.is_kept() && shard.nodes().any(|name| waits(facts, name)))
}

/// Members that run anew whatever the others do: their server has never run as it was wanted before, so that a bad image
/// can be taken back even while a cluster is being made.
pub(crate) fn unborn(facts: &Facts, notes: &mut Notes) -> Vec<NodeName> {
    let unborn = facts.nodes.iter().filter(|node| node.is_outdated() && node.is_unborn() && !node.is_gone());
    let unborn: Vec<NodeName> = unborn.map(|node| node.name.clone()).collect();
    for name in &unborn {
        say(name, "it never ran as it is", notes);
    }
    unborn
}

/// Members whose server restarts now. May wish for a handoff instead.
pub(crate) fn restarts(facts: &Facts, shards: &mut [Shard], wanted: &Wanted, notes: &mut Notes) -> Vec<NodeName> {
    let mut restart = unborn(facts, notes);
    restart
        .extend(unready(facts, shards, notes).into_iter().filter(|name| !restart.contains(name)).collect::<Vec<_>>());
    if !facts.nodes.iter().any(Node::waits_for_restart) {
        return restart;
    }
    let room = match room(facts, shards, wanted) {
        Ok(room) => room,
        Err(reason) => {
            if restart.is_empty() {
                let message = format!("no healthy server restarts for its new configuration yet: {reason}");
                notes.decline(Why::NotHealthy, message);
            }
            return restart;
        }
    };
    let well: Vec<usize> =
        shards.iter().enumerate().filter(|(_, s)| health::shard_is_well(facts, s).is_ok()).map(|(i, _)| i).collect();
    let next = |shard: &Shard| shard.replicas.iter().find(|name| waits(facts, name)).cloned();
    let (with_replica, without): (Vec<usize>, Vec<usize>) =
        well.into_iter().partition(|index| shards.get(*index).is_some_and(|shard| next(shard).is_some()));
    let replicas = with_replica.iter().filter_map(|index| next(shards.get(*index)?)).take(room);
    for name in replicas {
        say(&name, "a replica", notes);
        restart.push(name);
    }
    let primaries = without.into_iter().filter(|index| shards.get(*index).is_some_and(|s| waits(facts, &s.primary)));
    for index in primaries.take(room.saturating_sub(with_replica.len())).collect::<Vec<_>>() {
        hand_off(facts, shards, index, notes);
    }
    restart
}

/// How many more members may be away: what the spec allows, less those that are not in order now. Two of one shard never
/// are, so each is of another shard. A majority of the members stays: without it nothing would be decided. Shards without
/// replicas go one after the other, by the one member more. A primary that does not run stops all: no restart does that.
/// Slots that wait for a newer server are not waited for: each would wait for the other.
fn room(facts: &Facts, shards: &[Shard], wanted: &Wanted) -> Result<usize, String> {
    if !versions::hold_all_up(facts, shards) {
        health::settled(facts, shards, wanted)?;
    }
    let members = usize::try_from(wanted.members).unwrap_or(usize::MAX);
    let asked = usize::try_from(facts.world.spec.rollout.max_unavailable).unwrap_or(usize::MAX);
    let safe = if wanted.replicas == 0 { 1 } else { members.saturating_sub(majority(members)) };
    let most = asked.min(safe).max(1);
    if let Some(shard) = shards.iter().find(|shard| !facts.runs(&shard.primary)) {
        health::shard_is_well(facts, shard)?;
    }
    let away: Vec<String> = shards.iter().flat_map(|shard| health::amiss(facts, shard)).collect();
    match most.checked_sub(away.len()).filter(|room| *room > 0) {
        Some(room) => Ok(room),
        None if most == 1 => Err(away.join("; ")),
        None => Err(format!("{most} members at a time, and these are not in order: {}", away.join("; "))),
    }
}

/// A primary restarts as a replica, after somebody took over from it.
fn hand_off(facts: &Facts, shards: &mut [Shard], index: usize, notes: &mut Notes) {
    if !handoffs::for_a_restart(facts, shards, index, notes)
        && let Some(shard) = shards.get(index)
    {
        let message = format!("{} does not restart: no replica in sync can take over from it", shard.primary);
        notes.decline(Why::OnlyCopy, message);
    }
}

fn waits(facts: &Facts, name: &NodeName) -> bool {
    facts.node(name).is_some_and(Node::waits_for_restart)
}

/// Members that are not ready themselves, and whose shard is served by somebody else.
fn unready(facts: &Facts, shards: &[Shard], notes: &mut Notes) -> Vec<NodeName> {
    let mut unready = Vec::new();
    for shard in shards.iter().filter(|shard| facts.runs(&shard.primary)) {
        let replicas = shard.replicas.iter().filter(|name| waits(facts, name) && facts.owned(name).is_empty());
        for name in replicas {
            if !facts.runs(name) {
                say(name, "it does not run as it is", notes);
            } else if cannot_read(facts, name, &shard.primary) {
                say(name, "its primary is newer, and it cannot read what that one sends", notes);
            } else {
                continue;
            }
            unready.push(name.clone());
        }
    }
    unready
}

/// Whether a replica is out of sync with a primary of a newer version. An older server reads the stream of a newer one, but
/// not its data set: when a full sync is needed, none succeeds (seen in a roll from Redis 7.0 to 8.6, which stood still).
fn cannot_read(facts: &Facts, name: &NodeName, primary: &NodeName) -> bool {
    let version = |name| facts.node(name).and_then(Node::running).map(|running| running.version);
    let is_older = version(name).zip(version(primary)).is_some_and(|(replica, primary)| replica < primary);
    is_older && !facts.in_sync(name, primary)
}

fn say(name: &NodeName, why: &str, notes: &mut Notes) {
    let message = format!("the server of {name} restarts for its new configuration ({why})");
    notes.intend(IntentKind::Restart, message.clone());
    notes.events.push(PlannedEvent::normal("ServerRestarts", message));
}
