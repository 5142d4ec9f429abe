//! The `.status` of a RedisCluster: conditions, counts, and one entry per node. For people and scripts; never read
//! back to decide anything.

mod columns;
mod moves;

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::slots::SlotRange;
use crate::topology::Role;
use crate::{Generation, NodeId, NodeName, ShardName};

pub use columns::Columns;
pub use moves::Move;

/// What is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// The edit of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<u64>,
    /// The Layout in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout_generation: Option<Generation>,
    /// `OK`, `KO`, `Founding`, `Scaling`, `Rebalancing`, `RollingUpdate`: one word for the table.
    pub summary: String,
    /// Conditions, each type once.
    pub conditions: Vec<Condition>,
    /// Counts.
    pub counts: Counts,
    /// `Optimal` or `BestEffort`.
    pub placement: String,
    /// Why it is no better than a best effort: a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement_reason: Option<String>,
    /// Moves of slots in flight, all together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Each move of slots in flight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<Move>,
    /// Why something wanted is not done now: a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_for: Vec<String>,
    /// One entry per node, ordered by shard, primary first.
    pub nodes: Vec<NodeStatus>,
    /// What happened lately, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// The line of a table. Only on Kubernetes; elsewhere it is made when it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Columns>,
    /// Which pods are the cluster's, as a label selector. Only on Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The Lease of the coordinator that wrote this, `namespace/name`. Only on Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinator: Option<String>,
}

/// Names of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub enum ConditionType {
    /// The cluster is what the spec asks for, and healthy.
    Ready,
    /// Every slot has one living owner and all nodes agree.
    ClusterOK,
    /// Members come or go.
    Scaling,
    /// Slots move.
    Rebalancing,
    /// Servers restart one after the other.
    RollingUpdate,
    /// Something is wrong that does not heal at once: a silent member, lost data, a broken configuration.
    Degraded,
}

/// Three-valued truth of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub enum Truth {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// It could not be seen.
    Unknown,
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which.
    #[serde(rename = "type")]
    pub kind: ConditionType,
    /// Whether it holds.
    pub status: Truth,
    /// A CamelCase word.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// The edit of the spec that it is about. Only on Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<u64>,
    /// Since when `status` is what it is, as RFC 3339 has it. Only on Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<String>,
}

impl Condition {
    /// A condition of kind `kind`.
    pub fn new(kind: ConditionType, status: Truth, reason: impl Into<String>, message: impl Into<String>) -> Self {
        let (reason, message) = (reason.into(), message.into());
        Self { kind, status, reason, message, observed_generation: None, last_transition_time: None }
    }
}

/// Counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Members that exist.
    pub nodes: u32,
    /// Members that the spec asks for.
    pub nodes_wanted: u32,
    /// Members that are ready.
    pub nodes_ready: u32,
    /// Primaries with slots.
    pub primaries: u32,
    /// Primaries that the spec asks for.
    pub primaries_wanted: u32,
    /// The fewest replicas in sync that a primary has.
    pub min_replicas: u32,
    /// The most replicas in sync that a primary has.
    pub max_replicas: u32,
    /// Replicas per primary that the spec asks for.
    pub replicas_wanted: u32,
    /// Slots with a living owner, 0 to 16384.
    pub slots_covered: u16,
}

/// Moves of slots in flight, all together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Slots that still have to go.
    pub slots_left: u32,
    /// Slots that have gone in the moves in flight.
    pub slots_done: u32,
    /// Keys that have arrived.
    pub keys_done: u64,
    /// Keys that still have to go, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_left: Option<u64>,
    /// Bytes sent.
    pub bytes_done: u64,
    /// Keys per second, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_per_second: Option<u64>,
    /// Seconds left, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its name.
    pub name: NodeName,
    /// Its shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardName>,
    /// Its role by its server's word; absent while unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Its server's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<NodeId>,
    /// The name of its primary, of a replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<NodeName>,
    /// `ip:port` of the server.
    pub address: String,
    /// The machine it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The machine's zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Ready: serves its part.
    pub ready: bool,
    /// One word: `Running`, `Loading`, `Silent`, ...
    pub state: String,
    /// Why it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Product and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,
    /// Slots it owns.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<SlotRange>,
    /// Keys, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<u64>,
    /// Bytes in use, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_memory: Option<u64>,
    /// Memory limit in bytes, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_memory: Option<u64>,
}
