//! What an agent says of its node, to the coordinator and to other agents. All of it observed, none of it remembered
//! but the ledger.

use serde::{Deserialize, Serialize};

use crate::event::{Event, Problem};
use crate::job::Job;
use crate::ledger::Ledger;
use crate::slots::SlotSet;
use crate::topology::{Role, ServerVersion, View};
use crate::weights::Weighed;
use crate::{Address, ClusterId, ConfigEpoch, Member, NodeId, Offset};

/// What an agent says of its node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`crate::DOCUMENT_VERSION`] of the writer.
    pub version: u32,
    /// Random number of the agent's life: revisions of two lives do not compare.
    pub life: u64,
    /// Grows when anything in the Report but plain counters changes. A long-poll asks for one after it.
    pub revision: u64,
    /// How many looks at the server this life has ended: what a later count tells was seen later. 0 in the word of an older
    /// agent.
    #[serde(default)]
    pub looks: u64,
    /// The agent's version.
    pub agent_version: String,
    /// The cluster that the agent was started for.
    pub cluster: ClusterId,
    /// Name and incarnation.
    pub member: Member,
    /// Where the node is reached, by its own word.
    pub address: Address,
    /// What the agent knows of the server.
    pub server: ServerState,
    /// What is on disk.
    pub disk: Disk,
    /// The ledger; its Layout is the newest this agent knows.
    pub ledger: Ledger,
    /// The agent is stopping: it takes no handoff and starts no job.
    #[serde(default)]
    pub stopping: bool,
    /// The configuration is in force; or which directives wait for a restart of the server.
    #[serde(default)]
    pub restart_needed: Vec<String>,
    /// Moves of slots in flight.
    #[serde(default)]
    pub jobs: Vec<Job>,
    /// What is wrong now.
    #[serde(default)]
    pub problems: Vec<Problem>,
    /// The last things that happened, oldest first, at most 64.
    #[serde(default)]
    pub events: Vec<Event>,
}

impl Report {
    /// Brings the plain counters to those of `newer`: if the two still differ then, it is more than counters that has
    /// changed. That there are keys at all, or none any more, is more.
    pub fn count_as(&mut self, newer: &Self) {
        (self.revision, self.looks) = (newer.revision, newer.looks);
        if let (ServerState::Running(own), ServerState::Running(newer)) = (&mut self.server, &newer.server) {
            own.count_as(newer);
        }
        for (own, newer) in self.jobs.iter_mut().zip(&newer.jobs) {
            own.count_as(newer);
        }
    }
}

/// What an agent knows of its server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum ServerState {
    /// Surely not running, and not yet started by this agent: the start check waits.
    Waiting {
        /// For whom or what, a sentence.
        reason: String,
    },
    /// Not started by this agent, and will not be: the folder is not this node's, or the server is too old.
    Refused {
        /// Why, and what to do, a sentence.
        reason: String,
    },
    /// Surely dead: the launcher or the lock says so. It will not come back before this agent starts it.
    Dead {
        /// How it ended.
        reason: String,
    },
    /// Started, does not answer yet.
    Starting,
    /// Answers, but is loading its data.
    Loading,
    /// Lives as far as the lock says, but does not answer.
    Unknown {
        /// What was seen.
        reason: String,
    },
    /// Runs and answers.
    Running(Box<Running>),
    /// The member has left; nothing runs and nothing will.
    Retired,
}

impl ServerState {
    /// The running server, if it runs and answers.
    pub fn running(&self) -> Option<&Running> {
        match self {
            Self::Running(running) => Some(running),
            _ => None,
        }
    }

    /// Whether the agent certifies that the server is dead and stays so until this agent starts it. An agent that
    /// refuses its folder certifies nothing: the folder, and the lock in it, are another node's.
    pub fn is_certainly_down(&self) -> bool {
        matches!(self, Self::Waiting { .. } | Self::Dead { .. } | Self::Retired)
    }
}

/// A server that runs and answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Product and version.
    pub version: ServerVersion,
    /// Random id of this life of the server (INFO `run_id`).
    pub run_id: String,
    /// Its node table.
    pub view: View,
    /// Its replication.
    pub replication: Replication,
    /// How many keys it holds.
    pub keys: u64,
    /// A primary: slots of which it holds keys although they are neither its own nor open here, as far as they were counted.
    #[serde(default, skip_serializing_if = "SlotSet::is_empty")]
    pub strays: SlotSet,
    /// Memory in use, bytes.
    pub used_memory: u64,
    /// Memory limit, bytes; 0 = none.
    pub max_memory: u64,
    /// Memory that its keys take, bytes; absent in the word of an older agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_memory: Option<u64>,
    /// By how much its replication backlog may still grow, bytes; absent in the word of an older agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog_growth: Option<u64>,
    /// A primary: what its slots weigh, where the Layout asks for it; absent as long as it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weighed: Option<Weighed>,
    /// This life started without any data on disk.
    pub started_empty: bool,
    /// It has its shard's data by a sync in this life (see [`Ledger::synced_run`]).
    pub synced_since_start: bool,
    /// The agent holds writes back (start check, handoff).
    pub writes_paused: bool,
    /// It is new and follows the made-up primary (see [`crate::topology::nodes::primer_table`]); the view shows the empty
    /// primary that it stands for. Nobody may meet it before it has left that primary.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub primed: bool,
}

