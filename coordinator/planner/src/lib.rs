//! The coordinator's pure core: from the wanted spec and what was observed, the next Layout, the conditions, and the
//! reason for each thing not done.
//!
//! Architecture invariant: no I/O, no clock, no randomness, and nothing remembered: all that `plan` knows is its
//! argument. The same World gives the same Plan.

mod adopt;
mod assemble;
mod base;
mod decision;
mod draft;
mod even;
mod facts;
mod forget;
mod founding;
mod handoffs;
mod health;
mod holding;
mod leaving;
mod placement;
mod plan;
mod rebalance;
mod rollout;
mod room;
mod safety;
mod seats;
mod shards;
mod slots;
mod status;
mod targets;
mod versions;
mod weighing;
mod weights;
mod world;

#[cfg(test)]
mod holdings;
#[cfg(test)]
mod tests;

pub use decision::{Declined, Intent, IntentKind, Plan, PlannedEvent, Why};
pub use plan::{plan, status};
pub use world::{FRESH_FOR, Heard, MachineMember, Presence, World};
