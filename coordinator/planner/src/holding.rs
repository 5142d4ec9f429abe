//! Moves of slots that somebody holds up: paused ones keep their aim, aborted ones have every slot stay with whoever owns
//! it now. Both are said with what to do. A slot that nobody owns is somebody's in either case.
//!
//! An abort is a pause first: a target that is not to get a slot any more consents to nothing, and what is half there must
//! arrive (seen: its source gave up with slots open). Once every agent has paused and nothing is under way, slots stay.

use redisnode_proto::SlotSet;
use redisnode_proto::spec::{MIGRATION, Moves};
use redisnode_proto::topology::Role;

use crate::decision::Why;
use crate::draft::{Notes, Shard};
use crate::facts::Facts;

/// Takes the aim away from shards whose slots are to stay, and says what does not move, and why.
pub(crate) fn hold(facts: &Facts, shards: &mut [Shard], notes: &mut Notes) {
    let slots: u32 = shards.iter().map(|shard| u32::from(shard.owned.difference(&shard.target).len())).sum();
    if facts.world.moves == Moves::Aborted && all_has_ended(facts) {
        stay(shards);
    }
    if let Some((why, reason)) = reason(facts).filter(|_| slots > 0) {
        notes.decline(why, format!("{slots} slots are not moved to other shards: {reason}"));
    }
}

/// Why nothing begins to move, and what to do; the heaviest hand first.
fn reason(facts: &Facts) -> Option<(Why, String)> {
    let world = facts.world;
    let resume = format!("kubectl rediscluster migration resume {}", world.name);
    match world.moves {
        Moves::Aborted => {
            let reason = format!(
                "moves are aborted, and what has moved stays where it is; change the spec, or resume with {resume}"
            );
            Some((Why::MovesAborted, reason))
        }
        Moves::Paused => Some((Why::MovesPaused, format!("moves are paused; resume with {resume}"))),
        Moves::Unclear => {
            let reason = format!(
                "the annotation {MIGRATION} is neither paused nor aborted, so moves are paused; resume with {resume}"
            );
            Some((Why::MovesPaused, reason))
        }
        Moves::GoOn if world.spec.migration.pause => {
            Some((Why::MovesPaused, "moves are paused by the spec; write migration.pause: false".to_owned()))
        }
        Moves::GoOn => None,
    }
}

/// Every server that was heard has nothing under way, and an agent that begins nothing.
fn all_has_ended(facts: &Facts) -> bool {
    let reports = facts.nodes.iter().filter_map(|node| node.report);
    reports.filter_map(|report| Some((report, report.server.running()?))).all(|(report, running)| {
        let paused = report.ledger.layout.as_ref().is_none_or(|layout| layout.settings.migration.pause);
        // Valkey shows a primary's marks at its replicas too, and left-overs of them stay there.
        let open = running.replication.role == Role::Primary && !running.view.open.is_empty();
        paused && report.jobs.is_empty() && !open
    })
}

fn stay(shards: &mut [Shard]) {
    let held = shards.iter().fold(SlotSet::new(), |all, shard| all.union(&shard.held));
    for shard in shards {
        // What neither has an owner nor was meant for anybody goes where it would have gone.
        let loose = shard.target.difference(&held);
        shard.target = shard.held.union(&loose);
    }
}
