//! Unplanned changes of primary: what a replica does with a death certificate, which agent may act without one, and
//! who certifies for a former life of its own node.

mod election;
#[cfg(test)]
mod election_tests;
mod former;
#[cfg(test)]
mod former_tests;
mod notice;
#[cfg(test)]
mod notice_tests;
mod voters;

use redisnode_proto::message::Outcome;
use redisnode_proto::{NodeId, NodeName, Slot};

pub use election::election;
pub use former::{FormerLife, former_life};
pub use notice::{answer_notice, refusal_of_retired};

/// How a replica becomes primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Promotion {
    /// `CLUSTER FAILOVER FORCE`: the other primaries vote.
    Force,
    /// `CLUSTER FAILOVER TAKEOVER`: nobody votes. Only under a certificate, and where nobody else can be elected.
    Takeover,
}

/// What a replica's agent does about its primary's death.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing to do.
    Rest,
    /// Call these agents; nothing can be decided before they have answered or are known to be silent.
    Ask(Vec<NodeName>),
    /// `CLUSTER BUMPEPOCH` at the own server, a replica: it knows no epoch as high as the dead one's.
    RaiseEpoch,
    /// Promote the own server. If slots are open, writes are paused first, and the slots are opened again before they
    /// flow: a promoted replica does not have the marks.
    Promote {
        /// How.
        how: Promotion,
        /// Slots to open again, with their targets.
        reopen: Vec<(Slot, NodeId)>,
    },
    /// The matter is settled (the sender of the certificate gets this answer), or it is refused or still going on.
    Answer(Outcome),
}
