//! The one document that a coordinator publishes per cluster: who should be what.
//!
//! It speaks of shards and names. Ids and addresses in it are hints, which agents verify with the peer's agent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::slots::SlotSet;
use crate::spec::Balance;
use crate::{Address, ClusterId, Generation, Member, Millis, NodeId, NodeName, ShardName, Supersedes};

/// What should be, for a whole cluster. Every agent gets the same one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// [`crate::DOCUMENT_VERSION`] of the writer.
    pub version: u32,
    /// The cluster it is for. An agent of another cluster refuses it.
    pub cluster: ClusterId,
    /// The fence.
    pub generation: Generation,
    /// Node ids of the founders: present only in the Layouts under which an empty cluster comes to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub founding: Option<Vec<NodeId>>,
    /// What every server is configured with.
    pub settings: Settings,
    /// Every member, those that leave too.
    pub members: Vec<LayoutMember>,
    /// Every shard, those that end too (they have no slots).
    pub shards: Vec<LayoutShard>,
    /// Ids that must not stay in anybody's node table: of members that have left, and of former lives of members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forget: Vec<NodeId>,
}

/// What every server is configured with, and how agents move slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// `cluster-node-timeout`.
    pub node_timeout: Millis,
    /// Whether data is kept on disk (`spec.storage` is there).
    pub storage: bool,
    /// The user's directives, valid ones only.
    #[serde(default)]
    pub redis_config: BTreeMap<String, String>,
    /// Commands by their own names, in capitals, with their new ones; an empty one disables the command.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rename_commands: BTreeMap<String, String>,
    /// How agents move slots. Of no meaning to servers.
    #[serde(default)]
    pub migration: MigrationSettings,
    /// What agents of primaries have to weigh. Of no meaning to servers.
    #[serde(default, skip_serializing_if = "Balance::is_by_slots")]
    pub balance: Balance,
}

/// How agents move slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MigrationSettings {
    /// How much latency a move may add at p99; `None` (written as null) = no bound.
    pub max_latency: Option<Millis>,
    /// The most bytes that a source sends in a second, to all targets together; `None` = no bound.
    pub max_bytes_per_second: Option<u64>,
    /// Nothing new is moved; slots that are open are finished.
    pub pause: bool,
}

impl Default for MigrationSettings {
    fn default() -> Self {
        Self { max_latency: Some(Millis(5)), max_bytes_per_second: None, pause: false }
    }
}

impl Settings {
    /// Whether servers are configured the same by both.
    pub fn configures_like(&self, other: &Self) -> bool {
        *self == Self { migration: self.migration, balance: self.balance, ..other.clone() }
    }
}

/// A member as the Layout lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutMember {
    /// Name and incarnation.
    #[serde(flatten)]
    pub member: Member,
    /// Where it is reached (a hint).
    pub address: Address,
    /// Its server's id (a hint); absent before its first Report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<NodeId>,
    /// It is to leave: give up everything, reset, and say so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
}

/// A shard: what it should own and who is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutShard {
    /// Its stable name.
    pub name: ShardName,
    /// The slots it should own.
    #[serde(default)]
    pub slots: SlotSet,
    /// Who is its primary as far as the coordinator knows. A failover may have made it another of the members;
    /// then all that is said of the primary is said of that one.
    pub primary: NodeName,
    /// All others in it.
    #[serde(default)]
    pub replicas: Vec<NodeName>,
    /// A wished change of primary. Acted on only while `from` is the primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff: Option<WishedHandoff>,
}

/// A wished change of primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WishedHandoff {
    /// Who must be the primary for the wish to count.
    pub from: NodeName,
    /// Who should be it.
    pub to: NodeName,
}

impl Layout {
    /// The member called `name`.
    pub fn member(&self, name: &NodeName) -> Option<&LayoutMember> {
        self.members.iter().find(|m| m.member.name == *name)
    }

    /// The name behind a node id, as far as the hints go.
    pub fn name_of(&self, id: &NodeId) -> Option<&NodeName> {
        self.members.iter().find(|m| m.node_id.as_ref() == Some(id)).map(|m| &m.member.name)
    }

    /// The shard that `name` is in.
    pub fn shard_of(&self, name: &NodeName) -> Option<&LayoutShard> {
        self.shards.iter().find(|shard| shard.has(name))
    }

    /// The shard called `name`.
    pub fn shard(&self, name: &ShardName) -> Option<&LayoutShard> {
        self.shards.iter().find(|shard| shard.name == *name)
    }

    /// What `self` is to the Layout that is held. Fences by generation, never by content alone.
    pub fn supersedes(&self, held: Option<&Self>) -> Supersedes {
        let Some(held) = held else { return Supersedes::Newer };
        match self.generation.cmp(&held.generation) {
            std::cmp::Ordering::Greater => Supersedes::Newer,
            std::cmp::Ordering::Less => Supersedes::Older,
            std::cmp::Ordering::Equal if self == held => Supersedes::Same,
            std::cmp::Ordering::Equal => Supersedes::Conflict,
        }
    }

