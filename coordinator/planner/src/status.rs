//! The `.status`: what is, for people and scripts. It is derived from the same facts as the plan, and nothing is decided
//! by it.

mod conditions;
mod coverage;
mod nodes;

use std::collections::BTreeSet;

use redisnode_proto::event::Event;
use redisnode_proto::job::Job;
use redisnode_proto::status::{ClusterStatus, Counts, Move, Progress};
use redisnode_proto::{NodeName, SlotSet};

use crate::decision::Declined;
use crate::draft::{Fate, Shard, Wanted};
use crate::facts::{Facts, Node};

/// What the status is made from.
pub(crate) struct Seen<'s, 'a> {
    pub(crate) facts: &'s Facts<'a>,
    pub(crate) shards: &'s [Shard],
    pub(crate) wanted: &'s Wanted,
    pub(crate) leaving: &'s BTreeSet<NodeName>,
    pub(crate) declined: &'s [Declined],
    pub(crate) misplaced: Option<&'s str>,
}

/// The status.
pub(crate) fn show(seen: &Seen) -> ClusterStatus {
    let (conditions, summary) = conditions::judge(seen);
    let waiting_for: Vec<String> = seen.declined.iter().map(|declined| declined.message.clone()).collect();
    ClusterStatus {
        observed_generation: seen.facts.world.spec_generation,
        layout_generation: seen.facts.base.map(|base| base.generation),
        summary: summary.to_owned(),
        conditions,
        counts: counts(seen),
        placement: if seen.misplaced.is_none() { "Optimal" } else { "BestEffort" }.to_owned(),
        placement_reason: seen.misplaced.map(str::to_owned),
        progress: progress(seen),
        moves: moves(seen),
        waiting_for,
        nodes: nodes::list(seen),
        events: events(seen),
        columns: None,
        selector: None,
        coordinator: None,
    }
}

fn counts(seen: &Seen) -> Counts {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let facts = seen.facts;
    let there = || facts.nodes.iter().filter(|node| !node.is_gone());
    let stay = || seen.shards.iter().filter(|shard| shard.fate == Fate::Stays);
    let replicas = || stay().map(|shard| number(in_sync(seen, shard)));
    Counts {
        nodes: number(there().count()),
        nodes_wanted: seen.wanted.members,
        nodes_ready: number(there().filter(|node| nodes::unready(seen, node).is_none()).count()),
        primaries: number(there().filter(|node| !facts.owned(node.name).is_empty()).count()),
        primaries_wanted: number(seen.wanted.shards),
        min_replicas: replicas().min().unwrap_or(0),
        max_replicas: replicas().max().unwrap_or(0),
        replicas_wanted: number(seen.wanted.replicas),
        slots_covered: coverage::served(seen).len(),
    }
}

/// Replicas of `shard` that are in sync.
fn in_sync(seen: &Seen, shard: &Shard) -> usize {
    shard.replicas.iter().filter(|name| seen.facts.in_sync(name, &shard.primary)).count()
}

/// What each agent reports of its moves.
fn moves(seen: &Seen) -> Vec<Move> {
    let reports = seen.facts.nodes.iter().filter_map(|node| Some((node.name, node.report?)));
    reports.flat_map(|(source, report)| report.jobs.iter().map(|job| Move::of(source, job))).collect()
}

/// What each agent tells of its node, by time. Who it is about is said where the sentence does not.
fn events(seen: &Seen) -> Vec<Event> {
    let told = |(name, event): (&NodeName, &Event)| {
        let message = if event.message.contains(name.as_str()) {
            event.message.clone()
        } else {
            format!("{name}: {}", event.message)
        };
        Event { message, ..event.clone() }
    };
    let reports = seen.facts.nodes.iter().filter_map(|node| Some((node.name, node.report?)));
    let mut events: Vec<Event> =
        reports.flat_map(|(name, report)| report.events.iter().map(move |event| (name, event))).map(told).collect();
    events.sort_by_key(|event| event.at_unix_ms);
    events
}

/// Moves in flight: what agents report as jobs, and slots whose move has not begun.
fn progress(seen: &Seen) -> Option<Progress> {
    let jobs: Vec<&Job> = seen.facts.nodes.iter().filter_map(|n| n.report).flat_map(|r| &r.jobs).collect();
    let left = slots_on_their_way(seen.shards);
    if jobs.is_empty() && left == 0 {
        return None;
    }
    let keys_done = jobs.iter().map(|job| job.keys_done).sum();
    // One unknown makes the sum unknown; so does a move that no agent has begun.
    let begun: u32 = jobs.iter().map(|job| u32::from(job.remaining.len())).sum();
    let keys_left = (begun >= left).then(|| jobs.iter().map(|job| job.keys_left).sum::<Option<u64>>()).flatten();
    let rates: Vec<u64> = jobs.iter().filter_map(|job| job.rate()).collect();
    let rate = (!rates.is_empty()).then(|| rates.iter().sum::<u64>());
    let seconds_left = keys_left.zip(rate).filter(|(_, rate)| *rate > 0).map(|(left, rate)| left.div_ceil(rate));
    Some(Progress {
        slots_left: left.max(begun),
        slots_done: jobs.iter().map(|job| job.slots_done).sum(),
        keys_done,
        keys_left,
        bytes_done: jobs.iter().map(|job| job.bytes_done).sum(),
        keys_per_second: rate,
        seconds_left,
    })
}

/// Slots that a member owns and another shard should.
fn slots_on_their_way(shards: &[Shard]) -> u32 {
    shards.iter().map(|shard| u32::from(shard.owned.difference(&shard.target).len())).sum()
}

/// Slots of `nodes`.
fn slots_of<'n>(facts: &Facts, nodes: impl Iterator<Item = &'n Node<'n>>) -> SlotSet {
    nodes.fold(SlotSet::new(), |all, node| all.union(&facts.owned(node.name)))
}
