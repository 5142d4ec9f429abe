//! The pure core of the agent: what one node does next.
//!
//! Architecture invariant: nothing here does I/O, reads a clock or a random number. What was observed comes in as
//! [`Situation`], what to do goes out as [`Duty`] and [`StartVerdict`]; the shell has no choices left.
//!
//! - [`start`]: what to do before the server starts, and when its writes may flow.
//! - [`duties`]: what brings a running server to the Layout.
//! - [`takeover`]: certificates, promotions, and elections that the servers do not hold.
//! - [`migration`]: the order of steps in a move of slots, and what goes into one MIGRATE.
//! - [`relink`]: makes a replica's link anew where the stream would begin late.
//! - [`catch_up`]: whether a linked replica has what was written while it synced.
//! - [`missing`]: which members are to be looked for, because their addresses have changed.
//! - [`config`]: the server's configuration.
//! - [`weighing`]: what the slots of a primary weigh, round after round.

pub mod catch_up;
pub mod config;
pub mod duties;
pub mod health;
pub mod migration;
pub mod missing;
pub mod obey;
pub mod relink;
pub mod remember;
pub mod situation;
pub mod start;
pub mod takeover;
#[cfg(test)]
mod testing;
pub mod weighing;

pub use duties::{Duty, duties};
pub use situation::{Answer, Inbox, Peer, Peers, Situation};
pub use start::{Row, StartAct, StartSituation, StartVerdict, start_check};
