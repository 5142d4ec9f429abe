//! The start check: what to do before the server starts, and when its writes may flow.
//!
//! Each arm of the check is a [`Row`] with a name, so that logs, tests and the simulator speak of the same thing.

#[cfg(test)]
mod any_mates_tests;
mod check;
#[cfg(test)]
mod check_tests;
mod facts;
mod former;
#[cfg(test)]
mod former_tests;
mod gate;
#[cfg(test)]
mod gate_tests;
mod pick;
#[cfg(test)]
mod promise_tests;

use std::collections::BTreeSet;

use redisnode_proto::ledger::Ledger;
use redisnode_proto::report::Disk;
use redisnode_proto::{ConfigEpoch, Member, Millis, NodeId, NodeName};

use crate::situation::Peers;

pub use check::start_check;
pub use gate::{Gate, GateSituation, gate};

/// How long a mate that does not answer holds up a start that would be a cold start without it.
pub const COLD_START_WAIT: Millis = Millis(3000);

/// What the start check may know.
#[derive(Clone, Debug)]
pub struct StartSituation<'a> {
    /// Now.
    pub now: Millis,
    /// Since when this check has been going on: older answers do not count.
    pub since: Millis,
    /// Whose server is to start.
    pub me: &'a Member,
    /// The ledger.
    pub ledger: &'a Ledger,
    /// The folder, as it is.
    pub disk: &'a Disk,
    /// The cluster has never been founded: a node without identity may start before it knows a Layout.
    pub may_found: bool,
    /// What other agents said.
    pub peers: &'a Peers,
    /// Mates whose agents have refused to take over since the check began.
    pub refused: &'a BTreeSet<NodeName>,
}

/// Which arm of the check decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Row {
    /// The member has left.
    Retired,
    /// No identity in the folder, and nobody's death to certify; or it is not known yet whose.
    NoIdentity,
    /// Identity of a replica, or of a primary without slots.
    Replica,
    /// Identity of a replica, with data, whose primary started empty.
    ReplicaOfEmptied,
    /// Identity of a primary; others own its slots at a higher epoch.
    OwnedElsewhere,
    /// Identity of a primary; a mate has newer data by a sync in its own life.
    MateIsNewer,
    /// Identity of a primary, with data; nobody has anything newer.
    ColdStart,
    /// Identity of a primary, data gone; a mate has data.
    DataGoneMateHolds,
    /// Identity of a primary, data gone; all mates answered and none has data, or there are none.
    DataGoneEverywhere,
    /// Identity of a primary, data gone; a mate does not answer.
    DataGoneMateSilent,
    /// A takeover was promised, and it is not known yet who owns the slots.
    Promised,
    /// Mates have not been asked yet.
    Asking,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartAct {
    /// Start the server.
    Start {
        /// Hold its writes until [`gate`] opens.
        gated: bool,
        /// Move the data aside first, and say so.
        aside: bool,
        /// What is lost by it, a sentence for the ledger.
        lost: Option<String>,
    },
    /// Write the promise, then tell this mate's agent that the primary is dead; ask again until it says how it ended.
    Promote {
        /// Whose agent.
        mate: NodeName,
        /// Its server's id.
        mate_id: NodeId,
        /// Whose death is certified: the folder's id, or the one that the node had before it lost its folder.
        dead: NodeId,
        /// That one's epoch; zero where it is not known, so that every other owner counts as newer.
        epoch: ConfigEpoch,
    },
    /// Call these agents.
    Ask(Vec<NodeName>),
    /// Wait, calling these agents again; a sentence says for what.
    Wait {
        /// For what.
        reason: String,
        /// Whom to ask meanwhile.
        ask: Vec<NodeName>,
    },
    /// Never start.
    Never,
}

/// What the check decided, and by which arm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartVerdict {
    /// The arm.
    pub row: Row,
    /// What to do.
    pub act: StartAct,
}

impl StartVerdict {
    /// Whether another server owns the slots of the one that starts: the shell writes it into the ledger.
    pub fn is_deposed(&self) -> bool {
        self.row == Row::OwnedElsewhere
    }
}
