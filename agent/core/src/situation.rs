//! All that the core may know: what the shell has observed, as plain data.

use std::collections::BTreeMap;

use redisnode_proto::ledger::Ledger;
use redisnode_proto::message::DeathNotice;
use redisnode_proto::report::{Report, Running, ServerState};
use redisnode_proto::topology::{Role, View};
use redisnode_proto::{Layout, LayoutShard, Member, Millis, NodeId, NodeName, Slot, judge};

/// What one agent has observed, at one moment.
#[derive(Clone, Debug)]
pub struct Situation<'a> {
    /// Now.
    pub now: Millis,
    /// Whose agent this is.
    pub me: &'a Member,
    /// What is on disk; its Layout is the one that is obeyed.
    pub ledger: &'a Ledger,
    /// The server.
    pub server: &'a ServerState,
    /// What other agents said, when they were last asked.
    pub peers: &'a Peers,
    /// What other agents want of this one.
    pub inbox: &'a Inbox,
    /// Targets of the moves of slots that run now.
    pub jobs: &'a [NodeName],
    /// This agent is stopping its node.
    pub stopping: bool,
    /// Since when the server's primary is marked as failed in its own view.
    pub primary_failed_since: Option<Millis>,
    /// `cluster-node-timeout` that is in force; absent while unknown.
    pub node_timeout: Option<Millis>,
    /// `cluster-replica-no-failover` that is in force; absent while unknown.
    pub no_failover: Option<bool>,
    /// Whether the marks of open slots survive a failover of this server (Valkey 8.0 and later).
    pub marks_survive: bool,
}

/// What other agents said, by name.
pub type Peers = BTreeMap<NodeName, Peer>;

/// What one other agent said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// How the last call ended.
    pub answer: Answer,
}

/// How the last call to an agent ended. Silence says nothing about its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was never asked.
    NeverAsked,
    /// It has not answered since then.
    Silent {
        /// Since the first call that failed.
        since: Millis,
    },
    /// It answered.
    Heard {
        /// What.
        report: Box<Report>,
        /// When.
        at: Millis,
    },
}

/// What other agents want of this one and what has not been settled yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inbox {
    /// A certificate that this server's primary is dead.
    pub death: Option<ReceivedNotice>,
    /// A wish of a person or of the stopping agent: hand off, to whom if said.
    pub handoff: Option<Option<NodeName>>,
    /// Slots that a target holds open, with keys, and asks to have finished.
    pub resume: Vec<(Slot, NodeId)>,
    /// When FORCE was last sent to the own server.
    pub forced_at: Option<Millis>,
}

/// A death notice, and when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedNotice {
    /// The notice.
    pub notice: DeathNotice,
    /// When it came.
    pub at: Millis,
}

impl Peer {
    /// The Report, if it was heard no longer than `age` ago.
    pub fn heard_within(&self, now: Millis, age: Millis) -> Option<&Report> {
        match &self.answer {
            Answer::Heard { report, at } if now.since(*at) <= age => Some(report),
            Answer::Heard { .. } | Answer::Silent { .. } | Answer::NeverAsked => None,
        }
    }

    /// The Report, if it was heard at or after `moment`.
    pub fn heard_since(&self, moment: Millis) -> Option<&Report> {
        match &self.answer {
            Answer::Heard { report, at } if *at >= moment => Some(report),
            Answer::Heard { .. } | Answer::Silent { .. } | Answer::NeverAsked => None,
        }
    }
}

impl Peer {
    /// Whether it was called at or after `moment`, or has been silent since before, whatever came of it.
    pub fn was_tried_since(&self, moment: Millis) -> bool {
        match &self.answer {
            Answer::Heard { at, .. } => *at >= moment,
            Answer::Silent { .. } => true,
            Answer::NeverAsked => false,
        }
    }
}

/// How long what a peer said is good for a decision that it could have made wrong meanwhile.
pub const FRESH_FOR: Millis = Millis(1000);

impl<'a> Situation<'a> {
    /// The Layout that is obeyed.
    pub fn layout(&self) -> Option<&'a Layout> {
        self.ledger.layout.as_ref()
    }

    /// The running server.
    pub fn running(&self) -> Option<&'a Running> {
        self.server.running()
    }

    /// The server's node table.
    pub fn view(&self) -> Option<&'a View> {
        self.running().map(|running| &running.view)
    }

    /// The shard that the Layout has this node in.
    pub fn my_shard(&self) -> Option<&'a LayoutShard> {
        self.layout()?.shard_of(&self.me.name)
    }

    /// All other members of the Layout.
    pub fn others(&self) -> Vec<NodeName> {
        let members = self.layout().into_iter().flat_map(|layout| &layout.members);
        members.map(|member| &member.member.name).filter(|name| **name != self.me.name).cloned().collect()
    }

    /// The others of that shard.
    pub fn mates(&self) -> Vec<&'a NodeName> {
        self.my_shard().map(|shard| shard.nodes().filter(|n| **n != self.me.name).collect()).unwrap_or_default()
    }

    /// The mates, and members that are of no shard: they may have been of this one a moment ago.
    pub fn kin(&self) -> Vec<&'a NodeName> {
        let members = self.layout().into_iter().flat_map(|layout| {
            let names = layout.members.iter().map(|member| &member.member.name);
            names.filter(|name| layout.shard_of(name).is_none())
        });
        self.mates().into_iter().chain(members.filter(|name| **name != self.me.name)).collect()
    }

    /// The id behind a name: by the own server, by what the peer's agent said, else by the Layout's hint.
    pub fn id_of(&self, name: &NodeName) -> Option<NodeId> {
        if *name == self.me.name {
            return self.view().map(|view| view.me.clone());
        }
        let hint = self.layout().and_then(|layout| layout.member(name)?.node_id.clone());
        match self.peers.get(name).map(|peer| &peer.answer) {
            Some(Answer::Heard { report, at }) => {
                let said = report.server.running().map(|running| running.view.me.clone());
                // An old word gives way to a Layout that is newer than what the peer knew when it spoke.
                let fresh = self.now.since(*at) <= FRESH_FOR;
                let known = report.ledger.layout.as_ref().map(|layout| layout.generation).unwrap_or_default();
                let outdated = !fresh && self.layout().is_some_and(|layout| layout.generation > known);
                if outdated { hint.or(said) } else { said.or(hint) }
            }
            Some(Answer::Silent { .. } | Answer::NeverAsked) | None => hint,
        }
    }

    /// The name behind an id.
    pub fn name_of(&self, id: &NodeId) -> Option<NodeName> {
        let layout = self.layout()?;
        layout.members.iter().map(|m| &m.member.name).find(|name| self.id_of(name).as_ref() == Some(id)).cloned()
    }

    /// Who is the primary of `shard` now: who owns slots in the own view, else who the Layout names.
    pub fn primary_of(&self, shard: &'a LayoutShard) -> &'a NodeName {
        let seen = self.view().and_then(|view| judge::shard_primary(shard, view, |name| self.id_of(name)));
        seen.unwrap_or(&shard.primary)
    }

    /// Whether the own server is a primary by its own word.
    pub fn is_primary(&self) -> bool {
        self.running().is_some_and(|r| r.replication.role == Role::Primary)
    }

    /// The Report of `name` if it is no older than [`FRESH_FOR`].
    pub fn fresh(&self, name: &NodeName) -> Option<&'a Report> {
        self.peers.get(name)?.heard_within(self.now, FRESH_FOR)
    }

    /// The node time-out that should be in force when nothing special is under way.
    pub fn settled_timeout(&self) -> Option<Millis> {
        self.layout().map(|layout| layout.settings.node_timeout)
    }
}
