//! Judgements that both cores need, each standing once: who owns a slot, who is a shard's primary, who is in sync,
//! who is the best replica, what a majority is.

mod owners;
mod replicas;
mod shard;

pub use owners::{Claim, Owners, true_owners};
pub use replicas::{Candidate, best_replica, is_in_sync, is_linked, is_linked_to, knows_slots_of};
pub use shard::{majority, shard_primary, shard_primary_or_wished};
