//! Bodies of the agents' calls to each other and their answers. All of `/v1` but Layout and Report.

use serde::{Deserialize, Serialize};

use crate::Offset;
use crate::ledger::OpenSlots;
use crate::slots::{Slot, SlotSet};
use crate::{Address, ConfigEpoch, Generation, Member, Millis, NodeId, NodeName};

/// `POST /v1/hello`: who calls, and where it is now. Answered by the peer's Report. Both learn the other's address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Who calls.
    pub member: Member,
    /// Its server's id, if it has one.
    pub node_id: Option<NodeId>,
    /// Where it is reached.
    pub address: Address,
    /// The newest Layout it knows.
    pub generation: Option<Generation>,
}

/// `POST /v1/handoff`, to a primary's agent: give the role to a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoffRequest {
    /// To whom; the best replica if absent.
    #[serde(default)]
    pub to: Option<NodeName>,
}

/// `POST /v1/takeover`, by a primary's agent to one replica's agent: promote your server in order, while mine serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeoverRequest {
    /// The id of the primary that hands off.
    pub from: NodeId,
    /// The primary holds all writes since this offset, and will for some seconds: no votes are needed, the replica is
    /// promoted as soon as it has everything. Without it the servers vote.
    #[serde(default)]
    pub held_at: Option<Offset>,
}

/// `POST /v1/death-notice`: a certificate that the primary `dead` is dead, and a promise that it stays so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeathNotice {
    /// Whose agent (or successor) certifies.
    pub by: NodeName,
    /// The dead server's id.
    pub dead: NodeId,
    /// The epoch under which it owned its slots.
    pub epoch: ConfigEpoch,
    /// How long ago it died, when the notice was sent.
    pub dead_for: Millis,
}

/// How a handoff, takeover or death notice ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// `primary` serves the slots now.
    Done {
        /// The new primary.
        primary: NodeId,
        /// Its name.
        name: NodeName,
    },
    /// It was not done and will not be by this agent.
    Refused {
        /// Why, and what to do, a sentence.
        reason: String,
    },
    /// Not known yet: ask the same one again.
    Pending {
        /// What it waits for.
        reason: String,
    },
}

/// `POST /v1/import`, by a source's agent to the target's: open these slots for arrival.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportRequest {
    /// The Layout that the source acts under. A target that knows only an older one waits a moment for it.
    #[serde(default)]
    pub generation: Generation,
    /// The source's id.
    pub source: NodeId,
    /// The slots.
    pub slots: Vec<Slot>,
    /// These slots are open already (the source's primary changed, or the job resumes): the target's own marks are
    /// its consent of before, whatever its Layout says now.
    #[serde(default)]
    pub resume: bool,
}

/// Answer to [`ImportRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReply {
    /// Slots that are open for arrival now.
    pub opened: Vec<Slot>,
    /// Of a request to resume: slots that are not open here, of which there is no key here, and which the Layout does
    /// not give to this shard. The source may close them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unwanted: Vec<Slot>,
    /// Why others are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// `POST /v1/receive`, by a source's agent to the target's: these slots come in one piece, moved by the servers themselves.
/// Said again while it lasts: a target that is not asked any more ends what it has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiveRequest {
    /// The Layout that the source acts under. A target that knows only an older one waits a moment for it.
    #[serde(default)]
    pub generation: Generation,
    /// The source's id.
    pub source: NodeId,
    /// The source's epoch: the target's server has to know it, to take the slots under a greater one.
    #[serde(default)]
    pub epoch: ConfigEpoch,
    /// The slots.
    pub slots: SlotSet,
    /// Which server does the work.
    pub by: Mover,
    /// End it: nothing of it is wanted any more.
    #[serde(default)]
    pub cancel: bool,
}

/// Which server moves slots in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mover {
    /// The source's, once the target's agent has agreed (`CLUSTER MIGRATESLOTS`).
    Source,
    /// The target's, begun by its agent (`CLUSTER MIGRATION IMPORT`).
    Target,
}

/// Answer to [`ReceiveRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase", tag = "is")]
pub enum ReceiveReply {
    /// The source's server may begin.
    Agreed,
    /// The target's server is at it.
    Running,
    /// The target's server has ended. Who owns the slots is to be read from the servers.
    Ended {
        /// Its words if it did not end well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// Another move is under way there, and ends by itself: ask again.
    Busy {
        /// Which one.
        reason: String,
    },
    /// Something else is in the way: ask again, but not for ever.
    Waits {
        /// What.
        reason: String,
    },
    /// Not these slots, not now.
    Refused {
        /// Why, a sentence.
        reason: String,
    },
}

/// `POST /v1/open-slots`, by a source's agent to its replicas' agents, before the first key of these slots moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSlotsNotice {
    /// All slots that are open now, with the heir; no slots ends the watch.
    #[serde(flatten)]
    pub open: OpenSlots,
}

/// `POST /v1/resume`, by a target's agent to the owner's: these slots are half here; finish their move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeRequest {
    /// The id of the target, where keys of these slots are.
    pub target: NodeId,
    /// The slots.
    pub slots: Vec<Slot>,
}

/// Answer to calls that have nothing to say but whether it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "answer")]
pub enum Ack {
    /// Done.
    Done,
    /// Not done.
    Refused {
        /// Why, a sentence.
        reason: String,
    },
}

/// Answer to `PUT /v1/layout`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "answer")]
pub enum LayoutAnswer {
    /// It is obeyed from now on, or was already.
    Taken,
    /// A newer one is known.
    Older {
        /// Its generation.
        held: Generation,
    },
    /// The same generation with other content is held: take a new term.
    Conflict {
        /// The generation.
        held: Generation,
    },
    /// It is not for this node.
    Refused {
        /// Why, a sentence.
        reason: String,
    },
}
