//! A folder without identity: who the node's name was before, by the Layout and by what others still show.
//!
//! The replicas of that former life reach it by its address. A server that starts empty there before its death was
//! certified would be copied by them, and the shard's data would be gone (measured).

use redisnode_proto::report::{Disk, DiskIdentity};
use redisnode_proto::topology::Role;
use redisnode_proto::{ConfigEpoch, Ledger, SlotSet};

use super::check::{as_primary, verdict};
use super::facts::Facts;
use super::{Row, StartAct, StartSituation, StartVerdict};

/// As if the former life were a primary whose data is gone.
pub(super) fn without_identity(s: &StartSituation<'_>) -> StartVerdict {
    if s.ledger.layout.is_none() && !s.may_found {
        let reason = "this folder is new, and no Layout has come yet that says who this node was before".to_owned();
        return verdict(Row::NoIdentity, StartAct::Wait { reason, ask: Vec::new() });
    }
    // A server without a node table would take every slot that it has a key of (measured).
    let aside = s.disk.has_data;
    let fresh = || verdict(Row::NoIdentity, StartAct::Start { gated: false, aside, lost: None });
    let Some(mut identity) = former_identity(s.ledger) else { return fresh() };
    let facts = Facts::gather(s, &identity);
    let unasked = facts.unasked();
    if !unasked.is_empty() {
        return verdict(Row::Asking, StartAct::Ask(unasked));
    }
    // A shard that ends has no slots in the Layout any more, and may own some still.
    identity.slots = identity.slots.union(&facts.still_shown());
    if identity.slots.is_empty() {
        return fresh();
    }
    let disk = Disk { identity: None, has_data: false };
    let mut verdict = as_primary(&StartSituation { disk: &disk, ..s.clone() }, &identity);
    if let StartAct::Start { aside, .. } = &mut verdict.act {
        *aside |= s.disk.has_data;
    }
    verdict
}

/// The id that the Layout knows the name by, as if it were a primary. The epoch is not known, so every other owner counts
/// as newer. `None` if the Layout knows no such id, or the cluster is only being founded.
fn former_identity(ledger: &Ledger) -> Option<DiskIdentity> {
    let layout = ledger.layout.as_ref().filter(|layout| layout.founding.is_none())?;
    let name = &ledger.member.name;
    let id = layout.member(name)?.node_id.clone().filter(|id| !layout.forget.contains(id))?;
    let slots = layout.shard_of(name).map(|shard| shard.slots.clone()).unwrap_or_default();
    Some(DiskIdentity { id, role: Role::Primary, primary: None, epoch: ConfigEpoch(0), slots, open: SlotSet::new() })
}
