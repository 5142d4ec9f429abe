//! A node that came back with another id certifies the death of the id it had before: a name never has two servers.

use std::collections::BTreeSet;

use redisnode_proto::judge::{Candidate, best_replica};
use redisnode_proto::ledger::Promise;
use redisnode_proto::report::{Report, Running};
use redisnode_proto::topology::Role;
use redisnode_proto::{NodeId, NodeName};

use crate::situation::Situation;

/// What to do about the former id of the own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormerLife {
    /// There is none, or it owns nothing any more.
    Settled,
    /// Call these agents first.
    Ask(Vec<NodeName>),
    /// Write the promise, and send its death notice to the chosen one.
    Certify(Promise),
    /// Nobody can take over; the coordinator decides.
    NobodyLeft {
        /// The former id.
        id: NodeId,
    },
}

/// Looks whether the former id of this node's name still owns slots, and who should take them over.
pub fn former_life(s: &Situation<'_>, refused: &BTreeSet<NodeName>) -> FormerLife {
    let (Some(view), Some(layout)) = (s.view(), s.layout()) else { return FormerLife::Settled };
    let hint = layout.member(&s.me.name).and_then(|member| member.node_id.clone());
    let hint = hint.filter(|id| *id != view.me && layout.founding.is_none());
    let former = match hint.map_or_else(|| orphaned(s), Orphan::Of) {
        Orphan::Of(former) => former,
        Orphan::Unsure(names) => return FormerLife::Ask(names),
        Orphan::None => return FormerLife::Settled,
    };
    if let Some(promise) = promised(s, &former, refused) {
        return FormerLife::Certify(promise.clone());
    }
    let mates = s.mates();
    let stale: Vec<NodeName> =
        mates.iter().filter(|name| !s.peers.contains_key(**name)).map(|name| (*name).clone()).collect();
    if !stale.is_empty() {
        return FormerLife::Ask(stale);
    }
    let fresh = mates.iter().filter(|name| s.fresh(name).is_some()).count();
    // Followers of the former id: who still hangs on it in its own view, wherever the Layout has it by now.
    let heard: Vec<_> = s.peers.keys().filter_map(|name| Some((name.clone(), s.fresh(name)?))).collect();
    let followers: Vec<_> = heard
        .iter()
        .filter(|(name, report)| !refused.contains(name) && !report.stopping)
        .filter_map(|(name, report)| Some((name, report.server.running()?)))
        .filter(|(_, running)| running.view.myself().is_some_and(|me| me.primary.as_ref() == Some(&former)))
        .collect();
    let candidates = followers.iter().filter(|(_, r)| r.keys > 0 || r.synced_since_start).map(|(name, running)| {
        Candidate { name: (*name).clone(), offset: running.replication.offset, synced: running.synced_since_start }
    });
    let Some(best) = best_replica(candidates) else {
        return if fresh == mates.len() {
            nobody(s, &former)
        } else {
            FormerLife::Ask(mates.into_iter().cloned().collect())
        };
    };
    let chosen = followers.iter().find(|(name, _)| **name == best.name).map(|(_, running)| running);
    let Some(chosen) = chosen else { return FormerLife::Settled };
    let epoch = chosen.view.node(&former).map(|node| node.epoch).unwrap_or_default();
    FormerLife::Certify(Promise { dead: former, epoch, chosen: best.name, chosen_id: chosen.view.me.clone() })
}

/// Whose death the wished primary of a shard without an owner must certify, when no Layout remembers it any more.
enum Orphan {
    None,
    /// These have to answer first.
    Unsure(Vec<NodeName>),
    Of(NodeId),
}

/// A mate follows an id that owns slots and that no member has: every member answers under another one, and a name never
/// has two servers, so that one is dead. In clusters of one or two primaries nobody would ever mark it as failed. Only
/// the member that the Layout wishes as primary decides, and only while it owns nothing.
fn orphaned(s: &Situation<'_>) -> Orphan {
    let (Some(view), Some(layout), Some(shard)) = (s.view(), s.layout(), s.my_shard()) else { return Orphan::None };
    let idle = view.myself().is_some_and(|me| me.role == Role::Primary && me.slots.is_empty());
    let wanting = shard.primary == s.me.name && !shard.slots.is_empty() && shard.slots.is_disjoint(&view.covered());
    if !idle || !wanting || layout.founding.is_some() {
        return Orphan::None;
    }
    let others = || layout.members.iter().map(|member| &member.member.name).filter(|name| **name != s.me.name);
    let silent: Vec<NodeName> = others().filter(|name| s.fresh(name).is_none()).cloned().collect();
    if !silent.is_empty() {
        return Orphan::Unsure(silent);
    }
    let has = |report: &Report, id: &NodeId| match report.server.running() {
        Some(running) => running.view.me == *id,
        None => !report.server.is_certainly_down() || report.disk.identity.as_ref().is_some_and(|d| d.id == *id),
    };
    let followed = s.mates().into_iter().filter_map(|name| {
        let seen = &s.fresh(name)?.server.running()?.view;
        let primary = seen.node(seen.myself()?.primary.as_ref()?)?;
        (!primary.slots.is_empty()).then(|| primary.id.clone())
    });
    let nobodys =
        |id: &NodeId| *id != view.me && !others().filter_map(|name| s.fresh(name)).any(|report| has(report, id));
    followed.into_iter().find(nobodys).map_or(Orphan::None, Orphan::Of)
}

/// The choice that was made before. The chosen one is asked again until it has taken over or says that it will not; only
/// its refusal, its certified death or a Layout without it lets another one be asked.
fn promised<'a>(s: &Situation<'a>, former: &NodeId, refused: &BTreeSet<NodeName>) -> Option<&'a Promise> {
    let promise = s.ledger.promise.as_ref().filter(|promise| promise.dead == *former)?;
    let listed = s.layout()?.member(&promise.chosen).is_some();
    if !listed || refused.contains(&promise.chosen) {
        return None;
    }
    let Some(report) = s.fresh(&promise.chosen) else { return Some(promise) };
    let hangs_on_it = |running: &Running| running.view.myself().is_some_and(|me| me.primary.as_ref() == Some(former));
    let open = report.server.running().map_or(!report.server.is_certainly_down(), hangs_on_it);
    open.then_some(promise)
}

fn nobody(s: &Situation<'_>, former: &NodeId) -> FormerLife {
    let owns = s.view().and_then(|view| view.node(former)).is_some_and(|node| !node.slots.is_empty());
    if owns { FormerLife::NobodyLeft { id: former.clone() } } else { FormerLife::Settled }
}