impl Running {
    fn count_as(&mut self, newer: &Self) {
        if (self.keys > 0) == (newer.keys > 0) {
            self.keys = newer.keys;
        }
        self.used_memory = newer.used_memory;
        (self.data_memory, self.backlog_growth) = (newer.data_memory, newer.backlog_growth);
        let (own, newer) = (&mut self.replication, &newer.replication);
        own.offset = newer.offset;
        own.silent_for_s = newer.silent_for_s;
        for (own, newer) in own.replicas.iter_mut().zip(&newer.replicas) {
            own.offset = newer.offset;
        }
    }
}

/// The replication state of a running server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replication {
    /// Its role by its own word.
    pub role: Role,
    /// Its position.
    pub offset: Offset,
    /// The history the offset is in.
    pub replication_id: String,
    /// The history before (after a promotion).
    #[serde(default)]
    pub replication_id2: Option<String>,
    /// Up to where that history is this one's, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_until: Option<Offset>,
    /// A replica: its link to the primary is up and no full sync is under way.
    pub link_up: bool,
    /// A replica: a full sync is under way.
    pub syncing: bool,
    /// A replica: linked, and not known yet to have come to where its primary was when the link came up. It may lack what
    /// was written while it synced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub catching_up: bool,
    /// A replica: seconds without a word from its primary; absent while linked or unknown.
    #[serde(default)]
    pub silent_for_s: Option<u64>,
    /// A primary: its attached replicas.
    #[serde(default)]
    pub replicas: Vec<AttachedReplica>,
}

/// A replica as its primary sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedReplica {
    /// Its client port; with the IP it tells which node it is.
    pub port: u16,
    /// Its IP address.
    pub ip: String,
    /// Whether it is online (the first sync is over).
    pub online: bool,
    /// What it has acknowledged.
    pub offset: Offset,
}

/// What is in the node's folder, read before the server starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Who the server is by nodes.conf; absent when the file is not there or empty.
    #[serde(default)]
    pub identity: Option<DiskIdentity>,
    /// A dump or an append-only file with something in it is there.
    pub has_data: bool,
}

/// Who a server is by its nodes.conf. The server saves that file at each change, so it is never far behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskIdentity {
    /// Its id.
    pub id: NodeId,
    /// Its role.
    pub role: Role,
    /// Whose replica it is.
    #[serde(default)]
    pub primary: Option<NodeId>,
    /// Its configuration epoch.
    pub epoch: ConfigEpoch,
    /// The slots it owns.
    #[serde(default)]
    pub slots: SlotSet,
    /// The slots it has open, in either direction.
    #[serde(default, skip_serializing_if = "SlotSet::is_empty")]
    pub open: SlotSet,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn running(keys: u64, memory: u64, offset: u64, link_up: bool) -> Running {
        let id = "a".repeat(40);
        serde_json::from_value(json!({
            "version": {"product": "valkey", "major": 9, "minor": 1, "patch": 0}, "run_id": "r",
            "view": {"me": id, "nodes": [], "state_ok": true, "current_epoch": 1},
            "replication": {"role": "replica", "offset": offset, "replication_id": "r", "link_up": link_up,
                            "syncing": false, "replicas": [{"port": 1, "ip": "", "online": true, "offset": offset}]},
            "keys": keys, "used_memory": memory, "max_memory": 0, "started_empty": false, "synced_since_start": true,
            "writes_paused": false,
        }))
        .unwrap()
    }

    fn only_counts(mut before: Running, after: &Running) -> bool {
        before.count_as(after);
        before == *after
    }

    #[test]
    fn counters_are_no_news_but_the_first_key_and_the_last_one_are() {
        assert!(only_counts(running(1, 2, 3, true), &running(4, 5, 6, true)));
        assert!(!only_counts(running(1, 2, 3, true), &running(1, 2, 3, false)));
        assert!(!only_counts(running(0, 2, 3, true), &running(1, 2, 3, true)));
        assert!(!only_counts(running(1, 2, 3, true), &running(0, 2, 3, true)));
    }
}
