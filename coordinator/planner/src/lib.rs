//! The coordinator's pure core: from the wanted spec and what was observed, the next Layout, the conditions, and the
//! reason for each thing not done.
//!
//! Architecture invariant: no I/O, no clock, no randomness, and nothing remembered: all that `plan` knows is its
//! argument. The same World gives the same Plan.

mod decision;
mod world;

pub use decision::{Declined, Intent, IntentKind, Plan, PlannedEvent, Why};
pub use world::{FRESH_FOR, Heard, MachineMember, Presence, World};
