//! Whether all is calm: every member in its place, every replica in sync, no slot on its way. What may wait for better
//! times (spreading primaries, restarting healthy servers) waits for this.

use redisnode_proto::{NodeName, SlotSet};

use crate::draft::{Fate, Shard, Wanted};
use crate::facts::Facts;

/// Nothing is amiss and nothing is in progress; else the first thing that is.
pub(crate) fn calm(facts: &Facts, shards: &[Shard], wanted: &Wanted) -> Result<(), String> {
    settled(facts, shards, wanted)?;
    for shard in shards {
        shard_is_well(facts, shard)?;
    }
    Ok(())
}

/// The shards are as many and as complete as wanted, and every slot is where it should be.
pub(crate) fn settled(facts: &Facts, shards: &[Shard], wanted: &Wanted) -> Result<(), String> {
    if let Some(shard) = shards.iter().find(|shard| shard.fate != Fate::Stays) {
        let what = if shard.fate == Fate::Ends { "ends" } else { "has no slots yet" };
        return Err(format!("{} {what}", shard.name));
    }
    if shards.len() != wanted.shards {
        return Err(format!("there are {} shards of {}", shards.len(), wanted.shards));
    }
    let owned = shards.iter().fold(SlotSet::new(), |all, shard| all.union(&shard.owned));
    if owned != SlotSet::full() {
        return Err(format!("slots {} have no owner", SlotSet::full().difference(&owned)));
    }
    if let Some(shard) = shards.iter().find(|shard| !shard.is_quiet()) {
        return Err(format!("slots of {} are on their way", shard.name));
    }
    let seated = |name: &NodeName| shards.iter().any(|shard| shard.has(name));
    let names = (0..wanted.members).filter_map(|ordinal| NodeName::of(facts.world.name, ordinal).ok());
    if let Some(name) = names.into_iter().find(|name| !seated(name)) {
        return Err(format!("{name} has no shard yet"));
    }
    match facts.nodes.iter().find(|node| !node.is_gone() && !wanted.has(node.name)) {
        Some(node) => Err(format!("{} has not left yet", node.name)),
        None => Ok(()),
    }
}

/// Its primary runs and all its replicas are in sync; else the first thing that is amiss.
pub(crate) fn shard_is_well(facts: &Facts, shard: &Shard) -> Result<(), String> {
    amiss(facts, shard).into_iter().next().map_or(Ok(()), Err)
}

/// What is amiss in it, a sentence for each member that is not in order.
pub(crate) fn amiss(facts: &Facts, shard: &Shard) -> Vec<String> {
    let silent = (!facts.runs(&shard.primary))
        .then(|| format!("the server of {}, primary of {}, does not run or was not heard", shard.primary, shard.name));
    let behind = shard.replicas.iter().filter(|name| !facts.in_sync(name, &shard.primary));
    let behind = behind.map(|name| format!("{name} is not in sync with {}", shard.primary));
    silent.into_iter().chain(behind).collect()
}
