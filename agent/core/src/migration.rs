//! Moving slots by `MIGRATE`: the order of steps, what goes into one command, and what an answer means.
//!
//! An error never changes the owner of a slot. Only an emptied slot is closed, target first.

mod batch;
mod carriers;
mod close;
mod group;
mod heir;
mod outcome;
mod pace;
mod patience;

pub use batch::{BatchLimit, Key, batches};
pub use carriers::{Carrier, carriers};
pub use close::{CloseStep, Closing, next_step};
pub use group::{GroupLimit, group, group_limit, set_slot_lanes};
pub use heir::is_heir;
pub use outcome::{AfterMigrate, Attempt, after_migrate, must_replace};
pub use pace::Pace;
pub use patience::{Patience, Verdict};
