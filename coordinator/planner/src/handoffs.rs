//! Wished changes of primary: a primary that leaves, one that must restart, one of too many in a zone or on a host.
//! Only to a replica in sync, never while slots of the shard are on their way. A wish names the node it is from, and
//! is withdrawn as soon as its reason is gone.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use redisnode_proto::NodeName;
use redisnode_proto::layout::WishedHandoff;

use crate::decision::{IntentKind, Why};
use crate::draft::{Fate, Notes, Shard, Wanted};
use crate::facts::{Facts, Node};
use crate::placement::{self, Spread};

/// Primaries on members that leave hand off to a replica that stays.
pub(crate) fn from_the_leaving(facts: &Facts, shards: &mut [Shard], wanted: &Wanted, notes: &mut Notes) {
    let primaries: Vec<NodeName> = shards.iter().map(|shard| shard.primary.clone()).collect();
    for shard in shards.iter_mut().filter(|s| s.fate == Fate::Stays && !wanted.has(&s.primary)) {
        let heirs = shard.replicas.iter().filter(|name| wanted.has(name));
        let why = format!("{} leaves", shard.primary);
        match choose(facts, shard, heirs, &primaries) {
            _ if !shard.is_quiet() => {
                let message = format!("{why}, but slots of {} are still on their way", shard.name);
                notes.decline(Why::SlotsStillMoving, message);
            }
            Some(heir) => wish(shard, heir, &why, notes),
            None => {
                let message = format!("{why}, but {} has no replica in sync that stays", shard.name);
                notes.decline(Why::ReplicasNotInSync, message);
            }
        }
    }
}

/// A primary whose server must restart hands off to a replica that need not. Says whether it can.
pub(crate) fn for_a_restart(facts: &Facts, shards: &mut [Shard], index: usize, notes: &mut Notes) -> bool {
    let primaries: Vec<NodeName> = shards.iter().map(|shard| shard.primary.clone()).collect();
    let Some(shard) = shards.get_mut(index) else { return false };
    let ready = |name: &&NodeName| facts.node(name).is_some_and(|node| !node.waits_for_restart());
    let Some(heir) = choose(facts, shard, shard.replicas.iter().filter(ready), &primaries) else { return false };
    let why = format!("the server of {} must restart", shard.primary);
    wish(shard, heir, &why, notes);
    true
}

/// One handoff that makes primaries more even over zones, then hosts. Only while all is calm.
pub(crate) fn to_spread(facts: &Facts, shards: &mut [Shard], notes: &mut Notes) -> bool {
    let primaries: Vec<NodeName> = shards.iter().map(|shard| shard.primary.clone()).collect();
    let now = Spread::of(facts, &primaries).unevenness();
    let mut best: Option<((i64, i64), usize, NodeName)> = None;
    for (index, shard) in shards.iter().enumerate() {
        for heir in shard.replicas.iter().filter(|heir| can_inherit(facts, shard, heir)) {
            let then = primaries.iter().map(|name| if *name == shard.primary { heir } else { name });
            let then = Spread::of(facts, then).unevenness();
            if then < best.as_ref().map_or(now, |(best, _, _)| *best) {
                best = Some((then, index, heir.clone()));
            }
        }
    }
    let Some((_, index, heir)) = best else { return false };
    let Some(shard) = shards.get_mut(index) else { return false };
    wish(shard, heir, "primaries are spread again over zones and hosts", notes);
    true
}

/// One exchange of two replicas that makes shards less crowded. Only while all is calm: both sync anew.
pub(crate) fn to_untangle(facts: &Facts, shards: &mut [Shard], notes: &mut Notes) -> bool {
    let replicas: BTreeSet<NodeName> = shards.iter().flat_map(|shard| &shard.replicas).cloned().collect();
    let Some((a, b)) = placement::best_swap(facts, shards, &replicas) else { return false };
    placement::swap(shards, &a, &b);
    let message =
        format!("{a} and {b} exchange their shards: nodes of a shard belong in different zones and on different hosts");
    notes.intend(IntentKind::Join, message);
    true
}

fn wish(shard: &mut Shard, heir: NodeName, why: &str, notes: &mut Notes) {
    notes.intend(IntentKind::Handoff, format!("{} hands {} off to {heir}: {why}", shard.primary, shard.name));
    shard.handoff = Some(WishedHandoff { from: shard.primary.clone(), to: heir });
}

/// The heir that was wished before, if it will still do; else the one where the fewest primaries are, by zone and host.
fn choose<'n>(
    facts: &Facts,
    shard: &Shard,
    heirs: impl Iterator<Item = &'n NodeName>,
    primaries: &[NodeName],
) -> Option<NodeName> {
    let spread = Spread::of(facts, primaries);
    let wished = facts.base.and_then(|base| base.shard(&shard.name)).and_then(|listed| listed.handoff.as_ref());
    let wished = wished.filter(|wish| wish.from == shard.primary).map(|wish| &wish.to);
    let able = heirs.filter(|heir| can_inherit(facts, shard, heir));
    able.min_by_key(|heir| (Reverse(wished == Some(heir)), spread.at(facts, heir), heir.ordinal())).cloned()
}

/// In sync, and its agent is not stopping.
fn can_inherit(facts: &Facts, shard: &Shard, heir: &NodeName) -> bool {
    let stopping = |node: &Node| node.report.is_none_or(|report| report.stopping);
    facts.in_sync(heir, &shard.primary) && facts.node(heir).is_some_and(|node| !stopping(node))
}
