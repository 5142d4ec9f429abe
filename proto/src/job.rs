//! Work in flight at an agent: a move of slots from its server to another one, with its progress.

use serde::{Deserialize, Serialize};

use crate::slots::SlotSet;
use crate::{Millis, NodeName};

/// A move of slots to one target, as its source's agent shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Who gets the slots.
    pub target: NodeName,
    /// The driver's name: `migrate`, `migrateslots` or `import`.
    pub driver: String,
    /// Slots that still have to go.
    pub remaining: SlotSet,
    /// Slots that have changed their owner in this job.
    pub slots_done: u32,
    /// Keys that have arrived in this job.
    pub keys_done: u64,
    /// Keys that still have to go; absent while unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_left: Option<u64>,
    /// Bytes that have been sent in this job, as the keys' sizes in memory.
    pub bytes_done: u64,
    /// For how long it has been running.
    pub running_for: Millis,
    /// Why it does not go on, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalled: Option<String>,
    /// Tries of this pair that have failed, the newest last; no more than a few are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<Try>,
}

/// A try that has failed. Its slots stayed whose they were, or had arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Try {
    /// The driver's name.
    pub driver: String,
    /// What happened, and what comes next: a sentence.
    pub reason: String,
}

impl Job {
    /// One that begins: nothing has moved, and no driver is chosen.
    pub fn new(target: NodeName, remaining: SlotSet) -> Self {
        Self {
            target,
            driver: String::new(),
            remaining,
            slots_done: 0,
            keys_done: 0,
            keys_left: None,
            bytes_done: 0,
            running_for: Millis(0),
            stalled: None,
            tries: Vec::new(),
        }
    }

    /// Brings the plain counters to those of `newer`.
    pub(crate) fn count_as(&mut self, newer: &Self) {
        (self.keys_done, self.keys_left, self.bytes_done) = (newer.keys_done, newer.keys_left, newer.bytes_done);
        (self.slots_done, self.running_for) = (newer.slots_done, newer.running_for);
        self.remaining.clone_from(&newer.remaining);
    }

    /// Keys a second since the start; absent in the first 100 ms.
    pub fn rate(&self) -> Option<u64> {
        (self.running_for.0 >= 100).then(|| self.keys_done.saturating_mul(1000) / self.running_for.0)
    }

    /// How long it will still take at that rate.
    pub fn time_left(&self) -> Option<Millis> {
        let (rate, left) = (self.rate().filter(|rate| *rate > 0)?, self.keys_left?);
        Some(Millis(left.saturating_mul(1000) / rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(running_for: u64, keys_done: u64, keys_left: Option<u64>) -> Job {
        let begun = Job::new("r-1".parse().unwrap(), SlotSet::new());
        Job { keys_done, keys_left, running_for: Millis(running_for), ..begun }
    }

    #[test]
    fn the_rate_is_keys_a_second_and_unknown_at_first() {
        assert_eq!(job(2_000, 50_000, None).rate(), Some(25_000));
        assert_eq!(job(99, 50_000, None).rate(), None);
    }

    #[test]
    fn the_time_left_is_unknown_while_nothing_moves_or_the_rest_is_unknown() {
        assert_eq!(job(2_000, 50_000, Some(100_000)).time_left(), Some(Millis(4_000)));
        assert_eq!(job(2_000, 0, Some(100_000)).time_left(), None);
        assert_eq!(job(2_000, 50_000, None).time_left(), None);
    }
}
