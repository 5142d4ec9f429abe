//! Which replica is in sync, and which is the best to promote.

use crate::topology::Role;
use crate::report::Running;
use crate::{NodeName, Offset};

/// Whether a running server is a replica with its shard's data: linked, and no full sync under way.
pub fn is_in_sync(running: &Running) -> bool {
    let replication = &running.replication;
    replication.role == Role::Replica && replication.link_up && !replication.syncing
}

/// A replica that might be promoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: NodeName,
    /// Its position in the primary's stream.
    pub offset: Offset,
    /// It has the shard's data by a sync in its server's present life.
    pub synced: bool,
}

/// The best of `candidates`: those that synced before those that only hold old data, then the greatest offset, then
/// the smallest name, so that every observer picks the same.
pub fn best_replica(candidates: impl IntoIterator<Item = Candidate>) -> Option<Candidate> {
    candidates.into_iter().max_by(|a, b| {
        (a.synced, a.offset).cmp(&(b.synced, b.offset)).then_with(|| b.name.cmp(&a.name))
    })
}
