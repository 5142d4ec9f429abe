//! What an agent keeps on disk beside nodes.conf. Written before the deed it is about.

use serde::{Deserialize, Serialize};

use crate::layout::Settings;
use crate::slots::SlotSet;
use crate::topology::Role;
use crate::{ClusterId, ConfigEpoch, Layout, Member, NodeId, NodeName, Offset, Slot};

/// The agent's memory over its own death.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// [`crate::DOCUMENT_VERSION`] of the writer.
    pub version: u32,
    /// The cluster that the folder belongs to.
    pub cluster: ClusterId,
    /// The incarnation that the folder belongs to.
    pub member: Member,
    /// The newest Layout that was obeyed.
    #[serde(default)]
    pub layout: Option<Layout>,
    /// Founding is over for this node: its own view was whole and ok once.
    #[serde(default)]
    pub founded: bool,
    /// The last known identity of the server on the bus.
    #[serde(default)]
    pub identity: Option<Identity>,
    /// A promise not to start the old server as a primary before it is known who owns its slots.
    #[serde(default)]
    pub promise: Option<Promise>,
    /// How the last life of the server ended, if it ended in order. Taken away at the next start.
    #[serde(default)]
    pub clean_stop: Option<CleanStop>,
    /// The life of the server (`run_id`) in which it had its shard's data: a replica linked and synced, or a primary
    /// that was promoted from such a replica. Empty for a server that only loaded its own disk.
    #[serde(default)]
    pub synced_run: Option<String>,
    /// As a replica: the slots that the primary has open, told by the primary's agent before the first key moves.
    #[serde(default)]
    pub open_slots: Option<OpenSlots>,
    /// The present or last life of the server started without any data on disk.
    #[serde(default)]
    pub started_empty: bool,
    /// Writes are held since the start of the present life, and it is not sure yet that they may flow.
    #[serde(default)]
    pub gated: bool,
    /// The present life started although another server owned its slots at a higher epoch: it is to follow that one.
    #[serde(default)]
    pub deposed: bool,
    /// The slots that nodes.conf had open before the present life of the server started, until what the server has marked
    /// by itself at its start is closed: Redis before 8.4 marks the slots of others that its old data has keys of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_at_start: Option<SlotSet>,
    /// The server was started empty under its old identity, and what that cost; said until a replica or data is there.
    #[serde(default)]
    pub data_lost: Option<String>,
    /// The member has left: its server is reset, its data gone.
    #[serde(default)]
    pub retired: bool,
    /// What the present or last life of the server is configured with: what it was started with, and what was changed while
    /// it ran. Absent as long as it has not started under a Layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configured: Option<Settings>,
}

impl Ledger {
    /// The ledger of a member that has seen nothing yet.
    pub fn new(cluster: ClusterId, member: Member) -> Self {
        Self {
            version: crate::DOCUMENT_VERSION,
            cluster,
            member,
            layout: None,
            founded: false,
            identity: None,
            promise: None,
            clean_stop: None,
            synced_run: None,
            open_slots: None,
            started_empty: false,
            gated: false,
            deposed: false,
            open_at_start: None,
            data_lost: None,
            retired: false,
            configured: None,
        }
    }
}

/// Who the server was on the bus when it was last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its id.
    pub id: NodeId,
    /// Its role.
    pub role: Role,
    /// Whose replica it was.
    #[serde(default)]
    pub primary: Option<NodeId>,
    /// A replica: it was linked, and no full sync was under way, when it was last seen, or when it lost its primary.
    #[serde(default)]
    pub in_sync: bool,
    /// It held keys.
    #[serde(default)]
    pub had_keys: bool,
    /// The primary that it followed when it was promoted, until it follows that one again.
    #[serde(default)]
    pub promoted_from: Option<NodeId>,
    /// A primary: the history of its writes (`master_replid`), new in each life. Who has been linked to it has it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<String>,
    /// A primary that was promoted: the history before that one (`master_replid2`). A replica that has not reached the
    /// new one yet has what was written in the old one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_history: Option<String>,
    /// Up to where the former history was this one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_until: Option<Offset>,
}

/// The choice of the one decision maker of a takeover, written before the chosen one is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// The id of the dead server.
    pub dead: NodeId,
    /// The epoch under which it owned its slots.
    pub epoch: ConfigEpoch,
    /// Whose agent was told to promote its server.
    pub chosen: NodeName,
    /// The incarnation of the chosen one.
    pub chosen_id: NodeId,
}

/// An ordered exit of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanStop {
    /// Replication offset at the end. Nothing was acknowledged after it.
    pub offset: Offset,
    /// The replication history the offset is in.
    pub replication_id: String,
    /// The role it had.
    pub role: Role,
}

/// The slots a primary has open, as its replicas' agents are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSlots {
    /// The id of the source, the primary.
    pub source: NodeId,
    /// Slot and target, for each open slot.
    pub slots: Vec<(Slot, NodeId)>,
    /// Of these, slots with keys whose move was not answered in time: what the target has of them may be older than what
    /// the source has.
    #[serde(default, skip_serializing_if = "SlotSet::is_empty")]
    pub doubtful: SlotSet,
    /// The one replica that promotes its server if the source dies meanwhile.
    pub heir: NodeName,
}
