//! Specs for the histories.

use redisnode_proto::spec::{ClusterSpec, Storage};

use super::clock::Time;
use super::disk::Keeping;

/// A spec of so many shards and replicas.
pub(crate) fn spec(primaries: u32, factor: u32, node_timeout: Time, keeping: Keeping) -> ClusterSpec {
    ClusterSpec {
        number_of_master: primaries,
        replication_factor: factor,
        node_timeout: serde_json::from_value(serde_json::Value::String(format!("{}s", node_timeout / 1000))).unwrap(),
        storage: (keeping != Keeping::Nothing).then_some(Storage::default()),
        ..ClusterSpec::default()
    }
}
