//! The `RedisCluster` resource, as its users write it. Unknown fields are refused, not ignored.

mod balance;
pub mod commands;
mod count;
mod duration;
mod eviction;
mod labels;
mod latency;
mod max_memory;
mod migration;
mod quantity;
mod rename;
mod reserved;
#[cfg(feature = "schema")]
mod schema;
mod storage;
mod suggest;
mod timeout;
mod validate;
mod value;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::status::ClusterStatus;

pub use balance::Balance;
pub use eviction::{BadPolicy, EvictionPolicy};
pub use labels::{LABEL_DOMAIN, OWN_LABELS};
pub use latency::{BadLatency, MaxLatency};
pub use max_memory::{ContainerMemory, DEFAULT_PERCENT, MAX_PERCENT, MEMORY_DIRECTIVES, MIN_SIZE, MaxMemory};
pub use migration::{MIGRATION, MIN_RATE, Migration, Moves};
pub use quantity::{BadQuantity, Quantity, config_bytes};
pub use rename::MAX_RENAMED;
pub use reserved::{ALLOWED_CLUSTER, RESERVED, RESERVED_PREFIXES, reserved};
pub use storage::{ClaimPolicy, Storage};
pub use suggest::{hint, known_fields, suggest};
pub use timeout::{BadTimeout, NodeTimeout};
pub use validate::{Invalid, MAX_NAME, MAX_PRIMARIES, MAX_REPLICATION_FACTOR, settings};
pub use value::ConfigValue;

/// The API version that this build reads.
pub const API_VERSION: &str = "redisnode.io/v1alpha1";
/// The annotation of a RedisCluster that has the coordinator change nothing, unless its value is `false`.
pub const PAUSED: &str = "redisnode.io/paused";
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

impl Metadata {
    /// Whether the coordinator is told to change nothing.
    pub fn is_paused(&self) -> bool {
        self.annotations.get(PAUSED).is_some_and(|value| value != "false")
    }
}

/// A part of the resource that is Kubernetes' own and passed on as it is, fields of newer versions too.
pub type Opaque = serde_json::Map<String, serde_json::Value>;

/// What is wanted. Everything has a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClusterSpec {
    /// How many primaries share the 16384 slots: 1 to 1000. `kubectl scale` sets it.
    #[serde(deserialize_with = "count::number_of_master")]
    pub number_of_master: u32,
    /// How many replicas each primary has: 0 to 5.
    #[serde(deserialize_with = "count::replication_factor")]
    pub replication_factor: u32,
    /// How long a node may be silent before the others take it for dead: 3s to 300s.
    pub node_timeout: NodeTimeout,
    /// Directives of the server's configuration, as in redis.conf: name and value. Put yes, no, fractions and lists in
    /// quotes. What the nodes' agents set themselves is refused.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub redis_config: BTreeMap<String, ConfigValue>,
    /// Other names for commands, from old to new; "" disables one. Servers restart for it, one after the other. Commands
    /// that servers or agents send to each other keep their names, and so does every command that changes data.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rename_commands: BTreeMap<String, String>,
    /// How much data each server may hold. Without it, as much as its machine gives. `maxMemory: {}` is 75 percent of the
    /// memory limit of podTemplate's container redis.
    #[serde(deserialize_with = "max_memory::required", skip_serializing_if = "Option::is_none")]
    pub max_memory: Option<MaxMemory>,
    /// Keep data on disk, in an append-only file unless redisConfig says otherwise. Without it the cluster is a cache:
    /// empty after a full stop. With a size each node has a volume claim of its own; `storage: {}` keeps the data for
    /// as long as the pod lives.
    #[serde(deserialize_with = "storage::required", skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// How servers and pods are restarted for a change that needs it.
    pub rollout: Rollout,
    /// How slots are moved.
    pub migration: Migration,
    /// What is shared out evenly among the primaries: Slots (their number), Bytes (the memory that keys take) or Operations
    /// (the time that servers spend on commands). By Bytes and Operations slots move when shares have grown apart; a single
    /// slot is never split.
    pub balance: Balance,
    /// The name of the Service that clients connect to; the cluster's own name if it is left out. Only on Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// The template of the nodes' pods. Its container `redis` is the server and may leave out the image; what else it
    /// says is kept as far as it leaves the node working. Only on Kubernetes.
    #[cfg_attr(feature = "schema", schemars(schema_with = "schema::opaque"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<Opaque>,
    /// Labels for the pods and all other objects of the cluster. Only on Kubernetes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub additional_labels: BTreeMap<String, String>,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self {
            number_of_master: 3,
            replication_factor: 1,
            node_timeout: NodeTimeout::default(),
            redis_config: BTreeMap::new(),
            rename_commands: BTreeMap::new(),
            max_memory: None,
            storage: None,
            rollout: Rollout::default(),
            migration: Migration::default(),
            balance: Balance::default(),
            service_name: None,
            pod_template: None,
            additional_labels: BTreeMap::new(),
        }
    }
}

impl ClusterSpec {
    /// How many members the spec asks for.
    pub fn members(&self) -> u32 {
        self.number_of_master.saturating_mul(self.replication_factor.saturating_add(1))
    }
}

/// How servers and pods are restarted for a change that needs it: replicas first, a primary after it has handed over, never
/// two nodes of one shard at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rollout {
    /// How many nodes may be away at the same time, each of another shard: 1 to 1000. Nodes that are not in order for
    /// another reason count too. A majority of the nodes always stays, and without replicas it is one at a time.
    #[serde(deserialize_with = "count::max_unavailable")]
    pub max_unavailable: u32,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { max_unavailable: 1 }
    }
}
