//! The coordinator's shell: it observes specs and Reports, lets the planner decide, publishes one Layout, runs and
//! removes members through a machine, and reports. It never speaks to a server.
//!
//! Architecture invariant: nothing here chooses. A choice belongs in the planner, where it can be tested without I/O.
//! Architecture invariant: it keeps no state of its own but its term; kill it at any moment and start it again.

pub mod admin;
pub mod agents;
pub mod amend;
pub mod check;
pub mod cli;
pub mod clock;
pub mod console;
pub mod failure;
pub mod files;
pub mod founding;
pub mod journal;
pub mod kubernetes;
pub mod local;
pub mod machine;
pub mod publish;
pub mod reconcile;
pub mod restarts;
pub mod source;
pub mod term;
pub mod tries;

#[cfg(test)]
mod testing;
