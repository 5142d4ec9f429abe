//! The `RedisCluster` resource, as its users write it. Unknown fields are refused, not ignored.

mod count;
mod reserved;
mod suggest;
mod timeout;
mod validate;
mod value;

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::status::ClusterStatus;

pub use reserved::reserved;
pub use suggest::{hint, known_fields, suggest};
pub use timeout::{BadTimeout, NodeTimeout};
pub use validate::{Invalid, MAX_NAME, MAX_PRIMARIES, MAX_REPLICATION_FACTOR, settings};
pub use value::ConfigValue;

/// The API version that this build reads.
pub const API_VERSION: &str = "redisnode.io/v1alpha1";
/// The kind of the resource.
pub const KIND: &str = "RedisCluster";

/// The resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedisCluster {
    /// [`API_VERSION`].
    pub api_version: String,
    /// [`KIND`].
    pub kind: String,
    /// Name, labels and so on.
    pub metadata: Metadata,
    /// What is wanted.
    #[serde(default)]
    pub spec: ClusterSpec,
    /// What is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ClusterStatus>,
}

/// The part of a resource's metadata that local files have. Others are allowed and ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The cluster's name.
    pub name: String,
    /// Its namespace; locally of no meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Which edit of the spec this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClusterSpec {
    /// How many primaries, 1 to 1000.
    #[serde(deserialize_with = "count::number_of_master")]
    pub number_of_master: u32,
    /// How many replicas each primary has, 0 to 5.
    #[serde(deserialize_with = "count::replication_factor")]
    pub replication_factor: u32,
    /// `cluster-node-timeout` as a duration, `3s` to `300s`.
    pub node_timeout: NodeTimeout,
    /// Directives of the server's configuration, as in redis.conf. Reserved ones are refused.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub redis_config: BTreeMap<String, ConfigValue>,
    /// Keep data on disk.
    #[serde(deserialize_with = "storage", skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// How slots are moved.
    pub migration: Migration,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self {
            number_of_master: 3,
            replication_factor: 1,
            node_timeout: NodeTimeout::default(),
            redis_config: BTreeMap::new(),
            storage: None,
            migration: Migration::default(),
        }
    }
}

impl ClusterSpec {
    /// How many members the spec asks for.
    pub fn members(&self) -> u32 {
        self.number_of_master.saturating_mul(self.replication_factor.saturating_add(1))
    }
}

/// Where data is kept. Locally an empty one is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Storage {}

/// How slots are moved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Migration {
    /// Send slots also to a shard whose replicas are not in sync.
    pub without_replicas: bool,
}

/// A `storage:` with nothing behind it would mean no storage, which its writer hardly wants.
fn storage<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Storage>, D::Error> {
    let storage = Option::<Storage>::deserialize(deserializer)?;
    let empty = || D::Error::custom("storage is empty; write storage: {} to keep data on disk, or leave it out");
    storage.map(Some).ok_or_else(empty)
}
