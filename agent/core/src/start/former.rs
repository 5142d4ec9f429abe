//! A folder without identity: who the node's name was before, by the Layout.
//!
//! The replicas of that former life reach it by its address. A server that starts empty there before its death was
//! certified would be copied by them, and the shard's data would be gone (measured).

use redisnode_proto::report::DiskIdentity;
use redisnode_proto::topology::Role;
use redisnode_proto::{ConfigEpoch, Ledger};

/// The identity that the start check goes by when the folder has none: the id that the Layout knows the name by, as if
/// it were a primary whose data is gone. The epoch is not known, so every other owner counts as newer. `None` if the
/// Layout knows no such id, or the cluster is only being founded.
pub fn former_identity(ledger: &Ledger) -> Option<DiskIdentity> {
    let layout = ledger.layout.as_ref().filter(|layout| layout.founding.is_none())?;
    let name = &ledger.member.name;
    let id = layout.member(name)?.node_id.clone().filter(|id| !layout.forget.contains(id))?;
    let slots = layout.shard_of(name).map(|shard| shard.slots.clone()).unwrap_or_default();
    Some(DiskIdentity { id, role: Role::Primary, primary: None, epoch: ConfigEpoch(0), slots })
}
