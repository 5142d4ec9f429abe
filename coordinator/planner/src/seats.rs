//! Which member sits in which shard. Members without a seat get one, new shards get theirs, surplus replicas move to
//! where one is missing. Whoever has a seat in a shard that stays keeps it; nobody who owns slots is moved; no shard
//! gives a replica away that it needs.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use redisnode_proto::NodeName;

use crate::adopt::free_name;
use crate::decision::{IntentKind, PlannedEvent, Why};
use crate::draft::{Notes, Shard, Wanted, list};
use crate::facts::{Facts, Node};
use crate::placement::{self, Spread, crowding};

/// Seats everybody who can be seated now.
pub(crate) fn seat(facts: &Facts, shards: &mut Vec<Shard>, wanted: &Wanted, surge: Option<usize>, notes: &mut Notes) {
    let mut room = Room::look(facts, shards, wanted, surge, notes);
    let mut seated = BTreeSet::new();
    room.open_new_shards(shards, notes, &mut seated);
    room.fill(shards, notes, &mut seated);
    placement::untangle(facts, shards, &seated);
    for name in room.pool {
        notes.decline(Why::MemberMissing, format!("{name} has no shard yet: other members must come first"));
    }
}

/// How many nodes the shard at `index` should have.
pub(crate) fn quota(wanted: &Wanted, surge: Option<usize>, index: usize) -> usize {
    wanted.replicas.saturating_add(1) + usize::from(surge == Some(index))
}

struct Room<'r, 'a> {
    facts: &'r Facts<'a>,
    wanted: Wanted,
    surge: Option<usize>,
    /// Members that wait for a seat.
    pool: Vec<NodeName>,
    /// Wanted, and not there.
    missing: Vec<NodeName>,
}

impl<'r, 'a> Room<'r, 'a> {
    fn look(facts: &'r Facts<'a>, shards: &[Shard], wanted: &Wanted, surge: Option<usize>, notes: &mut Notes) -> Self {
        let taken: BTreeSet<&NodeName> = shards.iter().flat_map(Shard::nodes).collect();
        let names = (0..wanted.members).filter_map(|ordinal| NodeName::of(facts.world.name, ordinal).ok());
        let (mut pool, mut missing) = (Vec::new(), Vec::new());
        for name in names.filter(|name| !taken.contains(name)) {
            let node = facts.node(&name).filter(|node| node.is_heard());
            if let Some(why) = node.and_then(Node::unusable) {
                notes.decline(Why::MemberUnusable, format!("{name} is given no work: {why}"));
                missing.push(name);
            } else if node.is_none_or(Node::is_retired) {
                missing.push(name);
            } else {
                pool.push(name);
            }
        }
        if !missing.is_empty() {
            let message = format!("waiting for {}: not there yet, or not heard", list(&missing));
            notes.decline(Why::MemberMissing, message);
        }
        Self { facts, wanted: *wanted, surge, pool, missing }
    }

    /// New shards come all at once, when all their members are there.
    fn open_new_shards(&mut self, shards: &mut Vec<Shard>, notes: &mut Notes, seated: &mut BTreeSet<NodeName>) {
        let kept = shards.iter().filter(|shard| shard.is_kept()).count();
        let new = self.wanted.shards.saturating_sub(kept);
        if new == 0 {
            return;
        }
        let spare = self.spare_replicas(shards);
        let early = self.facts.world.spec.migration.without_replicas;
        let there = self.pool.len() + spare.len();
        if there < new || (!early && !self.missing.is_empty()) {
            let message = format!("{new} new shards wait for their members: {}", list(&self.missing));
            notes.decline(Why::MemberMissing, message);
            return;
        }
        let mut primaries = Spread::of(self.facts, shards.iter().map(|shard| &shard.primary));
        let mut spare = spare;
        for _ in 0..new {
            let from = if self.pool.is_empty() { &mut spare } else { &mut self.pool };
            let best = from.iter().min_by_key(|name| (primaries.at(self.facts, name), name.ordinal())).cloned();
            let (Some(primary), Some(name)) = (best, free_name(shards)) else { return };
            from.retain(|other| *other != primary);
            unseat(shards, &primary);
            primaries.add(self.facts, &primary);
            seated.insert(primary.clone());
            notes.intend(IntentKind::Join, format!("{primary} becomes the empty primary of the new {name}"));
            notes.events.push(PlannedEvent::normal("ShardAdded", format!("{name} comes to be, with {primary}")));
            shards.push(Shard::empty(name, primary));
        }
    }

