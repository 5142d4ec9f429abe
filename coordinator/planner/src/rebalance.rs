//! Whether shares by weight have grown apart by so much that slots move for it, and what is said of it. Nothing moves for
//! noise: shares must be far apart, and that for a while, in a cluster where nothing else is under way; and what would come
//! of it must be clearly better.

use redisnode_proto::figures::{bytes, tenths};
use redisnode_proto::spec::Balance;
use redisnode_proto::{Slot, SlotSet};

use crate::decision::{PlannedEvent, Why};
use crate::draft::{Notes, Shard, Wanted};
use crate::even;
use crate::facts::{Facts, Node};
use crate::health;
use crate::weighing::{Known, Weighing};

/// Slots move when a share is so many percent from an even one.
const FAR_PERCENT: u64 = 20;
/// And when that is nearer by so many percent of an even share afterwards.
const GAIN_PERCENT: u64 = 10;
/// Less than so many bytes are not worth a move.
const FEW_BYTES: u64 = 8 << 20;
/// Less than so much time is not, either: nanoseconds a second, a hundredth of a processor.
const LITTLE_TIME: u64 = 10_000_000;
/// For how long bytes must have been the same, seconds.
const BYTES_HOLD_S: u64 = 10;
/// How long operations must have been averaged when a share is off by all of it, seconds; the less, the longer.
const OPERATIONS_HOLD_S: u64 = 30;
/// At least and at most so long.
const OPERATIONS_LIMITS_S: (u64, u64) = (20, 160);

/// What should move, and why.
pub(crate) struct Worth {
    pub(crate) next: Vec<SlotSet>,
    pub(crate) why: String,
}

/// What each shard should own instead of what it owns, if the move is worth it now. Says why not, and which slot is hot.
pub(crate) fn worth(
    facts: &Facts,
    shards: &[Shard],
    wanted: &Wanted,
    weighing: &Weighing,
    notes: &mut Notes,
) -> Option<Worth> {
    let known = weighing.known()?;
    let owned: Vec<SlotSet> = shards.iter().map(|shard| shard.owned.clone()).collect();
    let (share, hot) = known.weights.share(owned.len());
    let hot = say_hot(known, shards, share, &hot, notes);
    let off = known.weights.unevenness(&owned);
    let percent = off.saturating_mul(100) / share.max(1);
    if percent <= FAR_PERCENT || off < trifle(known.by) {
        return None;
    }
    let why = format!("shares by {} are up to {percent} percent from even ones", known.by);
    let next = even::share_out(&owned, &known.weights);
    let gain = off.saturating_sub(known.weights.unevenness(&next));
    if gain.saturating_mul(100) < share.saturating_mul(GAIN_PERCENT) {
        notes.decline(Why::AsEvenAsCanBe, format!("{why}, and no move of whole slots would bring them much nearer"));
        return None;
    }
    if let Err(reason) = nothing_else(facts, shards, wanted) {
        notes.decline(Why::NotHealthy, format!("no slot moves yet although {why}: {reason}"));
        return None;
    }
    let needed = hold_for(known.by, percent);
    if u64::from(known.for_s) < needed {
        let message = format!("no slot moves yet although {why}: that must be so for {needed} s");
        notes.decline(Why::FiguresTooYoung, message);
        return None;
    }
    notes.events.extend(hot);
    Some(Worth { next, why: format!(", because {why}") })
}

/// A slot that weighs more than an even share is one that no move can help.
fn say_hot(known: &Known, shards: &[Shard], share: u64, hot: &[Slot], notes: &mut Notes) -> Option<PlannedEvent> {
    let slot = *hot.first().filter(|slot| known.weights.of(**slot) >= trifle(known.by))?;
    let owner = shards.iter().find(|shard| shard.owned.contains(slot))?;
    let (weight, share) = (shown(known.by, known.weights.of(slot)), shown(known.by, share));
    let others = hot.len() - 1;
    let others = if others > 0 { format!(" ({others} more slots are hot, too)") } else { String::new() };
    let message = format!(
        "slot {slot} of {} is hot{others}: it takes {weight}, more than an even share, {share}; a slot cannot be split, so \
         spread its keys over other hash tags",
        owner.name
    );
    notes.decline(Why::HotSlot, message.clone());
    Some(PlannedEvent::warning("HotSlot", message))
}

/// Slots may move, everybody is in place, and no agent has anything under way.
fn nothing_else(facts: &Facts, shards: &[Shard], wanted: &Wanted) -> Result<(), String> {
    if facts.world.moves.are_held() || facts.world.spec.migration.pause {
        return Err("moves of slots are paused or aborted".to_owned());
    }
    health::calm(facts, shards, wanted)?;
    if let Some(node) = facts.nodes.iter().find(|node| node.waits_for_restart()) {
        return Err(format!("{} has to restart", node.name));
    }
    let busy = |node: &&Node| node.report.is_some_and(|report| !report.jobs.is_empty());
    facts.nodes.iter().find(busy).map_or(Ok(()), |node| Err(format!("a move of {} has not ended", node.name)))
}

fn hold_for(by: Balance, percent: u64) -> u64 {
    match by {
        Balance::Slots | Balance::Bytes => BYTES_HOLD_S,
        Balance::Operations => {
            let (least, most) = OPERATIONS_LIMITS_S;
            (OPERATIONS_HOLD_S * 100 / percent.max(1)).clamp(least, most)
        }
    }
}

fn trifle(by: Balance) -> u64 {
    match by {
        Balance::Slots | Balance::Bytes => FEW_BYTES,
        Balance::Operations => LITTLE_TIME,
    }
}

/// A weight as people read it.
fn shown(by: Balance, weight: u64) -> String {
    match by {
        Balance::Slots | Balance::Bytes => bytes(weight),
        Balance::Operations => format!("{} percent of a processor", tenths(weight, LITTLE_TIME)),
    }
}
