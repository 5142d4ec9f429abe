//! What one server says of the cluster, in our words. Parsing of the wire's text is in the submodules; the
//! words `master` and `slave` end here.

pub mod info;
pub mod nodes;
pub mod shards;
pub mod version;

use serde::{Deserialize, Serialize};

use crate::slots::{Slot, SlotSet};
use crate::{ConfigEpoch, NodeId};

pub use info::{ClusterInfo, Info};
pub use version::{Product, ServerVersion};

/// A line or field of a server's reply that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the server's {reply}: {why} in {line:?}")]
pub struct BadReply {
    /// Which reply, for instance `CLUSTER NODES`.
    pub reply: &'static str,
    /// The line or field, cut to 200 characters.
    pub line: String,
    /// What is wrong.
    pub why: String,
}

impl BadReply {
    /// What is wrong (`why`, a few words) with `line` of the reply called `reply`.
    pub fn new(reply: &'static str, line: &str, why: impl Into<String>) -> Self {
        Self { reply, line: line.chars().take(200).collect(), why: why.into() }
    }
}

/// The role a server has on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Takes writes for its slots.
    Primary,
    /// Copies a primary.
    Replica,
}

/// How a server sees the health of another one on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// No failure flag.
    Fine,
    /// This server alone suspects it (`fail?`).
    Suspected,
    /// A majority of the primaries agreed that it failed (`fail`).
    Failed,
}

/// Which way an open slot is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Leaving this server for the peer.
    Migrating,
    /// Arriving at this server from the peer.
    Importing,
}

/// A slot in the middle of a classic move, as its party shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OpenSlot {
    /// The slot.
    pub slot: Slot,
    /// Which way.
    pub direction: Direction,
    /// The other party.
    pub peer: NodeId,
}

/// One line of a server's node table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewNode {
    /// Its id on the bus.
    pub id: NodeId,
    /// Its IP address; empty when the server does not know it (`:0`).
    pub ip: String,
    /// Its client port.
    pub port: u16,
    /// Its bus port.
    pub bus_port: u16,
    /// Its role.
    pub role: Role,
    /// Whose replica it is.
    pub primary: Option<NodeId>,
    /// Its health in this server's eyes.
    pub health: Health,
    /// The address is being tried out; the id may be a random one.
    pub handshake: bool,
    /// The server has no address for it.
    pub no_address: bool,
    /// Whether the bus link to it is up.
    pub connected: bool,
    /// Its configuration epoch (a replica shows its primary's).
    pub epoch: ConfigEpoch,
    /// The slots it owns in this server's eyes.
    #[serde(default, skip_serializing_if = "SlotSet::is_empty")]
    pub slots: SlotSet,
}

/// The node table of one server, at one moment. An observation, never the truth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Whose view it is.
    pub me: NodeId,
    /// Every known node, the server itself among them.
    pub nodes: Vec<ViewNode>,
    /// Slots that this server has open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<OpenSlot>,
    /// `cluster_state:ok`. Says nothing about coverage (`cluster-require-full-coverage no`).
    pub state_ok: bool,
    /// The highest epoch this server has seen.
    pub current_epoch: ConfigEpoch,
}

impl View {
    /// The server's own line.
    pub fn myself(&self) -> Option<&ViewNode> {
        self.node(&self.me)
    }

    /// The line of `id`.
    pub fn node(&self, id: &NodeId) -> Option<&ViewNode> {
        self.nodes.iter().find(|node| node.id == *id)
    }

    /// Primaries that own at least one slot: they are who votes.
    pub fn voters(&self) -> impl Iterator<Item = &ViewNode> {
        self.nodes.iter().filter(|node| node.role == Role::Primary && !node.slots.is_empty())
    }

    /// The line of who owns `slot` in this server's eyes.
    pub fn owner(&self, slot: Slot) -> Option<&ViewNode> {
        self.nodes.iter().find(|node| node.slots.contains(slot))
    }

    /// All slots that have an owner in this server's eyes.
    pub fn covered(&self) -> SlotSet {
        self.nodes.iter().fold(SlotSet::new(), |all, node| all.union(&node.slots))
    }
}
