//! The accounting client: a real cluster client that writes all the time, in open loop, and knows afterwards for each
//! key what must be there. It refuses to guess: a write is acknowledged, or its outcome is unknown.

mod audit;
mod client;
mod commands;
mod fill;
mod keys;
mod model;
mod read_back;
mod run;
mod stats;
mod value;

use std::time::Duration;

pub use audit::{Audit, Fault, Finding};
pub use keys::{Kind, name as key_name, tags, tags_of};
pub use run::Workload;
pub use stats::Stats;

/// What is written, and how fast.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many ordinary keys, of all kinds in turn.
    pub keys: u32,
    /// All keys are in so many slots, evenly spaced, by a tag that their names begin with (see [`tags`]), so that a slot
    /// that is half moved is written to all the time. 0: they have no such tag, and lie anywhere.
    pub slots: u16,
    /// Writes a second.
    pub rate: u32,
    /// Also a string of 5 MB.
    pub big_value: bool,
    /// Also a hash of this many fields.
    pub big_hash_fields: u32,
    /// How long a write may take before its outcome counts as unknown.
    pub patience: Duration,
    /// How often the client may try one command again by itself: its own default, but with short waits between (see
    /// `client.rs`), so that an outage reaches the caller and is counted.
    pub retries: u32,
    /// The workload ends by itself after this.
    pub at_most: Duration,
    /// The seed of its choices.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keys: 2_200,
            slots: 0,
            rate: 1_000,
            big_value: false,
            big_hash_fields: 0,
            patience: Duration::from_secs(3),
            retries: 16,
            at_most: Duration::from_mins(5),
            seed: 1,
        }
    }
}

impl Options {
    /// What the product promises to move under load: 200 k keys of every type, with the big ones.
    pub fn full() -> Self {
        Self { keys: 200_000, big_value: true, big_hash_fields: 300_000, ..Self::default() }
    }
}