    /// One by one, to the shard with the fewest nodes, the member that is least crowded there.
    fn fill(&mut self, shards: &mut [Shard], notes: &mut Notes, seated: &mut BTreeSet<NodeName>) {
        loop {
            let lacking = shards.iter().enumerate().filter(|(index, shard)| self.lacks(shard, *index));
            let Some((index, _)) = lacking.min_by_key(|(index, shard)| (shard.staying(&self.wanted), *index)) else {
                return;
            };
            let spare = if self.pool.is_empty() { self.spare_replicas(shards) } else { Vec::new() };
            let Some(shard) = shards.get(index) else { return };
            let candidates = self.pool.iter().chain(&spare).filter(|name| !shard.has(name));
            let best = candidates.min_by_key(|name| {
                (crowding(self.facts, name, shard.nodes()), !self.was_in(name, shard), name.ordinal())
            });
            let Some(best) = best.cloned() else { return };
            self.pool.retain(|name| *name != best);
            unseat(shards, &best);
            if let Some(shard) = shards.get_mut(index) {
                notes.intend(IntentKind::Join, format!("{best} joins {} as a replica", shard.name));
                shard.replicas.push(best.clone());
            }
            seated.insert(best);
        }
    }

    fn lacks(&self, shard: &Shard, index: usize) -> bool {
        shard.is_kept() && shard.staying(&self.wanted) < quota(&self.wanted, self.surge, index)
    }

    fn was_in(&self, name: &NodeName, shard: &Shard) -> bool {
        self.facts.base.and_then(|base| base.shard_of(name)).is_some_and(|listed| listed.name == shard.name)
    }

    /// Replicas above their shard's quota that it can do without.
    fn spare_replicas(&self, shards: &[Shard]) -> Vec<NodeName> {
        let indexed = shards.iter().enumerate().filter(|(_, shard)| shard.is_kept());
        indexed.flat_map(|(index, shard)| self.spare_of(shard, index)).collect()
    }

    /// Those not in sync first, then the most crowded. As many stay in sync as the spec asks for.
    fn spare_of(&self, shard: &Shard, index: usize) -> Vec<NodeName> {
        let above = shard.staying(&self.wanted).saturating_sub(quota(&self.wanted, self.surge, index));
        let well = self.facts.runs(&shard.primary) && self.wanted.has(&shard.primary);
        if above == 0 || !well {
            return Vec::new();
        }
        let in_sync = |name: &NodeName| self.facts.in_sync(name, &shard.primary);
        let synced = shard.replicas.iter().filter(|name| in_sync(name)).count();
        let mut to_give = synced.saturating_sub(self.wanted.replicas);
        // Who has to certify a death, or may be promoted by it, is asked for in its shard.
        let bound = |name: &NodeName| self.facts.node(name).is_some_and(|node| self.facts.hangs_on_orphan(node));
        let movable = shard.replicas.iter().filter(|name| self.wanted.has(name) && !bound(name));
        let mut movable: Vec<&NodeName> = movable.collect();
        movable
            .sort_by_key(|name| Reverse((!in_sync(name), crowding(self.facts, name, shard.nodes()), name.ordinal())));
        movable.retain(|name| !in_sync(name) || to_give.checked_sub(1).inspect(|left| to_give = *left).is_some());
        movable.into_iter().take(above).cloned().collect()
    }
}

fn unseat(shards: &mut [Shard], name: &NodeName) {
    for shard in shards {
        shard.replicas.retain(|node| node != name);
    }
}
