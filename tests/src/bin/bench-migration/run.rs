//! One measured move: the client before, during and after it, and the owners of slots.
//!
//! It begins with the first job, and ends with the last change of owner, as the fourth node shows it. What begins a job
//! is said by who does it: a script by its clock, redis-cli by the first slot that is seen open or moved, the product by
//! its agents' Reports. The others are measured on a cluster whose fourth node has long joined; the product adds it as a
//! part of the same change, and what that takes (a new primary's state is not ok for its first two seconds, whoever adds
//! it) is shown beside and not counted.

use std::time::{Duration, Instant};

use redisnode_tests::measure::load::Load;
use redisnode_tests::measure::owners::{OwnerWatch, Seen};
use redisnode_tests::view;
use redisnode_tests::wait::{check, wait_until};

use crate::data::Data;
use crate::plan::Direction;
use crate::result::Measured;

/// Requests a second.
const RATE: u32 = 1000;
/// No move takes longer.
const PATIENCE: Duration = Duration::from_mins(2);

/// A move that is being measured.
pub(crate) struct Run {
    load: Load,
    watch: OwnerWatch,
    fourth: u16,
    data: Data,
    direction: Direction,
    before: (u64, u64),
}

impl Run {
    /// Starts the client, and the watch of the fourth node, which need not run yet.
    pub(crate) fn prepare(first: u16, fourth: u16, data: Data, direction: Direction) -> Self {
        let load = Load::start(first, RATE);
        wait_until(Duration::from_secs(20), "the client is answered", || check(load.answered() > 500, String::new));
        let before = if direction == Direction::Grow { (0, 0) } else { held(fourth, data) };
        Self { load, watch: OwnerWatch::start(fourth), fourth, data, direction, before }
    }

    /// What the fourth node has shown so far.
    pub(crate) fn seen(&self) -> Seen {
        self.watch.seen()
    }

    /// Waits for the end. `began` is asked when it has come. Keys are those of the fourth node with all its slots.
    pub(crate) fn finish(self, began: impl FnOnce(&Self) -> Instant, how: impl FnOnce() -> String) -> Measured {
        let slots = self.direction.slots_of_fourth();
        let ended = match self.watch.until(slots, PATIENCE) {
            Ok(ended) => ended,
            Err(last) => panic!("the move does not end: the node on {} has {last}", self.fourth),
        };
        let began = began(&self);
        let client = self.load.between(began, ended);
        let (keys, big_keys) =
            if self.direction == Direction::Grow { held(self.fourth, self.data) } else { self.before };
        Measured { took: ended.saturating_duration_since(began), keys, big_keys, client, how: how() }
    }
}

/// Keys of a node, and big ones among them.
fn held(port: u16, data: Data) -> (u64, u64) {
    let keys = view::text(port, &["DBSIZE"]).expect("the node answers").parse().expect("a number");
    (keys, data.big_keys_at(port))
}
