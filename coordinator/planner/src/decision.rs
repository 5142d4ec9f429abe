//! What `plan()` answers: decisions as data, with the reason for each thing that is wanted and not done now. Whoever
//! carries them out has no choice left.

use redisnode_proto::event::Severity;
use redisnode_proto::status::ClusterStatus;
use redisnode_proto::{Layout, NodeName};
use serde::{Deserialize, Serialize};

/// What to do now.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The Layout to publish next; `None` when the present one says all there is to say, or nothing may be said.
    pub layout: Option<Layout>,
    /// The machine should run the ordinals below this. Members at or above it go only through [`Plan::remove`].
    pub members_wanted: u32,
    /// The machine is to be left as it is: [`Plan::members_wanted`] is what would be wanted.
    pub paused: bool,
    /// Members whose incarnation and folder may be removed now. One whose ordinal is below
    /// [`Plan::members_wanted`] is then made anew, empty.
    pub remove: Vec<NodeName>,
    /// Members whose agent should restart its server now. Named until the agent reports that nothing waits any more: ask
    /// each life of a server (`run_id`) once.
    pub restart: Vec<NodeName>,
    /// What is.
    pub status: ClusterStatus,
    /// Everything that is wanted and not done now.
    pub declined: Vec<Declined>,
    /// What is being done now and will be done next, and why.
    pub next: Vec<Intent>,
    /// What this decision changes, for people. Empty when [`Plan::layout`] is.
    pub events: Vec<PlannedEvent>,
}

/// Something wanted that is not done now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declined {
    /// Why.
    pub why: Why,
    /// What is not done and what it waits for, a sentence.
    pub message: String,
}

/// Why something wanted is not done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Why {
    /// Another life of a coordinator has published: this one needs a new term.
    TermOvertaken,
    /// Fewer than a majority of the members were heard.
    MajorityNotHeard,
    /// A cluster is founded only when every wanted member has reported.
    FounderMissing,
    /// A cluster is founded only from members that hold nothing.
    FounderNotEmpty,
    /// Everything else waits until the founding has ended.
    FoundingNotEnded,
    /// A wanted member is not there, or was not heard yet.
    MemberMissing,
    /// A member cannot be used: its server refuses to run here, or it holds data of its own.
    MemberUnusable,
    /// The replicas that should secure this are not in sync.
    ReplicasNotInSync,
    /// A primary that this needs does not run, or was not heard.
    PrimaryNotRunning,
    /// A primary does not know every owner of slots yet.
    OwnersUnknown,
    /// Slots do not go from a newer server to an older one.
    OlderServer,
    /// What would arrive does not fit into the memory of its target.
    NotEnoughMemory,
    /// What slots weigh is not known of every shard.
    NotWeighedYet,
    /// The servers cannot tell what slots weigh as the spec would have it.
    CannotBeWeighed,
    /// Shares by weight have not been far apart for long enough.
    FiguresTooYoung,
    /// Shares by weight are far apart, and whole slots cannot bring them nearer.
    AsEvenAsCanBe,
    /// A slot weighs more than an even share.
    HotSlot,
    /// Slots must have moved first.
    SlotsStillMoving,
    /// It holds the only copy of data.
    OnlyCopy,
    /// Fresh Reports of a majority of the members do not agree on it.
    NotAgreed,
    /// The other servers must have forgotten it first.
    NotForgotten,
    /// It must have given up everything first.
    NotRetired,
    /// Something else is not in order, and this waits for better times.
    NotHealthy,
    /// A dead primary's slots wait for a replica that may still take over.
    TakeoverPending,
    /// A server that belongs to no member is in the cluster.
    StrangerPresent,
    /// Somebody has paused all changes.
    Paused,
    /// Somebody has paused the moves of slots.
    MovesPaused,
    /// Somebody has aborted the moves of slots.
    MovesAborted,
}

/// Something that is being done now, or will be next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// What kind of work.
    pub kind: IntentKind,
    /// What and why, a sentence.
    pub message: String,
}

/// Kinds of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum IntentKind {
    /// An empty cluster comes to be.
    Found,
    /// A member joins the cluster or a shard.
    Join,
    /// Slots move from shard to shard, or are claimed.
    MoveSlots,
    /// A replica syncs.
    Sync,
    /// The primary of a shard changes.
    Handoff,
    /// A member gives up everything and goes.
    Leave,
    /// Ids are taken out of the servers' node tables.
    Forget,
    /// A server restarts for a new configuration.
    Restart,
}

/// An event that has no number and no time yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedEvent {
    /// How much it matters.
    pub severity: Severity,
    /// A CamelCase word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

impl Declined {
    /// Not done because of `why`.
    pub fn new(why: Why, message: impl Into<String>) -> Self {
        Self { why, message: message.into() }
    }
}

impl Intent {
    /// Work of kind `kind`.
    pub fn new(kind: IntentKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl PlannedEvent {
    /// Something that goes as it should.
    pub fn normal(reason: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Normal, reason: reason.to_owned(), message: message.into() }
    }

    /// Something that a person should look at.
    pub fn warning(reason: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, reason: reason.to_owned(), message: message.into() }
    }
}