    /// Whether both say the same but for the generation.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let mut copy = other.clone();
        copy.generation = self.generation;
        copy.version = self.version;
        *self == copy
    }
}

impl LayoutShard {
    /// Everyone in the shard, the primary first.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        std::iter::once(&self.primary).chain(&self.replicas)
    }

    /// Whether `name` is in the shard.
    pub fn has(&self, name: &NodeName) -> bool {
        self.nodes().any(|node| node == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::SlotRange;

    fn layout(term: u64, sequence: u64) -> Layout {
        let member = |name: &str, uid: &str| LayoutMember {
            member: Member { name: name.parse().unwrap(), uid: uid.parse().unwrap() },
            address: Address { ip: [127, 0, 0, 1].into(), port: 7000, bus_port: 17000, http_port: 8000 },
            node_id: None,
            leaving: false,
        };
        Layout {
            version: crate::DOCUMENT_VERSION,
            cluster: "c-1".parse().unwrap(),
            generation: Generation { term, sequence },
            founding: None,
            settings: Settings {
                node_timeout: Millis(15_000),
                storage: true,
                redis_config: BTreeMap::new(),
                rename_commands: BTreeMap::new(),
                migration: MigrationSettings::default(),
                balance: Balance::default(),
            },
            members: vec![member("r-0", "u0"), member("r-1", "u1")],
            shards: vec![LayoutShard {
                name: "s-0".parse().unwrap(),
                slots: SlotRange::full().into(),
                primary: "r-0".parse().unwrap(),
                replicas: vec!["r-1".parse().unwrap()],
                handoff: None,
            }],
            forget: Vec::new(),
        }
    }

    #[test]
    fn anything_supersedes_nothing() {
        assert_eq!(layout(1, 1).supersedes(None), Supersedes::Newer);
    }

    #[test]
    fn only_a_higher_generation_is_newer() {
        let held = layout(3, 4);
        for (term, sequence, verdict) in
            [(3, 5, Supersedes::Newer), (4, 1, Supersedes::Newer), (3, 3, Supersedes::Older), (2, 9, Supersedes::Older)]
        {
            assert_eq!(layout(term, sequence).supersedes(Some(&held)), verdict, "{term}.{sequence}");
        }
        assert_eq!(layout(3, 4).supersedes(Some(&held)), Supersedes::Same);
    }

    #[test]
    fn the_same_generation_with_other_content_is_a_conflict_and_never_obeyed() {
        let held = layout(3, 4);
        let mut other = layout(3, 4);
        other.shards[0].primary = "r-1".parse().unwrap();
        assert_eq!(other.supersedes(Some(&held)), Supersedes::Conflict);
    }

    #[test]
    fn the_generation_alone_makes_no_other_content() {
        assert!(layout(1, 1).says_the_same(&layout(7, 3)));
        let mut other = layout(1, 1);
        other.settings.storage = false;
        assert!(!layout(1, 1).says_the_same(&other));
    }

    #[test]
    fn finds_members_and_shards_by_name() {
        let mut layout = layout(1, 1);
        let id: NodeId = "a".repeat(40).parse().unwrap();
        layout.members[1].node_id = Some(id.clone());
        let (second, stranger) = ("r-1".parse().unwrap(), "r-9".parse().unwrap());
        assert_eq!(layout.name_of(&id), Some(&second));
        assert_eq!(layout.shard_of(&second), layout.shard(&"s-0".parse().unwrap()));
        assert!(layout.member(&stranger).is_none() && layout.shard_of(&stranger).is_none());
    }

    #[test]
    fn how_slots_move_is_no_configuration_and_an_older_writer_says_nothing_of_it() {
        let held = layout(1, 1).settings;
        let mut other = held.clone();
        other.migration = MigrationSettings { max_latency: None, max_bytes_per_second: Some(7), pause: true };
        other.balance = Balance::Bytes;
        assert!(held.configures_like(&other) && held != other);
        let written = serde_json::to_value(&other).unwrap();
        assert_eq!(serde_json::from_value::<Settings>(written.clone()).unwrap(), other, "no bound stays no bound");
        let mut old = written;
        old.as_object_mut().unwrap().remove("migration");
        old.as_object_mut().unwrap().remove("balance");
        assert_eq!(serde_json::from_value::<Settings>(old).unwrap(), held);
        other.storage = false;
        assert!(!held.configures_like(&other));
    }

    #[test]
    fn a_document_of_a_newer_writer_is_read() {
        let mut json = serde_json::to_value(layout(1, 2)).unwrap();
        json["novelty"] = 5.into();
        json["members"][0]["novelty"] = 5.into();
        json["shards"][0]["novelty"] = 5.into();
        assert_eq!(serde_json::from_value::<Layout>(json).unwrap(), layout(1, 2));
    }
}
