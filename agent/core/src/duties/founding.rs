//! How an empty cluster comes to be: slots are claimed before the nodes meet, under a low node time-out.
//!
//! A node that meets others before it has its slots waits in their minority for seconds; claimed first and met after,
//! with a node time-out of 500 ms, six servers are a cluster in half a second (measured). It is safe only among empty
//! nodes, so it is obeyed only by the very servers that the Layout lists, while they are empty and know nobody else.

use redisnode_proto::layout::Layout;
use redisnode_proto::report::Running;
use redisnode_proto::topology::{Health, Role, View};
use redisnode_proto::{ConfigEpoch, LayoutShard, Millis, NodeId, NodeName, SlotSet};

use super::{Duty, FoundersClaim, ask};
use crate::situation::Situation;

/// The node time-out while founding. The wait after a minority is clamp(node time-out, 500 ms, 5 s).
pub const FOUNDING_TIMEOUT: Millis = Millis(500);

/// Founders' epochs lie so far apart that fresh servers never reach one when they settle their equal epochs.
/// A replica keeps the epoch it got so, unseen; were it its primary's, TAKEOVER would not raise it, and nobody would
/// believe the new owner (measured on Redis 7.0 and Valkey 9.1).
const EPOCH_STEP: u64 = 1000;

/// Whether this node obeys a founding Layout now: it is listed with its very id, is empty, knows only founders, and has
/// not ended founding before.
pub fn is_founding(s: &Situation<'_>) -> bool {
    let (Some(layout), Some(running)) = (s.layout(), s.running()) else { return false };
    let Some(founders) = &layout.founding else { return false };
    !s.ledger.founded && may_found(running, founders)
}

fn may_found(running: &Running, founders: &[NodeId]) -> bool {
    let view = &running.view;
    let listed = founders.contains(&view.me);
    let strangers = view.nodes.iter().any(|node| !node.handshake && !founders.contains(&node.id));
    listed && running.keys == 0 && !strangers
}

pub(super) fn found(s: &Situation<'_>, layout: &Layout, view: &View, out: &mut Vec<Duty>) {
    let Some((index, shard)) = layout.shards.iter().enumerate().find(|(_, shard)| shard.has(&s.me.name)) else {
        return;
    };
    if shard.primary == s.me.name {
        let missing = shard.slots.difference(&owned(view));
        if !missing.is_empty() {
            claim(view, index, &missing, out);
            return;
        }
    }
    meet_founders(s, layout, view, out);
    if shard.primary != s.me.name {
        follow(s, shard, view, out);
    }
}

/// Ends founding once the own view is whole, with keys as well: a client may write as soon as the slots are served, before
/// this agent looks again.
pub(super) fn end(s: &Situation<'_>, layout: &Layout, view: &View, out: &mut Vec<Duty>) {
    if layout.founding.is_some() && !s.ledger.founded && is_whole(layout, view) {
        out.push(Duty::EndFounding);
    }
}

fn claim(view: &View, index: usize, missing: &SlotSet, out: &mut Vec<Duty>) {
    let epoch = view.myself().map(|me| me.epoch).unwrap_or_default();
    let alone = view.nodes.len() == 1;
    if alone && epoch == ConfigEpoch(0) {
        out.push(Duty::SetEpoch(founders_epoch(index)));
    }
    out.push(Duty::Claim { slots: missing.clone(), bump: !alone });
}

fn founders_epoch(index: usize) -> ConfigEpoch {
    ConfigEpoch(u64::try_from(index).unwrap_or(u64::MAX).saturating_add(1).saturating_mul(EPOCH_STEP))
}

/// What this node claims as it leaves the made-up primary; nothing if it is not to found a shard.
pub(super) fn first_claim(s: &Situation<'_>, layout: &Layout) -> Option<FoundersClaim> {
    let founds = is_founding(s);
    let (index, shard) = layout.shards.iter().enumerate().find(|(_, shard)| shard.primary == s.me.name)?;
    founds.then(|| FoundersClaim { epoch: founders_epoch(index), slots: shard.slots.clone() })
}

fn owned(view: &View) -> SlotSet {
    view.myself().map(|me| me.slots.clone()).unwrap_or_default()
}

/// Meets every founder that is missing, once its agent has shown that its claims are made.
fn meet_founders(s: &Situation<'_>, layout: &Layout, view: &View, out: &mut Vec<Duty>) {
    let mut unready = Vec::new();
    for member in layout.members.iter().filter(|m| m.member.name != s.me.name) {
        let name = &member.member.name;
        let known = member.node_id.as_ref().and_then(|id| view.node(id)).is_some_and(|node| !node.handshake);
        if known {
            continue;
        }
        match s.fresh(name).and_then(|report| report.server.running().map(|running| (report, running))) {
            Some((report, running)) if has_claimed(layout, name, running) => out.push(Duty::Meet {
                name: name.clone(),
                id: running.view.me.clone(),
                address: report.address.clone(),
            }),
            Some(_) | None => unready.push(name.clone()),
        }
    }
    ask(out, unready);
}

fn has_claimed(layout: &Layout, name: &NodeName, running: &Running) -> bool {
    let listed = layout.member(name).is_some_and(|m| m.node_id.as_ref() == Some(&running.view.me));
    let wanted = layout.shards.iter().find(|shard| shard.primary == *name).map(|shard| &shard.slots);
    listed && !running.primed && wanted.is_none_or(|wanted| wanted.is_subset(&owned(&running.view)))
}

fn follow(s: &Situation<'_>, shard: &LayoutShard, view: &View, out: &mut Vec<Duty>) {
    let Some(primary) = s.layout().and_then(|l| l.member(&shard.primary)).and_then(|m| m.node_id.clone()) else {
        return;
    };
    let ready =
        view.node(&primary).is_some_and(|node| !node.handshake && node.role == Role::Primary && !node.slots.is_empty());
    let follows = view.myself().is_some_and(|me| me.primary.as_ref() == Some(&primary));
    if ready && !follows {
        out.push(Duty::Replicate(primary));
    }
}

/// By the own view everyone is there and what it should be, and the state is ok. The others' roles count as well: a server
/// says its new role only in its next ping, and once the low node time-out is over that may be half a node time-out later.
fn is_whole(layout: &Layout, view: &View) -> bool {
    let node = |name: &NodeName| {
        let id = layout.member(name)?.node_id.as_ref()?;
        view.node(id).filter(|node| !node.handshake && node.health == Health::Fine)
    };
    let in_place = |shard: &LayoutShard| {
        let Some(primary) = node(&shard.primary) else { return false };
        let follows = |name| node(name).is_some_and(|replica| replica.primary.as_ref() == Some(&primary.id));
        primary.role == Role::Primary && shard.slots.is_subset(&primary.slots) && shard.replicas.iter().all(follows)
    };
    view.state_ok && layout.shards.iter().all(in_place)
}
