//! The simulator: a small model of Redis Cluster's semantics, under the real planner, the real duties and the real start
//! check, with random crashes, restarts, lost and late messages, partitions and edits of the spec. Named invariants are
//! checked at every step; a history that breaks one prints its seed and its event log, and replays from the seed.
//!
//! Modelled, as measured and read in the servers' source: node tables, gossip, failure detection by quorum, epochs and
//! their collisions, votes and their rules, elections and manual failovers, MEET, FORGET, RESET, the states of SETSLOT,
//! MIGRATE, moves in one piece by the source (Valkey 9) and by the target (Redis 8.4), partial and full syncs, what survives on disk, the writable delay, minority and isolated restart.
//! Not modelled: memory limits, TLS, ACLs.

mod act;
mod agent;
mod bus;
mod call;
mod client;
mod clock;
mod commands;
mod converge;
mod coordinator;
mod data;
mod disk;
mod election;
mod endings;
mod failure;
mod faults;
mod flavor;
mod giving;
mod handoff;
mod history;
mod ids;
mod imports;
mod migrate;
mod moves;
mod moving;
mod mutation;
mod net;
mod observe;
mod oracle;
mod pieces;
mod receive;
mod replication;
mod revived;
mod scenario;
mod scenes;
mod server;
mod spec;
mod start;
mod strays;
mod tableau;
mod taking;
mod temper;
mod whole;
mod wire;
mod world;

pub use history::{Outcome, random_history};
pub use mutation::Mutation;
pub use oracle::invariant;
pub use scenario::Scenario;
pub use scenes::{Blow, State, Way, struck};
