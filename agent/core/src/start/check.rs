//! The arms of the start check, from the surest knowledge to the least.

use redisnode_proto::report::DiskIdentity;
use redisnode_proto::topology::Role;

use super::facts::{Facts, MateSays};
use super::{COLD_START_WAIT, Row, StartAct, StartSituation, StartVerdict, former, pick};

/// What to do before the server starts. Called again after each answer until it says `Start` or `Never`.
pub fn start_check(s: &StartSituation<'_>) -> StartVerdict {
    if s.ledger.retired {
        return verdict(Row::Retired, StartAct::Never);
    }
    match &s.disk.identity {
        None => former::without_identity(s),
        Some(identity) if identity.role == Role::Replica || identity.slots.is_empty() => as_replica(s, identity),
        Some(identity) => as_primary(s, identity),
    }
}

fn as_replica(s: &StartSituation<'_>, identity: &DiskIdentity) -> StartVerdict {
    let Some(primary) = identity.primary.as_ref().filter(|_| s.disk.has_data) else {
        // A primary without slots may be the deposed target of a move: the gate asks.
        return verdict(Row::Replica, start(identity.role == Role::Primary));
    };
    let facts = Facts::gather(s, identity);
    let Some(name) = facts.name_of(primary) else { return verdict(Row::Replica, start(false)) };
    if !facts.was_asked(&name) {
        return verdict(Row::Asking, StartAct::Ask(vec![name]));
    }
    if facts.started_empty(&name) {
        return verdict(Row::ReplicaOfEmptied, StartAct::Start { gated: false, aside: true, lost: None });
    }
    verdict(Row::Replica, start(false))
}

pub(super) fn as_primary(s: &StartSituation<'_>, identity: &DiskIdentity) -> StartVerdict {
    let facts = Facts::gather(s, identity);
    if facts.owned_elsewhere() {
        return verdict(Row::OwnedElsewhere, start(true));
    }
    let unasked = facts.unasked();
    if !unasked.is_empty() {
        return verdict(Row::Asking, StartAct::Ask(unasked));
    }
    if let Some(held) = pick::promised(s, &facts, identity) {
        return held;
    }
    if let Some(mate) = pick::newer_mate(s, &facts) {
        return promote(Row::MateIsNewer, mate, identity);
    }
    if let Some(wait) = pick::unwilling(s, &facts) {
        return wait;
    }
    if s.disk.has_data { cold_start(s, &facts) } else { data_gone(s, &facts, identity) }
}

fn cold_start(s: &StartSituation<'_>, facts: &Facts<'_>) -> StartVerdict {
    await_silent(s, facts).unwrap_or_else(|| verdict(Row::ColdStart, start(true)))
}

/// What is on a disk may be old: who has the data by a sync may be about to answer.
fn await_silent(s: &StartSituation<'_>, facts: &Facts<'_>) -> Option<StartVerdict> {
    let silent = facts.silent();
    if silent.is_empty() || s.now.since(s.since) >= COLD_START_WAIT {
        return None;
    }
    let reason = format!("asking {} whether they have newer data", names(&silent));
    Some(verdict(Row::Asking, StartAct::Wait { reason, ask: silent }))
}

fn data_gone(s: &StartSituation<'_>, facts: &Facts<'_>, identity: &DiskIdentity) -> StartVerdict {
    let unasked = facts.unasked_members();
    if !unasked.is_empty() {
        return verdict(Row::Asking, StartAct::Ask(unasked));
    }
    if let Some(mate) = pick::any_holder(s, facts) {
        if !mate.synced
            && let Some(wait) = await_silent(s, facts)
        {
            return wait;
        }
        return promote(Row::DataGoneMateHolds, mate, identity);
    }
    let loading: Vec<_> = facts.mates().filter(|m| m.says == MateSays::HoldsOnDisk).map(|m| m.name.clone()).collect();
    if !loading.is_empty() {
        let reason = format!(
            "the data of this primary is gone; waiting until the server of {} has its copy at hand",
            names(&loading)
        );
        return verdict(Row::DataGoneMateHolds, StartAct::Wait { reason, ask: loading });
    }
    let silent = facts.silent();
    if !silent.is_empty() {
        let reason = format!(
            "the data of this primary is gone, and {} may hold it but does not answer: bring it back, or remove it from the cluster if it is gone for good",
            names(&silent)
        );
        return verdict(Row::DataGoneMateSilent, StartAct::Wait { reason, ask: silent });
    }
    let had_keys = s.ledger.identity.as_ref().is_some_and(|known| known.id == identity.id && known.had_keys);
    // The ledger may be a look behind: that it knew of no key does not say that there was none.
    let what = if had_keys { "the data" } else { "the data, if there was any," };
    let stored = s.ledger.layout.as_ref().is_some_and(|layout| layout.settings.storage);
    let why = if stored { "" } else { " (the spec has no `storage`, so nothing is kept on disk)" };
    let slots = identity.slots.difference(&facts.taken());
    let lost = format!("{what} of slots {slots} is lost: this primary came back empty{why}, and no replica had a copy");
    let lost = Some(lost);
    verdict(Row::DataGoneEverywhere, StartAct::Start { gated: true, aside: false, lost })
}

pub(super) fn promote(row: Row, mate: pick::Pick, identity: &DiskIdentity) -> StartVerdict {
    let (dead, epoch) = (identity.id.clone(), identity.epoch);
    verdict(row, StartAct::Promote { mate: mate.name, mate_id: mate.id, dead, epoch })
}

fn start(gated: bool) -> StartAct {
    StartAct::Start { gated, aside: false, lost: None }
}

pub(super) fn verdict(row: Row, act: StartAct) -> StartVerdict {
    StartVerdict { row, act }
}

pub(super) fn names(list: &[redisnode_proto::NodeName]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
