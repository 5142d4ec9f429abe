//! Moving slots: which driver, the order of steps, what goes into one command or one piece, and what an answer means.
//!
//! An error never changes the owner of a slot. Only an emptied slot is closed, target first.

mod batch;
mod carriers;
mod close;
mod drivers;
mod group;
mod heir;
mod in_the_way;
mod outcome;
mod pace;
mod patience;
mod pieces;
mod speed;
mod too_large;
mod too_slow;

pub use batch::{BatchLimit, Key, batches};
pub use carriers::{Carrier, carriers};
pub use close::{CloseStep, Closing, next_step};
pub use drivers::{Ability, Course, DriverKind, Tries, course, drivers};
pub use group::{GROUP_BYTES, GroupLimit, group, group_limit, set_slot_lanes};
pub use heir::is_heir;
pub use in_the_way::in_the_way;
pub use outcome::{AfterMigrate, Attempt, after_migrate, must_replace};
pub use pace::Pace;
pub use patience::{Patience, Verdict};
pub use pieces::{
    Phase, PieceLimit, arrived, deadline, export_phase, import_phase, is_busy, is_left_behind, is_live, knows_epoch,
    may_cancel, piece,
};
pub use speed::{Latencies, Speed, Throttle};
pub use too_large::{SAMPLES, TooLarge, longest, look_again, timeout_for_one};
pub use too_slow::{is_too_slow, too_slow};
