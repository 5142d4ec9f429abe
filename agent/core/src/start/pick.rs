//! Whom a primary that may not simply start asks to take over. One at a time: two replicas that are told can both win.

use redisnode_proto::judge::{Candidate, best_replica};
use redisnode_proto::report::DiskIdentity;
use redisnode_proto::{NodeId, NodeName};

use super::check::{names, promote, verdict};
use super::facts::{Facts, Mate, MateSays};
use super::{Row, StartAct, StartSituation, StartVerdict};

/// A mate to promote.
pub(super) struct Pick {
    pub(super) name: NodeName,
    pub(super) id: NodeId,
    /// It has the data by a sync in its server's present life, not only from its disk.
    pub(super) synced: bool,
}

/// What an open promise demands: the chosen mate is asked again until it says how it ended. It is released only by
/// the mate's refusal, by its agent's word that its server is down (and no owner, see `owned_elsewhere`), by a Layout
/// without it, or by a takeover that left slots here: the mate's table was behind, and it has no copy of these.
pub(super) fn promised(s: &StartSituation<'_>, facts: &Facts<'_>, identity: &DiskIdentity) -> Option<StartVerdict> {
    let promise = s.ledger.promise.as_ref().filter(|promise| promise.dead == identity.id)?;
    if s.refused.contains(&promise.chosen) {
        return None;
    }
    // A Layout that has the chosen one in another shard does not release: it may have won before it moved.
    let gone = s.ledger.layout.as_ref().is_some_and(|layout| layout.member(&promise.chosen).is_none());
    if gone || facts.is_down(&promise.chosen) || facts.took_over(&promise.chosen) {
        return None;
    }
    let chosen = Pick { name: promise.chosen.clone(), id: promise.chosen_id.clone(), synced: true };
    Some(promote(Row::Promised, chosen, identity))
}

/// The best mate whose data is newer than what a start from the own folder could bring: it synced in its own life, and
/// the own last stop was not in order, or the mate is past it.
pub(super) fn newer_mate(s: &StartSituation<'_>, facts: &Facts<'_>) -> Option<Pick> {
    best(s, facts.mates().filter(|mate| mate.says == MateSays::HoldsSynced && !is_covered_by_clean_stop(s, mate)))
}

/// The best mate whose server runs with any data.
pub(super) fn any_holder(s: &StartSituation<'_>, facts: &Facts<'_>) -> Option<Pick> {
    best(s, facts.mates().filter(|mate| matches!(mate.says, MateSays::HoldsSynced | MateSays::HoldsLoaded)))
}

/// A mate with newer data that does not take over now (its agent is stopping, or has just refused) is waited for: its
/// data is the shard's, whoever starts first.
pub(super) fn unwilling(s: &StartSituation<'_>, facts: &Facts<'_>) -> Option<StartVerdict> {
    let newer = |mate: &&Mate<'_>| match mate.says {
        MateSays::HoldsSynced => !is_covered_by_clean_stop(s, mate),
        MateSays::HoldsLoaded => !s.disk.has_data,
        MateSays::HoldsOnDisk | MateSays::Nothing | MateSays::Silent => false,
    };
    let holders: Vec<NodeName> = facts.mates().filter(newer).map(|mate| mate.name.clone()).collect();
    if holders.is_empty() || (!s.disk.has_data && any_holder(s, facts).is_some()) {
        return None;
    }
    let reason = format!("{} has newer data of this shard but does not take over now; asking again", names(&holders));
    Some(verdict(Row::MateIsNewer, StartAct::Wait { reason, ask: holders }))
}

/// Whether the ordered exit of the own server left nothing that this mate could be ahead by.
fn is_covered_by_clean_stop(s: &StartSituation<'_>, mate: &Mate<'_>) -> bool {
    let (Some(stop), Some(running)) = (&s.ledger.clean_stop, mate.report.and_then(|r| r.server.running())) else {
        return false;
    };
    let same_history = running.replication.replication_id == stop.replication_id;
    s.disk.has_data && same_history && running.replication.offset <= stop.offset
}

fn best<'a>(s: &StartSituation<'_>, mates: impl Iterator<Item = &'a Mate<'a>>) -> Option<Pick> {
    let fit: Vec<&Mate<'_>> = mates
        .filter(|mate| !s.refused.contains(&mate.name))
        .filter(|mate| mate.report.is_some_and(|report| !report.stopping))
        .collect();
    let candidates = fit.iter().filter_map(|mate| {
        let running = mate.report?.server.running()?;
        let synced = mate.says == MateSays::HoldsSynced;
        Some(Candidate { name: mate.name.clone(), offset: running.replication.offset, synced })
    });
    let chosen = best_replica(candidates)?;
    let running = fit.iter().find(|mate| mate.name == chosen.name)?.report?.server.running()?;
    Some(Pick { name: chosen.name, id: running.view.me.clone(), synced: chosen.synced })
}
