//! What the rules of safety are worth: each mutation takes one rule away, at the seam between the pure cores and this
//! simulator's shell, never in the product. A history with one of them must break an invariant.

use redisnode_agent_core::migration::{Attempt, CloseStep, Closing, DriverKind, Tries, must_replace, next_step};
use redisnode_agent_core::{Row, StartAct, StartVerdict};
use redisnode_proto::generation::next_term;
use redisnode_proto::message::LayoutAnswer;
use redisnode_proto::topology::View;
use redisnode_proto::{Layout, Ledger, NodeId, SlotSet};

/// A rule that is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// This row of the start check simply starts the server, with its data, writes flowing at once.
    StartsAnyway(Row),
    /// This row of the start check waits for ever.
    WaitsForEver(Row),
    /// A node without identity does not certify the death of its former life, neither before nor after its start.
    NoFormerLife,
    /// Every Layout is a founding one, and is obeyed by nodes that are past founding.
    FoundsAgain,
    /// A new life of a coordinator takes the term that is written down.
    TermOfBefore,
    /// An older Layout is obeyed.
    ObeysAnything,
    /// A death notice is sent without the promise in the ledger.
    NoPromise,
    /// The source of a move lets go before the target has taken the slot.
    SourceFirst,
    /// Every MIGRATE carries REPLACE.
    AlwaysReplace,
    /// The best driver is tried for ever.
    NoFallback,
    /// A move in one piece is waited for, however long it takes.
    NoDeadline,
    /// Slots have moved if the servers say that the move went well, and have not if they say that it failed.
    TrustsTheJob,
    /// A job is cancelled although its target may take the slots at this moment.
    CancelsAnyTime,
}

/// What the start check decided, or what is left of it.
pub(crate) fn start(mutation: Option<Mutation>, has_identity: bool, verdict: StartVerdict) -> StartVerdict {
    match mutation {
        Some(Mutation::StartsAnyway(row)) if row == verdict.row => {
            StartVerdict { row, act: StartAct::Start { gated: false, aside: false, lost: None } }
        }
        Some(Mutation::NoFormerLife) if !has_identity => {
            StartVerdict { row: Row::NoIdentity, act: StartAct::Start { gated: false, aside: false, lost: None } }
        }
        Some(Mutation::WaitsForEver(row)) if row == verdict.row => {
            StartVerdict { row, act: StartAct::Wait { reason: "for ever".into(), ask: Vec::new() } }
        }
        _ => verdict,
    }
}

/// How a slot is closed.
pub(crate) fn close(mutation: Option<Mutation>, closing: Closing) -> CloseStep {
    match (mutation, next_step(closing)) {
        (Some(Mutation::SourceFirst), CloseStep::AssignAtTarget | CloseStep::AssignAtSource) => {
            if closing.released_by_source { CloseStep::AssignAtTarget } else { CloseStep::AssignAtSource }
        }
        (_, step) => step,
    }
}

/// Whether MIGRATE carries REPLACE.
pub(crate) fn replaces(mutation: Option<Mutation>, attempts: &[Attempt], source: &NodeId) -> bool {
    mutation == Some(Mutation::AlwaysReplace) || must_replace(attempts, source)
}

/// Which driver has its turn.
pub(crate) fn choose(mutation: Option<Mutation>, tries: &mut Tries, able: &[DriverKind]) -> DriverKind {
    match (mutation, able) {
        (Some(Mutation::NoFallback), [best, ..]) => *best,
        _ => tries.choose(able),
    }
}

/// Whether a move in one piece has no deadline.
pub(crate) fn waits_for_ever(mutation: Option<Mutation>) -> bool {
    mutation == Some(Mutation::NoDeadline)
}

/// Whether exports in these states are cancelled.
pub(crate) fn may_cancel(mutation: Option<Mutation>, states: &[&str]) -> bool {
    mutation == Some(Mutation::CancelsAnyTime) || redisnode_agent_core::migration::may_cancel(states.iter().copied())
}

/// Which slots of a piece have moved.
pub(crate) fn arrived(
    mutation: Option<Mutation>,
    went_well: bool,
    slots: &SlotSet,
    (source, target): (&View, &View),
    target_id: &NodeId,
) -> SlotSet {
    match mutation {
        Some(Mutation::TrustsTheJob) if went_well => slots.clone(),
        Some(Mutation::TrustsTheJob) => SlotSet::new(),
        _ => redisnode_agent_core::migration::arrived(slots, source, target, target_id),
    }
}

/// The term of a new life.
pub(crate) fn term(mutation: Option<Mutation>, written: u64, read: impl IntoIterator<Item = u64>) -> u64 {
    if mutation == Some(Mutation::TermOfBefore) { written.max(1) } else { next_term(written, read) }
}

/// What an agent answers to a Layout.
pub(crate) fn obey(mutation: Option<Mutation>, ledger: &Ledger, incoming: &Layout) -> LayoutAnswer {
    let answer = redisnode_agent_core::obey::judge_layout(ledger, incoming);
    match (mutation, &answer) {
        (Some(Mutation::ObeysAnything), LayoutAnswer::Older { .. } | LayoutAnswer::Conflict { .. })
        | (Some(Mutation::FoundsAgain), LayoutAnswer::Refused { .. }) => LayoutAnswer::Taken,
        _ => answer,
    }
}
