//! The vocabulary of redisnode: what coordinator and agents say to each other and how the servers' own words are read.
//!
//! Architecture invariant: no I/O, no clock, no randomness. Instants and random numbers are arguments.
//! Wire words (`master`, `slave`) end in [`topology`]; everything else speaks of primaries and replicas.

pub mod address;
pub mod event;
pub mod figures;
pub mod generation;
pub mod ids;
pub mod job;
pub mod judge;
pub mod layout;
pub mod ledger;
pub mod message;
pub mod report;
pub mod slots;
pub mod spec;
pub mod status;
pub mod time;
pub mod topology;
pub mod weights;

pub use address::Address;
pub use generation::{Generation, Supersedes};
pub use ids::{ClusterId, ConfigEpoch, Member, NodeId, NodeName, Offset, ShardName, Uid};
pub use layout::{Layout, LayoutMember, LayoutShard};
pub use ledger::Ledger;
pub use report::Report;
pub use slots::{Slot, SlotRange, SlotSet};
pub use time::Millis;

/// Version of the documents Layout, Report and ledger. Readers ignore fields they do not know; the number
/// rises only when an older reader would misunderstand.
pub const DOCUMENT_VERSION: u32 = 1;
